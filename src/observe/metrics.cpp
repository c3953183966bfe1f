#include "observe/metrics.hpp"

#include <algorithm>
#include <set>
#include <type_traits>
#include <variant>

namespace rpcw::observe {
namespace {

namespace action = control::action;
namespace event = control::event;

constexpr std::array kProbeBounds{0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0};
constexpr std::array kExchangeBounds{0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0};

double seconds_of(std::chrono::nanoseconds t) {
  return std::chrono::duration<double>(t).count();
}

}  // namespace

void Histogram::observe(double seconds) {
  const auto at = std::ranges::lower_bound(bounds_, seconds);
  ++counts_[static_cast<std::size_t>(at - bounds_.begin())];
  sum_ += seconds;
}

Metrics::ServerCounters::ServerCounters() : probe_seconds(kProbeBounds) {
  probes["ok"] = 0;
}

Metrics::EndpointCounters::EndpointCounters() : read_seconds(kExchangeBounds), set_seconds(kExchangeBounds) {}

// ---- counting

Metrics::ServerCounters* Metrics::server_of(control::TargetId target) {
  const auto at = targets_.find(target);
  return at == targets_.end() ? nullptr : &server_counters_[at->second.server];
}

void Metrics::count_check(control::TargetId target, const Check& check) {
  if (ServerCounters* server = server_of(target)) ++server->checks.at(static_cast<std::size_t>(check.kind));
}

void Metrics::begin_exchange(control::EndpointId id, Now now) {
  if (const auto at = endpoints_.find(id); at != endpoints_.end()) at->second.since = now.mono;
}

Metrics::EndpointCounters* Metrics::end_exchange(control::EndpointId id, Now now, bool set) {
  const auto at = endpoints_.find(id);
  if (at == endpoints_.end()) return nullptr;
  EndpointCounters& counters = endpoint_counters_[at->second.name];
  if (const auto since = std::exchange(at->second.since, std::nullopt))
    (set ? counters.set_seconds : counters.read_seconds).observe(seconds_of(now.mono - *since));
  return &counters;
}

void Metrics::on_event(const control::Event& event, Now now) {
  const auto on = [&](const auto& e) {
    using E = std::decay_t<decltype(e)>;
    if constexpr (std::is_same_v<E, event::Started>) {
      targets_.clear();
      endpoints_.clear();
    } else if constexpr (std::is_same_v<E, event::HeadSent>) {
      if (const auto at = targets_.find(e.target); at != targets_.end())
        server_counters_[at->second.server].head_requests += at->second.head_requests;
    } else if constexpr (std::is_same_v<E, event::HeadAnswered>) {
      ServerCounters* server = server_of(e.target);
      if (server == nullptr) return;
      const auto& head = e.observation.head;
      // Without a descriptor or a port of our own the server was not asked.
      if (!head && head.error().ours) return;
      ++server->probes[head ? std::string_view("ok") : to_string(head.error().code)];
      if (head) server->probe_seconds.observe(seconds_of(e.observation.latency));
    } else if constexpr (std::is_same_v<E, event::InfoRead> || std::is_same_v<E, event::ServersRead>) {
      end_exchange(e.endpoint, now, false);
    } else if constexpr (std::is_same_v<E, event::WeightsAnswered>) {
      EndpointCounters* counters = end_exchange(e.endpoint, now, true);
      if (counters == nullptr) return;
      for (const haproxy::Outcome& o : e.outcomes) {
        if (o.kind == haproxy::Outcome::Kind::kDone)
          ++counters->confirmed;
        else if (o.kind == haproxy::Outcome::Kind::kRefused)
          ++counters->refused;
        else
          ++counters->lost;
      }
    }
  };
  std::visit(on, event);
}

void Metrics::on_actions(std::span<const control::Action> actions, Now now, std::chrono::nanoseconds took) {
  const auto on = [&](const auto& a) {
    using A = std::decay_t<decltype(a)>;
    if constexpr (std::is_same_v<A, action::AddTarget>) {
      if (!a.server.empty()) targets_[a.target] = {{a.backend, a.server}, a.chain->offers.head_requests};
    } else if constexpr (std::is_same_v<A, action::RemoveTarget>) {
      targets_.erase(a.target);
    } else if constexpr (std::is_same_v<A, action::SendCheck>) {
      count_check(a.target, a.check);
    } else if constexpr (std::is_same_v<A, action::SendTogether>) {
      for (const Check& check : a.checks) count_check(a.target, check);
    } else if constexpr (std::is_same_v<A, action::OpenEndpoint>) {
      endpoints_[a.endpoint] = {a.config.text, std::nullopt};
    } else if constexpr (std::is_same_v<A, action::CloseEndpoint>) {
      endpoints_.erase(a.endpoint);
    } else if constexpr (std::is_same_v<A, action::ReadInfo> || std::is_same_v<A, action::ReadServers> ||
                         std::is_same_v<A, action::SetWeights>) {
      begin_exchange(a.endpoint, now);
    } else if constexpr (std::is_same_v<A, action::Decided>) {
      decision_seconds_.observe(seconds_of(took));
      for (const ServerChange& c : a.changes) {
        ServerCounters& server = server_counters_[{c.backend, c.server}];
        if (c.from_weight.value_or(0) != c.to_weight) ++server.weight_changes;
        if (c.to_state == State::kEjected && c.from_state != State::kEjected)
          ++server.ejections[c.reasons.empty() ? std::string_view{} : to_string(c.reasons.front().code)];
      }
    } else if constexpr (std::is_same_v<A, action::Repaired>) {
      if (const auto at = endpoints_.find(a.endpoint); at != endpoints_.end())
        ++endpoint_counters_[at->second.name].repairs[a.backend];
    } else if constexpr (std::is_same_v<A, action::WorkerReplaced>) {
      if (const auto at = endpoints_.find(a.endpoint); at != endpoints_.end())
        ++endpoint_counters_[at->second.name].reloads;
    }
  };
  for (const control::Action& a : actions) std::visit(on, a);
}

void Metrics::loop_was_late(std::chrono::nanoseconds by) {
  loop_lag_seconds_.observe(seconds_of(by));
}

void Metrics::config_reloaded(bool ok, WallTime now) {
  reload_ok_ = ok;
  ++(ok ? reloads_ok_ : reloads_failed_);
  if (ok) reloaded_at_ = now;
}

void Metrics::forget_gone(const Report& report) {
  std::set<std::pair<std::string_view, std::string_view>> servers;
  std::set<std::string_view> endpoints;
  for (const BackendReport& b : report.backends)
    for (const ServerReport& s : b.servers) servers.emplace(b.name, s.name);
  for (const EndpointReport& e : report.haproxy) endpoints.insert(e.endpoint);
  std::erase_if(server_counters_, [&](const auto& entry) {
    return !servers.contains({entry.first.first, entry.first.second});
  });
  std::erase_if(endpoint_counters_, [&](const auto& entry) { return !endpoints.contains(entry.first); });
  for (auto& [name, counters] : endpoint_counters_)
    std::erase_if(counters.repairs, [&](const auto& entry) {
      return std::ranges::find(report.backends, entry.first, &BackendReport::name) == report.backends.end();
    });
}

}  // namespace rpcw::observe
