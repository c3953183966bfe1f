#pragma once

#include <boost/asio/io_context.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/resolver.hpp"
#include "config/config.hpp"
#include "weighter/state/observation.hpp"

/// HTTP over libcurl's multi-socket interface, on the program's own io_context: no thread per request, no polling.
namespace rpcw::rpc {

/// One provider, prepared once: what every request to it shares.
class HttpTarget {
 public:
  /// Throws std::invalid_argument unless `target.url` is a valid http or https URL.
  /// `canaries`: what is sent to it besides; what looks like a key there is one for `scrub`.
  explicit HttpTarget(const config::Target& target, std::span<const config::Canary> canaries = {});
  ~HttpTarget();
  HttpTarget(HttpTarget&&) noexcept;
  HttpTarget& operator=(HttpTarget&&) noexcept;

  /// Text from a provider or a library, made fit to show; see Scrubber.
  [[nodiscard]] std::string scrub(std::string_view text) const;
  /// What else is sent on the way to it, for `scrub`: user info of the proxy's URL, and texts that may hold keys.
  void hide_user_info(std::string_view url);
  void hide_keys(std::string_view text);

 private:
  friend class HttpClient;
  friend struct FailedTransfer;
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// What is sent to a target's URL.
struct HttpRequest {
  enum class Method : std::uint8_t { kGet, kPost, kPut };
  Method method = Method::kPost;
  /// Added to the path of the target's URL, before its query, and perhaps with a query of its own; empty: nothing is.
  std::string path{};
  /// Of a POST or a PUT.
  std::string body{};
  /// Besides the usual ones. The target's own of the same name win.
  config::Headers headers{};
};

struct HttpAnswer {
  long status = 0;
  /// Decompressed. Valid during the handler only.
  std::string_view body;
  /// From the request's start on an open connection to the last byte (libcurl: total minus pretransfer).
  std::chrono::microseconds latency{};
  /// From the Retry-After header, in seconds or as a date; absent: there was none.
  std::optional<milliseconds> retry_after;
};

struct HttpFailure {
  /// One of the transport's reasons, or kBadAnswer or kTooLarge.
  ProbeFailure what;
  /// How long it took to fail.
  std::chrono::microseconds after{};
};

using HttpResult = std::expected<HttpAnswer, HttpFailure>;

/// What becomes of a request's connection: it is kept for the next one, or closed, when the target needs it no more.
/// One that other targets can use, or that is a proxy's, is kept all the same.
enum class Afterwards : std::uint8_t { kKeep, kClose };

/// How a request is sent.
struct Sending {
  Afterwards afterwards = Afterwards::kKeep;
  /// It repeats one whose answer is being handled, and takes over its place: it does not wait for its turn.
  bool next = false;
  /// Called once when the request has got its turn and leaves, perhaps from within start(), and not at all when its
  /// name cannot be looked up. Must not start requests. Empty: nothing is called.
  std::move_only_function<void()> left{};
};

class HttpClient {
 public:
  using Handler = std::move_only_function<void(HttpResult)>;

  /// `targets`: how many providers there will be; each keeps its connection. Throws std::runtime_error when the TLS
  /// files cannot be used or libcurl cannot start. `lookup` is for the names of providers, or that of the proxy; with
  /// the environment's proxy libcurl looks names up by itself.
  HttpClient(boost::asio::io_context& io, const config::Probe& settings, std::size_t targets,
             Resolver::Lookup lookup = Resolver::system_lookup());
  /// Ends every request at once; handlers are not called. Not to be destroyed from within a handler: post that.
  ~HttpClient();
  HttpClient(const HttpClient&) = delete;
  HttpClient& operator=(const HttpClient&) = delete;

  /// As many targets as this from now on: what the constructor takes, once there are more.
  void expect_targets(std::size_t targets);

  /// There will be requests to this one. What takes a while before the first can be sent is done now, and not when
  /// answers are waited for.
  void expect(const HttpTarget& target);

  /// `target` and `request` must stay until the handler is called; it is called once, from the loop, at the latest
  /// `timeout` after the request got its turn. At most `max_in_flight` are under way, the others wait in order.
  void start(const HttpTarget& target, const HttpRequest& request, milliseconds timeout, Handler handler,
             Sending sending = {});

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace rpcw::rpc
