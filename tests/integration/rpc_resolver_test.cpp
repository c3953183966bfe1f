#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <boost/asio/executor_work_guard.hpp>
#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/resolver.hpp"
#include "rpc_stage.hpp"
#include "sim/sim.hpp"

using namespace rpcw;
using namespace rpcw::test;

namespace {

using Clock = std::chrono::steady_clock;

/// Look-ups that hang until they are let go. Lives as long as the last of their threads.
struct Gate {
  std::mutex mutex;
  std::condition_variable changed;
  bool open = false;
  unsigned running = 0;
  std::atomic<unsigned> most = 0;
  std::atomic<unsigned> started = 0;

  Resolver::Addresses pass() {
    std::unique_lock lock(mutex);
    ++started;
    most = std::max(most.load(), ++running);
    changed.notify_all();
    changed.wait(lock, [this] { return open; });
    --running;
    changed.notify_all();
    return std::vector<std::string>{"127.0.0.1"};
  }
  void let_go() {
    const std::lock_guard lock(mutex);
    open = true;
    changed.notify_all();
  }
  bool wait_for(unsigned threads) {
    std::unique_lock lock(mutex);
    return changed.wait_for(lock, kLimit, [&] { return running == threads; });
  }
};

/// Opens the gate at the end of the test, whatever happens in it, and waits for the threads.
struct Hanging {
  std::shared_ptr<Gate> gate = std::make_shared<Gate>();
  Resolver::Lookup lookup = [gate = gate](const std::string& host) -> Resolver::Addresses {
    if (host.starts_with("fast")) return std::vector<std::string>{"127.0.0.1"};
    return gate->pass();
  };
  ~Hanging() {
    gate->let_go();
    CHECK(gate->wait_for(0));
  }
};

struct Loop {
  boost::asio::io_context io{1};
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work{io.get_executor()};
};

}  // namespace

TEST_CASE("a look-up that hangs fails its own provider alone") {
  Hanging hanging;
  sim::World world;
  sim::Provider& provider = world.add("a");
  Stage stage({target(fmt::format("http://slow.test:{}/key-of-ours", provider.port())),
               target(fmt::format("http://fast.test:{}/", provider.port()))},
              settings(), hanging.lookup);
  // Twice: the second one meets a look-up that is already under way.
  for (int i = 0; i < 2; ++i) {
    const Stage::Pair pair = stage.head_beside_healthy();
    REQUIRE_FALSE(pair.subject.head.has_value());
    CHECK(pair.subject.head.error().code == Reason::kDnsFailed);
    CHECK(pair.subject.head.error().detail == "slow.test was not looked up within 500 ms");
    CHECK(pair.took < 3s);
    CHECK(undisturbed(pair.witness));
    CHECK(pair.witness.size() > 2);
  }
  CHECK(hanging.gate->started == 1);
  // Late is better than never: the next probe has the address.
  hanging.gate->let_go();
  REQUIRE(run_until(stage.io, [&] { return stage.head(0).head.has_value(); }));
}

TEST_CASE("a name that does not resolve") {
  SUBCASE("says why") {
    Stage stage({target("http://nowhere.test/key-of-ours")}, settings(), [](const std::string&) -> Resolver::Addresses {
      return std::unexpected(std::string("Name or service not known"));
    });
    const HeadObservation o = stage.head();
    REQUIRE_FALSE(o.head.has_value());
    CHECK(o.head.error().code == Reason::kDnsFailed);
    CHECK(o.head.error().detail == "nowhere.test does not resolve: Name or service not known");
  }
  SUBCASE("by the system's resolver") {
    config::Probe probe = settings();
    probe.timeout = 5s;
    Stage stage({target("http://does-not-exist.invalid/")}, probe);
    CHECK(stage.head().head.error().code == Reason::kDnsFailed);
  }
  SUBCASE("is asked for again, and an exception is a failure too") {
    std::atomic<unsigned> asked = 0;
    Stage stage({target("http://nowhere.test/")}, settings(), [&](const std::string&) -> Resolver::Addresses {
      if (++asked == 1) throw std::runtime_error("no luck");
      return std::unexpected(std::string("again"));
    });
    CHECK(stage.head().head.error().detail == "nowhere.test does not resolve: no luck");
    CHECK(stage.head().head.error().detail == "nowhere.test does not resolve: again");
    CHECK(asked == 2);
  }
}

TEST_CASE("localhost is found") {
  sim::World world;
  sim::Provider& provider = world.add("a");
  config::Probe probe = settings();
  probe.timeout = 5s;
  Stage stage({target(fmt::format("http://localhost:{}/", provider.port()))}, probe);
  CHECK(stage.head().head.has_value());
}

TEST_CASE("no more threads than allowed, and the others wait in order") {
  Hanging hanging;
  Loop loop;
  Resolver resolver(loop.io.get_executor(), 2, hanging.lookup);
  std::vector<std::string> found;
  for (int i = 0; i < 6; ++i) {
    const std::string name = fmt::format("slow{}.test", i);
    resolver.resolve(name, [&found, name](const Resolver::Addresses& a) {
      CHECK(a.has_value());
      found.push_back(name);
    });
  }
  REQUIRE(hanging.gate->wait_for(2));
  CHECK(hanging.gate->started == 2);
  hanging.gate->let_go();
  REQUIRE(run_until(loop.io, [&] { return found.size() == 6; }));
  CHECK(hanging.gate->most == 2);
  CHECK(hanging.gate->started == 6);
}

TEST_CASE("one look-up for all that ask") {
  Hanging hanging;
  Loop loop;
  Resolver resolver(loop.io.get_executor(), 16, hanging.lookup);
  unsigned answers = 0;
  for (int i = 0; i < 100; ++i) resolver.resolve("slow.test", [&](const Resolver::Addresses&) { ++answers; });
  REQUIRE(hanging.gate->wait_for(1));
  CHECK(resolver.at_hand("slow.test") == nullptr);
  hanging.gate->let_go();
  REQUIRE(run_until(loop.io, [&] { return answers == 100; }));
  CHECK(hanging.gate->started == 1);
  REQUIRE(resolver.at_hand("slow.test") != nullptr);
  CHECK(resolver.at_hand("slow.test")->front() == "127.0.0.1");
  // At once, within the call.
  resolver.resolve("slow.test", [&](const Resolver::Addresses&) { ++answers; });
  CHECK(answers == 101);
}

TEST_CASE("an answer stays in use while it is renewed, and when that fails") {
  Loop loop;
  // Shared with the look-up's thread: the last renewal may be under way when the test ends.
  struct Server {
    std::atomic<unsigned> asked = 0;
    std::atomic<bool> broken = false;
  };
  const auto server = std::make_shared<Server>();
  Resolver resolver(
      loop.io.get_executor(), 1,
      [server](const std::string&) -> Resolver::Addresses {
        const unsigned n = ++server->asked;
        if (server->broken) return std::unexpected(std::string("the name server is down"));
        return std::vector<std::string>{fmt::format("127.0.0.{}", n)};
      },
      0ms);
  const auto current = [&] {
    const auto* known = resolver.at_hand("a.test");
    return known == nullptr ? std::string() : known->front();
  };
  CHECK(current().empty());
  bool done = false;
  resolver.resolve("a.test", [&](const Resolver::Addresses&) { done = true; });
  REQUIRE(run_until(loop.io, [&] { return done; }));
  // Each question starts a renewal, as the lifetime is over; the old answer comes at once.
  CHECK(current() == "127.0.0.1");
  REQUIRE(run_until(loop.io, [&] { return current() != "127.0.0.1"; }));
  server->broken = true;
  const unsigned before = server->asked;
  const std::string kept = current();
  REQUIRE(run_until(loop.io, [&] {
    CHECK_FALSE(current().empty());
    return server->asked > before + 3;
  }));
  CHECK_FALSE(kept.empty());
  server->broken = false;
  const std::string old = current();
  REQUIRE(run_until(loop.io, [&] { return current() != old; }));
}

TEST_CASE("a handler may ask again") {
  Loop loop;
  Resolver resolver(loop.io.get_executor(), 1,
                    [](const std::string&) -> Resolver::Addresses { return std::vector<std::string>{"127.0.0.1"}; });
  unsigned answers = 0;
  std::function<void(const Resolver::Addresses&)> handler = [&](const Resolver::Addresses&) {
    if (++answers < 200) resolver.resolve(fmt::format("n{}.test", answers), handler);
  };
  resolver.resolve("first.test", handler);
  REQUIRE(run_until(loop.io, [&] { return answers == 200; }));
}

TEST_CASE("the resolver's end waits for nothing") {
  Hanging hanging;
  unsigned called = 0;
  {
    Loop loop;
    const auto since = Clock::now();
    {
      Resolver resolver(loop.io.get_executor(), 4, hanging.lookup);
      for (int i = 0; i < 8; ++i)
        resolver.resolve(fmt::format("slow{}.test", i), [&](const Resolver::Addresses&) { ++called; });
      REQUIRE(hanging.gate->wait_for(4));
    }
    CHECK(Clock::now() - since < 3s);
    // Some threads end while the loop still lives, others after it.
    hanging.gate->let_go();
    loop.io.poll();
  }
  CHECK(hanging.gate->wait_for(0));
  CHECK(called == 0);
}

TEST_CASE("an answer that comes between the resolver's end and the loop's") {
  Loop loop;
  unsigned called = 0;
  for (int i = 0; i < 200; ++i) {
    auto resolver = std::make_unique<Resolver>(
        loop.io.get_executor(), 4,
        [](const std::string&) -> Resolver::Addresses { return std::vector<std::string>{"127.0.0.1"}; });
    for (int n = 0; n < 8; ++n)
      resolver->resolve(fmt::format("{}.test", n), [&](const Resolver::Addresses&) { ++called; });
    if (i % 2 == 0) loop.io.poll();
    const unsigned before = called;
    resolver.reset();
    loop.io.poll();
    CHECK(called == before);
  }
}
