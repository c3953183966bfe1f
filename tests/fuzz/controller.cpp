#include "weighter/controller/controller.hpp"

#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <fstream>
#include <iterator>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "agent/replay/replay.hpp"
#include "fuzz/targets.hpp"
#include "store/recording.hpp"
#include "weighter/allocate/scale.hpp"

namespace rpcw::fuzz {
namespace {

using namespace std::chrono_literals;
using control::EndpointId;
using control::TargetId;

constexpr std::array<std::string_view, 4> kStrategies{"adaptive", "inverse-latency", "equal", "leader"};
constexpr std::array kFailures{Reason::kTimeout,   Reason::kConnectFailed, Reason::kHttpStatus, Reason::kRpcError,
                               Reason::kBadAnswer, Reason::kRateLimited,   Reason::kTooLarge,   Reason::kDnsFailed};
constexpr std::array kErrors{haproxy::Error::kConnect, haproxy::Error::kTimeout, haproxy::Error::kClosedEarly,
                             haproxy::Error::kMalformed};
constexpr std::array<std::string_view, 5> kServerStatuses{"UP", "DOWN", "MAINT", "no check", "DRAIN"};
/// Events of one input; each costs some microseconds.
constexpr std::size_t kMostSteps = 600;

/// Bytes as choices; zeros once they are used up.
class Choices {
 public:
  explicit Choices(std::string_view bytes) : rest_(bytes) {}
  [[nodiscard]] bool empty() const { return rest_.empty(); }
  unsigned byte() {
    if (rest_.empty()) return 0;
    const auto out = static_cast<unsigned char>(rest_.front());
    rest_.remove_prefix(1);
    return out;
  }
  std::size_t below(std::size_t n) { return n == 0 ? 0 : byte() % n; }
  template <typename List>
  const auto& of(const List& list) {
    return list[below(list.size())];
  }

 private:
  std::string_view rest_;
};

/// One HAProxy, as it is and as the controller was last told.
struct Proxy {
  enum class Owed { kNothing, kInfo, kServers, kLevel, kWeights, kRelease };

  haproxy::Instance truth;
  std::optional<haproxy::Instance> told;
  Owed owed = Owed::kNothing;
  std::vector<haproxy::WeightCommand> commands;
  std::size_t released = 0;
  /// When it last refused a command; absent: never.
  std::optional<MonoTime> refused;
  bool open = false;
};

/// Whether HAProxy would send requests there, by what is shown of it; without regard to its weight.
bool usable(const haproxy::ServerRow& server) {
  return !server.forced_off() && server.status != "DOWN" && server.status != "MAINT" && server.status != "DRAIN";
}

/// A file without a disk.
class Memory {
 public:
  Memory() : file_(::memfd_create("recording", MFD_CLOEXEC)) { must(file_ >= 0, "there is memory"); }
  ~Memory() { ::close(file_); }
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;
  [[nodiscard]] std::string path() const { return fmt::format("/proc/self/fd/{}", file_); }
  [[nodiscard]] std::string text() const {
    std::ifstream in(path(), std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }

 private:
  int file_;
};

class World {
 public:
  /// What happens to a running agent is recorded in `kept`.
  World(Choices& choices, const Memory& kept) : c_(choices), config_(configuration()) {
    control::Options options;
    options.seed = c_.byte();
    options.mode = c_.below(5) == 0 ? control::Mode::kOnce : control::Mode::kRun;
    if (options.mode == control::Mode::kRun) {
      recording_.emplace(kept.path());
      recording_->controller_begins(config_, options, false);
    }
    controller_ = std::make_unique<control::Controller>(config_, options);
    if (recording_) recording_->follow(controller_->state(), store::Cause::kStart);
    give(control::event::Started{});
  }

  void play() {
    for (std::size_t i = 0; i < kMostSteps && !c_.empty() && !finished_; ++i) step();
  }

  [[nodiscard]] const config::Config& config() const { return config_; }

 private:
  config::Config configuration() {
    config::Config out;
    const std::size_t endpoints = 1 + c_.below(2);
    for (std::size_t i = 0; i < endpoints; ++i)
      out.haproxy.endpoints.push_back({.kind = config::Endpoint::Kind::kUnix,
                                       .address = fmt::format("/{}", i),
                                       .text = fmt::format("unix:/{}", i)});
    if (c_.below(3) == 0) out.haproxy.endpoints.push_back(address_of_name({}));
    config::Backend& backend = out.backends.emplace_back();
    backend.name = "rpc";
    backend.chain = {"c", "evm", "1", 2s, 60s, 30s, 3};
    backend.strategy = c_.of(kStrategies);
    backend.scale = c_.below(2) == 0 ? config::Scale::kShare : config::Scale::kPeak;
    backend.fallback = static_cast<config::Fallback>(c_.below(3));
    backend.switch_back = c_.below(2) == 0;
    backend.ramp = milliseconds{c_.below(3) * 15'000};
    backend.max_share = c_.below(4) == 0 ? 0.5 : 1.0;
    backend.min_peers = static_cast<unsigned>(c_.below(3));
    backend.on_eject = static_cast<config::OnEject>(c_.below(3));
    const std::size_t servers = 1 + c_.below(5);
    backend.min_healthy = static_cast<unsigned>(1 + c_.below(servers));
    for (std::size_t i = 0; i < servers; ++i) {
      config::Server& server = backend.servers.emplace_back();
      server.name = fmt::format("s{}", i);
      server.target.url = fmt::format("http://{}.test/", server.name);
      server.target.operator_name = c_.below(4) == 0 ? "shared" : server.name;
      server.tier = c_.below(5) == 0 ? 1U : 0U;
      const std::size_t special = c_.below(6);
      server.max_rate = special == 0 ? 25.0 : 0.0;
      if (special == 5) backups_.insert(server.name);
    }
    if (c_.below(3) == 0) {
      config::Target& reference = backend.references.emplace_back();
      reference.url = "http://reference.test/";
      reference.operator_name = "reference";
    }
    if (c_.below(3) == 0) backend.canaries.emplace_back().method = "eth_call";
    return out;
  }

  /// `resolved` is empty for the name itself.
  static config::Endpoint address_of_name(std::string resolved) {
    config::Endpoint out;
    out.kind = config::Endpoint::Kind::kDns;
    out.address = "haproxy.test";
    out.text = resolved.empty() ? "dns:haproxy.test:9999" : fmt::format("tcp:{}:9999", resolved);
    out.resolved = std::move(resolved);
    return out;
  }

  haproxy::Instance fresh(std::int64_t pid) const {
    haproxy::Instance out;
    out.version = "2.6.12";
    out.pid = pid;
    haproxy::BackendRow& row = out.backends.emplace_back();
    row.name = "rpc";
    row.iid = 3;
    row.algo = "roundrobin";
    row.mode = "http";
    for (const config::Server& server : config_.backends[0].servers) {
      haproxy::ServerRow& s = row.servers.emplace_back();
      s.backend = "rpc";
      s.name = server.name;
      s.sid = static_cast<unsigned>(row.servers.size());
      s.addr = fmt::format("127.0.0.1:{}", 8000 + s.sid);
      s.status = "UP";
      s.uweight = s.weight = 100;
      s.iweight = 100;
      s.backup = backups_.contains(s.name);
      s.active = !s.backup;
      s.admin_state = 0;
      s.counters = {.econ = 0,
                    .eresp = 0,
                    .hrsp_1xx = 0,
                    .hrsp_2xx = 0,
                    .hrsp_3xx = 0,
                    .hrsp_4xx = 0,
                    .hrsp_5xx = 0,
                    .hrsp_other = 0,
                    .lbtot = 0,
                    .stot = 0,
                    .wretr = 0,
                    .wredis = 0,
                    .cli_abrt = 0,
                    .bout = 0,
                    .rtime = 0,
                    .qtime = 0,
                    .qcur = 0,
                    .scur = 0};
    }
    row.index();
    return out;
  }

  [[nodiscard]] Now now() const { return {wall_, mono_}; }

  void pass(milliseconds time) {
    mono_ += time;
    wall_ += time;
    height_ = 1000 + static_cast<std::uint64_t>(mono_ / 2s);
    for (auto& [id, proxy] : proxies_) proxy.truth.uptime = std::chrono::duration_cast<std::chrono::seconds>(mono_);
  }

  // ---- what the outside does

  void step() {
    switch (c_.below(15)) {
      case 0:
        pass(milliseconds{c_.byte() * 4});
        return give(control::event::TimeReached{});
      case 1:
        // As the agent does: to the moment that was asked for.
        if (wake_ && *wake_ > mono_) pass(std::chrono::ceil<milliseconds>(*wake_ - mono_));
        return give(control::event::TimeReached{});
      case 2:
        pass(milliseconds{c_.byte() * 400});
        return give(control::event::TimeReached{});
      case 3:
      case 4:
        return answer_head(true);
      case 5:
        return answer_head(false);
      case 6:
        return answer_check();
      case 7:
      case 8:
        return answer_proxy(true);
      case 9:
        return answer_proxy(false);
      case 10:
        return change_proxy();
      case 11:
        // Late answers of targets that have gone, and wake-ups that no one asked for.
        if (!removed_.empty())
          return give(control::event::HeadAnswered{*removed_.begin(), {now(), 1ms, Head{height_, "0x1", wall_}}});
        return give(control::event::TimeReached{});
      case 12:
        wall_ += std::chrono::minutes{static_cast<int>(c_.byte()) - 128};
        return;
      case 13:
        return answer_name();
      default:
        if (c_.below(16) == 0) return give(control::event::StopRequested{});
        for (auto& [id, proxy] : proxies_) traffic(proxy);
    }
  }

  void answer_name() {
    if (lookups_.empty()) return;
    const std::size_t place = lookups_.extract(lookups_.begin()).value();
    std::vector<config::Endpoint> found;
    for (const char* address : {"10.0.0.1", "10.0.0.2", "10.0.0.3"})
      if (c_.below(2) == 0) found.push_back(address_of_name(address));
    if (found.empty())
      return give(control::event::NameResolved{
          place, std::unexpected(haproxy::Failure{haproxy::Error::kResolve, "no such name"})});
    give(control::event::NameResolved{place, std::move(found)});
  }

  void answer_head(bool good) {
    if (heads_.empty()) return;
    const TargetId target = *std::next(heads_.begin(), static_cast<std::ptrdiff_t>(c_.below(heads_.size())));
    if (c_.below(8) != 0) give(control::event::HeadSent{target});
    pass(milliseconds{c_.byte()});
    if (!heads_.contains(target)) return;
    heads_.erase(target);
    HeadObservation seen{now(), milliseconds{1 + c_.byte()}, Head{}};
    if (good) {
      std::uint64_t number = height_;
      const unsigned how = c_.byte();
      if (how > 250)
        number = UINT64_MAX - how;
      else if (how > 240)
        number += std::uint64_t{how} * 1000;
      else if (how > 200)
        number -= how - 200;
      seen.head = Head{number, fmt::format("0x{:x}{}", number, how % 16 == 15 ? "f" : ""),
                       wall_ - milliseconds{c_.byte() * (how % 32 == 31 ? 4000 : 8)}, how % 64 != 63};
    } else {
      ProbeFailure failure{c_.of(kFailures), "refused", {}, c_.below(8) == 0, c_.below(8) == 0};
      if (c_.below(4) == 0) failure.retry_after = milliseconds{c_.byte() * 1000};
      seen.head = std::unexpected(std::move(failure));
    }
    give(control::event::HeadAnswered{target, std::move(seen)});
  }

  void answer_check() {
    if (checks_.empty()) return;
    const auto at = checks_.begin() + static_cast<std::ptrdiff_t>(c_.below(checks_.size()));
    const auto [target, check] = *at;
    checks_.erase(at);
    Answer answer{now(), check, AnswerValue{}};
    switch (c_.below(4)) {
      case 0: {
        ProbeFailure failure{c_.of(kFailures), "refused", {}, c_.below(2) == 0, false};
        answer.value = std::unexpected(std::move(failure));
        break;
      }
      case 1:
        answer.value =
            AnswerValue{c_.below(2) == 0 ? kUnknownGap : c_.byte(), check.kind == CheckKind::kIdentity ? "2" : "0xf"};
        break;
      default:
        answer.value = AnswerValue{check.kind == CheckKind::kPeers ? 25U : 0U,
                                   check.kind == CheckKind::kIdentity ? "1" : fmt::format("0x{:x}", check.argument)};
    }
    give(control::event::CheckAnswered{target, std::move(answer)});
  }

  void answer_proxy(bool good) {
    if (proxies_.empty()) return;
    const auto at = std::next(proxies_.begin(), static_cast<std::ptrdiff_t>(c_.below(proxies_.size())));
    const EndpointId id = at->first;
    Proxy& proxy = at->second;
    const haproxy::Failure failure{c_.of(kErrors), "no answer"};
    switch (std::exchange(proxy.owed, Proxy::Owed::kNothing)) {
      case Proxy::Owed::kNothing:
        return;
      case Proxy::Owed::kInfo:
        if (!good) return give(control::event::InfoRead{id, std::unexpected(failure)});
        return give(
            control::event::InfoRead{id, haproxy::Info{proxy.truth.version, proxy.truth.pid, proxy.truth.uptime}});
      case Proxy::Owed::kLevel:
        if (!good) return give(control::event::LevelRead{id, std::unexpected(failure)});
        return give(control::event::LevelRead{id, "admin"});
      case Proxy::Owed::kServers:
        if (!good) return give(control::event::ServersRead{id, std::unexpected(failure), 10});
        proxy.told = proxy.truth;
        // So much that its servers are not read each time.
        return give(control::event::ServersRead{id, proxy.truth, c_.below(4) == 0 ? 100'000'000U : 1000U});
      case Proxy::Owed::kRelease:
        if (!good) return give(control::event::ClientsReleased{id, std::unexpected(failure)});
        return give(control::event::ClientsReleased{id, std::vector<std::string>(proxy.released)});
      case Proxy::Owed::kWeights:
        return confirm(id, proxy, good);
    }
  }

  void confirm(EndpointId id, Proxy& proxy, bool good) {
    std::vector<haproxy::Outcome> outcomes;
    for (const haproxy::WeightCommand& command : std::exchange(proxy.commands, {})) {
      haproxy::Outcome& outcome = outcomes.emplace_back();
      const unsigned how = good ? 0 : c_.byte();
      haproxy::ServerRow* server = proxy.truth.backends[0].server(command.server);
      if (server == nullptr) {
        outcome.kind = haproxy::Outcome::Kind::kRefused;
        outcome.refusal = haproxy::Refusal::kNoSuchServer;
        outcome.detail = "No such server.";
        proxy.refused = mono_;
        continue;
      }
      const bool runs = how % 4 != 3;
      if (runs && how % 4 != 2) {
        set(*server, command);
        if (proxy.told)
          if (haproxy::ServerRow* told = proxy.told->backends[0].server(command.server)) set(*told, command);
        outcome.kind = haproxy::Outcome::Kind::kDone;
      } else if (how % 4 == 2) {
        outcome.kind = haproxy::Outcome::Kind::kRefused;
        outcome.refusal = how % 8 < 4 ? haproxy::Refusal::kPermissionDenied : haproxy::Refusal::kOther;
        outcome.detail = "no";
        proxy.refused = mono_;
      } else {
        // It may have run.
        if (how % 8 < 4) set(*server, command);
        outcome.kind = haproxy::Outcome::Kind::kUnconfirmed;
        outcome.error = haproxy::Error::kTimeout;
        outcome.detail = "no answer";
      }
    }
    give(control::event::WeightsAnswered{id, std::move(outcomes)});
  }

  static void set(haproxy::ServerRow& server, const haproxy::WeightCommand& command) {
    server.uweight = server.weight =
        command.percent ? command.weight * server.iweight.value_or(100) / 100 : command.weight;
  }

  void change_proxy() {
    if (proxies_.empty()) return;
    Proxy& proxy = std::next(proxies_.begin(), static_cast<std::ptrdiff_t>(c_.below(proxies_.size())))->second;
    haproxy::BackendRow& row = proxy.truth.backends[0];
    if (row.servers.empty()) return;
    haproxy::ServerRow& server = row.servers[c_.below(row.servers.size())];
    switch (c_.below(5)) {
      case 0:
        server.status = c_.of(kServerStatuses);
        server.admin_state = server.status == "MAINT"   ? haproxy::kForcedMaint
                             : server.status == "DRAIN" ? haproxy::kForcedDrain
                                                        : 0;
        return;
      case 1:
        server.uweight = server.weight = c_.byte();
        return;
      case 2:
        proxy.truth = fresh(proxy.truth.pid + 1);
        return;
      case 3:
        row.servers.erase(row.servers.begin() + (&server - row.servers.data()));
        row.index();
        return;
      default:
        server.name = c_.below(2) == 0 ? "other" : "s0";
        row.index();
    }
  }

  void traffic(Proxy& proxy) {
    for (haproxy::ServerRow& server : proxy.truth.backends[0].servers) {
      const unsigned requests = c_.byte();
      const unsigned failed = std::min(requests, c_.byte());
      const auto add = [](std::optional<std::uint64_t>& counter, unsigned n) { counter = counter.value_or(0) + n; };
      add(server.counters.lbtot, requests);
      add(server.counters.stot, requests);
      add(server.counters.hrsp_2xx, requests - failed);
      add(server.counters.hrsp_5xx, failed / 2);
      add(server.counters.hrsp_4xx, failed - failed / 2);
      server.counters.scur = c_.byte();
      add(server.counters.bout, requests * c_.byte());
      server.counters.rtime = c_.byte() * 4U;
    }
  }

  // ---- what the controller wants

  void give(control::Event event) {
    if (recording_) recording_->on_event(event, now());
    std::vector<control::Action> actions = controller_->on(std::move(event), now());
    if (recording_) recording_->on_actions(actions, now(), {});
    for (control::Action& action : actions) std::visit([this](auto& what) { carry_out(what); }, action);
    must(checks_.size() <= 64 * (config_.backends[0].servers.size() + 1), "checks under way are bounded");
    if (decided_) check_decision();
  }

  void carry_out(const control::action::AddTarget& a) { targets_.insert(a.target); }
  void carry_out(const control::action::RemoveTarget& a) {
    targets_.erase(a.target);
    removed_.insert(a.target);
    heads_.erase(a.target);
    std::erase_if(checks_, [&](const auto& c) { return c.first == a.target; });
  }
  void carry_out(const control::action::ExpectFiles& a) { must(a.count < 100'000, "few files for few servers"); }
  void carry_out(const control::action::SendHead& a) {
    must(targets_.contains(a.target), "only targets that were added are asked");
    must(heads_.insert(a.target).second, "at most one head check of a target is under way");
  }
  void carry_out(const control::action::SendCheck& a) { send(a.target, a.check); }
  void carry_out(const control::action::SendTogether& a) {
    carry_out(control::action::SendHead{a.target});
    for (const Check& check : a.checks) send(a.target, check);
  }
  void send(TargetId target, const Check& check) {
    must(targets_.contains(target), "only targets that were added are asked");
    checks_.emplace_back(target, check);
  }
  void carry_out(const control::action::Recall&) { must(false, "no state was promised"); }
  void carry_out(const control::action::ResolveName& a) {
    must(lookups_.insert(a.place).second, "at most one look-up of a name is under way");
  }
  void carry_out(const control::action::OpenEndpoint& a) {
    Proxy& proxy = proxies_[a.endpoint];
    must(!proxy.open, "an endpoint is opened once");
    proxy.open = true;
    proxy.truth = fresh(100 + a.endpoint);
  }
  void carry_out(const control::action::CloseEndpoint& a) {
    must(proxies_.at(a.endpoint).owed == Proxy::Owed::kNothing, "no endpoint is closed during an exchange");
    proxies_.erase(a.endpoint);
  }
  Proxy& begin(EndpointId id, Proxy::Owed owed) {
    const auto found = proxies_.find(id);
    must(found != proxies_.end(), "only open endpoints are used");
    must(std::exchange(found->second.owed, owed) == Proxy::Owed::kNothing, "one exchange at a time with an endpoint");
    return found->second;
  }
  void carry_out(const control::action::ReadInfo& a) { begin(a.endpoint, Proxy::Owed::kInfo); }
  void carry_out(const control::action::ReadServers& a) { begin(a.endpoint, Proxy::Owed::kServers); }
  void carry_out(const control::action::ReadLevel& a) { begin(a.endpoint, Proxy::Owed::kLevel); }
  void carry_out(control::action::SetWeights& a) {
    Proxy& proxy = begin(a.endpoint, Proxy::Owed::kWeights);
    must(!a.commands.empty(), "no empty push");
    proxy.commands = std::move(a.commands);
    not_all_zero(proxy);
  }
  void carry_out(const control::action::ReleaseClients& a) {
    begin(a.endpoint, Proxy::Owed::kRelease).released = a.commands.size();
  }
  void carry_out(const control::action::WakeAt& a) { wake_ = a.at; }
  void carry_out(const control::action::Log& a) { must(a.line.message.size() < 20'000, "a log line is no book"); }
  void carry_out(const control::action::Decided&) { decided_ = true; }
  void carry_out(const control::action::Repaired&) {}
  void carry_out(const control::action::WorkerReplaced&) {}
  void carry_out(const control::action::Finish&) { finished_ = true; }

  // ---- what must hold

  /// A push never leaves a HAProxy, as the controller knows it, without a weight for a server that it can use.
  void not_all_zero(const Proxy& proxy) const {
    if (!proxy.told) return;
    // A refused command is not repeated for this long, while others are sent: HAProxy has then what it has accepted.
    constexpr MonoTime kNotRepeated = 30s;
    if (proxy.refused && mono_ - *proxy.refused <= kNotRepeated) return;
    haproxy::Instance after = *proxy.told;
    for (const haproxy::WeightCommand& command : proxy.commands) {
      must(command.weight <= (command.percent ? 100U : 256U), "a weight is in its range");
      if (haproxy::ServerRow* server = after.backends[0].server(command.server)) set(*server, command);
    }
    bool any_usable = false;
    bool any_weight = false;
    for (const haproxy::ServerRow& server : after.backends[0].servers) {
      if (!usable(server)) continue;
      any_weight = any_weight || server.uweight > 0;
      // One that the file does not name, or whose name is another's too, has the weight that it has.
      any_usable = any_usable || (after.backends[0].server(server.name) != nullptr &&
                                  std::ranges::find(config_.backends[0].servers, server.name, &config::Server::name) !=
                                      config_.backends[0].servers.end());
    }
    must(any_weight || !any_usable, "never all weights zero while a server is usable");
  }

  /// The sum is kept, and all numbers are numbers.
  void check_decision() {
    decided_ = false;
    const BackendState& known = controller_->state().backend(0);
    const config::Backend& backend = config_.backends[0];
    const bool was_read = std::ranges::any_of(known.view.servers, [](const auto& v) { return v.has_value(); });
    unsigned sum = 0;
    bool any_sharing = false;
    for (std::size_t i = 0; i < known.decision.servers.size(); ++i) {
      const ServerDecision& server = known.decision.servers[i];
      must(server.weight <= 256, "weights are at most 256");
      must(std::isfinite(server.score) && server.score >= 0, "scores are numbers");
      const auto view = i < known.view.servers.size() ? known.view.servers[i] : std::nullopt;
      const bool in_reach = view ? !view->stuck : !was_read;
      if (server.state == State::kDisabled || !in_reach || (view && view->backup)) continue;
      sum += server.weight;
      any_sharing = any_sharing || server.state == State::kHealthy || server.state == State::kDegraded;
    }
    if (!known.decision.fallback && any_sharing && backend.scale == config::Scale::kShare)
      must(sum == 256, "shares add up to 256");
    must(controller_->report(now()).backends.size() == 1, "the report has every backend");
    must(controller_->unsettled().size() < 100, "few lines say what is missing");
    must(controller_->answer_agent("rpc/s0").line.ends_with('\n'), "an agent's answer is a line");
  }

  Choices& c_;
  /// Servers that haproxy.cfg has as backups.
  std::set<std::string> backups_;
  config::Config config_;
  std::optional<store::Recording> recording_;
  std::unique_ptr<control::Controller> controller_;
  MonoTime mono_ = 1h;
  WallTime wall_{std::chrono::seconds{1'800'000'000}};
  std::uint64_t height_ = 1000;
  std::optional<MonoTime> wake_;
  /// Names that are being looked up, by place.
  std::set<std::size_t> lookups_;
  bool finished_ = false;
  bool decided_ = false;
  std::set<TargetId> targets_;
  std::set<TargetId> removed_;
  std::set<TargetId> heads_;
  std::vector<std::pair<TargetId, Check>> checks_;
  std::map<EndpointId, Proxy> proxies_;
};

}  // namespace

/// Bytes choose a configuration, then what happens: time, answers good and bad in any order, HAProxys that change. What
/// a running agent has recorded of it replays to the same decisions and the same schedule.
void controller(std::string_view bytes) {
  Choices choices(bytes);
  const Memory kept;
  std::optional<World> world(std::in_place, choices, kept);
  world->play();
  const config::Config config = world->config();
  world.reset();
  std::istringstream in(kept.text());
  if (in.view().empty()) return;
  const auto replayed = replay::run({{"recording", in}}, config);
  must(replayed.has_value(), "what was recorded can be replayed");
  must(replayed->other == 0, "a replay decides the same");
  must(replayed->schedule.compared == replayed->schedule.turns, "a replay asks and pushes the same");
}

}  // namespace rpcw::fuzz
