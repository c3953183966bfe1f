#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/time.hpp"

/// What a HAProxy shows of itself, as plain values. What it did not show is nullopt or an empty text, never 0.
namespace rpcw::haproxy {

/// Since the worker's start, or the moment's value for qcur and scur.
struct Counters {
  /// Failed connects. `econ`, `eresp` and `hrsp_5xx` do not overlap.
  std::optional<std::uint64_t> econ{};
  /// Answers that broke off or were none.
  std::optional<std::uint64_t> eresp{};
  std::optional<std::uint64_t> hrsp_1xx{};
  std::optional<std::uint64_t> hrsp_2xx{};
  std::optional<std::uint64_t> hrsp_3xx{};
  std::optional<std::uint64_t> hrsp_4xx{};
  std::optional<std::uint64_t> hrsp_5xx{};
  std::optional<std::uint64_t> hrsp_other{};
  /// Times the balancer chose this server. A request that sticks to its server by a cookie or a table is not counted.
  std::optional<std::uint64_t> lbtot{};
  /// Requests (sessions in mode tcp) handed to this server, one more for each attempt to connect again.
  std::optional<std::uint64_t> stot{};
  /// Attempts to connect again to this server, and requests that went to another one instead.
  std::optional<std::uint64_t> wretr{};
  std::optional<std::uint64_t> wredis{};
  /// Requests that ended because the client left, before or after the answer began.
  std::optional<std::uint64_t> cli_abrt{};
  /// Bytes of its answers, headers included, as far as they have come.
  std::optional<std::uint64_t> bout{};
  /// Milliseconds to the answer's header, averaged over the last 512 answers (constants::kRtimeSamples; HAProxy's
  /// manual says 1024); 0 also when there were none.
  std::optional<std::uint64_t> rtime{};
  /// Milliseconds in the queue, averaged as `rtime` is.
  std::optional<std::uint64_t> qtime{};
  /// Requests waiting in the queue now.
  std::optional<std::uint64_t> qcur{};
  /// Sessions open now.
  std::optional<std::uint64_t> scur{};
};

/// Which of the open requests say something about the server now. Kept from one read of a worker to the next, see
/// live_delta.hpp.
struct Backlog {
  /// Requests without an answer that were sent since the server last had weight 0, and since the first read.
  double waiting = 0;
  /// Requests without an answer that were sent before that: how they end says nothing about the server now.
  double past = 0;
  /// Answers that have begun and not ended, as far as they are tunnels (a WebSocket) or have been open for long (a
  /// stream of events): their clients wait for no end.
  double streams = 0;
  /// Nothing is sent to it: weight 0, MAINT or DRAIN.
  bool shut = false;
  /// Where the measurement of the latency under way began: `rtime` in ms, answers since the worker's start, and how
  /// long ago. Negative answers: not begun.
  double rtime_then = 0;
  double answers_then = -1;
  std::chrono::microseconds measured_for{0};

  friend bool operator==(const Backlog&, const Backlog&) = default;
};

/// Bits of `srv_admin_state` (SRV_ADMF_* in HAProxy's server-t.h).
inline constexpr unsigned kForcedMaint = 0x01;
/// From the server that this one tracks.
inline constexpr unsigned kInheritedMaint = 0x02;
inline constexpr unsigned kForcedDrain = 0x08;
inline constexpr unsigned kInheritedDrain = 0x10;
/// Its name has no address.
inline constexpr unsigned kUnresolvedMaint = 0x20;
inline constexpr unsigned kAnyMaint = kForcedMaint | kInheritedMaint | kUnresolvedMaint;
inline constexpr unsigned kAnyDrain = kForcedDrain | kInheritedDrain;

struct ServerRow {
  std::string backend{};
  std::string name{};
  /// HAProxy's number for the server within its backend (`id`); 0: not shown.
  unsigned sid = 0;
  /// "ip:port" as HAProxy dials it; empty below level operator and for a server-template's free slot.
  std::string addr{};
  /// As shown: "UP", "DOWN", "MAINT", "DRAIN", "no check", "UP 1/3" and so on.
  std::string status{};
  /// The weight that was set. [0, 256]
  unsigned uweight = 0;
  /// The effective weight, lower than `uweight` during slowstart. Compare with `uweight`.
  unsigned weight = 0;
  /// In the file without `backup`. The flags tell the role; whether it is usable says `status`.
  bool active = false;
  bool backup = false;
  /// Last result of HAProxy's own check, such as "L4CON"; empty without a check.
  std::string check_status{};
  /// The same of the agent-check, which may set the weight; empty without one.
  std::string agent_status{};
  /// "backend/server" whose health and maintenance this one shares; empty: none.
  std::string tracked{};
  /// Percentage of its weight that `slowstart` allows for now; absent: all.
  std::optional<unsigned> throttle{};
  /// Another writer keeps changing its weight, and it is left alone for now. Set by the endpoint's control.
  bool contended = false;
  Counters counters{};
  Backlog backlog{};
  /// `srv_admin_state` (see kForcedMaint, kForcedDrain); absent when `show servers state` was refused or lacks it.
  std::optional<unsigned> admin_state{};
  /// The weight in haproxy.cfg. [0, 256]
  std::optional<unsigned> iweight{};
  /// Host name in haproxy.cfg; empty for a plain address.
  std::string fqdn{};
  /// HAProxy speaks TLS to it. False also when not known.
  bool tls = false;

  /// MAINT or DRAIN, its own or that of the server it tracks: it gets nothing, whatever its weight. False when
  /// `admin_state` is absent: then nothing is known of it.
  bool forced_off() const { return admin_state && (*admin_state & (kAnyMaint | kAnyDrain)) != 0; }
};

struct BackendRow {
  std::string name{};
  /// HAProxy's number for the proxy; kept over reloads only if the file gives one.
  unsigned iid = 0;
  /// As in the file, but "unknown" for random; empty below level operator.
  std::string algo{};
  /// "http" or "tcp"; HAProxy has others for what it does not balance.
  std::string mode{};
  std::string status{};
  /// Name of the cookie that binds clients to their server; empty: none does, or the level is below operator.
  std::string cookie{};
  /// It has a stick table of its own, as `stick on` needs.
  bool stick_table = false;
  Counters counters{};
  /// HAProxy has refused a weight here, since its algorithm is static: it takes only 0 % and 100 %. Its replies do
  /// not show that, so the endpoint's control sets this after a refusal.
  bool percent = false;
  /// HAProxy has refused an agent's weight for the same reason. Shown until the agent answers something else.
  bool agent_refused = false;
  /// In HAProxy's order.
  std::vector<ServerRow> servers{};
  /// Look-up table for `server`, made by `index`; empty: `server` searches from end to end.
  std::vector<std::uint32_t> slots{};
  /// Names that several servers have, sorted; found by `index`. Before 3.5 HAProxy allows it where each has an `id`,
  /// and `set weight` by name reaches the first of them alone.
  std::vector<std::string> double_names{};

  /// The server of that name; nullptr: there is none, or there are several.
  const ServerRow* server(std::string_view server_name) const;
  ServerRow* server(std::string_view server_name);
  /// `sid` of all servers of that name, in HAProxy's order.
  std::vector<unsigned> ids_of(std::string_view server_name) const;
  /// Makes `server` fast and finds `double_names`. Call again after servers were added, removed or renamed.
  void index();
};

/// One HAProxy process at one moment.
struct Instance {
  std::string version{};
  std::int64_t pid = 0;
  /// Restarts at 0 with each reload and each restart. Whole seconds, rounded down.
  std::chrono::seconds uptime{0};
  /// In HAProxy's order.
  std::vector<BackendRow> backends{};

  /// The backend of that name or nullptr.
  const BackendRow* backend(std::string_view name) const;
  BackendRow* backend(std::string_view name);
  const ServerRow* server(std::string_view backend_name, std::string_view server_name) const;
};

/// Whether two reads of one endpoint have reached the same worker.
enum class Worker : std::uint8_t {
  kSame,
  kUnsure,  ///< so young that it may have started between the reads: nothing can be learnt from what has changed
  kNew,
};
/// A container's HAProxy has the same pid after each start, so the pid alone does not tell.
/// `elapsed`: since `before` was asked for.
Worker worker_between(const Instance& before, const Instance& after, milliseconds elapsed);

}  // namespace rpcw::haproxy
