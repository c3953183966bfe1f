#include "config/endpoint.hpp"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <sys/un.h>

#include <algorithm>
#include <array>

#include "base/text.hpp"
#include "config/url.hpp"

namespace rpcw::config {
namespace {

constexpr std::string_view kGrammar = "expected unix:PATH, tcp:HOST:PORT, dns:NAME:PORT or master:unix:PATH";
/// The kernel wants a terminating zero in sun_path.
constexpr std::size_t kLongestPath = sizeof(sockaddr_un::sun_path) - 1;

std::expected<std::string, std::string> parse_path(std::string_view path) {
  if (path.empty()) return std::unexpected("the path is empty");
  if (path.size() > kLongestPath)
    return std::unexpected(
        fmt::format("the path has {} bytes; a Unix socket's path has at most {}", path.size(), kLongestPath));
  if (std::ranges::any_of(path, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }))
    return std::unexpected("the path has a control character");
  return std::string(path);
}

}  // namespace

std::expected<HostPort, std::string> parse_host_port(std::string_view text) {
  for (const std::string_view scheme : {"http://", "https://", "tcp://"})
    if (text.starts_with(scheme))
      return std::unexpected(fmt::format("leave {} out: expected HOST:PORT and nothing else", scheme));
  if (!text.starts_with('[') && std::ranges::count(text, ':') > 1)
    return std::unexpected("an IPv6 address needs brackets: [ADDRESS]:PORT");
  if (text.starts_with(':')) return std::unexpected("the host is missing; for all addresses write 0.0.0.0 or [::]");
  if (text.starts_with("*:")) return std::unexpected("for all addresses write 0.0.0.0 or [::]");
  if (text.starts_with("//")) return std::unexpected("expected HOST:PORT without // before it");
  if (text.find_first_of("/?#@") != std::string_view::npos)
    return std::unexpected("expected HOST:PORT and nothing else");
  // As the authority of a URL it has the very same grammar, save that the port may not be left out.
  const std::size_t host_end = text.starts_with('[') ? text.find(']') : 0;
  if (host_end == std::string_view::npos || text.find(':', host_end) == std::string_view::npos)
    return std::unexpected("the port is missing; expected HOST:PORT");
  auto parts = url::parse(fmt::format("http://{}", text));
  if (!parts) {
    // Its sentences speak of a URL, but the operator wrote an endpoint.
    std::string fault = std::move(parts.error());
    if (const std::size_t at = fault.find("the URL"); at != std::string::npos) fault.replace(at, 7, "it");
    return std::unexpected(std::move(fault));
  }
  return HostPort{.host = std::move(parts->host), .port = parts->port};
}

std::expected<Listen, std::string> parse_listen(std::string_view text) {
  Listen out;
  out.text = text;
  if (text.starts_with("unix:")) {
    auto path = parse_path(text.substr(5));
    if (!path) return std::unexpected(std::move(path.error()));
    out.address = std::move(*path);
    return out;
  }
  auto at = parse_host_port(text);
  if (!at) return std::unexpected(std::move(at.error()));
  // A name would have to be looked up before anything else, and may have other addresses by the next reload.
  if (at->host == "localhost") at->host = "127.0.0.1";
  if (!is_ip_address(at->host))
    return std::unexpected("expected an address and a port, such as 127.0.0.1:9404, or unix:PATH");
  out.address = std::move(at->host);
  out.port = at->port;
  return out;
}

std::expected<Endpoint, std::string> parse_endpoint(std::string_view text) {
  Endpoint out;
  out.text = text;
  const auto after = [&](std::string_view prefix) {
    if (!text.starts_with(prefix)) return false;
    text.remove_prefix(prefix.size());
    return true;
  };
  const bool master = after("master:unix:");
  if (master || after("unix:")) {
    out.kind = master ? Endpoint::Kind::kMaster : Endpoint::Kind::kUnix;
    auto path = parse_path(text);
    if (!path) return std::unexpected(std::move(path.error()));
    out.address = std::move(*path);
    return out;
  }
  const bool dns = after("dns:");
  if (!dns && !after("tcp:")) {
    if (text.starts_with("master:"))
      return std::unexpected(fmt::format("a master's socket is a Unix socket; {}", kGrammar));
    if (text.starts_with('/')) return std::unexpected(fmt::format("a path needs unix: before it; {}", kGrammar));
    return std::unexpected(std::string(kGrammar));
  }
  auto at = parse_host_port(text);
  if (!at) return std::unexpected(std::move(at.error()));
  if (dns && is_ip_address(at->host)) return std::unexpected("dns: takes a name; for an address write tcp:");
  out.kind = dns ? Endpoint::Kind::kDns : Endpoint::Kind::kTcp;
  out.address = std::move(at->host);
  out.port = at->port;
  return out;
}

}  // namespace rpcw::config
