#pragma once

#include <expected>
#include <initializer_list>
#include <optional>
#include <string>

#include "config/config.hpp"
#include "config/load.hpp"

/// OpenSSL's SSL_CTX, whose header only the TLS files need.
struct ssl_ctx_st;

namespace rpcw::config {

/// Has a TLS client's context trust `ca_file` (the system's store when there is none) and show the certificate, if one
/// is given. The error is a sentence that names the file and holds nothing of it; the context is of no use then.
std::expected<void, std::string> use_tls_files(ssl_ctx_st* context, const TlsFiles& files);

/// Whether the files can be read and hold what they are meant for; otherwise a sentence that names the file. Without
/// this it would be said only with each connection, as if it were the peer's fault.
std::expected<void, std::string> check_tls_files(const TlsFiles& files);

/// The same; nullopt: they can be used.
std::optional<TlsFault> find_tls_fault(const TlsFiles& files);

/// The system's authorities (PEM) for a library that was built on another distribution, and looks for them in a place
/// that is not there. `own`: that library's files and folders; nullptr is none. Empty: one of them can be read, or none
/// of the files that distributions have can.
std::string authorities_besides(std::initializer_list<const char*> own);

}  // namespace rpcw::config
