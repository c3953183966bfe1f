#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "weighter/system/system_state.hpp"

/// A state's life without any I/O: probes, answers, silences, failures, forks, HAProxy's views, decisions, as the loop
/// would call. The same seed gives the same life on every machine.
namespace rpcw::model {

using namespace std::chrono_literals;

inline config::Config play_config() {
  config::Config out;
  for (const char* name : {"one", "two"}) {
    config::Backend& b = out.backends.emplace_back();
    b.name = name;
    b.chain = {"test", "evm", "7", 1s, 60s, 10s, 2};
    b.strategy = std::string_view(name) == "one" ? "adaptive" : "inverse-latency";
    b.min_peers = 3;
    b.eject_time = 3s;
    b.ramp = 10s;
    b.canaries.push_back({"eth_call", "[]", 20s});
    for (const char* server : {"a", "b", "c", "d"})
      b.servers.push_back({server, {fmt::format("https://{}.example/secret", server), {}, server, false}, 1.0});
    b.references.push_back({"https://reference.example/secret", {}, "reference.example", false});
  }
  return out;
}

class Play {
 public:
  Play(const config::Config& config, unsigned seed) : state(config), random_(seed) {
    moods_.resize(state.targets().size());
    for (const config::Backend& b : config.backends) {
      haproxy::BackendRow& row = haproxy_.backends.emplace_back();
      row.name = b.name;
      row.algo = "roundrobin";
      for (const config::Server& s : b.servers) {
        haproxy::ServerRow& r = row.servers.emplace_back();
        r.name = s.name;
        r.status = "UP";
        r.active = true;
        r.uweight = 100;
        r.iweight = 100;
        r.admin_state = 0;
      }
    }
  }

  /// A step of half a second.
  void step() {
    now.mono += 500ms;
    now.wall += 500ms;
    for (std::size_t i = 0; i < moods_.size(); ++i)
      if (chance(2)) moods_[i] = static_cast<Mood>(pick(0, 9));
    for (std::size_t i = 0; i < moods_.size(); ++i)
      if (chance(40)) probe(i);
    if (chance(10)) haproxy();
    if (chance(2)) state.scan(now);
    state.decide(now, chance(2));
    ++decisions;
    for (const SystemState::TargetCheck& q : state.urgent_checks()) answer(q.target, q.check);
  }

  SystemState state;
  Now now{WallTime{std::chrono::seconds{1'800'000'000}}, MonoTime{987'654'321}};
  std::uint64_t decisions = 0;

 private:
  /// From kSlow on it is in trouble; the others are well, so that most are.
  enum class Mood : std::uint8_t { kWell, kWell2, kWell3, kWell4, kSlow, kLate, kDead, kLimited, kForked, kSilent };

  int pick(int low, int high) { return low + static_cast<int>(random_() % static_cast<std::uint32_t>(high - low + 1)); }
  bool chance(int percent) { return pick(0, 99) < percent; }

  void probe(std::size_t i) {
    const Mood mood = moods_[i];
    const std::vector<Check> beside = state.begin_probe(i, now.mono);
    state.probe_sent(i, now.mono);
    if (mood == Mood::kSilent && chance(70)) {
      state.note_no_answer(i);
      return;
    }
    HeadObservation o;
    o.received = now;
    o.received.mono += std::chrono::microseconds{pick(1, 400'000)};
    o.latency = std::chrono::microseconds{pick(1000, 90'000) * (mood == Mood::kSlow ? 30 : 1)};
    const auto height = static_cast<std::uint64_t>((now.mono.count() - 987'654'321) / 1'000'000 + 1000);
    const std::uint64_t number = height - (mood == Mood::kLate ? 25U : static_cast<unsigned>(pick(0, 1)));
    if (mood == Mood::kDead)
      o.head = std::unexpected(ProbeFailure{chance(50) ? Reason::kTimeout : Reason::kHttpStatus, "no\"\n answer", {}});
    else if (mood == Mood::kLimited)
      o.head = std::unexpected(ProbeFailure{Reason::kRateLimited, "HTTP 429", 7s});
    else
      o.head = Head{number, hash(number, mood),
                    WallTime{std::chrono::seconds{1'800'000'000 + static_cast<int>(number) - 1000}}};
    state.observe(i, std::move(o));
    for (const Check& check : beside)
      if (chance(95)) answer(i, check);
  }

  static std::string hash(std::uint64_t number, Mood mood) {
    return fmt::format("0x{:064x}", number * 3 + (mood == Mood::kForked ? 1 : 0));
  }

  void answer(std::size_t i, const Check& check) {
    Answer a{now, check, AnswerValue{}};
    if (moods_[i] == Mood::kDead) {
      a.value = std::unexpected(ProbeFailure{Reason::kConnectFailed, "refused", {}});
    } else if (check.kind == CheckKind::kIdentity) {
      a.value->text = chance(99) ? "7" : "8";
    } else if (check.kind == CheckKind::kSyncing) {
      a.value->number = chance(90) ? 0U : kUnknownGap;
    } else if (check.kind == CheckKind::kPeers) {
      if (chance(10))
        a.value = std::unexpected(ProbeFailure{Reason::kRpcError, "no such method", {}, true});
      else
        a.value->number = static_cast<std::uint64_t>(pick(1, 20));
    } else if (check.kind == CheckKind::kBlock) {
      a.value->text = hash(check.argument, moods_[i]);
    } else if (chance(20)) {
      a.value = std::unexpected(ProbeFailure{Reason::kRpcError, "reverted", {}});
    }
    state.observe(i, a);
  }

  void haproxy() {
    haproxy_.uptime += 10s;
    haproxy::BackendRow& row =
        haproxy_.backends[static_cast<std::size_t>(pick(0, static_cast<int>(haproxy_.backends.size()) - 1))];
    haproxy::ServerRow& server =
        row.servers[static_cast<std::size_t>(pick(0, static_cast<int>(row.servers.size()) - 1))];
    server.uweight = static_cast<unsigned>(pick(0, 256));
    server.admin_state = chance(10) ? haproxy::kForcedMaint : 0U;
    server.backup = chance(10);
    server.active = !server.backup;
    server.status = chance(10) ? "DOWN" : "UP";
    row.algo = chance(50) ? "roundrobin" : "leastconn";
    state.update_views(&haproxy_);
  }

  std::mt19937 random_;
  std::vector<Mood> moods_;
  haproxy::Instance haproxy_;
};

}  // namespace rpcw::model
