#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/system/error_code.hpp>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "config/config.hpp"

namespace rpcw::haproxy {

/// The trust and the certificate of a TLS client, read from their files once; one for any number of connections.
/// tls.cpp alone includes Asio's TLS and OpenSSL.
class TlsContext {
 public:
  /// `files` that cannot be used do not throw: `fault` says why.
  explicit TlsContext(const config::TlsFiles& files);
  ~TlsContext();
  TlsContext(const TlsContext&) = delete;
  TlsContext& operator=(const TlsContext&) = delete;

  /// Why no connection can be made: a sentence that names the file. Empty: they can.
  const std::string& fault() const { return fault_; }

 private:
  friend class TlsStream;
  struct Impl;
  std::unique_ptr<Impl> impl_;
  std::string fault_;
};

/// The client's side of TLS over a connected socket.
class TlsStream {
 public:
  using Socket = boost::asio::generic::stream_protocol::socket;
  using Result = std::pair<boost::system::error_code, std::size_t>;

  /// `peer` is a host name or an address: what the server's certificate must be for. `context` without a fault; both
  /// references must outlive this.
  TlsStream(Socket& socket, TlsContext& context, const std::string& peer);
  ~TlsStream();
  TlsStream(const TlsStream&) = delete;
  TlsStream& operator=(const TlsStream&) = delete;

  boost::asio::awaitable<boost::system::error_code> handshake();
  boost::asio::awaitable<Result> write(boost::asio::const_buffer all);
  /// A peer that ends without TLS's own farewell gives eof as well: how many replies must come is known.
  boost::asio::awaitable<Result> read_some(boost::asio::mutable_buffer into);

  /// What an error of these means: a sentence with what would be right. nullopt: it is none of TLS's.
  std::optional<std::string> explain(const boost::system::error_code& error) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace rpcw::haproxy
