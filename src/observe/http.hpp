#pragma once

#include <boost/asio/awaitable.hpp>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

/// What the HTTP server and its handlers exchange.
namespace rpcw::observe {

/// The body of /healthz while the loop turns. `rpc-weighter health` knows its agent by it.
inline constexpr std::string_view kAlive = "ok\n";

/// A GET or HEAD request.
struct HttpRequest {
  /// Without the query, percent-decoded.
  std::string path;
  /// Percent-decoded; of a repeated key the last one.
  std::map<std::string, std::string, std::less<>> query;
  /// Values of header fields; empty: absent.
  std::string accept;
  std::string accept_encoding;
};

/// Takes the body of an answer in pieces.
class BodyWriter {
 public:
  BodyWriter() = default;
  BodyWriter(const BodyWriter&) = delete;
  BodyWriter& operator=(const BodyWriter&) = delete;
  virtual ~BodyWriter() = default;

  /// Append the next bytes here.
  std::string text;
  /// Sends `text` when it has grown to a piece, and lets the loop turn. False: the client has gone, so end.
  virtual boost::asio::awaitable<bool> next() = 0;
  /// Sends `text` however short it is.
  virtual boost::asio::awaitable<bool> flush() = 0;
};

struct HttpAnswer {
  unsigned status = 200;
  std::string content_type = "text/plain; charset=utf-8";
  std::string body{};
  /// Writes the body in pieces, in place of `body`; may be empty.
  std::function<boost::asio::awaitable<void>(BodyWriter&)> stream{};
  /// `stream` goes on until the client leaves: only its pieces are limited in time.
  bool endless = false;
  /// The body is compressed where the client accepts it.
  bool compress = false;
  /// Besides those that every answer has.
  std::vector<std::pair<std::string_view, std::string>> headers{};
};

/// An error as a line of text.
inline HttpAnswer http_error(unsigned status, std::string_view text) {
  return {.status = status, .body = std::string(text) + "\n"};
}

/// Decodes %XX and, in a query, '+'. An incomplete escape stays as it is.
std::string percent_decoded(std::string_view text, bool query);
/// Splits "a=1&b" into decoded keys and values.
std::map<std::string, std::string, std::less<>> parse_query(std::string_view query);
/// Whether a Host header names an address, `localhost` or one of `names` (lower case), with any port.
bool host_allowed(std::string_view host, const std::vector<std::string>& names);
/// Whether Accept-Encoding takes gzip, with a weight above 0.
bool accepts_gzip(std::string_view accept_encoding);
/// Whether an Accept header asks for OpenMetrics by name.
bool accepts_openmetrics(std::string_view accept);

}  // namespace rpcw::observe
