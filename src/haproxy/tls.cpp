#include "haproxy/tls.hpp"

#include <fmt/format.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <boost/asio/ip/address.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/asio/ssl/impl/src.hpp>
#include <boost/asio/write.hpp>

#include "base/text.hpp"
#include "base/tuple_token.hpp"
#include "config/tls_files.hpp"

namespace rpcw::haproxy {

namespace asio = boost::asio;
namespace ssl = asio::ssl;
using boost::system::error_code;

struct TlsContext::Impl {
  ssl::context context{ssl::context::tls_client};
};

TlsContext::TlsContext(const config::TlsFiles& files) : impl_(std::make_unique<Impl>()) {
  SSL_CTX* const context = impl_->context.native_handle();
  SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
  impl_->context.set_verify_mode(ssl::verify_peer);
  if (auto ok = config::use_tls_files(context, files); !ok) fault_ = std::move(ok.error());
}

TlsContext::~TlsContext() = default;

struct TlsStream::Impl {
  Impl(Socket& socket, ssl::context& context, const std::string& host) : peer(host), stream(socket, context) {
    SSL* const handle = stream.native_handle();
    X509_VERIFY_PARAM* const wanted = SSL_get0_param(handle);
    if (is_ip_address(host)) {
      X509_VERIFY_PARAM_set1_ip_asc(wanted, host.c_str());
      return;
    }
    X509_VERIFY_PARAM_set_hostflags(wanted, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    X509_VERIFY_PARAM_set1_host(wanted, host.c_str(), host.size());
    SSL_set_tlsext_host_name(handle, host.c_str());
  }

  std::string peer;
  ssl::stream<Socket&> stream;
};

TlsStream::TlsStream(Socket& socket, TlsContext& context, const std::string& peer)
    : impl_(std::make_unique<Impl>(socket, context.impl_->context, peer)) {}

TlsStream::~TlsStream() = default;

asio::awaitable<error_code> TlsStream::handshake() {
  const auto [error] = co_await impl_->stream.async_handshake(ssl::stream_base::client, kTuple);
  co_return error;
}

asio::awaitable<TlsStream::Result> TlsStream::write(asio::const_buffer all) {
  const auto [error, bytes] = co_await asio::async_write(impl_->stream, all, kTuple);
  co_return Result(error, bytes);
}

asio::awaitable<TlsStream::Result> TlsStream::read_some(asio::mutable_buffer into) {
  const auto [error, bytes] = co_await impl_->stream.async_read_some(into, kTuple);
  co_return Result(error == ssl::error::stream_truncated ? error_code(asio::error::eof) : error, bytes);
}

std::optional<std::string> TlsStream::explain(const error_code& error) const {
  if (error == ssl::error::stream_truncated)
    return "the connection ended in the TLS handshake; does the `bind` line there have `ssl crt FILE`?";
  if (error.category() != asio::error::get_ssl_category()) return std::nullopt;
  switch (ERR_GET_REASON(static_cast<unsigned long>(error.value()))) {
    case SSL_R_CERTIFICATE_VERIFY_FAILED: {
      const long result = SSL_get_verify_result(impl_->stream.native_handle());
      const char* const words = X509_verify_cert_error_string(result);
      switch (result) {
        case X509_V_ERR_HOSTNAME_MISMATCH:
        case X509_V_ERR_IP_ADDRESS_MISMATCH:
          return fmt::format(
              "its certificate is not for {0}; the certificate needs {0} as a subject alternative name, "
              "or the endpoint a host that it has",
              impl_->peer);
        case X509_V_ERR_CERT_HAS_EXPIRED:
        case X509_V_ERR_CERT_NOT_YET_VALID:
          return fmt::format("its certificate is not accepted: {}; renew it, or set the clocks right", words);
        default:
          return fmt::format("its certificate is not accepted: {}; haproxy.ca_file must hold the CA that signed it",
                             words);
      }
    }
    case SSL_R_WRONG_VERSION_NUMBER:
    case SSL_R_PACKET_LENGTH_TOO_LONG:
    case SSL_R_UNKNOWN_PROTOCOL:
      return "what answers there speaks no TLS: it has to be a `bind` line with `ssl crt FILE` in front of the Unix "
             "socket, "
             "since a `stats socket` itself has no TLS";
    case SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED:
    case SSL_R_SSLV3_ALERT_HANDSHAKE_FAILURE:
      return "HAProxy ended the TLS handshake; it may want a client certificate: give haproxy.cert_file and key_file";
    case SSL_R_TLSV1_ALERT_UNKNOWN_CA:
    case SSL_R_SSLV3_ALERT_BAD_CERTIFICATE:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN:
      return fmt::format(
          "HAProxy does not accept the certificate of haproxy.cert_file ({}); the `ca-file` of its `stats "
          "socket` line must hold the CA that signed it",
          error.message());
    default:
      return fmt::format("TLS: {}", error.message());
  }
}

}  // namespace rpcw::haproxy
