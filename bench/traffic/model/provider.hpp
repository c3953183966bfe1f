#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <random>
#include <string>
#include <string_view>

#include "traffic/scenario.hpp"
#include "weighter/state/observation.hpp"

namespace rpcw::bench::model {

inline constexpr double kNever = std::numeric_limits<double>::infinity();

/// The chain's height at a second of the scenario: a block each second.
std::uint64_t true_height(double s);

/// What a request to a provider comes to.
struct Outcome {
  enum class Kind : std::uint8_t { kResult, kStatus, kError, kLimited, kRefused, kSilence } kind = Kind::kResult;
  /// Until the answer or the refusal is there; kNever: none comes.
  double seconds = 0;
  /// Of the answer, its header included.
  std::uint64_t bytes = 0;
};

/// A provider that behaves as tests/sim does, without a socket. Its random numbers are its own, so that a contestant's
/// probes change them for no other contestant.
class Provider {
 public:
  Provider(std::size_t index, std::uint64_t seed);

  /// From second `s` on.
  void set(sim::Behaviour behaviour, double s);
  /// Throws std::logic_error for a fault that the model does not know.
  Outcome ask(std::string_view method, double s);

  [[nodiscard]] std::uint64_t height(double s) const;
  [[nodiscard]] std::uint64_t chain_id() const { return now_.chain_id.value_or(kChainId); }
  /// Its newest block at second `s`. One that is ahead of the chain has the newest true block's time.
  [[nodiscard]] Head head(double s) const;
  /// The hash of its block at that height.
  [[nodiscard]] std::string hash(std::uint64_t height) const;

 private:
  bool hit(std::string_view method, double s);

  std::mt19937_64 random_;
  sim::Behaviour now_;
  double since_ = 0;
  std::uint64_t frozen_at_ = 0;
  double tokens_ = 0;
  double tokens_at_ = 0;
  /// When the requests that wait for their turn have been answered.
  double free_at_ = 0;
};

}  // namespace rpcw::bench::model
