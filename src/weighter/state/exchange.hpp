#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

/// What an exchange with HAProxy's runtime API brings and how it fails, as plain values.
namespace rpcw::haproxy {

enum class Error : std::uint8_t {
  kUnsupported,  ///< such an endpoint cannot be used; trying again is of no use
  kResolve,      ///< the host name has no address, or the name server says so
  kConnect,      ///< no listener: no socket file, a stale one, connection refused, no route
  kPermission,   ///< the socket file may not be used by this user
  kTls,          ///< the handshake failed, or one side does not accept the other's certificate
  kTimeout,      ///< the exchange was not over at its deadline
  kClosedEarly,  ///< the connection ended before all replies were there
  kTooLarge,     ///< the replies go beyond any sensible size
  kMalformed,    ///< the replies are not HAProxy's, or not in a form that we know
  kIo,           ///< any other error of the system
  kCancelled,    ///< our own side gave up
};
/// snake_case, for logs and metrics.
std::string_view to_string(Error error);

struct Failure {
  Error code = Error::kIo;
  /// A sentence for a person: what, where, and what would be right. No secrets.
  std::string detail;
};

enum class Refusal : std::uint8_t {
  kNone,              ///< not refused
  kNoSuchBackend,     ///< "No such backend."
  kNoSuchServer,      ///< "No such server."
  kStaticAlgorithm,   ///< only 0% and 100% are accepted
  kPermissionDenied,  ///< the socket's level is below admin
  kBadWeight,         ///< out of range or no number
  kDisabled,          ///< "Proxy is disabled.": an old worker after a reload, or a disabled proxy
  kInvalidName,       ///< found by us: no HAProxy can have that name, so it was not sent
  kOther,             ///< anything else; the words say what
};
/// snake_case, for logs and metrics.
std::string_view to_string(Refusal refusal);

/// One `set weight`.
struct WeightCommand {
  std::string backend;
  std::string server;
  /// `weight` is a percentage of the weight in haproxy.cfg, [0, 100]; otherwise it is absolute, [0, 256].
  bool percent = false;
  unsigned weight = 0;
};

/// What became of one `set weight`.
struct Outcome {
  enum class Kind : std::uint8_t {
    kDone,         ///< HAProxy confirmed it
    kRefused,      ///< HAProxy answered that it will not; trying again is of no use by itself
    kUnconfirmed,  ///< no answer: it may have run or not
  };
  Kind kind = Kind::kUnconfirmed;
  /// Why, when kRefused.
  Refusal refusal = Refusal::kNone;
  /// Why, when kUnconfirmed.
  std::optional<Error> error;
  /// HAProxy's own words, or the failure's sentence; empty when done.
  std::string detail;
};

/// Frees the clients that are bound to a server.
struct ReleaseCommand {
  enum class Kind : std::uint8_t {
    kShutdownSessions,  ///< `shutdown sessions server`
    kClearStick,        ///< `clear table`, the entries of this server in the table of the backend's name
  };
  Kind kind = Kind::kShutdownSessions;
  std::string backend;
  std::string server;
  /// For kClearStick: HAProxy's number of the server (ServerRow::sid).
  unsigned sid = 0;
};

struct Info {
  std::string version;
  std::int64_t pid = 0;
  std::chrono::seconds uptime{0};
};

}  // namespace rpcw::haproxy
