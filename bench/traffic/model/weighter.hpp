#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "config/config.hpp"
#include "traffic/contestant.hpp"
#include "traffic/model/balancer.hpp"
#include "traffic/model/provider.hpp"
#include "traffic/model/time.hpp"
#include "weighter/controller/controller.hpp"

namespace rpcw::bench::model {

/// rpc-weighter beside a Balancer: its own Controller, whose actions are carried out in the model.
class Weighter {
 public:
  /// `weights_changed`: called when the balancer has new weights. All references must stay.
  Weighter(const Contestant& contestant, Time& time, std::vector<Provider>& providers, Balancer& balancer,
           std::uint64_t seed, std::function<void()> weights_changed);

  void start();
  /// Requests that its probes have sent to providers.
  [[nodiscard]] std::uint64_t asked() const { return asked_; }
  /// Its log so far: a line each, which begins with the second of the scenario.
  [[nodiscard]] const std::string& log() const { return log_; }

 private:
  void tell(control::Event event);
  void carry_out(control::Action& action);
  void ask_head(control::TargetId target);
  void ask(control::TargetId target, const Check& check);
  void read(control::EndpointId endpoint);
  void set_weights(const control::action::SetWeights& action);
  void wake_at(std::optional<MonoTime> at);

  [[nodiscard]] Provider& provider(control::TargetId target) { return providers_[provider_of_.at(target)]; }
  [[nodiscard]] double timeout() const;

  Time& time_;
  std::vector<Provider>& providers_;
  Balancer& balancer_;
  std::function<void()> weights_changed_;
  config::Config config_;
  std::unique_ptr<control::Controller> controller_;
  /// By TargetId.
  std::vector<std::size_t> provider_of_;
  std::optional<Time::Handle> wake_;
  std::uint64_t asked_ = 0;
  std::string log_;
};

}  // namespace rpcw::bench::model
