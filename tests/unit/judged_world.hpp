#pragma once

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "model/direct.hpp"
#include "weighter/judge/judge.hpp"

namespace rpcw::test {

using namespace std::chrono_literals;

/// A backend whose verdicts are looked at.
struct JudgedWorld : model::Direct {
  explicit JudgedWorld(std::size_t servers, const std::vector<std::string>& operators = {})
      : Direct(servers, "adaptive", operators) {}

  BackendVerdict verdict() { return judge(*history, backend, probe, now); }
  State state(std::size_t i = 0) { return verdict().servers[i].state; }
  void all_good(std::uint64_t number, milliseconds age = 1s) {
    for (std::size_t i = 0; i < backend.servers.size(); ++i) good(i, number, age);
  }
  /// All are well, and then stand still at block 100 until all are too old.
  void halt() {
    all_good(100);
    verdict();
    pass_time(120s);
    for (int round = 0; round < 3; ++round) {
      pass_time(1s);
      all_good(100, 121s);
      const BackendVerdict v = verdict();
      REQUIRE(v.halted);
      CHECK(v.notes.at(0).code == "halted");
    }
  }
};

}  // namespace rpcw::test
