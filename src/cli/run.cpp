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
#include <cstdint>
#include <cstdio>
#include <expected>
#include <filesystem>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "agent/agent.hpp"
#include "agent/agent_check_server.hpp"
#include "agent/lease_keeper.hpp"
#include "base/clock.hpp"
#include "base/off_loop.hpp"
#include "base/read_file.hpp"
#include "base/version.hpp"
#include "base/wait_group.hpp"
#include "cli/cli.hpp"
#include "cli/load.hpp"
#include "config/document.hpp"
#include "observe/log.hpp"
#include "observe/repeat_filter.hpp"
#include "observe/sd_notify.hpp"
#include "observe/site.hpp"
#include "store/recording.hpp"
#include "store/state_file.hpp"

namespace rpcw::cli {
namespace {

namespace asio = boost::asio;

/// How often a file with `watch_config` is looked at. Not by inotify: a Kubernetes ConfigMap changes by a link that is
/// swapped two folders away.
constexpr milliseconds kFileWatch{1000};

/// How long exchanges with HAProxy that are under way may take to end after a signal.
constexpr milliseconds kGrace{700};

/// How long the last writing of the state file may take after that. A disk that takes longer may never answer.
constexpr milliseconds kDiskGrace{3000};

/// How long giving the lease back may take. Without it another agent waits until the lease is over.
constexpr milliseconds kLeaseGrace{1000};

/// How often the file of `--state` is written at the most. What a crash loses of the history is no longer than this.
constexpr milliseconds kKeepEvery{3000};
/// How often systemd is told how the service is, and how often it is looked at before it is ready.
constexpr milliseconds kTend{1000};
constexpr milliseconds kTendStart{50};

/// How much of a recording a crash may cost.
constexpr milliseconds kFlush{1000};

/// Tells one version of a file from another. A file that cannot be read has one too, by what is wrong with it, so that
/// it is told; nullopt: there is none, as between the two steps of replacing it.
std::optional<std::size_t> file_version(const std::string& path) {
  const auto text = read_regular_file(path, config::kMostTextBytes);
  if (!text) return std::hash<std::string>{}(text.error());
  return *text ? std::optional(std::hash<std::string>{}(**text)) : std::nullopt;
}

class Runner {
 public:
  Runner(const Options& options, config::Config config)
      : options_(options),
        config_(std::make_unique<config::Config>(std::move(config))),
        signals_(io_, SIGTERM, SIGINT, SIGHUP),
        file_timer_(io_),
        flush_timer_(io_),
        grace_(io_),
        keep_timer_(io_),
        writing_(io_.get_executor()),
        site_(io_) {
    if (!options.record_file.empty())
      recording_.emplace(options.record_file, store::RecordingLimits{}, [](const LogLine& line) { log::write(line); });
    if (!options.state_file.empty()) state_.emplace(options.state_file);
    if (config_->standby.on()) lease_ = std::make_unique<LeaseKeeper>(io_, config_->standby, lease_effects());
  }

  /// Precedes `run`. The error is a sentence.
  std::expected<void, std::string> open_ports() { return open_ports(*config_); }

  int run() {
    asio::co_spawn(io_, listen(), rethrow);
    asio::co_spawn(io_, watch_file(), rethrow);
    asio::co_spawn(io_, serve(), rethrow);
    asio::co_spawn(io_, tend_service(), rethrow);
    if (lease_) lease_->start();
    if (const auto every = service_.watchdog_interval()) asio::co_spawn(io_, feed_watchdog(*every), rethrow);
    if (state_) asio::co_spawn(io_, keep_state(), rethrow);
    if (recording_) asio::co_spawn(io_, flush_recording(), rethrow);
    io_.run();
    return kDone;
  }

 private:
  asio::awaitable<void> serve() {
    log::event("start", config::LogLevel::kInfo,
               fmt::format("rpc-weighter {} starts: {} backend{}{}", version(), config_->backends.size(),
                           config_->backends.size() == 1 ? "" : "s",
                           options_.dry_run ? ", dry run: nothing will be sent" : ""),
               {{"version", version()}, {"pid", fmt::format("{}", ::getpid())}});
    std::unique_ptr<Agent> agent = new_agent({}, false);
    show(*agent);
    while (!terminating_) {
      current_ = agent.get();
      co_await agent->run();
      current_ = nullptr;
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
      reload_ended();
    }
    // HAProxy has the last weights, so another agent may go on from them at once.
    if (lease_) co_await lease_->release(kLeaseGrace);
    if (joining_) co_await joining_->release(kLeaseGrace);
    if (state_) {
      disk_timer_.expires_after(kDiskGrace);
      disk_timer_.async_wait([this](boost::system::error_code error) {
        if (!error) leave_disk();
      });
      co_await writing_.wait();
      const SystemState& state = agent->controller().state();
      if (worth_keeping(state)) tell(co_await write_state(state));
      disk_timer_.cancel();
    }
    if (recording_) recording_->flush();
    log_stop();
    io_.stop();
  }

  static void log_stop() { log::event("stop", config::LogLevel::kInfo, "stopped; HAProxy keeps the last weights"); }

  /// `continues`: it takes over from another one.
  std::unique_ptr<Agent> new_agent(control::Legacy legacy, bool continues) {
    control::Options how;
    how.dry_run = options_.dry_run;
    how.standby = lease_ && !lease_->holds();
    how.recall = !recalled_;
    how.seed = std::random_device{}();
    Agent::Effects effects;
    effects.recall = [this](SystemState& state, Now now) {
      recalled_ = true;
      if (state_)
        if (const auto warning = state_->load(state, now)) log::warn(*warning);
      if (recording_) recording_->follow(state, store::Cause::kStart);
    };
    effects.log = [this](const LogLine& line) { write(repeats_.pass(line, read_clocks().mono)); };
    effects.observers = {&site_};
    if (recording_) {
      recording_->controller_begins(*config_, how, continues);
      effects.observers.push_back(&*recording_);
    }
    if (lease_) effects.may_push = [this] { return lease_->holds(); };
    return std::make_unique<Agent>(io_, *config_, how, std::move(legacy), std::move(effects));
  }

  LeaseKeeper::Effects lease_effects() {
    return {.acting =
                [this](bool acting) {
                  if (current_ != nullptr) current_->set_acting(acting);
                },
            // An agent that was alone has acted on its view, whatever that is.
            .warm = [this] { return lease_ == nullptr || (current_ != nullptr && current_->warm()); },
            .resumed =
                [this] {
                  if (current_ != nullptr) current_->resumed();
                }};
  }

  static void write(const std::vector<LogLine>& lines) {
    for (const LogLine& line : lines) log::write(line);
  }

  /// On failure the ports are those of before.
  std::expected<void, std::string> open_ports(const config::Config& wanted) {
    if (auto opened = site_.configure(wanted.http); !opened) return opened;
    auto opened = agent_checks_.configure(wanted.agent_check);
    // A reload before this one may not be through yet.
    if (!opened) static_cast<void>(site_.configure((next_ ? *next_ : *config_).http));
    return opened;
  }

  std::string answer_agent(std::string_view asked) {
    constexpr std::size_t kMostTroubles = 100;
    if (current_ == nullptr || (lease_ && !lease_->holds())) return AgentAnswer{}.line;
    AgentAnswer answer = current_->controller().answer_agent(asked);
    if (!answer.trouble.empty() && agent_troubles_.size() < kMostTroubles &&
        agent_troubles_.insert(answer.trouble).second)
      log::warn(fmt::format("agent-check: {}; HAProxy is told to change nothing", answer.trouble));
    return std::move(answer.line);
  }

  // ---- systemd

  /// Says that the service is ready once its first weights are in HAProxy, and how it is from then on.
  asio::awaitable<void> tend_service() {
    for (;;) {
      tend_timer_.expires_after(service_ready_ ? kTend : kTendStart);
      const auto [ec] = co_await tend_timer_.async_wait(asio::as_tuple(asio::use_awaitable));
      if (ec) co_return;
      write(repeats_.due(read_clocks().mono));
      if (current_ == nullptr || terminating_) continue;
      if (service_ready_) {
        service_.status(status_line());
      } else if (current_->controller().unsettled().empty()) {
        service_ready_ = true;
        service_.ready(status_line());
      }
    }
  }

  asio::awaitable<void> feed_watchdog(std::chrono::microseconds every) {
    for (;;) {
      service_.watchdog();
      watchdog_timer_.expires_after(every);
      const auto [ec] = co_await watchdog_timer_.async_wait(asio::as_tuple(asio::use_awaitable));
      if (ec) co_return;
    }
  }

  /// Before the first readiness `tend_service` says so in time.
  void reload_ended() const {
    if (service_ready_) service_.ready(status_line());
  }

  [[nodiscard]] std::string status_line() const {
    return current_ == nullptr ? std::string("starting")
                               : observe::status_line(current_->controller().report(read_clocks()));
  }

  void show(Agent& agent) {
    site_.follow({.report =
                      [this, &agent](Now now) {
                        Report out = agent.controller().report(now);
                        if (lease_) out.standby = lease_->report();
                        return out;
                      },
                  .unsettled = [&agent] { return agent.controller().unsettled(); }});
  }

  // ---- the state file

  bool worth_keeping(const SystemState& state) const {
    return recalled_ && !state.cold() && state.changes() != kept_changes_;
  }

  /// The disk may be slow: only the text is made here, and another thread writes it.
  asio::awaitable<std::expected<void, std::string>> write_state(const SystemState& state) {
    auto work = [file = *state_, text = state_->text(state, read_clocks())] { return file.write(text); };
    co_return co_await off_loop_.run(std::move(work));
  }

  asio::awaitable<void> keep_state() {
    for (;;) {
      keep_timer_.expires_after(kKeepEvery);
      const auto [ec] = co_await keep_timer_.async_wait(asio::as_tuple(asio::use_awaitable));
      if (ec) co_return;
      if (terminating_ || current_ == nullptr || !worth_keeping(current_->controller().state())) continue;
      const std::uint64_t changes = current_->controller().state().changes();
      writing_.expect();
      const std::expected<void, std::string> written = co_await write_state(current_->controller().state());
      tell(written);
      if (written) kept_changes_ = changes;
      writing_.arrive();
    }
  }

  /// The disk hangs while the program is to end.
  void leave_disk() {
    log::warn(
        fmt::format("state file {}: the disk does not answer; not waiting for it any longer", options_.state_file));
    log_stop();
    io_.stop();
  }

  /// Each kind of trouble once, not every few seconds.
  void tell(const std::expected<void, std::string>& written) {
    if (written && !std::exchange(state_trouble_, {}).empty())
      log::info(fmt::format("state file {}: is written again", options_.state_file));
    if (written || state_trouble_ == written.error()) return;
    state_trouble_ = written.error();
    log::warn(fmt::format("{}; the history is kept in memory alone", state_trouble_));
  }

  asio::awaitable<void> listen() {
    for (;;) {
      const auto [ec, number] = co_await signals_.async_wait(asio::as_tuple(asio::use_awaitable));
      if (ec) co_return;
      if (number == SIGHUP) {
        reload("SIGHUP");
        continue;
      }
      if (std::exchange(terminating_, true)) {  // asked twice
        if (current_ != nullptr)
          current_->abandon();
        else if (state_)
          leave_disk();
        continue;
      }
      log::info(fmt::format("{}: stopping", number == SIGINT ? "SIGINT" : "SIGTERM"));
      service_.stopping();
      if (current_ != nullptr) current_->request_stop();
      grace_.expires_after(kGrace);
      grace_.async_wait([this](boost::system::error_code error) {
        if (error || current_ == nullptr) return;
        log::warn("HAProxy has not answered; not waiting for it any longer");
        current_->abandon();
      });
    }
  }

  void reload(std::string_view why) {
    if (terminating_ || current_ == nullptr) return;
    again_ = why;
    if (!std::exchange(reading_, true)) asio::co_spawn(io_, read_again(), rethrow);
  }

  /// Reads the file as often as it was asked for while it was being read, and one reading at a time: on a disk that
  /// hangs, one thread does.
  asio::awaitable<void> read_again() {
    service_.reloading();
    while (!again_.empty() && !terminating_) {
      const std::string why = std::exchange(again_, {});
      auto work = [options = options_] {
        // Before the reading: what changes between them is read again.
        const std::optional<std::size_t> version = file_version(options.config_file);
        return std::pair(version, read_config(options, Needs::kRun));
      };
      auto found = co_await off_loop_.run(std::move(work));
      known_version_ = found.first;
      if (!terminating_) co_await take(why, std::move(found.second));
    }
    reading_ = false;
  }

  asio::awaitable<void> take(std::string why, Reading reading) {
    auto loaded = take_config(std::move(reading), Needs::kRun, FindingsTo::kLog);
    std::string trouble = loaded ? std::string{} : "is not usable";
    if (loaded) {
      const std::expected<void, std::string> standing_by = co_await join(loaded->standby);
      if (terminating_) co_return;
      if (!standing_by) {
        log::error(standing_by.error());
        trouble = "asks for a [standby] that cannot be had";
      } else if (const auto listening = open_ports(*loaded); !listening) {
        log::error(listening.error());
        trouble = "asks for a port that cannot be used";
      }
    }
    if (joining_ && !trouble.empty()) co_await joining_->release(kLeaseGrace);
    if (joining_ && trouble.empty()) lease_ = std::move(joining_);
    joining_.reset();
    site_.config_reloaded(trouble.empty(), read_clocks().wall);
    if (!trouble.empty()) {
      log::event(
          "config_refused", config::LogLevel::kError,
          fmt::format("{}: {} {}; going on with the configuration as it was", why, options_.config_file, trouble));
      reload_ended();
      co_return;
    }
    log::event("config_reloaded", config::LogLevel::kInfo,
               fmt::format("{}: {} was read again", why, options_.config_file));
    if (lease_) lease_->use_account(loaded->standby.account);
    next_ = std::make_unique<config::Config>(std::move(*loaded));
    if (current_ != nullptr) current_->request_stop();
  }

  /// What has to be true of the Lease before a configuration with this [standby] is taken. One Lease is never left for
  /// another, or for none: agents that have not read the file yet go by the old one. The error is a sentence.
  asio::awaitable<std::expected<void, std::string>> join(config::Standby wanted) {
    if (lease_) {
      const config::Standby& now = lease_->standby();
      if (wanted.on() && wanted.text() == now.text() && wanted.api == now.api)
        co_return std::expected<void, std::string>{};
      co_return std::unexpected(fmt::format(
          "standby.lease: {} cannot be {} while the agent runs, since agents that go by it would set weights as well; "
          "end all agents but this one, then restart it",
          now.text(), wanted.on() ? "changed to another Lease or API server" : "turned off"));
    }
    if (!wanted.on()) co_return std::expected<void, std::string>{};
    joining_ = std::make_unique<LeaseKeeper>(io_, wanted, lease_effects(), true);
    joining_->start();
    // Until then this agent sets weights as before, so that a Lease that cannot be had leaves HAProxy to it.
    if (co_await joining_->joined()) co_return std::expected<void, std::string>{};
    const std::string why = joining_->report().error;
    co_return std::unexpected(
        fmt::format("standby.lease {}: the holder is not known{}{}", wanted.text(), why.empty() ? "" : ": ", why));
  }

  asio::awaitable<void> flush_recording() {
    for (;;) {
      flush_timer_.expires_after(kFlush);
      const auto [ec] = co_await flush_timer_.async_wait(asio::as_tuple(asio::use_awaitable));
      if (ec) co_return;
      recording_->flush();
    }
  }

  asio::awaitable<void> watch_file() {
    for (;;) {
      file_timer_.expires_after(kFileWatch);
      const auto [ec] = co_await file_timer_.async_wait(asio::as_tuple(asio::use_awaitable));
      if (ec) co_return;
      if (!config_->watch_config || reading_) continue;
      auto work = [path = options_.config_file] { return file_version(path); };
      const std::optional<std::size_t> found = co_await off_loop_.run(std::move(work));
      // A file that is missing is one that is just being replaced.
      if (!found || found == known_version_) continue;
      reload("watch_config");
    }
  }

  const Options& options_;
  asio::io_context io_{1};
  /// By pointer: the agent refers to it while the next one is being prepared.
  std::unique_ptr<config::Config> config_;
  std::unique_ptr<config::Config> next_;
  /// Of the file as it was last read.
  std::optional<std::size_t> known_version_ = file_version(options_.config_file);
  /// Why the file is to be read, or read again; empty: it is not.
  std::string again_;
  bool reading_ = false;
  asio::signal_set signals_;
  asio::steady_timer file_timer_;
  asio::steady_timer flush_timer_;
  asio::steady_timer grace_;
  std::optional<store::StateFile> state_;
  asio::steady_timer keep_timer_;
  /// One write is under way at a time.
  WaitGroup writing_;
  /// SystemState::changes as last written.
  std::uint64_t kept_changes_ = 0;
  /// Why the file could not be written the last time; empty: it could.
  std::string state_trouble_;
  asio::steady_timer disk_timer_{io_};
  OffLoop off_loop_{io_.get_executor()};
  std::optional<store::Recording> recording_;
  observe::Site site_;
  AgentCheckServer agent_checks_{io_.get_executor(), [this](std::string_view asked) { return answer_agent(asked); }};
  /// What agent-checks asked in vain, as logged.
  std::set<std::string> agent_troubles_;
  observe::RepeatFilter repeats_;
  observe::SdNotify service_;
  bool service_ready_ = false;
  /// nullopt: this agent is alone.
  std::unique_ptr<LeaseKeeper> lease_;
  /// While a file that turns [standby] on is being taken.
  std::unique_ptr<LeaseKeeper> joining_;
  asio::steady_timer tend_timer_{io_};
  asio::steady_timer watchdog_timer_{io_};
  Agent* current_ = nullptr;
  /// The state holds what an earlier process has known.
  bool recalled_ = false;
  bool terminating_ = false;
};

}  // namespace

int command_run(const Options& options) {
  auto config = load_config(options, Needs::kRun, FindingsTo::kStart);
  if (!config) return config.error();
  Runner runner(options, std::move(*config));
  if (const auto opened = runner.open_ports(); !opened) {
    std::fprintf(stderr, "%s\n", opened.error().c_str());
    return kOwnError;
  }
  return runner.run();
}

}  // namespace rpcw::cli
