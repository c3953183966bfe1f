#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "model/backend.hpp"

/// A backend fed by hand: time moves only when told to.
namespace rpcw::model {

using namespace std::chrono_literals;

struct Direct {
  config::Backend backend;
  config::Probe probe;
  std::optional<BackendHistory> history;
  BackendView view;
  std::vector<unsigned> held;
  Now now{WallTime{std::chrono::seconds{1'800'000'000}}, MonoTime{1'000'000}};

  explicit Direct(std::size_t servers, std::string_view strategy = "adaptive",
                  const std::vector<std::string>& operators = {})
      : backend(ethereum_backend(servers, strategy, operators)) {
    restart();
  }

  /// Begins anew, as after a change of `backend`; all are verified.
  void restart() {
    history = empty_history(backend);
    verify_all(*history);
  }

  void pass_time(milliseconds t) {
    now.wall += t;
    now.mono += t;
  }
  static std::string hash(std::uint64_t number) { return "0x" + std::to_string(number); }
  void good(std::size_t i, std::uint64_t number, milliseconds age = 1s, std::chrono::microseconds latency = 40ms) {
    fold(history->member(i), HeadObservation{now, latency, Head{number, hash(number), now.wall - age}});
  }
  void bad(std::size_t i, Reason why = Reason::kTimeout) {
    fold(history->member(i), HeadObservation{now, 3s, std::unexpected(ProbeFailure{why, "it failed", {}})});
  }
  void answer(std::size_t i, Check check, std::uint64_t number) {
    const bool identity = check.kind == CheckKind::kIdentity;
    fold(history->member(i),
         Answer{now, check, identity ? AnswerValue{0, std::to_string(number)} : AnswerValue{number, {}}},
         backend.chain);
  }
  void unsupported(std::size_t i, Check check) {
    fold(history->member(i), Answer{now, check, std::unexpected(ProbeFailure{Reason::kRpcError, "no", {}, true})},
         backend.chain);
  }
  /// Holds what is decided.
  BackendDecision decide() {
    BackendDecision d = rpcw::decide(*history, backend, probe, view, held, now);
    held.clear();
    for (const ServerDecision& s : d.servers) held.push_back(s.weight);
    return d;
  }
  std::vector<unsigned> weights() {
    decide();
    return held;
  }
};

}  // namespace rpcw::model
