#include "config/config.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "config/url.hpp"

namespace rpcw::config {
namespace {

url::HostShown host_shown(const Target& target) {
  return target.redact_host ? url::HostShown::kEnd : url::HostShown::kUnlessKey;
}

/// Without its query, and "…" for each part that looks like a key.
std::string shown_path(std::string_view path) {
  std::string out;
  const std::size_t query = path.find('?');
  std::string_view rest = path.substr(0, query);
  while (!rest.empty()) {
    // The slash before it belongs to a part.
    const std::string_view part = rest.substr(0, rest.find('/', 1));
    rest.remove_prefix(part.size());
    const bool key = url::looks_like_key(part.substr(part.starts_with('/') ? 1 : 0));
    out += key ? "/…" : std::string(part);
  }
  return query == std::string_view::npos ? out : out + "?…";
}

}  // namespace

milliseconds fast_interval_for(milliseconds interval) {
  return std::clamp(interval / 4, milliseconds{50}, milliseconds{1000});
}

std::string shown_url(const Target& target) {
  return url::redact(target.url, host_shown(target));
}

std::string shown_host(const Target& target) {
  const auto parts = url::parse(target.url);
  return parts ? url::shown_host(parts->host, host_shown(target)) : "…";
}

std::string name_of(const Canary& canary) {
  // A JSON-RPC method is any text, and a key may have been pasted there.
  const std::string method = url::without_keys(canary.method);
  if (canary.path.empty()) return method.empty() ? "request" : method;
  const std::string path = shown_path(canary.path);
  return method.empty() ? path : method + " " + path;
}

std::string literal_host_of(const Backend& backend) {
  std::string_view rest = backend.discover;
  const std::size_t colon = rest.find("://");
  if (colon == std::string_view::npos) return {};
  rest.remove_prefix(colon + 3);
  std::string_view authority = rest.substr(0, rest.find_first_of("/?#"));
  // What HAProxy has could end the authority early, wherever before the host it stands.
  const std::size_t at = authority.rfind('@');
  if (at != std::string_view::npos && authority.substr(0, at).find('{') != std::string_view::npos) return {};
  authority = authority.substr(at == std::string_view::npos ? 0 : at + 1);
  // A port may have placeholders.
  authority = authority.substr(0, authority.find(':', authority.starts_with('[') ? authority.find(']') : 0));
  if (authority.find('{') != std::string_view::npos) return {};
  const auto parts = url::parse(fmt::format("http://{}/", authority));
  return parts ? parts->host : std::string{};
}

bool sends_headers_to_discovered(const Backend& backend) {
  return backend.headers_to_discovered || !literal_host_of(backend).empty();
}

std::vector<Server> following_servers(const std::vector<Server>& judged, const std::vector<Server>& own) {
  std::vector<Server> out;
  for (const Server& server : judged) {
    Server& to = out.emplace_back(server);
    const auto known = std::ranges::find(own, server.name, &Server::name);
    // The file need not say which of them stand behind this backend too.
    to.named = known != own.end();
    if (known != own.end()) to.preference = known->preference;
  }
  return out;
}

std::string_view to_string(Fallback fallback) {
  switch (fallback) {
    case Fallback::kEqual:
      return "equal";
    case Fallback::kKeep:
      return "keep";
    case Fallback::kLeastBad:
      return "least-bad";
  }
  return "?";
}

std::string_view to_string(Scale scale) {
  switch (scale) {
    case Scale::kShare:
      return "share";
    case Scale::kPeak:
      return "peak";
  }
  return "?";
}

std::string_view to_string(Drive drive) {
  switch (drive) {
    case Drive::kSocket:
      return "socket";
    case Drive::kAgent:
      return "agent";
  }
  return "?";
}

}  // namespace rpcw::config
