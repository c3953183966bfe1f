#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <string_view>

#include "config/config.hpp"

namespace rpcw::config {

/// unix:PATH | tcp:HOST:PORT | dns:NAME:PORT | master:unix:PATH, where HOST may be [IPv6]. Errors are the sentence's
/// end after "…: " and do not repeat the text, which may come from variables.
std::expected<Endpoint, std::string> parse_endpoint(std::string_view text);

struct HostPort {
  /// Without the brackets of IPv6.
  std::string host;
  std::uint16_t port = 0;
};

/// HOST:PORT with a host name, an IPv4 address or [IPv6], and a port 1..65535.
std::expected<HostPort, std::string> parse_host_port(std::string_view text);

/// ADDRESS:PORT with an IP address or `localhost`, or unix:PATH. Errors as above.
std::expected<Listen, std::string> parse_listen(std::string_view text);

}  // namespace rpcw::config
