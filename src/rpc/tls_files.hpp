#pragma once

#include <expected>
#include <string>

#include "config/config.hpp"

namespace rpcw::rpc {

/// Whether the files can be read and hold what they are meant for; otherwise a sentence that names the file. libcurl
/// would say so only with each connection, as if it were the provider's fault.
std::expected<void, std::string> check_tls_files(const config::TlsFiles& files);

}  // namespace rpcw::rpc
