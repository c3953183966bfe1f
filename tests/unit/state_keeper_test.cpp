#include "agent/state_keeper.hpp"

#include <doctest/doctest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <optional>
#include <string>

#include "base/clock.hpp"
#include "base/wait_group.hpp"
#include "model/two_servers.hpp"
#include "unit/folder.hpp"

using namespace rpcw;
using namespace std::chrono_literals;
namespace asio = boost::asio;

namespace {

struct Stage {
  Folder folder;
  std::string path = folder.path("state.json");
  config::Config config = model::two_servers();
  SystemState state{config};
  asio::io_context io{1};
  StateKeeper keeper{io, path, [this] { return &state; }};

  /// Something to keep.
  void decide() {
    state.observe(0, HeadObservation{read_clocks(), 20ms, Head{7, "0x7", read_clocks().wall}});
    state.decide(read_clocks(), true);
  }

  bool finish() {
    std::optional<bool> out;
    asio::co_spawn(
        io,
        [&]() -> asio::awaitable<void> {
          out = co_await keeper.finish(state);
          io.stop();
        },
        rethrow);
    io.run();
    return out.value();
  }
};

}  // namespace

TEST_CASE("the last writing has what another process finds") {
  Stage s;
  s.keeper.recall(s.state, read_clocks());
  s.decide();
  CHECK(s.finish());
  SystemState next(s.config);
  CHECK_FALSE(store::StateFile(s.path).load(next, read_clocks()).has_value());
  CHECK(next.history(0).probes.observations == 1);
}

TEST_CASE("a file is written from time to time, and again only after a change") {
  Stage s;
  s.keeper.recall(s.state, read_clocks());
  s.decide();
  s.keeper.start();
  const auto deadline = std::chrono::steady_clock::now() + 20s;
  while (s.folder.read("state.json").empty() && std::chrono::steady_clock::now() < deadline) s.io.run_one_for(50ms);
  const std::string first = s.folder.read("state.json");
  REQUIRE_FALSE(first.empty());
  CHECK(s.finish());
  // Its text would tell another time.
  CHECK(s.folder.read("state.json") == first);
}

TEST_CASE("nothing is written before the file was read, or while nothing is known") {
  Stage s;
  SUBCASE("not read") {
    s.decide();
  }
  SUBCASE("nothing known") {
    s.keeper.recall(s.state, read_clocks());
  }
  CHECK(s.finish());
  CHECK(s.folder.files() == 0);
}

TEST_CASE("a disk that is not waited for does not hold up the end") {
  Stage s;
  s.keeper.recall(s.state, read_clocks());
  s.decide();
  s.keeper.abandon();
  CHECK_FALSE(s.finish());
}
