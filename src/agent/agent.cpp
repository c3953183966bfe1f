#include "agent/agent.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <deque>
#include <exception>
#include <map>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <utility>

#include "base/clock.hpp"
#include "base/lifetime_guard.hpp"
#include "base/open_files.hpp"
#include "base/wait_group.hpp"
#include "haproxy/client.hpp"
#include "haproxy/discovery.hpp"
#include "observe/log.hpp"
#include "rpc/prober.hpp"

namespace rpcw {

namespace asio = boost::asio;
namespace action = control::action;
namespace news = control::event;
using std::chrono::steady_clock;

class Agent::Impl {
 public:
  Impl(asio::io_context& io, const config::Config& file, const control::Options& options, control::Legacy legacy,
       Effects effects)
      : io_(io),
        file_(file),
        runs_(options.mode == control::Mode::kRun),
        effects_(std::move(effects)),
        tls_(haproxy::tls_context(file.haproxy.tls)),
        controller_(file, options, std::move(legacy)),
        probes_(effects_.probes ? effects_.probes()
                                : std::make_unique<rpc::Prober>(io, file.probe, std::vector<rpc::Probes::Subject>{})),
        wake_(io),
        finished_(io, steady_clock::time_point::max()),
        conversations_(io.get_executor()) {
    for (const config::Endpoint& e : file.haproxy.endpoints) names_.emplace_back(e, effects_.lookup);
  }

  asio::awaitable<void> run() {
    if (stop_requested_) co_return;
    give(news::Started{});
    while (!done_) co_await finished_.async_wait(asio::as_tuple(asio::use_awaitable));
    // Look-ups and reads that are under way are of no use any more.
    for (const auto& [key, conversation] : under_way_) conversation->emit(asio::cancellation_type::terminal);
    co_await conversations_.wait();
    if (failure_) std::rethrow_exception(failure_);
  }

  void request_stop() {
    if (std::exchange(stop_requested_, true) || !started_) return;
    give(news::StopRequested{});
  }

  void abandon() {
    request_stop();
    finish();
  }

  void set_acting(bool acting) { give(news::Acting{acting}); }

  void resumed() {
    for (auto& [id, target] : targets_) {
      target.asked = false;
      target.heard = 0;
    }
    give(news::Resumed{});
  }

  std::string lacks() const {
    if (targets_.empty()) return "no server is known yet";
    const auto missing = std::ranges::find_if(targets_, [](const auto& t) { return t.second.heard < kHeard; });
    if (missing != targets_.end()) return fmt::format("{} has not been heard yet", missing->second.name);
    return controller_.decided() ? std::string{} : "a backend is not decided yet";
  }

  control::Controller& controller() { return controller_; }

 private:
  /// When this much was heard of a target, what becomes of it is known: a good answer, or so many failures.
  static constexpr unsigned kHeard = 10;

  struct Target {
    /// The index that it has in probes_.
    std::size_t subject = 0;
    /// For messages.
    std::string name;
    /// A head was asked for since it is watched or the process stood still.
    bool asked = false;
    /// What was heard of it since then. [0, kHeard]
    unsigned heard = 0;
  };

  // ---- events and actions

  /// Events are taken in order. An event that an action brings about at once waits for the actions before it.
  void give(control::Event event) {
    started_ = true;
    if (done_) return;
    events_.push_back(std::move(event));
    if (std::exchange(busy_, true)) return;
    while (!events_.empty() && !done_) {
      control::Event next = std::move(events_.front());
      events_.pop_front();
      const Now now = read_clocks();
      for (control::Observer* o : effects_.observers) o->on_event(next, now);
      const auto begun = steady_clock::now();
      std::vector<control::Action> actions = controller_.on(std::move(next), now);
      const auto took = steady_clock::now() - begun;
      for (control::Observer* o : effects_.observers) o->on_actions(actions, now, took);
      for (control::Action& a : actions)
        std::visit([this](auto&& what) { carry_out(std::forward<decltype(what)>(what)); }, std::move(a));
    }
    busy_ = false;
  }

  void finish() {
    done_ = true;
    wake_.cancel();
    finished_.cancel();
  }

  void carry_out(action::Finish&&) { finish(); }
  void carry_out(action::Log&& a) { effects_.log(a.line); }
  // For the observer alone.
  void carry_out(action::Decided&&) {}
  void carry_out(action::Repaired&&) {}
  void carry_out(action::WorkerReplaced&&) {}
  void carry_out(action::WakeAt&& a) {
    if (!a.at) {
      wake_.cancel();
      return;
    }
    wake_.expires_at(steady_clock::time_point(std::chrono::duration_cast<steady_clock::duration>(*a.at)));
    wake_.async_wait(lifetime_.guard([this] { give(news::TimeReached{}); }));
  }
  void carry_out(action::Recall&&) {
    if (effects_.recall) effects_.recall(controller_.state(), read_clocks());
    give(news::Recalled{});
  }

  // ---- checks

  void carry_out(action::ExpectFiles&& a) {
    const auto ok = ensure_open_files(a.count);
    if (ok) return;
    if (!runs_) throw std::runtime_error(ok.error());
    // With too few, checks fail; the weights of those that are known are kept all the same.
    if (warned_.insert(ok.error()).second) log::warn(ok.error());
  }
  void carry_out(action::AddTarget&& a) {
    targets_[a.target] = {.subject = probes_->add({a.config, a.canaries, a.chain}),
                          .name = fmt::format("{}/{}", a.backend, a.server.empty() ? "a reference" : a.server)};
  }
  void carry_out(action::RemoveTarget&& a) {
    probes_->remove(targets_.at(a.target).subject);
    targets_.erase(a.target);
  }
  /// The request for a name that does not resolve never leaves: the target counts as asked all the same.
  std::size_t ask_head(control::TargetId target) {
    targets_.at(target).asked = true;
    return targets_.at(target).subject;
  }
  void carry_out(action::SendHead&& a) {
    probes_->head(ask_head(a.target), head_handler(a.target), sent_handler(a.target));
  }
  void carry_out(action::SendCheck&& a) {
    probes_->check(targets_.at(a.target).subject, a.check, check_handler(a.target));
  }
  void carry_out(action::SendTogether&& a) {
    probes_->head_and_checks(ask_head(a.target), a.checks,
                             a.keep_connection ? rpc::Afterwards::kKeep : rpc::Afterwards::kClose,
                             head_handler(a.target), check_handler(a.target), sent_handler(a.target));
  }

  std::move_only_function<void(HeadObservation)> head_handler(control::TargetId target) {
    return [this, target](HeadObservation o) {
      // An answer to what was asked before the process stood still is an old one.
      if (const auto known = targets_.find(target); known != targets_.end() && known->second.asked)
        known->second.heard = std::min(known->second.heard + heard_by(o), kHeard);
      give(news::HeadAnswered{target, std::move(o)});
    };
  }
  /// How much of kHeard an answer counts for. So many failures as eject a server are enough together. One rate limit is
  /// enough: it is no failure, and the next answer may be an hour away.
  [[nodiscard]] unsigned heard_by(const HeadObservation& o) const {
    if (o.head || o.head.error().code == Reason::kRateLimited) return kHeard;
    return (kHeard + file_.probe.fall - 1) / file_.probe.fall;
  }
  std::move_only_function<void()> sent_handler(control::TargetId target) {
    return [this, target] { give(news::HeadSent{target}); };
  }
  std::move_only_function<void(Answer)> check_handler(control::TargetId target) {
    return [this, target](Answer a) { give(news::CheckAnswered{target, std::move(a)}); };
  }

  // ---- HAProxys

  void carry_out(action::OpenEndpoint&& a) {
    endpoints_.emplace(a.endpoint, effects_.haproxy ? effects_.haproxy(a.config)
                                                    : std::make_unique<haproxy::Client>(io_.get_executor(), a.config,
                                                                                        tls_, file_.haproxy.timeout));
  }
  void carry_out(action::CloseEndpoint&& a) { endpoints_.erase(a.endpoint); }
  void carry_out(action::ResolveName&& a) { converse(resolve(a.place)); }
  void carry_out(action::ReadInfo&& a) { converse(read_info(a.endpoint)); }
  void carry_out(action::ReadServers&& a) { converse(read_servers(a.endpoint, a.last)); }
  void carry_out(action::ReadLevel&& a) { converse(read_level(a.endpoint)); }
  void carry_out(action::SetWeights&& a) { converse(set_weights(a.endpoint, std::move(a.commands))); }

  void carry_out(action::ReleaseClients&& a) { converse(release_clients(a.endpoint, std::move(a.commands))); }

  /// An error that a conversation throws is a bug, unless the conversation was cancelled.
  void converse(asio::awaitable<void> conversation) {
    conversations_.expect();
    const std::uint64_t key = next_conversation_++;
    const auto& cancel = under_way_.emplace(key, std::make_unique<asio::cancellation_signal>()).first->second;
    asio::co_spawn(io_, std::move(conversation),
                   asio::bind_cancellation_slot(cancel->slot(), [this, key](const std::exception_ptr& thrown) {
                     ended(thrown);
                     // Not yet: its slot is in use until this handler returns.
                     asio::post(io_, lifetime_.guard([this, key] {
                       under_way_.erase(key);
                       conversations_.arrive();
                     }));
                   }));
  }

  void ended(const std::exception_ptr& thrown) {
    if (!thrown) return;
    try {
      std::rethrow_exception(thrown);
    } catch (const boost::system::system_error& error) {
      if (done_ && error.code() == asio::error::operation_aborted) return;
      failure_ = thrown;
    } catch (...) {
      failure_ = thrown;
    }
    finish();
  }

  asio::awaitable<void> resolve(std::size_t place) {
    auto found = co_await names_[place].find(file_.haproxy.timeout);
    give(news::NameResolved{place, std::move(found)});
  }
  asio::awaitable<void> read_info(control::EndpointId id) {
    auto info = co_await endpoints_.at(id)->info();
    give(news::InfoRead{id, std::move(info)});
  }
  asio::awaitable<void> read_servers(control::EndpointId id, const haproxy::Instance* last) {
    haproxy::Runtime& client = *endpoints_.at(id);
    const std::vector<std::string> backends = controller_.state().backend_names();
    const std::uint64_t before = client.received();
    std::expected<haproxy::Instance, haproxy::Failure> instance;
    if (last != nullptr)
      instance = co_await client.refresh(*last, backends);
    else
      instance = co_await client.read(backends);
    give(news::ServersRead{id, std::move(instance), client.received() - before});
  }
  asio::awaitable<void> read_level(control::EndpointId id) {
    std::vector<std::string> commands(1, "show cli level");
    auto replies = co_await endpoints_.at(id)->run(std::move(commands));
    if (replies)
      give(news::LevelRead{id, std::move(replies->front())});
    else
      give(news::LevelRead{id, std::unexpected(std::move(replies.error()))});
  }
  asio::awaitable<void> set_weights(control::EndpointId id, std::vector<haproxy::WeightCommand> commands) {
    auto outcomes = co_await endpoints_.at(id)->push(std::move(commands), effects_.may_push);
    // Then the rest was not sent, and no other event would say so in time.
    if (effects_.may_push && !effects_.may_push()) give(news::Acting{false});
    give(news::WeightsAnswered{id, std::move(outcomes)});
  }

  asio::awaitable<void> release_clients(control::EndpointId id, std::vector<haproxy::ReleaseCommand> commands) {
    auto replies = co_await endpoints_.at(id)->release(std::move(commands));
    give(news::ClientsReleased{id, std::move(replies)});
  }

  asio::io_context& io_;
  const config::Config& file_;
  const bool runs_;
  const Effects effects_;
  const std::shared_ptr<haproxy::TlsContext> tls_;
  control::Controller controller_;
  const std::unique_ptr<rpc::Probes> probes_;
  /// Those that are watched.
  std::map<control::TargetId, Target> targets_;
  std::map<control::EndpointId, std::unique_ptr<haproxy::Runtime>> endpoints_;
  /// By place.
  std::deque<haproxy::Discovery> names_;
  asio::steady_timer wake_;
  asio::steady_timer finished_;
  /// Exchanges and look-ups under way, to be cancelled at the end.
  std::map<std::uint64_t, std::unique_ptr<asio::cancellation_signal>> under_way_;
  std::uint64_t next_conversation_ = 0;
  WaitGroup conversations_;
  std::deque<control::Event> events_;
  bool busy_ = false;
  bool started_ = false;
  bool stop_requested_ = false;
  bool done_ = false;
  std::exception_ptr failure_;
  std::set<std::string> warned_;
  LifetimeGuard lifetime_;
};

Agent::Agent(asio::io_context& io, const config::Config& file, const control::Options& options, control::Legacy legacy,
             Effects effects)
    : impl_(std::make_unique<Impl>(io, file, options, std::move(legacy), std::move(effects))) {}
Agent::~Agent() = default;
asio::awaitable<void> Agent::run() {
  return impl_->run();
}
void Agent::request_stop() {
  impl_->request_stop();
}
void Agent::abandon() {
  impl_->abandon();
}
void Agent::set_acting(bool acting) {
  impl_->set_acting(acting);
}
void Agent::resumed() {
  impl_->resumed();
}
std::string Agent::lacks() const {
  return impl_->lacks();
}
control::Controller& Agent::controller() {
  return impl_->controller();
}

}  // namespace rpcw
