#include "weighter/judge.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace rpcw {
namespace {

using std::chrono::microseconds;
using std::chrono::seconds;

/// How far a head may lie in the future before it is a lie rather than a clock that is a little off.
constexpr milliseconds kClockTolerance = seconds{15};

/// A head older than this many probe intervals (plus a time-out) says nothing about the present any more.
constexpr int kVoiceIntervals = 3;

/// What the first failure in a row leaves of a score.
constexpr double kFirstFailureFactor = 0.5;

/// What a rate limit leaves of a score: the provider is alive, but cannot carry its share.
constexpr double kRateLimitFactor = 0.25;

bool in_future(const Head& head, Now now) { return head.timestamp > now.wall + kClockTolerance; }

double blocks_in(milliseconds span, milliseconds block_time) {
  return static_cast<double>(span.count()) / static_cast<double>(std::max<std::int64_t>(block_time.count(), 1));
}

milliseconds lag_time(std::uint64_t blocks, milliseconds block_time) {
  constexpr std::uint64_t kEnough = 1'000'000'000;  // keeps the product in range; a lag beyond it is no different
  return milliseconds{static_cast<std::int64_t>(std::min(blocks, kEnough)) *
                      std::min<std::int64_t>(block_time.count(), 86'400'000)};
}

class Judge {
 public:
  Judge(BackendHistory& history, const config::Backend& backend, const config::Probe& probe, Now now)
      : history_(history), backend_(backend), probe_(probe), now_(now) {}

  BackendVerdict run() {
    BackendVerdict out;
    hear_voices();
    out.head = agree_on_head(voices_, blocks_in(backend_.chain.max_lag, backend_.chain.block_time));
    agreed_ = out.head;
    if (!agreed_ && !voices_.empty())
      out.notes.push_back(
          {"no_quorum", "two operators are more than max_lag apart and no third one can tell who is right"});
    out.servers.reserve(history_.servers.size());
    std::size_t failed_in_transport = 0;
    for (TargetHistory& server : history_.servers) {
      out.servers.push_back(judge_server(server));
      if (server.failure && is_transport(server.failure->code)) ++failed_in_transport;
    }
    out.blind = !out.servers.empty() && failed_in_transport == out.servers.size();
    return out;
  }

 private:
  void hear(const TargetHistory& target, const config::Target& cfg) {
    const bool verified = target.identity == TargetHistory::Identity::kVerified || !backend_.chain.chain_id;
    if (!verified || !target.head || target.failure || in_future(*target.head, now_)) return;
    const auto fresh_for = std::chrono::duration_cast<MonoTime>(kVoiceIntervals * probe_.interval + probe_.timeout);
    if (now_.mono - target.head_received.mono > fresh_for) return;
    voices_.push_back({cfg.operator_name, target.head->number});
  }

  void hear_voices() {
    for (std::size_t i = 0; i < history_.servers.size(); ++i)
      hear(history_.servers[i], backend_.servers[i].target);
    for (std::size_t i = 0; i < history_.references.size(); ++i)
      hear(history_.references[i], backend_.references[i]);
  }

  /// Weight 0 at once, whatever the history says. Absent: nothing of the kind.
  std::optional<ReasonNote> never(const TargetHistory& t) const {
    if (t.identity == TargetHistory::Identity::kWrong)
      return ReasonNote{Reason::kWrongChain,
                        fmt::format("answers for chain {}, {} is {}", t.seen_chain_id, backend_.chain.name,
                                    backend_.chain.chain_id.value_or(0))};
    if (!t.head || t.failure) return std::nullopt;
    if (in_future(*t.head, now_))
      return ReasonNote{Reason::kBlockAhead,
                        fmt::format("head {} is dated {} in the future", t.head->number,
                                    span_text(t.head->timestamp - now_.wall))};
    if (agreed_ && t.head->number > agreed_->number) {
      const std::uint64_t ahead = t.head->number - agreed_->number;
      if (lag_time(ahead, backend_.chain.block_time) > backend_.chain.max_lag)
        return ReasonNote{Reason::kBlockAhead, fmt::format("head {} is {} blocks ahead of {}, which {} operators agree on",
                                                           t.head->number, ahead, agreed_->number, agreed_->agreed_by)};
    }
    return std::nullopt;
  }

  std::vector<ReasonNote> hard(const TargetHistory& t) const {
    std::vector<ReasonNote> out;
    if (t.failure) {
      out.push_back({t.failure->code, t.failure->detail});
      return out;
    }
    if (!t.head) return out;
    const milliseconds age = std::max(now_.wall - t.head->timestamp, milliseconds{0});
    if (backend_.chain.max_block_age && age > *backend_.chain.max_block_age)
      out.push_back({Reason::kBlockTooOld, fmt::format("block {} is {} old, limit {}", t.head->number, span_text(age),
                                                       span_text(*backend_.chain.max_block_age))});
    if (auto note = lag(t); note && lags_too_far(t)) out.push_back(std::move(*note));
    if (const auto median = t.median_latency(); median && *median > backend_.max_latency)
      out.push_back({Reason::kLatencyTooHigh,
                     fmt::format("{} (median of {}), limit {}",
                                 span_text(std::chrono::duration_cast<milliseconds>(*median)), t.latency_count,
                                 span_text(backend_.max_latency))});
    return out;
  }

  bool lags_too_far(const TargetHistory& t) const {
    const std::uint64_t blocks = t.lag_blocks.value_or(0);
    return lag_time(blocks, backend_.chain.block_time) > backend_.chain.max_lag ||
           (backend_.max_block_lag && blocks > *backend_.max_block_lag);
  }

  std::optional<ReasonNote> lag(const TargetHistory& t) const {
    if (!t.lag_blocks || *t.lag_blocks == 0) return std::nullopt;
    std::string limit = span_text(backend_.chain.max_lag);
    if (backend_.max_block_lag) limit += fmt::format(" or {} blocks", *backend_.max_block_lag);
    return ReasonNote{Reason::kBlockLag,
                      fmt::format("{} block{} ({}) behind {}, limit {}", *t.lag_blocks, *t.lag_blocks == 1 ? "" : "s",
                                  span_text(lag_time(*t.lag_blocks, backend_.chain.block_time)),
                                  t.head->number + *t.lag_blocks, limit)};
  }

  /// Counts new observations toward fall and rise. The very first verdict decides alone.
  void count(TargetHistory& t, bool bad) const {
    if (t.judged == t.observations) return;
    const bool first = t.judged == 0;
    t.judged = t.observations;
    if (t.limited) return;
    if (bad) {
      t.good_in_row = 0;
      ++t.bad_in_row;
      if (first || t.bad_in_row >= probe_.fall) t.ejected = true;
    } else {
      t.bad_in_row = 0;
      ++t.good_in_row;
      if (t.good_in_row >= probe_.rise) t.ejected = false;
    }
  }

  ServerVerdict judge_server(TargetHistory& t) {
    ServerVerdict v;
    v.latency = t.median_latency();
    if (t.head) v.head_age = std::max(now_.wall - t.head->timestamp, milliseconds{0});
    // Against the agreed head of this very moment, and kept until the next answer: else a server would seem to fall
    // behind merely because others were asked after it.
    if (t.judged != t.observations && t.head && !t.failure)
      t.lag_blocks = agreed_ ? std::optional(agreed_->number > t.head->number ? agreed_->number - t.head->number : 0)
                             : std::nullopt;
    if (auto note = never(t)) {
      v.never = true;
      v.state = State::kEjected;
      v.reasons.push_back(std::move(*note));
      count(t, true);
      t.ejected = true;
      return v;
    }
    if (t.observations == 0) return v;

    v.reasons = hard(t);
    const bool bad = !v.reasons.empty();
    count(t, bad);
    if (t.ejected) {
      v.state = State::kEjected;
      if (!bad)
        v.reasons.push_back({Reason::kWarmingUp,
                             fmt::format("{} of {} good probes in a row", t.good_in_row, probe_.rise)});
      return v;
    }
    if (bad) {
      v.state = State::kDegraded;
      v.doubt = kFirstFailureFactor;
      return v;
    }
    if (t.limited) {
      v.reasons.push_back({Reason::kRateLimited, t.limited->detail});
      v.state = t.head ? State::kDegraded : State::kUnknown;
      v.rate_limit_factor = kRateLimitFactor;
      return v;
    }
    v.state = State::kHealthy;
    return v;
  }

  BackendHistory& history_;
  const config::Backend& backend_;
  const config::Probe& probe_;
  Now now_;
  std::vector<Voice> voices_;
  std::optional<AgreedHead> agreed_;
};

}  // namespace

std::string_view to_string(State state) {
  switch (state) {
    case State::kHealthy:
      return "healthy";
    case State::kDegraded:
      return "degraded";
    case State::kEjected:
      return "ejected";
    case State::kUnknown:
      return "unknown";
    case State::kDisabled:
      return "disabled";
  }
  return "unknown";
}

std::optional<microseconds> TargetHistory::median_latency() const {
  switch (latency_count) {
    case 0:
      return std::nullopt;
    case 1:
      return latencies[0];
    case 2:
      return (latencies[0] + latencies[1]) / 2;
    default: {
      auto sorted = latencies;
      std::ranges::sort(sorted);
      return sorted[1];
    }
  }
}

void fold(TargetHistory& history, HeadObservation&& observation) {
  ++history.observations;
  history.limited.reset();
  if (!observation.head && observation.head.error().code == Reason::kRateLimited) {
    history.limited = std::move(observation.head.error());
    history.failure.reset();
    return;
  }
  if (!observation.head) {
    history.failure = std::move(observation.head.error());
    return;
  }
  history.failure.reset();
  history.head = std::move(*observation.head);
  history.head_received = observation.received;
  if (history.latency_count == history.latencies.size()) {
    std::ranges::rotate(history.latencies, history.latencies.begin() + 1);
    history.latencies.back() = observation.latency;
  } else {
    history.latencies[history.latency_count++] = observation.latency;
  }
}

void fold(TargetHistory& history, const IdentityObservation& observation, const Chain& chain) {
  if (!observation.chain_id) return;
  history.seen_chain_id = *observation.chain_id;
  history.identity = !chain.chain_id || *chain.chain_id == *observation.chain_id ? TargetHistory::Identity::kVerified
                                                                                 : TargetHistory::Identity::kWrong;
}

std::optional<AgreedHead> agree_on_head(std::span<const Voice> voices, double max_lag_blocks) {
  // The freshest voice of each operator.
  std::vector<Voice> freshest(voices.begin(), voices.end());
  std::ranges::sort(freshest, [](const Voice& a, const Voice& b) {
    return a.operator_name != b.operator_name ? a.operator_name < b.operator_name : a.number > b.number;
  });
  const auto [first, last] = std::ranges::unique(freshest, {}, &Voice::operator_name);
  freshest.erase(first, last);
  if (freshest.empty()) return std::nullopt;
  std::ranges::sort(freshest, std::ranges::greater{}, &Voice::number);

  std::uint64_t number = freshest.front().number;
  if (freshest.size() >= 3) {
    number = freshest[1].number;
  } else if (freshest.size() == 2 &&
             static_cast<double>(freshest[0].number - freshest[1].number) > max_lag_blocks) {
    return std::nullopt;
  }
  const auto reached = std::ranges::count_if(freshest, [&](const Voice& v) { return v.number >= number; });
  return AgreedHead{number, static_cast<unsigned>(reached)};
}

BackendVerdict judge(BackendHistory& history, const config::Backend& backend, const config::Probe& probe, Now now) {
  return Judge(history, backend, probe, now).run();
}

std::string span_text(milliseconds span) {
  const std::int64_t ms = span.count();
  if (ms < 1000) return fmt::format("{} ms", ms);
  if (ms < 10'000 && ms % 1000 != 0) return fmt::format("{:.1f} s", static_cast<double>(ms) / 1000.0);
  if (ms < 120'000) return fmt::format("{} s", ms / 1000);
  if (ms < 2 * 3'600'000) return fmt::format("{} min", ms / 60'000);
  if (ms < 48LL * 3'600'000) return fmt::format("{} h", ms / 3'600'000);
  return fmt::format("{} d", ms / 86'400'000);
}

}  // namespace rpcw
