#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "sim/answer.hpp"
#include "sim/server.hpp"
#include "sim/sim.hpp"

namespace sim::detail {

/// A small generator: the standard ones have kilobytes of state, of which ten thousand providers would need many.
class Random {
 public:
  using result_type = std::uint64_t;

  explicit Random(std::uint64_t seed) : state_(seed) {}
  static constexpr result_type min() { return 0; }
  static constexpr result_type max() { return ~result_type{0}; }
  result_type operator()();

 private:
  std::uint64_t state_;
};

class ProviderServer final : public Server {
 public:
  ProviderServer(asio::io_context& io, bool own_thread, std::shared_ptr<const TlsContext> tls,
                 std::shared_ptr<const Chain> chain, std::string name, std::uint16_t port, std::uint64_t seed);

  const std::string& name() const { return name_; }
  bool tls() const { return tls_used_; }

  // From any thread.
  void update(const std::function<void(Behaviour&)>& change);
  Behaviour behaviour() const;
  Stats stats() const;
  void reset_stats();

  void stop() override;

 protected:
  Answer answer(const Request& request) override;
  void opened() override;
  void closed() override;
  bool ignores_connection() override;

 private:
  using Clock = std::chrono::steady_clock;

  /// A behaviour with what has to be remembered from the moment that it was set. Never changed once published, so a
  /// request works on one and the same, whatever is set meanwhile.
  struct Setting {
    Behaviour behaviour;
    std::optional<std::uint64_t> frozen_head;
    Clock::time_point since;

    bool fault_on(Clock::time_point now) const;
  };

  std::shared_ptr<const Setting> setting() const;
  /// Brings listener and connections in line with the setting, now and at each turn of its flapping.
  void apply();
  bool take_quota(const Behaviour& behaviour, std::size_t calls);
  bool chance(double ratio);
  std::chrono::microseconds draw_latency(const Behaviour& behaviour);
  /// How long a request waits until those before it have been answered.
  std::chrono::microseconds take_turn(const Behaviour& behaviour);
  Answer faulty(const Setting& setting, const Request& request, const Calls& calls, const std::string& headers);

  const std::string name_;
  const bool own_thread_;
  const bool tls_used_;
  const std::shared_ptr<const Chain> chain_;

  mutable std::mutex mutex_;
  std::shared_ptr<const Setting> setting_;
  Stats stats_;

  // On the io_context's thread alone.
  asio::steady_timer flap_timer_;
  Random random_;
  /// The other pool answers.
  bool other_pool_ = false;
  double tokens_ = 0;
  /// Of the quota that `tokens_` was counted by; another one starts with a full bucket.
  double tokens_quota_ = 0;
  Clock::time_point tokens_at_;
  /// When the requests that wait for their turn have been answered.
  Clock::time_point free_at_;
};

}  // namespace sim::detail
