#pragma once

#include <cstdint>
#include <expected>
#include <istream>
#include <optional>
#include <string>
#include <vector>

#include "config/config.hpp"
#include "store/recording_format.hpp"

/// Applies the rules to a recording again, under the same or another configuration. Pure but for reading the streams.
namespace rpcw::replay {

/// A time in which a server had another weight, state or reason than recorded, without a change.
struct Difference {
  std::string backend;
  std::string server;
  WallTime from{};
  /// By the monotonic clock.
  MonoTime lasted{};
  /// As at the beginning; the details of reasons may change on the way.
  store::Outcome recorded;
  store::Outcome replayed;
};

/// Of a server, over all sections.
struct ServerTotals {
  std::string backend;
  std::string server;
  /// How long it had another weight, state or reason than recorded; and another weight.
  MonoTime differed{};
  MonoTime weight_differed{};
  /// How long it was out (weight 0).
  MonoTime recorded_out{};
  MonoTime replayed_out{};
  /// Of the weights of all servers of the backend that may get traffic, averaged over the time. [0, 1]
  double recorded_share = 0;
  double replayed_share = 0;
};

/// Compares the actions of a replayed controller with the recorded ones: requests to providers, and commands to
/// HAProxys.
struct Schedule {
  struct Difference {
    WallTime at{};
    /// What was wanted after the event, in words, separated by "; "; empty: nothing.
    std::string recorded;
    std::string replayed;
  };
  /// Of the recording, and of these, how many were replayed.
  std::uint64_t turns = 0;
  std::uint64_t compared = 0;
  /// Of those that were replayed, as recorded: requests to providers, exchanges with HAProxys, and the weights set in
  /// them.
  std::uint64_t requests = 0;
  std::uint64_t exchanges = 0;
  std::uint64_t weights = 0;
  /// At most one for each start of the program: from there on what came is no answer to what is asked.
  std::vector<Difference> differences;
  /// Why some were not replayed though nothing differed before, each a sentence.
  std::vector<std::string> notes;
};

struct Result {
  /// Of the first and the last decision; the same when there was none.
  WallTime begin{};
  WallTime end{};
  /// The time between decisions, without that between sections.
  MonoTime covered{};
  std::uint64_t sections = 0;
  std::uint64_t decisions = 0;
  /// With another weight than recorded; and with another weight, state or reason.
  std::uint64_t other_weights = 0;
  std::uint64_t other = 0;
  /// Decisions in which some weight changed.
  std::uint64_t recorded_changes = 0;
  std::uint64_t replayed_changes = 0;
  /// In the order of their beginnings, the first kMostDifferences of them.
  std::vector<Difference> differences;
  /// How many more there were.
  std::uint64_t more_differences = 0;
  /// In the order of the file, of all servers that were replayed; those that it does not name at the end of their
  /// backend.
  std::vector<ServerTotals> servers;
  Schedule schedule;
  /// What a person should know of the recording and how it fits, each a sentence.
  std::vector<std::string> notes;
};

/// Bounds the memory; more would be too many to read.
inline constexpr std::size_t kMostDifferences = 100'000;

struct Error {
  enum class Kind : std::uint8_t {
    kDamaged,  ///< not a recording, or not of this version, or damaged
    kMisfit,   ///< the configuration has none of what was recorded
  };
  Kind kind{};
  /// "FILE:LINE: …" where it is about a line.
  std::string what;
};

/// A recording to read; rotated files of one recording are given in the order of time.
struct Source {
  /// For messages.
  std::string name;
  std::istream& in;
};

/// What was recorded decides what is known: a provider that was not asked has not answered. Where the file gives a
/// target no `operator`, it has the one that was recorded, so that URLs need not be known. Servers and backends that
/// only one side has are left out and noted.
std::expected<Result, Error> run(const std::vector<Source>& sources, const config::Config& config);

}  // namespace rpcw::replay
