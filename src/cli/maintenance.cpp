// drain and ready: the administrative state of HAProxy's servers.
#include "weighter/plan/maintenance.hpp"

#include <fmt/format.h>
#include <rapidjson/document.h>

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <functional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "agent/haproxys.hpp"
#include "base/json_parse.hpp"
#include "cli/ask_agent.hpp"
#include "cli/cli.hpp"
#include "cli/haproxy_command.hpp"
#include "cli/load.hpp"
#include "cli/print.hpp"
#include "config/quantity.hpp"
#include "haproxy/protocol.hpp"
#include "observe/report_json.hpp"
#include "weighter/state/haproxy_view.hpp"

namespace rpcw::cli {
namespace {

namespace asio = boost::asio;
using std::chrono::steady_clock;

/// How often `--wait` reads HAProxy: a person does not notice it, and HAProxy answers in a few milliseconds.
constexpr std::chrono::milliseconds kPoll{250};

std::string sessions_text(std::uint64_t count) {
  return count == 0   ? "no session is open"
         : count == 1 ? "1 session is open"
                      : fmt::format("{} sessions are open", count);
}

/// Servers of a backend in a running agent's report; empty: it has none, or no agent was reached.
struct AgentView {
  using Names = std::set<std::string, std::less<>>;
  Names managed;
  Names healthy;
  /// It sets weights: it is no dry run, does not stand by, and no HAProxy has refused it one or is out of its reach.
  bool acts = false;
};

bool acts(const rapidjson::Value& report) {
  const auto said = [](const rapidjson::Value& in, const char* name) {
    const auto it = in.FindMember(name);
    return it == in.MemberEnd() ? nullptr : &it->value;
  };
  const rapidjson::Value* dry = said(report, "dry_run");
  if (dry != nullptr && dry->IsTrue()) return false;
  const rapidjson::Value* standby = said(report, "standby");
  if (standby != nullptr && standby->IsObject()) {
    const rapidjson::Value* active = said(*standby, "acts");
    if (active == nullptr || !active->IsTrue()) return false;
  }
  const rapidjson::Value* haproxys = observe::list(report, "haproxy");
  return haproxys != nullptr && std::ranges::all_of(haproxys->GetArray(), [&](const rapidjson::Value& h) {
           const rapidjson::Value* error = h.IsObject() ? said(h, "error") : nullptr;
           return error == nullptr || error->IsNull();
         });
}

AgentView ask_view(const MaintenanceOptions& options, const std::string& backend) {
  constexpr std::chrono::milliseconds kPatience{2000};
  AgentOptions where;
  where.config_file = options.common.config_file;
  const auto agent = agent_address(where);
  if (!agent) return {};
  const auto answer = ask_agent(*agent, "/api/v1/status?backend=" + backend, kPatience);
  if (!answer || answer->status != 200) return {};
  rapidjson::Document report;
  AgentView out;
  // Something else may listen there.
  if (parse_json(answer->body, report).IsError()) return out;
  const rapidjson::Value* backends = observe::list(report, "backends");
  const rapidjson::Value* known = backends != nullptr ? observe::named(*backends, backend) : nullptr;
  const rapidjson::Value* servers = known != nullptr ? observe::list(*known, "servers") : nullptr;
  if (servers == nullptr) return out;
  out.acts = acts(report);
  for (const rapidjson::Value& s : servers->GetArray()) {
    const std::string name(observe::text(s, "name"));
    out.managed.insert(name);
    if (observe::text(s, "state") == "healthy") out.healthy.insert(name);
  }
  return out;
}

/// One operator's command at all HAProxys of a configuration.
class Maintenance {
 public:
  Maintenance(asio::io_context& io, const config::Config& config, const MaintenanceOptions& options, Place place)
      : io_(io), config_(config), options_(options), place_(std::move(place)), backends_{place_.backend} {}

  asio::awaitable<ExitCode> drain() {
    co_await reach();
    if (!plan()) co_return worse(kUsage, result_);
    const std::function<asio::awaitable<void>(Haproxy&)> one = [this](Haproxy& h) { return drain_at(h); };
    co_await for_each(io_, haproxys_.reached, one);
    if (options_.wait.count() > 0 && !options_.common.dry_run) co_await wait_for_sessions();
    co_return result_;
  }

  asio::awaitable<ExitCode> ready() {
    co_await reach();
    agent_ = ask_view(options_, place_.backend);
    const std::function<asio::awaitable<void>(Haproxy&)> one = [this](Haproxy& h) { return ready_at(h); };
    co_await for_each(io_, haproxys_.reached, one);
    co_return result_;
  }

 private:
  asio::awaitable<void> reach() {
    haproxys_ = co_await reach_haproxys(io_, config_.haproxy, backends_);
    for (const std::string& why : haproxys_.failures) fail(why);
  }

  void fail(std::string_view why) {
    complain(why);
    result_ = worse(result_, kHaproxy);
  }
  void fail_at(const Haproxy& h, std::string_view why) { fail(fmt::format("{}: {}", h.name(), why)); }
  void say(const Haproxy& h, std::string_view what) {
    print(fmt::format("{}: {} {}\n", h.name(), place_.text(), what));
  }

  /// The server's row now; nullptr after it has said why there is none.
  const haproxy::ServerRow* row_at(const Haproxy& h) {
    std::string why;
    const haproxy::ServerRow* row = find_server(h.instance, place_.backend, place_.server, why);
    if (row == nullptr) fail_at(h, why);
    return row;
  }

  DrainPlan plan_at(const Haproxy& h) const {
    return plan_drain(h.instance, place_.backend, place_.server, agent_.healthy);
  }

  /// Whether the server may be drained. All HAProxys are asked before anything is sent to one of them.
  bool plan() {
    const auto last = [this](const Haproxy& h) { return plan_at(h).kind == DrainPlan::Kind::kLast; };
    if (std::ranges::any_of(haproxys_.reached, last)) agent_ = ask_view(options_, place_.backend);
    bool may = true;
    for (const Haproxy& h : haproxys_.reached) {
      const DrainPlan found = plan_at(h);
      if (found.kind != DrainPlan::Kind::kLast) continue;
      complain(fmt::format("{}: {}{}", h.name(), found.why, options_.force ? "" : "; --force drains it all the same"));
      may = may && options_.force;
    }
    if (!may) complain("nothing was sent");
    return may;
  }

  asio::awaitable<void> drain_at(Haproxy& h) {
    const DrainPlan plan = plan_at(h);
    if (plan.kind == DrainPlan::Kind::kUnknown) {
      fail_at(h, plan.why);
      co_return;
    }
    if (plan.kind == DrainPlan::Kind::kOut) {
      drained_.insert(&h);
      tell_out(h, "is already in");
      co_return;
    }
    std::vector<std::string> commands;
    if (!plan.successor.empty()) commands.push_back(give_weight(h, plan.successor));
    commands.push_back(haproxy::set_state_command(place_.backend, place_.server, true));
    if (!co_await send(h, std::move(commands))) co_return;
    if (options_.force || serving(h)) {
      drained_.insert(&h);
      tell_out(h, "is in");
      co_return;
    }
    // Another operator's command has crossed this one. Either way round, a server is back before both have ended.
    std::vector<std::string> undo;
    undo.push_back(haproxy::set_state_command(place_.backend, place_.server, false));
    if (co_await send(h, std::move(undo)))
      fail_at(h, fmt::format("{} was put back: the other servers of the backend stopped serving at the same time",
                             place_.text()));
  }

  asio::awaitable<void> ready_at(Haproxy& h) {
    const haproxy::ServerRow* before = row_at(h);
    if (before == nullptr) co_return;
    std::vector<std::string> commands;
    // HAProxy would give it its old weight at once, whether or not its node has caught up. The agent knows that, and
    // brings it back by its ramp.
    if (before->forced_off() && serving(h) && agent_gives_weights())
      commands.push_back(haproxy::set_weight_command(place_.backend, place_.server, 0));
    commands.push_back(haproxy::set_state_command(place_.backend, place_.server, false));
    if (!co_await send(h, std::move(commands))) co_return;
    const haproxy::ServerRow* row = row_at(h);
    if (row == nullptr) co_return;
    if (row->forced_off())
      say(h, "is ready, but stays out: its name has no address, or the server that it tracks is out");
    else
      say(h, row->uweight > 0        ? fmt::format("is ready, weight {}", row->uweight)
             : agent_gives_weights() ? "is ready; the agent gives it a weight when it is healthy"
                                     : "is ready, but its weight is 0, and no agent was found that would give it one");
  }

  [[nodiscard]] bool agent_gives_weights() const { return agent_.acts && agent_.managed.contains(place_.server); }

  /// Weight enough to serve. A static algorithm takes only its configured weight, which is given where there is one.
  std::string give_weight(const Haproxy& h, const std::string& server) const {
    const haproxy::ServerRow* row = h.instance.server(place_.backend, server);
    if (row->iweight.value_or(0) > 0) return haproxy::set_weight_percent_command(place_.backend, server, 100);
    return haproxy::set_weight_command(place_.backend, server, 256);
  }

  /// Sends them over one connection and reads HAProxy again. False: it was a dry run, or it failed and that was told.
  asio::awaitable<bool> send(Haproxy& h, std::vector<std::string> commands) {
    if (options_.common.dry_run) {
      for (const std::string& text : commands) print(fmt::format("{}: would send: {}\n", h.name(), text));
      co_await check_level(h);
      co_return false;
    }
    const auto replies = co_await h.client->run(std::move(commands));
    if (!replies) {
      fail(replies.error().detail);
      co_return false;
    }
    for (const std::string& reply : *replies) {
      if (reply.empty()) continue;
      fail_at(h, fmt::format("HAProxy refused: {}", haproxy::classify_set_weight(reply).words));
      co_return false;
    }
    co_return co_await read(h);
  }

  /// A dry run sends nothing that could be refused, so it asks whether the socket may.
  asio::awaitable<void> check_level(Haproxy& h) {
    std::vector<std::string> ask(1, "show cli level");
    const auto replies = co_await h.client->run(std::move(ask));
    if (!replies)
      fail(replies.error().detail);
    else if (replies->front() != "admin")
      fail_at(h, fmt::format("the socket's level is `{}`: these commands need `level admin`",
                             haproxy::presentable(replies->front())));
  }

  /// False: it failed, and that was told.
  asio::awaitable<bool> read(Haproxy& h) {
    auto instance = co_await h.client->read(backends_);
    if (!instance) {
      fail(instance.error().detail);
      co_return false;
    }
    h.instance = std::move(*instance);
    co_return true;
  }

  [[nodiscard]] bool serving(const Haproxy& h) const {
    const haproxy::BackendRow* row = h.instance.backend(place_.backend);
    return row != nullptr && std::ranges::any_of(row->servers, serves);
  }

  void tell_out(const Haproxy& h, std::string_view is) {
    const haproxy::ServerRow* row = row_at(h);
    if (row == nullptr) return;
    say(h, fmt::format("{} {}, {}", is, admin_state_text(*row), sessions_text(row->counters.scur.value_or(0))));
  }

  /// At those that have drained it.
  asio::awaitable<void> wait_for_sessions() {
    const auto deadline = steady_clock::now() + options_.wait;
    asio::steady_timer pause(io_);
    while (true) {
      std::uint64_t open = 0;
      for (const Haproxy& h : haproxys_.reached) {
        std::string why;
        const haproxy::ServerRow* row = find_server(h.instance, place_.backend, place_.server, why);
        if (row != nullptr && drained_.contains(&h)) open += row->counters.scur.value_or(0);
      }
      if (open == 0) {
        if (result_ == kDone) print(fmt::format("{}: no session is open\n", place_.text()));
        co_return;
      }
      if (steady_clock::now() >= deadline) {
        complain(fmt::format("{}: {} still open after {}", place_.text(),
                             open == 1 ? "1 session is" : fmt::format("{} sessions are", open),
                             config::duration_text(options_.wait)));
        result_ = worse(result_, kUnhealthy);
        co_return;
      }
      pause.expires_at(std::min(deadline, steady_clock::now() + kPoll));
      co_await pause.async_wait(asio::as_tuple(asio::use_awaitable));
      for (Haproxy& h : haproxys_.reached) {
        if (!drained_.contains(&h)) continue;
        if (!co_await read(h)) {
          drained_.erase(&h);
          continue;
        }
        const haproxy::ServerRow* row = row_at(h);
        if (row != nullptr && row->forced_off()) continue;
        if (row != nullptr)
          fail_at(h, fmt::format("{} is no longer drained: HAProxy was reloaded, or another operator put it back",
                                 place_.text()));
        drained_.erase(&h);
      }
    }
  }

  asio::io_context& io_;
  const config::Config& config_;
  const MaintenanceOptions& options_;
  const Place place_;
  const std::vector<std::string> backends_;
  Haproxys haproxys_;
  AgentView agent_;
  /// Where the server is out, by this command or before it.
  std::set<const Haproxy*> drained_;
  ExitCode result_ = kDone;
};

using Work = asio::awaitable<ExitCode> (Maintenance::*)();

int act(const MaintenanceOptions& options, Work work) {
  const auto place = place_of(options.place, false);
  if (!place) {
    complain(place.error());
    return kUsage;
  }
  const auto config = load_config(options.common, Needs::kEndpoints);
  if (!config) return config.error();
  return in_loop([&](asio::io_context& io) -> asio::awaitable<ExitCode> {
    Maintenance all(io, *config, options, *place);
    co_return co_await (all.*work)();
  });
}

}  // namespace

int command_drain(const MaintenanceOptions& options) {
  return act(options, &Maintenance::drain);
}

int command_ready(const MaintenanceOptions& options) {
  return act(options, &Maintenance::ready);
}

}  // namespace rpcw::cli
