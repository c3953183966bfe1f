#include "traffic/model/provider.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <utility>

#include "traffic/model/time.hpp"

namespace rpcw::bench::model {
namespace {

/// The chain's height at second 0.
constexpr std::uint64_t kHeight = 2000;
/// How long it takes to refuse a connection.
constexpr double kRefusal = 0.0005;
/// Bytes of tests/sim's answers: a block, any other result, and an error or a page in the place of one.
constexpr std::uint64_t kBlockBytes = 1754;
constexpr std::uint64_t kResultBytes = 294;
constexpr std::uint64_t kErrorBytes = 225;

}  // namespace

std::uint64_t true_height(double s) {
  // A conversion rounds towards zero, and seconds before the start are negative.
  return kHeight + static_cast<std::uint64_t>(s + 100) - 100;
}

Provider::Provider(std::size_t index, std::uint64_t seed) : random_(seed * 31 + index), now_(healthy(index)) {}

void Provider::set(sim::Behaviour behaviour, double s) {
  now_ = std::move(behaviour);
  since_ = s;
  frozen_at_ = true_height(s);
  tokens_ = now_.quota_per_s;
  tokens_at_ = s;
  free_at_ = s;
}

Outcome Provider::ask(std::string_view method, double s) {
  Outcome out;
  out.seconds = now_.latency_ms / 1000 *
                std::exp(std::normal_distribution<>(0.0, now_.latency_sigma > 0 ? now_.latency_sigma : 1e-9)(random_));
  out.bytes = method == "eth_getBlockByNumber" ? kBlockBytes : kResultBytes;
  if (now_.quota_per_s > 0) {
    tokens_ = std::min(now_.quota_per_s, tokens_ + now_.quota_per_s * (s - tokens_at_));
    tokens_at_ = s;
    if (tokens_ < 1) {
      out.kind = Outcome::Kind::kLimited;
      out.bytes = kErrorBytes;
      return out;
    }
    tokens_ -= 1;
  }
  if (now_.capacity_per_s > 0) {
    const double begins = std::max(free_at_, s);
    free_at_ = begins + 1 / now_.capacity_per_s;
    out.seconds += begins - s;
  }
  if (!hit(method, s)) return out;
  switch (now_.fault) {
    case sim::Fault::none:
      break;
    case sim::Fault::hang:
      out = {Outcome::Kind::kSilence, kNever};
      break;
    case sim::Fault::refuse:
      out = {Outcome::Kind::kRefused, kRefusal};
      break;
    case sim::Fault::http_status:
      out.kind = Outcome::Kind::kStatus;
      out.bytes = kErrorBytes;
      break;
    case sim::Fault::rpc_error:
    case sim::Fault::html:
      out.kind = Outcome::Kind::kError;
      out.bytes = kErrorBytes;
      break;
    default:
      throw std::logic_error("a fault that is not computed");
  }
  return out;
}

std::uint64_t Provider::height(double s) const {
  return (now_.frozen ? frozen_at_ : true_height(s)) - now_.lag_blocks + now_.ahead_blocks;
}

Head Provider::head(double s) const {
  const std::uint64_t number = height(s);
  const auto second = static_cast<double>(std::min(number, true_height(s))) - static_cast<double>(kHeight);
  return {.number = number, .hash = hash(number), .timestamp = Time::wall(second), .parent = hash(number - 1)};
}

std::string Provider::hash(std::uint64_t height) const {
  constexpr std::uint64_t kGolden = 0x9e3779b97f4a7c15U;
  return fmt::format("0x{:032x}{:032x}", height * kGolden, chain_id() * kGolden);
}

bool Provider::hit(std::string_view method, double s) {
  if (now_.fault == sim::Fault::none) return false;
  const auto flap = static_cast<double>(now_.flap_ms);
  if (flap > 0 && std::fmod((s - since_) * 1000, flap) >= flap / 2) return false;
  if (!now_.fault_methods.empty() && std::ranges::find(now_.fault_methods, method) == now_.fault_methods.end())
    return false;
  return now_.fault_ratio >= 1 || std::uniform_real_distribution<>(0, 1)(random_) < now_.fault_ratio;
}

}  // namespace rpcw::bench::model
