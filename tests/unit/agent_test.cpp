// The agent's own few lines, with fakes for providers and HAProxys: no socket is opened.
#include "agent/agent.hpp"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <exception>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.hpp"
#include "model/two_servers.hpp"

using namespace rpcw;
using namespace std::chrono_literals;
namespace asio = boost::asio;

namespace {

using Texts = std::vector<std::string>;

/// Holds requests until the test answers them, or answers from within the call.
class FakeProbes final : public rpc::Probes {
 public:
  explicit FakeProbes(Texts& seen) : seen_(seen) {}

  std::size_t add(const Subject& subject) override {
    seen_.push_back(fmt::format("add {}", subject.target->url));
    return next_++;
  }
  void remove(std::size_t target) override { seen_.push_back(fmt::format("remove {}", target)); }
  void head(std::size_t target, HeadHandler handler, LeftHandler left) override {
    seen_.push_back(fmt::format("head {}", target));
    if (left && leaves) left();
    if (at_once)
      handler(good());
    else
      heads[target] = std::move(handler);
  }
  void check(std::size_t target, const Check& check, AnswerHandler handler) override {
    seen_.push_back(fmt::format("{} {}", to_string(check.kind), target));
    handler({read_clocks(), check, AnswerValue{}});
  }
  void head_and_checks(std::size_t target, std::span<const Check> checks, rpc::Afterwards, HeadHandler head_handler,
                       AnswerHandler answered, LeftHandler left) override {
    head(target, std::move(head_handler), std::move(left));
    for (const Check& c : checks) answered({read_clocks(), c, AnswerValue{}});
  }

  static HeadObservation good() {
    const Now now = read_clocks();
    return {now, 40ms, Head{100, "0x64", now.wall}};
  }
  static HeadObservation refused() {
    return {read_clocks(), 1ms, std::unexpected(ProbeFailure{Reason::kConnectFailed, "refused", {}, false})};
  }
  static HeadObservation unresolved() {
    return {read_clocks(), 1ms, std::unexpected(ProbeFailure{Reason::kDnsFailed, "no such name", {}, false})};
  }
  static HeadObservation limited() {
    return {read_clocks(), 1ms, std::unexpected(ProbeFailure{Reason::kRateLimited, "HTTP 429", 3600s, false})};
  }
  /// Those that wait.
  std::map<std::size_t, HeadHandler> heads;
  bool at_once = false;
  /// False: no request leaves, as when a name does not resolve.
  bool leaves = true;

 private:
  Texts& seen_;
  std::size_t next_ = 0;
};

/// A HAProxy whose replies come at once, but for pushes while `holds`.
class FakeHaproxy final : public haproxy::Runtime {
 public:
  FakeHaproxy(asio::io_context& io, Texts& seen) : seen_(seen), released_(io, asio::steady_timer::time_point::max()) {}

  asio::awaitable<std::expected<std::vector<std::string>, haproxy::Failure>> run(
      std::vector<std::string> commands) override {
    seen_.push_back(commands.front());
    co_return std::vector<std::string>{"admin"};
  }
  asio::awaitable<std::expected<haproxy::Instance, haproxy::Failure>> read(std::span<const std::string>) override {
    seen_.emplace_back("read");
    if (throws) throw std::logic_error("a bug");
    co_return model::shown({{"a", weights["a"]}, {"b", weights["b"]}});
  }
  asio::awaitable<std::expected<haproxy::Info, haproxy::Failure>> info() override {
    co_return haproxy::Info{"2.6.12", 7, 1000s};
  }
  asio::awaitable<std::expected<haproxy::Instance, haproxy::Failure>> refresh(
      const haproxy::Instance&, std::span<const std::string> names) override {
    co_return co_await read(names);
  }
  [[nodiscard]] std::uint64_t received() const override { return 100; }
  asio::awaitable<std::vector<haproxy::Outcome>> push(std::vector<haproxy::WeightCommand> commands,
                                                      std::function<bool()> may_send) override {
    pushing = true;
    while (holds) {
      const auto [cancelled] = co_await released_.async_wait(asio::as_tuple(asio::use_awaitable));
      if (cancelled && holds) throw boost::system::system_error(cancelled);
    }
    pushing = false;
    std::vector<haproxy::Outcome> out(commands.size());
    std::string text;
    for (std::size_t i = 0; i < commands.size(); ++i) {
      if (may_send && !may_send()) continue;
      weights[commands[i].server] = commands[i].weight;
      out[i].kind = haproxy::Outcome::Kind::kDone;
      text += fmt::format(" {} {}", commands[i].server, commands[i].weight);
    }
    seen_.push_back("set" + text);
    co_return out;
  }
  asio::awaitable<std::expected<std::vector<std::string>, haproxy::Failure>> release(
      std::vector<haproxy::ReleaseCommand> commands) override {
    co_return std::vector<std::string>(commands.size());
  }

  void let_go() {
    holds = false;
    released_.cancel();
  }

  std::map<std::string, unsigned> weights{{"a", 100}, {"b", 100}};
  bool holds = false;
  bool pushing = false;
  bool throws = false;

 private:
  Texts& seen_;
  asio::steady_timer released_;
};

/// An agent and its loop, which is turned as long as a condition is missing.
struct Stand {
  explicit Stand(config::Config config = model::two_servers(), control::Options options = {}, bool may = true)
      : file(std::move(config)), may_push(may) {
    Agent::Effects effects;
    effects.log = [this](const LogLine& line) { logged.push_back(line.message); };
    effects.may_push = [this] { return may_push; };
    effects.probes = [this] {
      auto out = std::make_unique<FakeProbes>(seen);
      probes = out.get();
      return out;
    };
    effects.haproxy = [this](const config::Endpoint&) {
      auto out = std::make_unique<FakeHaproxy>(io, seen);
      out->holds = holds;
      out->throws = throws;
      haproxy = out.get();
      return out;
    };
    agent = std::make_unique<Agent>(io, file, options, control::Legacy{}, std::move(effects));
  }
  void start() {
    asio::co_spawn(io, agent->run(), [this](const std::exception_ptr& e) {
      ended = true;
      thrown = e;
    });
  }
  /// False: not within ten seconds.
  bool until(const std::function<bool()>& done) {
    const auto end = std::chrono::steady_clock::now() + 10s;
    while (!done()) {
      if (std::chrono::steady_clock::now() > end) return false;
      io.restart();
      io.run_one_for(10ms);
    }
    return true;
  }
  [[nodiscard]] std::ptrdiff_t count(std::string_view what) const { return std::ranges::count(seen, what); }
  bool asked() {
    return until([&] { return probes->heads.contains(0) && probes->heads.contains(1); });
  }
  /// Both servers answer what is asked now.
  void answer(HeadObservation (*how)() = FakeProbes::good) {
    for (auto& [target, handler] : std::exchange(probes->heads, {})) handler(how());
  }
  [[nodiscard]] bool warm() const { return agent->lacks().empty(); }
  bool ends() {
    return until([&] { return ended; });
  }

  asio::io_context io;
  config::Config file;
  bool may_push;
  bool holds = false;
  bool throws = false;
  Texts seen;
  Texts logged;
  FakeProbes* probes = nullptr;
  FakeHaproxy* haproxy = nullptr;
  std::unique_ptr<Agent> agent;
  bool ended = false;
  std::exception_ptr thrown;
};

}  // namespace

TEST_CASE("agent: what the controller asks for is done, until it is stopped") {
  Stand s;
  s.start();
  REQUIRE(s.asked());
  CHECK(s.count("add http://a.test/") == 1);
  CHECK(s.count("set a 128 b 128") == 0);
  s.answer();
  REQUIRE(s.until([&] { return s.count("set a 128 b 128") == 1; }));
  s.agent->request_stop();
  REQUIRE(s.ends());
  CHECK_FALSE(s.thrown);
  // Nothing more is done after the end.
  const std::size_t before = s.seen.size();
  s.agent->set_acting(true);
  s.agent->request_stop();
  CHECK(s.seen.size() == before);
}

TEST_CASE("agent: a stop before the start ends it at once") {
  Stand s;
  s.agent->request_stop();
  s.start();
  REQUIRE(s.ends());
  CHECK(s.count("head 0") == 0);
}

TEST_CASE("agent: an event that an action brings about waits for the actions before it") {
  Stand s;
  s.probes->at_once = true;
  s.start();
  REQUIRE(s.until([&] { return s.count("set a 128 b 128") == 1; }));
  // The first answer came before the second question: had it been taken at once, b would have had no chance.
  const auto first = std::ranges::find(s.seen, "head 1");
  const auto set = std::ranges::find_if(s.seen, [](const std::string& what) { return what.starts_with("set"); });
  CHECK(first < set);
  s.agent->request_stop();
  REQUIRE(s.ends());
}

TEST_CASE("agent: a stop waits for the push that is under way, and giving up does not") {
  Stand s;
  s.holds = true;
  s.start();
  REQUIRE(s.asked());
  s.answer();
  REQUIRE(s.until([&] { return s.haproxy->pushing; }));
  s.agent->request_stop();
  for (int i = 0; i < 20; ++i) s.io.poll();
  REQUIRE_FALSE(s.ended);
  SUBCASE("it is let through") {
    s.haproxy->let_go();
    REQUIRE(s.ends());
    CHECK(s.count("set a 128 b 128") == 1);
  }
  SUBCASE("it is abandoned") {
    s.agent->abandon();
    REQUIRE(s.ends());
    CHECK(s.count("set a 128 b 128") == 0);
  }
  CHECK_FALSE(s.thrown);
}

TEST_CASE("agent: weights that lost their permission on the way are pushed again when it acts") {
  control::Options options;
  options.standby = true;
  Stand s(model::two_servers(), options);
  s.agent->set_acting(true);
  s.start();
  REQUIRE(s.asked());
  s.may_push = false;
  s.answer();
  REQUIRE(s.until([&] { return s.count("set") == 1; }));
  CHECK(s.haproxy->weights["a"] == 100);
  // The controller knows that it does not act: it tries no more.
  for (int i = 0; i < 20; ++i) s.io.poll();
  CHECK(s.count("set") == 1);
  s.may_push = true;
  s.agent->set_acting(true);
  REQUIRE(s.until([&] { return s.haproxy->weights["a"] == 128; }));
  s.agent->request_stop();
  REQUIRE(s.ends());
}

TEST_CASE("agent: what a conversation throws ends it, and is thrown on") {
  Stand s;
  s.throws = true;
  s.start();
  REQUIRE(s.ends());
  REQUIRE(s.thrown);
  CHECK_THROWS_WITH_AS(std::rethrow_exception(s.thrown), "a bug", std::logic_error);
}

TEST_CASE("agent: its view is warm when each target has answered, or failed as often as it takes") {
  config::Config file = model::two_servers();
  file.probe.interval = 50ms;
  file.probe.fast_interval = 50ms;
  file.probe.fall = 3;
  Stand s(std::move(file));
  s.start();
  REQUIRE(s.asked());
  CHECK(s.agent->lacks() == "rpc/a has not been heard yet");
  const auto a_answers = [&](const HeadObservation& b) {
    const auto handlers = std::exchange(s.probes->heads, {});
    for (const auto& [target, handler] : handlers)
      const_cast<rpc::Probes::HeadHandler&>(handler)(target == 0 ? FakeProbes::good() : b);
  };
  for (int failures = 1; failures <= 3; ++failures) {
    a_answers(FakeProbes::refused());
    if (failures < 3) {
      CHECK_FALSE(s.warm());
      REQUIRE(s.asked());
    }
  }
  REQUIRE(s.until([&] { return s.warm(); }));
  // After a standstill what was asked before says nothing.
  REQUIRE(s.asked());
  s.agent->resumed();
  CHECK_FALSE(s.warm());
  s.answer();
  CHECK_FALSE(s.warm());
  REQUIRE(s.asked());
  s.answer();
  REQUIRE(s.until([&] { return s.warm(); }));
  s.agent->request_stop();
  REQUIRE(s.ends());
}

TEST_CASE("agent: a request that does not leave, since its name does not resolve, is heard of all the same") {
  config::Config file = model::two_servers();
  file.probe.interval = 50ms;
  file.probe.fast_interval = 50ms;
  Stand s(std::move(file));
  s.probes->leaves = false;
  s.start();
  for (unsigned failures = 1; failures <= s.file.probe.fall; ++failures) {
    REQUIRE(s.asked());
    CHECK_FALSE(s.warm());
    s.answer(FakeProbes::unresolved);
  }
  CHECK(s.until([&] { return s.warm(); }));
  s.agent->request_stop();
  REQUIRE(s.ends());
}

TEST_CASE("agent: a provider that limits the rate from the start does not keep the view cold") {
  Stand s;
  s.start();
  REQUIRE(s.asked());
  // It may ask us to stay away for an hour.
  s.answer(FakeProbes::limited);
  CHECK(s.until([&] { return s.warm(); }));
  s.agent->request_stop();
  REQUIRE(s.ends());
}
