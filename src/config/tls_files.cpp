#include "config/tls_files.hpp"

#include <fmt/format.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <utility>

namespace rpcw::config {
namespace {

struct ContextDelete {
  void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
};

std::unexpected<std::string> fault(const std::string& file, const char* what) {
  // OpenSSL's words, not the file's.
  const unsigned long code = ERR_peek_error();
  const char* why = code != 0 ? ERR_reason_error_string(code) : nullptr;
  if (::access(file.c_str(), R_OK) != 0) why = std::strerror(errno);
  std::string out = fmt::format("{} cannot be used as {}: {}", file, what, why != nullptr ? why : "unknown error");
  ERR_clear_error();
  return std::unexpected(std::move(out));
}

}  // namespace

std::expected<void, std::string> use_tls_files(SSL_CTX* context, const TlsFiles& files) {
  // Without it OpenSSL would ask for a pass phrase at the terminal.
  SSL_CTX_set_default_passwd_cb(context, [](char*, int, int, void*) { return 0; });
  ERR_clear_error();
  if (files.ca_file.empty()) {
    SSL_CTX_set_default_verify_paths(context);
    const std::string more = std::getenv(X509_get_default_cert_file_env()) != nullptr
                                 ? std::string{}
                                 : authorities_besides({X509_get_default_cert_file(), X509_get_default_cert_dir()});
    // OpenSSL may refuse some of a system's certificates; the others are enough.
    if (!more.empty() && SSL_CTX_load_verify_file(context, more.c_str()) != 1) ERR_clear_error();
  } else if (SSL_CTX_load_verify_file(context, files.ca_file.c_str()) != 1) {
    return fault(files.ca_file, "ca_file");
  }
  if (files.cert_file.empty()) {
    if (!files.key_file.empty())
      return std::unexpected(fmt::format("{} is a key_file without a cert_file", files.key_file));
    return {};
  }
  const std::string& key_file = files.key_file.empty() ? files.cert_file : files.key_file;
  if (SSL_CTX_use_certificate_chain_file(context, files.cert_file.c_str()) != 1)
    return fault(files.cert_file, "cert_file");
  if (SSL_CTX_use_PrivateKey_file(context, key_file.c_str(), SSL_FILETYPE_PEM) != 1) return fault(key_file, "key_file");
  if (SSL_CTX_check_private_key(context) != 1) return fault(key_file, "key_file");
  return {};
}

std::expected<void, std::string> check_tls_files(const TlsFiles& files) {
  if (files.empty()) return {};
  const std::unique_ptr<SSL_CTX, ContextDelete> context(SSL_CTX_new(TLS_client_method()));
  if (!context) throw std::bad_alloc();
  return use_tls_files(context.get(), files);
}

std::string authorities_besides(std::initializer_list<const char*> own) {
  const auto readable = [](const char* path) { return path != nullptr && ::access(path, R_OK) == 0; };
  if (std::ranges::any_of(own, readable)) return {};
  for (const char* file : {
           "/etc/ssl/certs/ca-certificates.crt",                 // Debian, Ubuntu, Arch, Alpine
           "/etc/pki/tls/certs/ca-bundle.crt",                   // Fedora, Red Hat, Amazon Linux
           "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",  // the same, newer
           "/etc/ssl/ca-bundle.pem",                             // SUSE
           "/etc/ssl/cert.pem",                                  // Alpine without its package
       })
    if (readable(file)) return file;
  return {};
}

}  // namespace rpcw::config
