#pragma once

#include <cstddef>
#include <optional>
#include <string_view>

#include "base/time.hpp"
#include "config/config.hpp"
#include "weighter/judge/live.hpp"
#include "weighter/judge/verdict.hpp"
#include "weighter/state/history.hpp"

/// Fall and rise: when a server is ejected, for how long, and how it comes back.
namespace rpcw {

/// The ejections of one backend's servers, at one moment. Keeps references to all that it is given.
class Ejections {
 public:
  /// `blind`: see BackendVerdict::blind.
  Ejections(BackendHistory& history, const config::Backend& backend, const config::Probe& probe, MonoTime now,
            bool blind);

  /// Counts one new observation toward fall or rise, and ejects or readmits the server when that is enough. The very
  /// first verdict decides alone.
  void count(std::size_t server, bool bad);
  /// Nothing happens if it is out already. `forgiven`: all servers have the fault for which it is ejected, so it may
  /// return at once.
  void eject(std::size_t server, bool forgiven = false);
  /// Whether live traffic alone may take one more out: it keeps at most constants::kLiveOutMost of all servers out,
  /// under a hash one.
  [[nodiscard]] bool traffic_may_eject(Requests requests) const;

  /// All servers fail: forgives the ejections since the first of them failed.
  void forgive_outage();
  /// No server may serve, so this one need not wait for its time-out. True: it answers well, and was readmitted.
  bool waive_time_out(std::size_t server);

  /// Why a server is out whose probes are good: how many more are wanted, or how long it stays out.
  [[nodiscard]] ReasonNote describe_return(std::size_t server) const;

 private:
  void readmit(TargetHistory& target);
  void forgive_one(std::size_t server) const;

  BackendHistory& history_;
  const config::Backend& backend_;
  const config::Probe& probe_;
  const MonoTime now_;
  const bool blind_;
  /// Servers that live traffic alone keeps out.
  std::size_t out_by_traffic_;
};

/// Lowers the verdict while a return is under way: by 0.1 at its beginning, rising to 1 over `ramp`. Notes its end.
void apply_ramp(EjectionHistory& ejection, const config::Backend& backend, MonoTime now, ServerVerdict& verdict);

/// How long the `count`th ejection in a row lasts: eject_time, doubled for each before it, up to max_eject_time, longer
/// or shorter by up to a tenth. The part is drawn from `seed`, so that the same history gives the same time-outs.
MonoTime eject_time(const config::Backend& backend, unsigned count, std::string_view seed);

}  // namespace rpcw
