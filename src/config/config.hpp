#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/time.hpp"
#include "config/chain.hpp"
#include "config/pattern.hpp"

/// What a configuration file says after defaults, variables and files have been filled in and everything has been
/// checked. The accepted ranges stand beside each field; `load` enforces them, so nothing downstream checks again.
namespace rpcw::config {

/// Where a HAProxy's runtime API is reached.
struct Endpoint {
  enum class Kind : std::uint8_t {
    kUnix,    ///< unix:PATH
    kTcp,     ///< tcp:HOST:PORT, HOST may be [IPv6]
    kDns,     ///< dns:NAME:PORT, every address behind the name
    kMaster,  ///< master:unix:PATH, the master process's socket
  };
  Kind kind = Kind::kUnix;
  /// Path of a Unix socket, or host name or address without brackets.
  std::string address;
  /// TCP port 1..65535; 0 for Unix sockets.
  std::uint16_t port = 0;
  /// As written; what reports and logs show.
  std::string text;
  /// kDns only: which of the addresses behind the name this is, without brackets; empty: all of them, as in a file.
  std::string resolved{};
};

/// Paths of PEM files; empty: not given.
struct TlsFiles {
  std::string ca_file;
  std::string cert_file;
  std::string key_file;

  bool empty() const { return ca_file.empty() && cert_file.empty() && key_file.empty(); }
};

struct Haproxy {
  /// At least one for `run`, `once` and `check --online`; may be empty for `scores`.
  std::vector<Endpoint> endpoints;
  /// For a whole exchange (connect, send, all replies). [10ms, 60s]
  milliseconds timeout{2000};
  /// How often HAProxy is read. [100ms, 1h]
  milliseconds watch_interval{1000};
  /// TLS on tcp: and dns: endpoints when any of them is given.
  TlsFiles tls;
};

struct Probe {
  /// Between two probes of a target whose `Pace` says nothing else. [100ms, 1h]
  milliseconds interval{5000};
  /// `interval` is "auto": targets of the own network have a shorter one, see weighter/schedule/pace.hpp.
  bool auto_interval = true;
  /// The same while a server's state is in doubt. [50ms, interval]
  milliseconds fast_interval{1000};
  /// The file gives no fast_interval: it follows each target's interval.
  bool auto_fast_interval = true;
  /// Requests a day that each target may be sent, unless its table says otherwise; 0: no limit. Else [100, 1e8].
  double budget = 0;
  /// For one whole probe. [10ms, 60s]
  milliseconds timeout{3000};
  /// Failures in a row that take a server out. [1, 10]
  unsigned fall = 2;
  /// Successes in a row that bring it back. [1, 10]
  unsigned rise = 2;
  /// Requests under way at a time. [1, 65536]
  unsigned max_in_flight = 512;
  /// Name look-ups under way at a time, each of them a thread. [1, 1024]
  unsigned max_lookups = 16;
  /// Longest answer body, after decompression, in bytes. [1KiB, 64MiB]
  std::uint64_t max_response_bytes = 1U << 20U;
  TlsFiles tls;
  /// Proxy URL; empty: none; "environment": what https_proxy and its kin say.
  std::string proxy;
};

/// Where metrics and status are served.
struct Listen {
  /// An IP address without brackets, or the path of a Unix socket.
  std::string address;
  /// TCP port 1..65535; 0: a Unix socket.
  std::uint16_t port = 0;
  /// As written; what messages show.
  std::string text;

  friend bool operator==(const Listen&, const Listen&) = default;
};

struct Http {
  /// Empty: off.
  std::vector<Listen> listen{{.address = "127.0.0.1", .port = 9404, .text = "127.0.0.1:9404"}};
  /// Names besides addresses and `localhost` that a request's Host may have; lower case, without a port.
  std::vector<std::string> hosts{};
};

/// Of several agents for the same HAProxys one sets weights: the holder of a Kubernetes Lease.
struct Standby {
  /// Namespace and name of the Lease; both empty: this agent is alone.
  std::string name_space;
  std::string name;
  /// The API server, http or https, without a path; empty: as KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT say.
  std::string api;
  /// The folder with `token` and `ca.crt`.
  std::string account = "/var/run/secrets/kubernetes.io/serviceaccount";

  [[nodiscard]] bool on() const { return !name.empty(); }
  /// As in the file: kubernetes:NAMESPACE/NAME.
  [[nodiscard]] std::string text() const { return "kubernetes:" + name_space + "/" + name; }
  friend bool operator==(const Standby&, const Standby&) = default;
};

/// HAProxy's `agent-check`, as a way for weights to reach it.
struct AgentCheck {
  /// Where it is answered, an IP address and a port; absent: nowhere.
  std::optional<Listen> listen;
};

enum class LogLevel : std::uint8_t { kTrace, kDebug, kInfo, kWarn, kError };

struct Log {
  LogLevel level = LogLevel::kInfo;
  bool json = false;
};

using Headers = std::vector<std::pair<std::string, std::string>>;

/// How often a target is probed: what follows from its table, its address and [probe].
struct Pace {
  /// Between two probes; 0: as [probe] says.
  milliseconds interval{0};
  /// The same while its state is in doubt, at most `interval`; 0: as [probe] says.
  milliseconds fast_interval{0};
  /// Requests a day that it may be sent; 0: no limit.
  double budget = 0;

  friend bool operator==(const Pace&, const Pace&) = default;
};

/// A provider that is probed: a server of HAProxy's, or a reference that is only compared with.
struct Target {
  /// With user info, path and query: a secret. Show `shown_url(target)` and nothing else.
  std::string url;
  /// Values are secrets too.
  Headers headers;
  /// The operator that runs it: votes on the chain's head are counted by operator.
  std::string operator_name;
  /// Whether the file gave `operator`, rather than it being derived from the name.
  bool operator_given = false;
  /// A key stands in the host name: nothing shows it.
  bool redact_host = false;
  /// `interval` of its own table; absent: [probe]'s; 0: "auto". Else [100ms, 1h].
  std::optional<milliseconds> own_interval{};
  /// `budget` of its own table, in requests a day; 0: [probe]'s. Else [100, 1e8].
  double own_budget = 0;
  /// weighter/schedule/pace.hpp sets it.
  Pace pace{};
};

/// The range of an interval between two probes.
inline constexpr milliseconds kLeastInterval{100};
inline constexpr milliseconds kMostInterval{3'600'000};
/// Where the file gives no fast_interval: a quarter of the interval, at most 1 s. Where probes are frequent, those that
/// settle a doubt must still come sooner. At least 50 ms.
milliseconds fast_interval_for(milliseconds interval);

/// Between two probes of the target, and the same while its state is in doubt.
inline milliseconds interval_of(const Target& target, const Probe& probe) {
  return target.pace.interval.count() > 0 ? target.pace.interval : probe.interval;
}
inline milliseconds fast_interval_of(const Target& target, const Probe& probe) {
  return target.pace.fast_interval.count() > 0 ? target.pace.fast_interval : probe.fast_interval;
}

/// The target's URL, and its host, as they may be shown. An empty URL gives "…".
std::string shown_url(const Target& target);
std::string shown_host(const Target& target);

struct Server {
  /// The name in haproxy.cfg.
  std::string name;
  /// In a backend with `discover` the URL may be empty, in a file's configuration only: HAProxy's address then decides.
  Target target;
  /// Multiplies the score. [0.01, 100]
  double preference = 1.0;
  /// In [0, 9]. A higher one serves only while fewer than min_healthy servers of the lower ones are healthy.
  unsigned tier = 0;
  /// Requests a second that its plan carries: its share of the traffic is kept below. 0: no limit is known. Else
  /// [1 / 60, 1'000'000].
  double max_rate = 0;
  /// The file names it; else it is there because HAProxy has it.
  bool named = true;
};

struct Canary {
  std::string method;
  /// The JSON text of `params`; "[]" when absent.
  std::string params_json = "[]";
  /// [1s, 24h]
  milliseconds interval{60000};
  /// With one of these it is a plain HTTP request, and `method` is GET, POST or empty.
  std::string path{};
  std::string body{};
  /// JSON pointer to a value that must be there and not null; empty: any good answer will do.
  std::string expect{};
  /// What that value must be, as text; absent: anything.
  std::optional<std::string> equals{};
  /// What is found in it; absent: anything.
  std::optional<Pattern> matches{};
  /// [1ms, 60s]
  std::optional<milliseconds> at_most{};
};

/// What messages call it: its method or its path, without keys.
std::string name_of(const Canary& canary);

enum class Scale : std::uint8_t { kShare, kPeak };
enum class Fallback : std::uint8_t {
  kEqual,     ///< the same for each server that answers
  kKeep,      ///< the last weights; as kEqual where those are all 0
  kLeastBad,  ///< in inverse proportion to the age of their newest blocks
};

/// What an ejection does besides weight 0, to clients that a cookie, a stick table or an open connection binds.
enum class OnEject : std::uint8_t {
  kNone,
  kShutdownSessions,  ///< its sessions are ended
  kClearStick,        ///< entries of the backend's stick table that lead to it are removed
};

/// How weights reach HAProxy.
enum class Drive : std::uint8_t {
  kSocket,  ///< `set weight` over the runtime API
  kAgent,   ///< as answers to its `agent-check`
};

struct Backend {
  /// The name in haproxy.cfg. Unique in the file.
  std::string name;
  /// The backend whose servers of the same names are probed and judged for this one too; empty: its own. That backend
  /// follows none; `chain`, the limits and `canaries` are copies of its own.
  std::string follows;
  /// A copy of the chain with this backend's `max_block_age` and `max_lag` already applied.
  Chain chain;
  /// The name of one (see weighter/strategy).
  std::string strategy = "adaptive";
  Scale scale = Scale::kShare;
  Fallback fallback = Fallback::kEqual;
  OnEject on_eject = OnEject::kNone;
  /// kAgent only where `Config::agent_check` listens.
  Drive drive = Drive::kSocket;
  /// Under a consistent hash a weight changes by at least this part of itself, or to or from 0. [0, 1]
  double hash_dead_band = 0.5;
  /// Fewer healthy servers than this: the fallback. [1, 4096]
  unsigned min_healthy = 1;
  /// [1ms, 60s]
  milliseconds max_latency{2000};
  /// The lag limit in blocks, besides `chain.max_lag`; absent: only time decides. [1, 1000000]
  std::optional<std::uint32_t> max_block_lag;
  /// 0: peers are not asked for. [0, 10000]
  unsigned min_peers = 0;
  /// How long a returning server takes to its full share; 0: at once. [0s, 1h]
  milliseconds ramp{30000};
  /// First time-out of an ejected server. [0s, max_eject_time]
  milliseconds eject_time{10000};
  /// [0s, 24h]
  milliseconds max_eject_time{300000};
  /// No server gets more than this part of the backend. [0.01, 1]
  double max_share = 1.0;
  /// Whether HAProxy's own counters are used.
  bool live = true;
  bool switch_back = false;
  /// URL template for servers taken from HAProxy's own list; empty: the list is `servers`.
  std::string discover;
  /// With `discover`: headers of servers without a URL of their own go to whatever address HAProxy names. False: only
  /// where the host of `discover` stands in the file.
  bool headers_to_discovered = false;
  /// With `discover`: in a file's configuration those with settings of their own, see weighter/server_list.hpp. The
  /// same where it `follows` a backend with `discover`.
  std::vector<Server> servers;
  /// Servers that the file names without a URL, and that no HAProxy has. Never in a file's configuration.
  std::vector<std::string> absent{};
  std::vector<Target> references;
  std::vector<Canary> canaries;
};

/// The host of the `discover` template where it is the same for all servers; empty: it has a placeholder.
std::string literal_host_of(const Backend& backend);
/// Whether headers go to servers that are probed at the address on HAProxy's list.
bool sends_headers_to_discovered(const Backend& backend);

/// The servers of a backend that follows another one: `judged`, the other one's, each with what `own` says of the
/// server of its name.
std::vector<Server> following_servers(const std::vector<Server>& judged, const std::vector<Server>& own);

struct Config {
  bool watch_config = false;
  Haproxy haproxy;
  Probe probe;
  Http http;
  AgentCheck agent_check;
  Standby standby;
  Log log;
  /// At least one.
  std::vector<Backend> backends;
};

std::string_view to_string(Fallback fallback);
std::string_view to_string(Scale scale);
std::string_view to_string(Drive drive);

}  // namespace rpcw::config
