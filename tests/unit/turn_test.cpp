// What a controller was told and wanted done: written to a recording, read back, and given to another controller.
#include "store/turn.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <map>
#include <memory>
#include <random>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "agent/replay/replay.hpp"
#include "model/effort.hpp"
#include "model/two_servers.hpp"
#include "store/exchange_codec.hpp"
#include "store/recording.hpp"
#include "unit/every_field.hpp"
#include "unit/folder.hpp"
#include "weighter/controller/controller.hpp"

using namespace rpcw;
using namespace rpcw::model;
using namespace rpcw::store;

namespace {

namespace action = control::action;
namespace told = control::event;

/// What of a read is not written: an endpoint's control adds it, or it is made from the rest.
haproxy::Instance as_read(haproxy::Instance instance) {
  for (haproxy::BackendRow& row : instance.backends) {
    for (haproxy::ServerRow& server : row.servers) {
      server.contended = false;
      server.backlog = {};
    }
    row.slots.clear();
    row.double_names.clear();
  }
  return instance;
}

haproxy::Instance filled() {
  haproxy::Instance out;
  every_field::Filler filler;
  filler.fill(out);
  return as_read(std::move(out));
}

haproxy::Instance there_and_back(const haproxy::Instance& now, const haproxy::Instance* before) {
  JsonWriter out;
  write_instance(out, now, before);
  auto document = JsonDocument::parse(out.view(), kMostLine);
  REQUIRE(document.has_value());
  const auto read = read_instance(document->root(), before);
  REQUIRE_MESSAGE(!document->error(), *document->error());
  REQUIRE(read.has_value());
  return as_read(*read);
}

/// Two servers and a HAProxy, which answer a controller for a while. b fails in the second quarter, HAProxy is reloaded
/// in the middle.
class Life {
 public:
  Life(const config::Config& config, Recording& recording, control::Legacy legacy = {}, bool continues = false,
       SystemState* before = nullptr)
      : recording_(recording) {
    control::Options options;
    options.seed = 5;
    recording.controller_begins(config, options, continues);
    controller_ = std::make_unique<control::Controller>(config, options, std::move(legacy));
    if (before != nullptr) controller_->state().adopt(std::move(*before));
    recording.follow(controller_->state(), continues ? Cause::kReload : Cause::kStart);
  }

  void live(milliseconds time, MonoTime from = MonoTime{0}) {
    now_ = from;
    const MonoTime end = now_ + time;
    give(told::Started{});
    while (now_ < end) {
      const auto due = due_.begin();
      if (due != due_.end() && (!wake_ || due->first <= *wake_)) {
        now_ = std::max(now_, due->first);
        control::Event event = std::move(due->second);
        due_.erase(due);
        failing_ = now_ > from + time / 4 && now_ < from + time / 2;
        if (now_ > from + time / 2) pid_ = 8;
        give(answered(std::move(event)));
      } else {
        REQUIRE(wake_.has_value());
        now_ = std::max(now_, *wake_);
        give(told::TimeReached{});
      }
    }
    give(told::StopRequested{});
    while (!due_.empty()) {
      control::Event event = std::move(due_.begin()->second);
      due_.erase(due_.begin());
      give(answered(std::move(event)));
    }
    CHECK(finished_);
  }
  control::Controller& controller() { return *controller_; }
  [[nodiscard]] MonoTime now() const { return now_; }

 private:
  void give(control::Event event) {
    const Now now{WallTime{std::chrono::seconds{1'800'000'000}} + std::chrono::floor<milliseconds>(now_), now_};
    recording_.on_event(event, now);
    const std::vector<control::Action> actions = controller_->on(std::move(event), now);
    recording_.on_actions(actions, now, {});
    for (const control::Action& a : actions) std::visit([this](const auto& what) { carry_out(what); }, a);
  }
  void later(milliseconds time, control::Event event) { due_.emplace(now_ + time, std::move(event)); }

  /// The event with what is so at the moment.
  control::Event answered(control::Event event) {
    const Now now{WallTime{std::chrono::seconds{1'800'000'000}} + std::chrono::floor<milliseconds>(now_), now_};
    if (auto* head = std::get_if<told::HeadAnswered>(&event)) {
      head->observation = {now, milliseconds{40},
                           Head{1000 + static_cast<std::uint64_t>(now_.count() / 1'000'000), "0x1", now.wall}};
      if (failing_ && head->target == 1)
        head->observation.head = std::unexpected(ProbeFailure{Reason::kConnectFailed, "refused", {}, false, false});
    } else if (auto* answer = std::get_if<told::CheckAnswered>(&event)) {
      answer->answer.received = now;
    } else if (auto* servers = std::get_if<told::ServersRead>(&event)) {
      haproxy::Instance read = shown({{"a", weights_["a"]}, {"b", weights_["b"]}}, pid_);
      for (haproxy::ServerRow& s : read.backends[0].servers) {
        s.counters.stot = s.counters.lbtot = s.counters.hrsp_2xx = static_cast<std::uint64_t>(now_.count() / 50'000);
        s.counters.scur = 1;
      }
      servers->instance = std::move(read);
    } else if (auto* info = std::get_if<told::InfoRead>(&event)) {
      info->info = haproxy::Info{"2.6.12", pid_, std::chrono::seconds{1000}};
    }
    return event;
  }

  void carry_out(const action::SendHead& a) {
    later(milliseconds{1}, told::HeadSent{a.target});
    later(milliseconds{41}, told::HeadAnswered{a.target, {}});
  }
  void carry_out(const action::SendCheck& a) {
    later(milliseconds{45}, told::CheckAnswered{a.target, {{}, a.check, AnswerValue{}}});
  }
  void carry_out(const action::ReadInfo& a) { later(milliseconds{1}, told::InfoRead{a.endpoint, {}}); }
  void carry_out(const action::ReadServers& a) { later(milliseconds{2}, told::ServersRead{a.endpoint, {}, 500}); }
  void carry_out(const action::ReadLevel& a) { later(milliseconds{1}, told::LevelRead{a.endpoint, "admin"}); }
  void carry_out(const action::SetWeights& a) {
    std::vector<haproxy::Outcome> outcomes;
    for (const haproxy::WeightCommand& c : a.commands) {
      weights_[c.server] = c.weight;
      outcomes.push_back({haproxy::Outcome::Kind::kDone, {}, {}, {}});
    }
    later(milliseconds{1}, told::WeightsAnswered{a.endpoint, std::move(outcomes)});
  }
  void carry_out(const action::WakeAt& a) { wake_ = a.at; }
  void carry_out(const action::Finish&) { finished_ = true; }
  void carry_out(const auto&) {}

  Recording& recording_;
  std::unique_ptr<control::Controller> controller_;
  MonoTime now_{0};
  std::optional<MonoTime> wake_;
  std::multimap<MonoTime, control::Event> due_;
  std::map<std::string, unsigned> weights_{{"a", 100}, {"b", 100}};
  std::int64_t pid_ = 7;
  bool failing_ = false;
  bool finished_ = false;
};

std::string recorded(const config::Config& config, milliseconds time, RecordingLimits limits = {}) {
  const Folder folder;
  {
    Recording recording(folder.path("r"), limits);
    Life life(config, recording);
    life.live(time);
  }
  return folder.read("r");
}

replay::Result replayed(const std::string& text, const config::Config& config) {
  std::istringstream in(text);
  auto out = replay::run({{"file", in}}, config);
  REQUIRE_MESSAGE(out.has_value(), out.error().what);
  return std::move(*out);
}

using namespace std::chrono_literals;

}  // namespace

TEST_CASE("round trip: a recording keeps every field of a read, whole and as a difference") {
  const haproxy::Instance full = filled();
  CHECK(every_field::differences(full, there_and_back(full, nullptr)) == std::vector<std::string>{});
  // The same servers, and otherwise all is different.
  haproxy::Instance empty = full;
  empty.version.clear();
  empty.pid = -1;
  empty.uptime = {};
  for (haproxy::BackendRow& row : empty.backends) {
    row = {.name = row.name, .servers = row.servers};
    for (haproxy::ServerRow& server : row.servers) server = {.name = server.name};
  }
  CHECK(every_field::differences(full, there_and_back(full, &empty)) == std::vector<std::string>{});
  CHECK(every_field::differences(empty, there_and_back(empty, &full)) == std::vector<std::string>{});
  // Nothing is written of what is the same.
  JsonWriter same;
  write_instance(same, full, &full);
  CHECK(same.view() == R"({"backends":[]})");
  // Another server: whole again.
  haproxy::Instance other = full;
  other.backends[1].servers.pop_back();
  CHECK(every_field::differences(other, there_and_back(other, &full)) == std::vector<std::string>{});
}

TEST_CASE("a difference without the read before it is nothing, and one of other servers an error") {
  const haproxy::Instance full = filled();
  haproxy::Instance changed = full;
  changed.backends[1].servers[1].weight = 99;
  JsonWriter out;
  write_instance(out, changed, &full);
  auto document = JsonDocument::parse(out.view(), kMostLine);
  REQUIRE(document.has_value());
  CHECK_FALSE(read_instance(document->root(), nullptr).has_value());
  haproxy::Instance smaller = full;
  smaller.backends.pop_back();
  static_cast<void>(read_instance(document->root(), &smaller));
  REQUIRE(document->error().has_value());
  CHECK(document->error()->find("must be that of one of the read before") != std::string::npos);
}

TEST_CASE("a replay asks, reads and pushes what was recorded, through a failure and HAProxy's reload") {
  const config::Config config = two_servers();
  const replay::Result r = replayed(recorded(config, 120s), config);
  CHECK(r.other == 0);
  CHECK(r.schedule.turns > 200);
  CHECK(r.schedule.compared == r.schedule.turns);
  CHECK(r.schedule.differences.empty());
  CHECK(r.schedule.notes.empty());
  CHECK(r.schedule.requests > 40);
  CHECK(r.schedule.exchanges > 100);
  // a and b, b out, b back in steps, and both again at the new worker.
  CHECK(r.schedule.weights >= 8);
}

TEST_CASE("a controller that takes over after a reload is replayed too") {
  const Folder folder;
  const config::Config config = two_servers();
  {
    Recording recording(folder.path("r"));
    Life first(config, recording);
    first.live(30s);
    Life second(config, recording, first.controller().legacy(), true, &first.controller().state());
    second.live(30s, first.now());
  }
  const std::string text = folder.read("r");
  const replay::Result r = replayed(text, config);
  CHECK(r.schedule.compared == r.schedule.turns);
  CHECK(r.schedule.notes.empty());
  // Without the first one, nothing says how the second one began.
  const std::size_t reload = text.find(kSectionMark, 1);
  const replay::Result rest = replayed(text.substr(reload), config);
  CHECK(rest.schedule.turns > 20);
  CHECK(rest.schedule.compared == 0);
  CHECK(rest.schedule.notes == std::vector<std::string>{"an earlier controller was not replayed"});
}

TEST_CASE("with another interval the schedule is the same until the first check at another time") {
  const std::string text = recorded(two_servers(), 60s);
  config::Config often = two_servers();
  often.probe.interval = 2s;
  often.probe.auto_interval = false;
  const replay::Result r = replayed(text, often);
  CHECK(r.schedule.compared > 5);
  CHECK(r.schedule.compared < r.schedule.turns);
  REQUIRE(r.schedule.differences.size() == 1);
  CHECK(r.schedule.differences[0].recorded.find("wake in ") != std::string::npos);
  CHECK(r.schedule.differences[0].recorded != r.schedule.differences[0].replayed);

  config::Config less = two_servers();
  less.backends[0].servers.pop_back();
  const replay::Result misfit = replayed(text, less);
  CHECK(misfit.schedule.compared == 0);
  CHECK(misfit.schedule.notes ==
        std::vector<std::string>{"the configuration has other backends or servers than were recorded"});
}

TEST_CASE("files of one recording are replayed as one, and a later file alone without its schedule") {
  const Folder folder;
  const config::Config config = two_servers();
  {
    Recording recording(folder.path("r"), {20'000, 20});
    Life life(config, recording);
    life.live(60s);
  }
  std::vector<std::string> texts;
  for (int i = 19; i >= 0; --i)
    if (std::string text = folder.read(i == 0 ? "r" : fmt::format("r.{}", i)); !text.empty())
      texts.push_back(std::move(text));
  REQUIRE(texts.size() > 3);
  std::vector<std::unique_ptr<std::istringstream>> streams;
  std::vector<replay::Source> sources;
  for (const std::string& text : texts)
    sources.push_back({"file", *streams.emplace_back(std::make_unique<std::istringstream>(text))});
  const auto whole = replay::run(sources, config);
  REQUIRE(whole.has_value());
  CHECK(whole->schedule.compared == whole->schedule.turns);
  CHECK(whole->schedule.turns > 100);
  const replay::Result last = replayed(texts.back(), config);
  CHECK(last.other == 0);
  CHECK(last.schedule.turns > 0);
  CHECK(last.schedule.compared == 0);
}

TEST_CASE("no mutation of a recording's turns does any harm") {
  const config::Config config = two_servers();
  const std::string text = recorded(config, 20s);
  const std::size_t turns = text.find(R"({"event":"controller")");
  REQUIRE(turns != std::string::npos);
  std::mt19937 random(7);
  constexpr std::string_view kBytes = "0123456789-.\"{}[],:abeinot";
  unsigned good = 0;
  for (unsigned i = 0; i < tried(600); ++i) {
    std::string damaged = text;
    for (auto n = random() % 3 + 1; n > 0; --n) {
      const std::size_t at = turns + random() % (damaged.size() - turns);
      switch (random() % 4) {
        case 0:
          damaged[at] = kBytes[random() % kBytes.size()];
          break;
        case 1:
          damaged.erase(at, random() % 40);
          break;
        case 2: {
          // A line at another place: an answer to what was not asked.
          const std::size_t begin = damaged.find('\n', at);
          const std::size_t end = begin == std::string::npos ? begin : damaged.find('\n', begin + 1);
          if (end == std::string::npos) break;
          const std::string line = damaged.substr(begin, end - begin);
          damaged.insert(damaged.find('\n', turns + random() % (begin - turns + 1)), line);
          break;
        }
        default:
          damaged.insert(at, 1, kBytes[random() % kBytes.size()]);
      }
    }
    std::istringstream in(damaged);
    good += replay::run({{"file", in}}, config).has_value() ? 1U : 0U;
  }
  CHECK(good > 0);
}
