#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "sim/tls.hpp"

namespace sim::detail {

namespace asio = boost::asio;
using asio::ip::tcp;

/// Valid during the call that it is passed to.
struct Request {
  std::string_view method;
  std::string_view target;
  std::string_view body;
  bool keep_alive = true;
  /// It asks for a WebSocket.
  bool websocket = false;
};

/// What a session does about a request: wait, send `bytes`, then the rest as far as there is any, then `ending`.
struct Answer {
  enum class Ending : std::uint8_t {
    keep,
    close,
    /// RST instead of an answer.
    reset,
    /// Nothing follows `bytes`, often none; the connection stays open until the client closes it.
    hang,
  };

  Ending ending = Ending::keep;
  bool flood_chunked = false;
  std::chrono::microseconds delay{0};
  std::string bytes;
  /// The bytes from here on go out one by one, `drip_pause` apart.
  std::size_t drip_from = std::string::npos;
  std::chrono::milliseconds drip_pause{0};
  /// So many 'a' follow `bytes`.
  std::uint64_t flood_bytes = 0;
};

/// A complete HTTP answer. `headers`: further header lines, each ended by CRLF.
std::string http_answer(unsigned status, std::string_view content_type, std::string_view headers, std::string_view body,
                        bool keep_alive);
/// Its head alone, for a body of that length that is sent by other means.
std::string http_head(unsigned status, std::string_view content_type, std::string_view headers,
                      std::uint64_t content_length, bool keep_alive);
/// Its head alone, for a chunked body.
std::string http_chunked_head(std::string_view headers, bool keep_alive);

class Session;

/// A listener on 127.0.0.1 with its HTTP/1.1 sessions. Apart from the constructor and `port` everything happens on
/// the io_context's thread.
class Server : public std::enable_shared_from_this<Server> {
 public:
  /// Throws std::system_error if the port can't be had.
  Server(asio::io_context& io, std::uint16_t port, std::shared_ptr<const TlsContext> tls);
  virtual ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  std::uint16_t port() const { return port_; }
  /// Starts accepting.
  void start();
  /// Ends everything; nothing is called afterwards.
  virtual void stop();

 protected:
  virtual Answer answer(const Request& request) = 0;
  virtual void opened() {}
  virtual void closed() {}
  /// Whether a new connection is left unread.
  virtual bool ignores_connection() { return false; }

  /// Closes listener and connections but keeps the port. Connecting is refused until `reopen`.
  void refuse();
  void reopen();
  bool refusing() const { return refusing_; }
  /// Begins to read from the connections that were left unread.
  void serve_ignored();

  asio::io_context& io_;

 private:
  friend class Session;

  void bind(std::uint16_t port);
  void accept();
  void sweep();
  std::vector<std::shared_ptr<Session>> sessions() const { return {sessions_.begin(), sessions_.end()}; }

  tcp::acceptor acceptor_;
  asio::steady_timer accept_timer_;
  asio::steady_timer sweep_timer_;
  std::shared_ptr<const TlsContext> tls_;
  /// Shared: a connection that is not read from has no pending operation that would keep it alive.
  std::unordered_set<std::shared_ptr<Session>> sessions_;
  std::uint16_t port_ = 0;
  /// Counts the listeners that this server has had: a late completion of an earlier one must not accept again.
  unsigned listener_ = 0;
  bool refusing_ = false;
  bool sweeping_ = false;
  bool stopped_ = false;
};

}  // namespace sim::detail
