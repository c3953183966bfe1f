#include "config/tls_files.hpp"

#include <fmt/format.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509err.h>
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

/// What a person would say to an error of OpenSSL's; empty: OpenSSL's own words will do.
std::string_view plain_words(unsigned long code, std::string_view key) {
  const int library = ERR_GET_LIB(code);
  const int reason = ERR_GET_REASON(code);
  if (library == ERR_LIB_X509 && reason == X509_R_KEY_VALUES_MISMATCH)
    return "it is not the key of the certificate in cert_file";
  if ((library == ERR_LIB_PEM && reason == PEM_R_NO_START_LINE) ||
      (library == ERR_LIB_X509 && reason == X509_R_NO_CERTIFICATE_OR_CRL_FOUND) ||
      (key == "key_file" && reason == ERR_R_UNSUPPORTED))
    return key == "key_file" ? "it holds no private key (PEM)" : "it holds no certificate (PEM)";
  return {};
}

TlsFault fault(const std::string& file, std::string_view key) {
  // OpenSSL's words, not the file's.
  const unsigned long code = ERR_peek_error();
  std::string_view why = plain_words(code, key);
  if (const char* words = code != 0 ? ERR_reason_error_string(code) : nullptr; why.empty() && words != nullptr)
    why = words;
  ERR_clear_error();
  if (::access(file.c_str(), R_OK) != 0) why = std::strerror(errno);
  return {
      .key = key,
      .message = fmt::format("cannot be used as {}: {}", key, why.empty() ? std::string_view("unknown error") : why)};
}

const std::string& file_of(const TlsFault& fault, const TlsFiles& files) {
  if (fault.key == "ca_file") return files.ca_file;
  return fault.key == "cert_file" || files.key_file.empty() ? files.cert_file : files.key_file;
}

/// nullopt: the context uses the files.
std::optional<TlsFault> take_tls_files(SSL_CTX* context, const TlsFiles& files) {
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
    if (!files.key_file.empty()) return TlsFault{.key = "key_file", .message = "is a key_file without a cert_file"};
    return std::nullopt;
  }
  const std::string& key_file = files.key_file.empty() ? files.cert_file : files.key_file;
  if (SSL_CTX_use_certificate_chain_file(context, files.cert_file.c_str()) != 1)
    return fault(files.cert_file, "cert_file");
  if (SSL_CTX_use_PrivateKey_file(context, key_file.c_str(), SSL_FILETYPE_PEM) != 1) return fault(key_file, "key_file");
  if (SSL_CTX_check_private_key(context) != 1) return fault(key_file, "key_file");
  return std::nullopt;
}

}  // namespace

std::expected<void, std::string> use_tls_files(SSL_CTX* context, const TlsFiles& files) {
  const auto found = take_tls_files(context, files);
  if (found) return std::unexpected(fmt::format("{} {}", file_of(*found, files), found->message));
  return {};
}

std::optional<TlsFault> find_tls_fault(const TlsFiles& files) {
  if (files.empty()) return std::nullopt;
  const std::unique_ptr<SSL_CTX, ContextDelete> context(SSL_CTX_new(TLS_client_method()));
  if (!context) throw std::bad_alloc();
  return take_tls_files(context.get(), files);
}

std::expected<void, std::string> check_tls_files(const TlsFiles& files) {
  if (const auto found = find_tls_fault(files))
    return std::unexpected(fmt::format("{} {}", file_of(*found, files), found->message));
  return {};
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
