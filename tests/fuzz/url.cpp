#include "config/url.hpp"

#include <optional>
#include <string>

#include "base/text.hpp"
#include "config/config.hpp"
#include "config/endpoint.hpp"
#include "config/quantity.hpp"
#include "fuzz/targets.hpp"
#include "observe/http.hpp"
#include "rpc/http_client.hpp"
#include "rpc/scrubber.hpp"

namespace rpcw::fuzz {

/// URLs, endpoints, durations, sizes and rates, and the parts of an HTTP request that hold such words.
void url(std::string_view bytes) {
  const std::string text(bytes);
  const auto parsed = rpcw::url::parse(text);
  const std::string shown = rpcw::url::redact(text);
  must(rpcw::url::redact(text, rpcw::url::HostShown::kEnd).size() <= text.size() + 32, "a shown URL is no longer");
  must(shown.find(kKey) == std::string::npos, "a shown URL holds no key");
  rpcw::url::looks_like_key(text);
  rpcw::url::registrable_domain(text);
  if (parsed) {
    must(parsed->scheme == "http" || parsed->scheme == "https", "a URL is http or https");
    must(!parsed->host.empty() && parsed->port > 0, "a URL has host and port");
    rpcw::config::Target target;
    target.url = text;
    target.headers = {{"Authorization", "Bearer " + std::string(kKey)}};
    const rpc::HttpTarget provider(target);
    must(provider.scrub("refused " + text + " with Bearer " + std::string(kKey)).find(kKey) == std::string::npos,
         "a scrubbed text holds no key");
  } else {
    must(parsed.error().find(kKey) == std::string::npos, "an error about a URL holds nothing of it");
  }
  if (const auto endpoint = rpcw::config::parse_endpoint(text); !endpoint)
    must(endpoint.error().find(kKey) == std::string::npos, "an error about an endpoint holds nothing of it");
  if (const auto listen = rpcw::config::parse_listen(text)) must(!listen->address.empty(), "a listener has an address");
  if (const auto at = rpcw::config::parse_host_port(text)) must(at->port > 0, "a port is above 0");
  if (const auto span = rpcw::config::parse_duration(text)) {
    must(span->count() >= 0, "no duration is negative");
    const auto again = rpcw::config::parse_duration(rpcw::config::duration_text(*span));
    must(again && *again == *span, "a duration's text is the same duration");
  }
  if (const auto size = rpcw::config::parse_size(text)) {
    const auto again = rpcw::config::parse_size(rpcw::config::size_text(*size));
    must(again && *again == *size, "a size's text is the same size");
  }
  if (const auto rate = rpcw::config::parse_rate(text)) must(*rate >= 0, "no rate is negative");
  observe::percent_decoded(text, true);
  must(observe::parse_query(text).size() <= text.size() + 1, "a query has no more keys than bytes");
  observe::host_allowed(text, {"proxy.example"});
  observe::accepts_gzip(text);
}

}  // namespace rpcw::fuzz
