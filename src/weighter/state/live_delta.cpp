#include "weighter/state/live_delta.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "weighter/constants.hpp"
#include "weighter/state/decay.hpp"

namespace rpcw {
namespace {

using haproxy::Backlog;
using haproxy::Counters;
using haproxy::ServerRow;
using Counter = std::optional<std::uint64_t> Counters::*;

constexpr std::array<Counter, 6> kAnswers{&Counters::hrsp_1xx, &Counters::hrsp_2xx, &Counters::hrsp_3xx,
                                          &Counters::hrsp_4xx, &Counters::hrsp_5xx, &Counters::hrsp_other};

double value(const Counters& c, Counter counter) {
  return static_cast<double>((c.*counter).value_or(0));
}

/// Requests answered since the worker's start. A tunnel (a WebSocket, say) counts when its 101 came, any other answer
/// when its body began.
double answers(const Counters& c) {
  double out = 0;
  for (const Counter counter : kAnswers) out += value(c, counter);
  return out;
}

/// Mode tcp has no answers, and its columns are empty.
bool counts_answers(const Counters& c) {
  return c.hrsp_2xx.has_value();
}

/// Requests that it kept: `stot` counts every attempt to connect.
double kept(const Counters& c) {
  return value(c, &Counters::stot) - value(c, &Counters::wretr) - value(c, &Counters::wredis);
}

double open_at(const Counters& c) {
  return value(c, &Counters::scur) + value(c, &Counters::qcur);
}

bool is_shut(const ServerRow& row) {
  return row.uweight == 0 || row.forced_off();
}

/// Answers whose body has begun and not ended.
double bodies_at(const Counters& c, const Backlog& b) {
  return std::max(0.0, value(c, &Counters::scur) - b.waiting - b.past);
}

/// The first read: requests that are open now were sent at unknown times, and their answers may be streams.
void begin(ServerRow& row) {
  const Counters& c = row.counters;
  const double unanswered = kept(c) - answers(c) - value(c, &Counters::econ) - value(c, &Counters::eresp) -
                            value(c, &Counters::cli_abrt) + value(c, &Counters::qcur);
  row.backlog = {};
  row.backlog.past = counts_answers(c) ? std::clamp(unanswered, 0.0, open_at(c)) : open_at(c);
  row.backlog.streams = bodies_at(c, row.backlog);
  row.backlog.shut = is_shut(row);
}

/// Bodies that have not ended and are no streams: those that come slowly. No more streams are open than bodies.
double slow_bodies(Backlog& b, const Counters& c, double tunnels, MonoTime elapsed) {
  const double bodies = bodies_at(c, b);
  b.streams = std::min(b.streams + tunnels, bodies);
  const double slow = bodies - b.streams;
  b.streams = bodies - slow * decay(elapsed, constants::kStreamHalfLife);
  return slow;
}

/// A counter that went back was cleared by an operator.
bool cleared(const Counters& was, const Counters& is) {
  const auto fell = [&](Counter counter) { return was.*counter && is.*counter && *(is.*counter) < *(was.*counter); };
  return std::ranges::any_of(kAnswers, fell) || fell(&Counters::econ) || fell(&Counters::eresp) ||
         fell(&Counters::lbtot) || fell(&Counters::stot);
}

/// The part of HAProxy's average that is still of the first `then` answers after `now` of them: a plain mean until
/// there are kRtimeSamples, from there each answer takes the place of one of them.
double part_left(double then, double now) {
  constexpr double kSamples = constants::kRtimeSamples;
  if (now <= 0) return 0.0;
  return std::min(then, kSamples) / std::min(now, kSamples) *
         power(1.0 - 1.0 / kSamples, static_cast<std::uint64_t>(std::max(now, kSamples) - std::max(then, kSamples)));
}

/// The mean of the newest answers, taken out of the average that HAProxy shows.
void measure_latency(Backlog& b, const Counters& c, MonoTime elapsed, LiveDelta& out) {
  const double now = answers(c);
  const double rtime = value(c, &Counters::rtime);
  if (rtime > 0) out.average_ms = rtime;
  b.measured_for += elapsed;
  const double timed = now - b.answers_then;
  const bool begun = b.answers_then >= 0 && b.rtime_then > 0;
  if (begun && timed >= constants::kLiveTimed && rtime > 0) {
    const double left = part_left(b.answers_then, now);
    out.latency_ms = std::max((rtime - b.rtime_then * left) / (1.0 - left), 0.0);
    out.timed = static_cast<std::uint64_t>(timed);
  } else if (begun && !b.shut && b.measured_for < constants::kLiveTimedWithin) {
    return;
  }
  b.rtime_then = rtime;
  b.answers_then = now;
  b.measured_for = {};
}

/// Takes up to `amount` from `from`; returns how much.
double take(double amount, double& from) {
  const double taken = std::min(amount, from);
  from -= taken;
  return taken;
}

LiveDelta count(const ServerRow& was, ServerRow& is, MonoTime elapsed) {
  const auto grown = [&](Counter counter) {
    const auto& then = was.counters.*counter;
    const auto& now = is.counters.*counter;
    return then && now && *now > *then ? static_cast<double>(*now - *then) : 0.0;
  };
  if (cleared(was.counters, is.counters)) {
    begin(is);
    return {};
  }
  const bool http = counts_answers(is.counters);
  const double sent = std::max(0.0, kept(is.counters) - kept(was.counters));
  const double answered = answers(is.counters) - answers(was.counters);
  const double requests = std::max(grown(&Counters::lbtot), grown(&Counters::stot) - grown(&Counters::wretr));
  double server_errors = grown(&Counters::hrsp_5xx);
  double broken = grown(&Counters::econ) + grown(&Counters::eresp);
  const double repeated = grown(&Counters::wretr) + grown(&Counters::wredis);
  const double left_by_client = grown(&Counters::cli_abrt);

  Backlog& b = is.backlog;
  b = was.backlog;
  // Which of the open ones have left is not told. Those that waited for the longest do, so the oldest go first.
  const double late_aborts = take(left_by_client, b.past);
  const double aborted = std::max(0.0, left_by_client - late_aborts - b.streams);
  const double left = decay(elapsed, constants::kBacklogHalfLife);
  b.streams += (b.past + b.waiting) * (1.0 - left);
  b.past *= left;
  b.waiting = b.waiting * left + sent;
  const double present = b.waiting + value(was.counters, &Counters::qcur) + std::max(0.0, requests - sent);
  // A failure belongs to the time when its request was sent, and time-outs come in that order: the oldest first.
  broken -= take(broken, b.past);
  const double late_errors = take(server_errors, b.past);
  server_errors -= late_errors;
  // More of them than requests: connections broke that had stayed for long.
  broken = std::min(broken, present);
  const double gone = answered - late_errors + broken + left_by_client - late_aborts;
  const double surplus = gone - take(gone, b.waiting);
  take(surplus, b.past);
  b.shut = is_shut(is);
  if (b.shut) b.past += std::exchange(b.waiting, 0.0);
  b.past = std::min(b.past, open_at(is.counters));
  b.waiting = std::min(b.waiting, value(is.counters, &Counters::scur));

  LiveDelta out;
  out.elapsed = elapsed;
  const auto whole = [](double x) { return static_cast<std::uint64_t>(std::llround(x)); };
  out.requests = whole(requests);
  out.failures = whole(broken + server_errors + repeated);
  out.ended = std::max(whole(http ? answered - late_errors + broken + repeated : requests), out.failures);
  out.client_errors = whole(grown(&Counters::hrsp_4xx));
  if (!http) return out;
  out.aborted = whole(aborted);
  const double slow = slow_bodies(b, is.counters, grown(&Counters::hrsp_1xx), elapsed);
  // A `maxconn` keeps the open ones few; what piles up then waits in the server's queue.
  if (!b.shut) out.open = whole(b.waiting + value(is.counters, &Counters::qcur) + slow);
  if (is.counters.bout) {
    out.sized = whole(answered);
    out.bytes = whole(grown(&Counters::bout));
  }
  measure_latency(b, is.counters, elapsed, out);
  return out;
}

}  // namespace

std::vector<LiveDelta> count_traffic(const haproxy::BackendRow* before, haproxy::BackendRow& after,
                                     const std::vector<std::string_view>& names, MonoTime elapsed) {
  std::vector<LiveDelta> out(names.size());
  for (std::size_t i = 0; i < names.size(); ++i) {
    ServerRow* is = after.server(names[i]);
    if (is == nullptr) continue;
    const ServerRow* was = before != nullptr ? before->server(names[i]) : nullptr;
    if (was != nullptr)
      out[i] = count(*was, *is, elapsed);
    else
      begin(*is);
  }
  return out;
}

void add(LiveDelta& to, const LiveDelta& more) {
  if (!to.average_ms) {
    to.average_ms = more.average_ms;
  } else if (more.average_ms && to.requests + more.requests > 0) {
    const auto mine = static_cast<double>(to.requests);
    const auto theirs = static_cast<double>(more.requests);
    to.average_ms = (*to.average_ms * mine + *more.average_ms * theirs) / (mine + theirs);
  }
  to.requests += more.requests;
  to.ended += more.ended;
  to.failures += more.failures;
  to.client_errors += more.client_errors;
  to.aborted += more.aborted;
  to.open += more.open;
  to.elapsed = std::max(to.elapsed, more.elapsed);
}

}  // namespace rpcw
