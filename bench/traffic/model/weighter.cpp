#include "traffic/model/weighter.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>
#include <string>
#include <variant>

#include "config/load.hpp"
#include "weighter/strategy/strategy.hpp"

namespace rpcw::bench::model {
namespace {

/// From a command to HAProxy's answer.
constexpr double kExchange = 0.002;
/// Of a reply to `show stat` for five servers: far below what a read may cost.
constexpr std::uint64_t kReplyBytes = 2'000;

std::optional<ProbeFailure> failure_of(const Outcome& outcome, double timeout) {
  if (outcome.seconds >= timeout) return ProbeFailure{Reason::kTimeout, "no answer", {}};
  switch (outcome.kind) {
    case Outcome::Kind::kStatus:
      return ProbeFailure{Reason::kHttpStatus, "HTTP 500", {}};
    case Outcome::Kind::kError:
      return ProbeFailure{Reason::kRpcError, "an error", {}};
    case Outcome::Kind::kLimited:
      return ProbeFailure{Reason::kRateLimited, "HTTP 429", {}};
    case Outcome::Kind::kRefused:
      return ProbeFailure{Reason::kConnectFailed, "refused", {}};
    case Outcome::Kind::kResult:
    case Outcome::Kind::kSilence:
      break;
  }
  return std::nullopt;
}

config::Config config_of(const Contestant& contestant) {
  const std::vector<std::uint16_t> ports(providers().size(), 1);
  auto loaded = config::parse(weighter_toml(contestant, "/nowhere.sock", ports), "computed",
                              config::Surroundings::of_process(strategy_names()));
  if (!loaded) throw std::logic_error("the configuration: " + loaded.error().front().message);
  return std::move(loaded->config);
}

}  // namespace

Weighter::Weighter(const Contestant& contestant, Time& time, std::vector<Provider>& providers, Balancer& balancer,
                   std::uint64_t seed, std::function<void()> weights_changed)
    : time_(time),
      providers_(providers),
      balancer_(balancer),
      weights_changed_(std::move(weights_changed)),
      config_(config_of(contestant)),
      controller_(
          std::make_unique<control::Controller>(config_, control::Options{.seed = static_cast<std::uint32_t>(seed)})) {}

void Weighter::start() {
  tell(control::event::Started{});
}

void Weighter::tell(control::Event event) {
  for (control::Action& action : controller_->on(std::move(event), time_.clocks())) carry_out(action);
}

void Weighter::carry_out(control::Action& action) {
  namespace action_ = control::action;
  if (const auto* add = std::get_if<action_::AddTarget>(&action)) {
    const auto& servers = config_.backends[0].servers;
    const auto it = std::ranges::find(servers, add->server, &config::Server::name);
    provider_of_.resize(std::max<std::size_t>(provider_of_.size(), add->target + 1));
    provider_of_[add->target] = static_cast<std::size_t>(it - servers.begin());
  } else if (const auto* head = std::get_if<action_::SendHead>(&action)) {
    ask_head(head->target);
  } else if (const auto* check = std::get_if<action_::SendCheck>(&action)) {
    ask(check->target, check->check);
  } else if (const auto* together = std::get_if<action_::SendTogether>(&action)) {
    ask_head(together->target);
    for (const Check& each : together->checks) ask(together->target, each);
  } else if (const auto* info = std::get_if<action_::ReadInfo>(&action)) {
    time_.after(kExchange, [this, endpoint = info->endpoint] {
      const haproxy::Instance now = balancer_.instance(time_.uptime());
      tell(control::event::InfoRead{endpoint, haproxy::Info{now.version, now.pid, now.uptime}});
    });
  } else if (const auto* servers = std::get_if<action_::ReadServers>(&action)) {
    read(servers->endpoint);
  } else if (const auto* level = std::get_if<action_::ReadLevel>(&action)) {
    time_.after(kExchange, [this, endpoint = level->endpoint] {
      tell(control::event::LevelRead{endpoint, std::string("admin")});
    });
  } else if (const auto* weights = std::get_if<action_::SetWeights>(&action)) {
    set_weights(*weights);
  } else if (const auto* wake = std::get_if<action_::WakeAt>(&action)) {
    wake_at(wake->at);
  } else if (const auto* log = std::get_if<action_::Log>(&action)) {
    if (log->line.level >= config_.log.level) log_ += fmt::format("{:.3f} {}\n", time_.now(), log->line.message);
  }
}

double Weighter::timeout() const {
  return std::chrono::duration<double>(config_.probe.timeout).count();
}

void Weighter::ask_head(control::TargetId target) {
  ++asked_;
  const double began = time_.now();
  const Outcome outcome = provider(target).ask("eth_getBlockByNumber", began);
  // After this event is dealt with: a controller is told of one thing at a time.
  time_.after(0, [this, target] { tell(control::event::HeadSent{target}); });
  time_.after(std::min(outcome.seconds, timeout()), [this, target, outcome, began] {
    HeadObservation o;
    o.received = time_.clocks();
    o.latency = std::chrono::microseconds{static_cast<std::int64_t>((time_.now() - began) * 1e6)};
    if (const auto failure = failure_of(outcome, timeout()))
      o.head = std::unexpected(*failure);
    else
      o.head = provider(target).head(time_.now());
    tell(control::event::HeadAnswered{target, std::move(o)});
  });
}

void Weighter::ask(control::TargetId target, const Check& check) {
  ++asked_;
  const Outcome outcome = provider(target).ask("eth_chainId", time_.now());
  time_.after(std::min(outcome.seconds, timeout()), [this, target, check, outcome] {
    const Provider& p = provider(target);
    rpcw::Answer a{time_.clocks(), check, AnswerValue{}};
    if (const auto failure = failure_of(outcome, timeout()))
      a.value = std::unexpected(*failure);
    else if (check.kind == rpcw::CheckKind::kIdentity)
      a.value->text = std::to_string(p.chain_id());
    else if (check.kind == rpcw::CheckKind::kBlock && check.argument <= p.height(time_.now()))
      a.value->text = p.hash(check.argument);
    tell(control::event::CheckAnswered{target, std::move(a)});
  });
}

void Weighter::read(control::EndpointId endpoint) {
  time_.after(kExchange, [this, endpoint] {
    tell(control::event::ServersRead{endpoint, balancer_.instance(time_.uptime()), kReplyBytes});
  });
}

void Weighter::set_weights(const control::action::SetWeights& action) {
  time_.after(kExchange, [this, endpoint = action.endpoint, commands = action.commands] {
    std::vector<haproxy::Outcome> outcomes;
    for (const haproxy::WeightCommand& command : commands) {
      const auto it = std::ranges::find(providers(), command.server, &ProviderSpec::name);
      balancer_.servers[static_cast<std::size_t>(it - providers().begin())].weight = command.weight;
      outcomes.emplace_back().kind = haproxy::Outcome::Kind::kDone;
    }
    weights_changed_();
    tell(control::event::WeightsAnswered{endpoint, std::move(outcomes)});
  });
}

void Weighter::wake_at(std::optional<MonoTime> at) {
  if (wake_) time_.cancel(*std::exchange(wake_, std::nullopt));
  if (!at) return;
  wake_ = time_.at(Time::at_mono(*at), [this] {
    wake_.reset();
    tell(control::event::TimeReached{});
  });
}

}  // namespace rpcw::bench::model
