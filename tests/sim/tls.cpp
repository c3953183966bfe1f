#include "sim/tls.hpp"

#include <openssl/err.h>
#include <openssl/ssl.h>

#include <array>
#include <stdexcept>

namespace sim::detail {
namespace {

[[noreturn]] void fail(const std::string& what) {
  std::array<char, 256> reason{};
  ERR_error_string_n(ERR_get_error(), reason.data(), reason.size());
  throw std::runtime_error(what + ": " + reason.data());
}

}  // namespace

TlsContext::TlsContext(const std::string& cert_file, const std::string& key_file)
    : context_(SSL_CTX_new(TLS_server_method())) {
  if (context_ == nullptr) fail("TLS");
  try {
    if (SSL_CTX_use_certificate_chain_file(context_, cert_file.c_str()) != 1) fail(cert_file);
    if (SSL_CTX_use_PrivateKey_file(context_, key_file.c_str(), SSL_FILETYPE_PEM) != 1) fail(key_file);
  } catch (...) {
    SSL_CTX_free(context_);
    throw;
  }
  // An idle connection then holds no 34 kB of buffers.
  SSL_CTX_set_mode(context_, SSL_MODE_RELEASE_BUFFERS);
}

TlsContext::~TlsContext() {
  SSL_CTX_free(context_);
}

TlsSession::TlsSession(const TlsContext& context) : ssl_(SSL_new(context.get())) {
  if (ssl_ == nullptr) fail("TLS");
  SSL_set_bio(ssl_, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
  SSL_set_accept_state(ssl_);
}

TlsSession::~TlsSession() {
  SSL_free(ssl_);
}

void TlsSession::drain(std::string& to_send) {
  BIO* const wire = SSL_get_wbio(ssl_);
  const std::size_t waiting = BIO_ctrl_pending(wire);
  const std::size_t before = to_send.size();
  to_send.resize(before + waiting);
  std::size_t taken = 0;
  if (waiting > 0) BIO_read_ex(wire, to_send.data() + before, waiting, &taken);
  to_send.resize(before + taken);
}

bool TlsSession::receive(std::string_view wire, std::string& plain, std::string& to_send) {
  // OpenSSL's errors are per thread, and SSL_get_error would report another connection's.
  ERR_clear_error();
  std::size_t taken = 0;
  if (!wire.empty() && BIO_write_ex(SSL_get_rbio(ssl_), wire.data(), wire.size(), &taken) != 1) return false;
  std::array<char, 16384> buffer;
  for (;;) {
    std::size_t got = 0;
    const int ok = SSL_read_ex(ssl_, buffer.data(), buffer.size(), &got);
    if (ok == 1) {
      plain.append(buffer.data(), got);
      continue;
    }
    const int why = SSL_get_error(ssl_, ok);
    drain(to_send);
    return why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE;
  }
}

bool TlsSession::send(std::string_view plain, std::string& to_send) {
  ERR_clear_error();
  std::size_t taken = 0;
  if (!plain.empty() && SSL_write_ex(ssl_, plain.data(), plain.size(), &taken) != 1) return false;
  drain(to_send);
  return true;
}

}  // namespace sim::detail
