#include "agent/service.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <csignal>
#include <iterator>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <string_view>
#include <utility>
#include <vector>

#include "agent/agent.hpp"
#include "agent/agent_check_server.hpp"
#include "agent/standby_role.hpp"
#include "agent/state_keeper.hpp"
#include "agent/systemd_service.hpp"
#include "base/clock.hpp"
#include "base/text.hpp"
#include "base/version.hpp"
#include "base/wait_group.hpp"
#include "observe/log.hpp"
#include "observe/repeat_filter.hpp"
#include "observe/site.hpp"
#include "store/recording.hpp"

namespace rpcw {

namespace asio = boost::asio;

namespace {

/// How long exchanges with HAProxy that are under way may take to end after a signal.
constexpr milliseconds kGrace{700};

/// How often summaries of repeated log lines are written, and the recording: a crash may cost this much of it.
constexpr milliseconds kFlushEvery{1000};

}  // namespace

class Service::Impl {
 public:
  Impl(Options options, config::Config config)
      : options_(std::move(options)),
        config_(std::make_unique<config::Config>(std::move(config))),
        signals_(io_, SIGTERM, SIGINT, SIGHUP),
        flush_timer_(io_),
        grace_(io_),
        site_(io_),
        agent_checks_(io_.get_executor(), [this](std::string_view asked) { return answer_agent_check(asked); }),
        systemd_(io_, {.settled = [this] { return current_ != nullptr && current_->controller().unsettled().empty(); },
                       .status = [this] { return status_line(); }}),
        standby_(io_, config_->standby, options_.dry_run, standby_effects()),
        file_(io_, options_.config_file, options_.version,
              {.read = options_.read,
               .begin = [this] { systemd_.reload_begins(); },
               .take = [this](std::string why,
                              ConfigFile::Reading read) { return take(std::move(why), std::move(read)); },
               .watched = [this] { return config_->watch_config; }}) {
    if (!options_.record_file.empty())
      recording_.emplace(options_.record_file, store::RecordingLimits{}, [](const LogLine& line) { log::write(line); });
    if (!options_.state_file.empty())
      state_.emplace(io_, options_.state_file, [this]() -> const SystemState* {
        return terminating_ || current_ == nullptr ? nullptr : &current_->controller().state();
      });
  }

  std::expected<void, std::string> open_ports() { return open_ports(*config_); }

  void run() {
    asio::co_spawn(io_, take_signals(), rethrow);
    asio::co_spawn(io_, serve(), rethrow);
    asio::co_spawn(io_, flush(), rethrow);
    file_.start();
    standby_.start();
    systemd_.start();
    if (state_) state_->start();
    io_.run();
  }

 private:
  // ---- agents, one after the other

  asio::awaitable<void> serve() {
    log_process("start",
                fmt::format("rpc-weighter {} starts: {}{}", version(), counted(config_->backends.size(), "backend"),
                            options_.dry_run ? ", dry run: nothing will be sent" : ""));
    std::unique_ptr<Agent> agent = new_agent({}, false);
    show(*agent);
    while (!terminating_) {
      current_ = agent.get();
      co_await agent->run();
      current_ = nullptr;
      ++agents_ended_;
      grace_.cancel();
      if (terminating_ || !next_) break;
      // The old agent refers to its configuration to the end.
      const std::unique_ptr<config::Config> old = std::exchange(config_, std::move(next_));
      std::unique_ptr<Agent> fresh = new_agent(agent->controller().legacy(), true);
      if (recalled_) {
        fresh->controller().state().adopt(std::move(agent->controller().state()));
        if (recording_) recording_->follow(fresh->controller().state(), store::Cause::kReload);
      }
      show(*fresh);
      agent = std::move(fresh);
      current_ = agent.get();
      systemd_.reload_ended();
    }
    co_await standby_.release();
    // The loop ends in this turn, so a writing that is left behind does not find the state gone.
    if (state_) co_await state_->finish(agent->controller().state());
    if (recording_) recording_->flush();
    log_process("stop", "stopped; HAProxy keeps the last weights");
    io_.stop();
  }

  /// With what tells this process from others.
  static void log_process(std::string_view event, std::string_view message) {
    log::event(event, config::LogLevel::kInfo, message,
               {{"version", version()}, {"pid", fmt::format("{}", ::getpid())}});
  }

  /// `continues`: it takes over from another one.
  std::unique_ptr<Agent> new_agent(control::Legacy legacy, bool continues) {
    control::Options how;
    how.dry_run = options_.dry_run;
    // A dry run shows what it would set, whichever agent acts.
    how.standby = !options_.dry_run && !standby_.acts();
    how.recall = !recalled_;
    how.seed = std::random_device{}();
    Agent::Effects effects;
    effects.recall = [this](SystemState& state, Now now) {
      recalled_ = true;
      if (state_) state_->recall(state, now);
      if (recording_) recording_->follow(state, store::Cause::kStart);
    };
    effects.log = [this](const LogLine& line) { write(repeats_.pass(line, read_clocks().mono)); };
    effects.observers = {&site_};
    if (recording_) {
      recording_->controller_begins(*config_, how, continues);
      effects.observers.push_back(&*recording_);
    }
    if (standby_.shared()) effects.may_push = [this] { return standby_.acts(); };
    return std::make_unique<Agent>(io_, *config_, how, std::move(legacy), std::move(effects));
  }

  LeaseKeeper::Effects standby_effects() {
    return {.acting =
                [this](bool acting) {
                  if (current_ != nullptr) current_->set_acting(acting);
                },
            .lacks = [this] { return current_ == nullptr ? std::string("no agent runs") : current_->lacks(); },
            .resumed =
                [this] {
                  if (current_ != nullptr) current_->resumed();
                }};
  }

  // ---- what others see

  void show(Agent& agent) {
    site_.follow({.report =
                      [this, &agent](Now now) {
                        Report out = agent.controller().report(now);
                        out.standby = standby_.report();
                        return out;
                      },
                  .unsettled =
                      [&agent] {
                        std::vector<std::string> out = agent.controller().unsettled();
                        std::ranges::move(agent.controller().hindrances(), std::back_inserter(out));
                        return out;
                      }});
  }

  [[nodiscard]] std::string status_line() const {
    return current_ == nullptr ? std::string("starting")
                               : observe::status_line(current_->controller().report(read_clocks()));
  }

  /// On failure the ports are those of before.
  std::expected<void, std::string> open_ports(const config::Config& wanted) {
    if (auto opened = site_.configure(wanted.http); !opened) return opened;
    auto opened = agent_checks_.configure(wanted.agent_check);
    // A reload before this one may not be through yet.
    if (!opened) static_cast<void>(site_.configure((next_ ? *next_ : *config_).http));
    return opened;
  }

  std::string answer_agent_check(std::string_view asked) {
    constexpr std::size_t kMostTroubles = 100;
    if (current_ == nullptr || !standby_.acts()) return AgentAnswer{}.line;
    AgentAnswer answer = current_->controller().answer_agent(asked);
    if (!answer.trouble.empty() && agent_troubles_.size() < kMostTroubles &&
        agent_troubles_.insert(answer.trouble).second)
      log::warn(fmt::format("agent-check: {}; HAProxy is told to change nothing", answer.trouble));
    return std::move(answer.line);
  }

  static void write(const std::vector<LogLine>& lines) {
    for (const LogLine& line : lines) log::write(line);
  }

  asio::awaitable<void> flush() {
    for (;;) {
      flush_timer_.expires_after(kFlushEvery);
      const auto [ec] = co_await flush_timer_.async_wait(asio::as_tuple(asio::use_awaitable));
      if (ec) co_return;
      write(repeats_.due(read_clocks().mono));
      if (recording_) recording_->flush();
    }
  }

  // ---- signals and reloads

  asio::awaitable<void> take_signals() {
    for (;;) {
      const auto [ec, number] = co_await signals_.async_wait(asio::as_tuple(asio::use_awaitable));
      if (ec) co_return;
      if (number == SIGHUP)
        reload();
      else if (std::exchange(terminating_, true))
        hurry();
      else
        terminate(number);
    }
  }

  void terminate(int signal) {
    log::info(fmt::format("{}: stopping", signal == SIGINT ? "SIGINT" : "SIGTERM"));
    file_.stop();
    systemd_.stopping();
    stop_agent();
  }

  /// Ends the agent, for good or for the next one. A HAProxy that does not answer must delay neither: the others'
  /// weights would stay as they are meanwhile.
  void stop_agent() {
    if (current_ == nullptr) return;
    current_->request_stop();
    grace_.expires_after(kGrace);
    grace_.async_wait([this, ended = agents_ended_](boost::system::error_code error) {
      if (error || current_ == nullptr || agents_ended_ != ended) return;
      log::warn("HAProxy has not answered; not waiting for it any longer");
      current_->abandon();
    });
  }

  /// The second signal to end.
  void hurry() {
    if (current_ != nullptr)
      current_->abandon();
    else if (state_)
      state_->abandon();
  }

  /// Does nothing before the first agent runs: the file has just been read.
  void reload() {
    if (current_ != nullptr) file_.read("SIGHUP");
  }

  asio::awaitable<void> take(std::string why, ConfigFile::Reading read) {
    std::optional<config::Config> loaded = read();
    std::string trouble = loaded ? std::string{} : "is not usable";
    if (loaded) {
      const std::expected<void, std::string> ready = co_await standby_.prepare(loaded->standby);
      if (terminating_) co_return;
      if (!ready) {
        log::error(ready.error());
        trouble = "asks for a [standby] that cannot be had";
      } else if (const auto listening = open_ports(*loaded); !listening) {
        log::error(listening.error());
        trouble = "asks for a port that cannot be used";
      }
    }
    if (trouble.empty())
      standby_.take(loaded->standby);
    else
      co_await standby_.leave();
    site_.config_reloaded(trouble.empty(), read_clocks().wall);
    if (!trouble.empty()) {
      log::event(
          "config_refused", config::LogLevel::kError,
          fmt::format("{}: {} {}; going on with the configuration as it was", why, options_.config_file, trouble));
      systemd_.reload_ended();
      co_return;
    }
    log::configure(loaded->log);
    log::event("config_reloaded", config::LogLevel::kInfo,
               fmt::format("{}: {} was read again", why, options_.config_file));
    next_ = std::make_unique<config::Config>(std::move(*loaded));
    stop_agent();
  }

  const Options options_;
  asio::io_context io_{1};
  /// By pointer: the agent refers to it while the next one is being prepared.
  std::unique_ptr<config::Config> config_;
  std::unique_ptr<config::Config> next_;
  asio::signal_set signals_;
  asio::steady_timer flush_timer_;
  asio::steady_timer grace_;
  std::optional<StateKeeper> state_;
  std::optional<store::Recording> recording_;
  observe::Site site_;
  AgentCheckServer agent_checks_;
  /// Why agent-checks were answered with no change, as logged.
  std::set<std::string> agent_troubles_;
  observe::RepeatFilter repeats_;
  SystemdService systemd_;
  StandbyRole standby_;
  ConfigFile file_;
  /// nullptr: between two agents, and at the end.
  Agent* current_ = nullptr;
  std::size_t agents_ended_ = 0;
  /// The state holds what an earlier process has known.
  bool recalled_ = false;
  bool terminating_ = false;
};

Service::Service(Options options, config::Config config)
    : impl_(std::make_unique<Impl>(std::move(options), std::move(config))) {}
Service::~Service() = default;
std::expected<void, std::string> Service::open_ports() {
  return impl_->open_ports();
}
void Service::run() {
  impl_->run();
}

}  // namespace rpcw
