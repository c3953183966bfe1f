#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "config/config.hpp"

namespace rpcw::cli {

/// Sentences on stats sockets of level admin that others than HAProxy's operators may open: TCP on another address than
/// this machine's own, and Unix sockets that every user may write to, as far as the files can be seen from here.
/// `reply`: to `show cli sockets`, a line for each such as "ipv4@0.0.0.0:9999 admin all"; other text has none.
std::vector<std::string> open_sockets(std::string_view reply);

/// The same of the endpoint that is used, for a HAProxy that does not answer. Empty: nothing of the kind is seen.
std::vector<std::string> open_endpoint(const config::Endpoint& endpoint, bool tls);

}  // namespace rpcw::cli
