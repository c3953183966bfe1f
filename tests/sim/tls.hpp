#pragma once

#include <memory>
#include <string>
#include <string_view>

struct ssl_ctx_st;
struct ssl_st;

namespace sim::detail {

/// A server's certificate and key.
class TlsContext {
 public:
  /// Throws std::runtime_error with OpenSSL's reason.
  TlsContext(const std::string& cert_file, const std::string& key_file);
  ~TlsContext();
  TlsContext(const TlsContext&) = delete;
  TlsContext& operator=(const TlsContext&) = delete;

  ssl_ctx_st* get() const { return context_; }

 private:
  ssl_ctx_st* context_;
};

/// One connection's TLS without any I/O: bytes in, bytes out. So plain and encrypted connections share all of the
/// session's code.
class TlsSession {
 public:
  explicit TlsSession(const TlsContext& context);
  ~TlsSession();
  TlsSession(const TlsSession&) = delete;
  TlsSession& operator=(const TlsSession&) = delete;

  /// Takes bytes from the wire; appends what they decrypt to and what has to be sent in return. False: the connection
  /// is of no further use.
  bool receive(std::string_view wire, std::string& plain, std::string& to_send);
  /// Appends the encrypted form; only after the peer's first plain byte.
  bool send(std::string_view plain, std::string& to_send);

 private:
  void drain(std::string& to_send);

  ssl_st* ssl_;
};

}  // namespace sim::detail
