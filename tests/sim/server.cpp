#include "sim/server.hpp"

#include <fmt/format.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <boost/asio/buffer.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/http/error.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/status.hpp>
#include <boost/beast/http/string_body.hpp>
#include <iterator>
#include <optional>
#include <system_error>
#include <utility>
#include <vector>

namespace sim::detail {
namespace {

namespace beast = boost::beast;
namespace http = beast::http;
using boost::system::error_code;

constexpr std::size_t kReadSize = 64 << 10;
/// Pipelined requests may wait up to this size while one is being answered.
constexpr std::size_t kMaxWaiting = 1 << 20;
constexpr std::size_t kMaxBody = 32 << 20;
/// Larger buffers are not kept for the next answer: there may be ten thousand idle connections.
constexpr std::size_t kKeptBuffer = 4 << 10;
constexpr std::chrono::milliseconds kRetry{50};

template <class Duration>
auto timer_duration(Duration d) {
  return std::chrono::duration_cast<asio::steady_timer::duration>(d);
}

}  // namespace

std::string http_head(unsigned status, std::string_view content_type, std::string_view headers,
                      std::uint64_t content_length, bool keep_alive) {
  const auto reason = http::obsolete_reason(http::int_to_status(status));
  return fmt::format("HTTP/1.1 {} {}\r\nContent-Type: {}\r\n{}Content-Length: {}\r\nConnection: {}\r\n\r\n", status,
                     std::string_view(reason.data(), reason.size()), content_type, headers, content_length,
                     keep_alive ? "keep-alive" : "close");
}

std::string http_chunked_head(std::string_view headers, bool keep_alive) {
  return fmt::format(
      "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n{}Transfer-Encoding: chunked\r\nConnection: {}\r\n\r\n",
      headers, keep_alive ? "keep-alive" : "close");
}

std::string http_answer(unsigned status, std::string_view content_type, std::string_view headers, std::string_view body,
                        bool keep_alive) {
  // These two statuses have no body by definition.
  if (status == 204 || status == 304) body = {};
  std::string out = http_head(status, content_type, headers, body.size(), keep_alive);
  out += body;
  return out;
}

/// One connection: a state machine driven by callbacks, because its idle state has to be small.
class Session : public std::enable_shared_from_this<Session> {
 public:
  Session(std::shared_ptr<Server> server, tcp::socket socket)
      : server_(std::move(server)), socket_(std::move(socket)), timer_(server_->io_) {
    if (server_->tls_) tls_ = std::make_unique<TlsSession>(*server_->tls_);
  }

  bool ignored() const { return ignored_; }
  void ignore() { ignored_ = true; }

  void serve() {
    ignored_ = false;
    read();
  }

  /// Whether the peer has closed a connection that is not read from.
  bool abandoned() {
    tcp_info info{};
    socklen_t size = sizeof info;
    if (::getsockopt(socket_.native_handle(), IPPROTO_TCP, TCP_INFO, &info, &size) != 0) return true;
    return info.tcpi_state == TCP_CLOSE_WAIT || info.tcpi_state == TCP_CLOSE;
  }

  void close() {
    if (closed_) return;
    closed_ = true;
    const auto keep = shared_from_this();
    error_code ignored;
    timer_.cancel();
    socket_.close(ignored);
    if (server_->sessions_.erase(keep) > 0) server_->closed();
  }

 private:
  void read();
  void on_readable();
  void process();
  void reply(Answer answer);
  void carry_out();
  void send(std::string bytes);
  void write();
  void on_written();

  std::shared_ptr<Server> server_;
  tcp::socket socket_;
  asio::steady_timer timer_;
  std::unique_ptr<TlsSession> tls_;
  std::optional<http::request_parser<http::string_body>> parser_;
  /// Received, decrypted and not yet parsed.
  std::string in_;
  /// Being written, and to be written next.
  std::string out_;
  std::string next_out_;
  Answer answer_;
  std::size_t dripped_ = 0;
  bool ignored_ = false;
  bool reading_ = false;
  bool writing_ = false;
  /// From a request until its answer is out.
  bool busy_ = false;
  bool hanging_ = false;
  bool closed_ = false;
};

void Session::read() {
  if (reading_ || closed_ || in_.size() > kMaxWaiting) return;
  reading_ = true;
  // Waiting for readiness rather than reading into a buffer of its own: only connections that have something to say
  // need memory. It goes on while an answer is pending, to notice when the client gives up.
  socket_.async_wait(tcp::socket::wait_read, [self = shared_from_this()](error_code ec) {
    self->reading_ = false;
    if (self->closed_) return;
    if (ec) return self->close();
    self->on_readable();
  });
}

void Session::on_readable() {
  static thread_local std::array<char, kReadSize> buffer;
  error_code ec;
  const std::size_t got = socket_.read_some(asio::buffer(buffer), ec);
  if (ec == asio::error::would_block) return read();
  if (ec) return close();
  const std::string_view wire(buffer.data(), got);
  if (tls_) {
    const bool usable = tls_->receive(wire, in_, next_out_);
    write();
    if (!usable) return close();
  } else {
    in_ += wire;
  }
  process();
  read();
}

void Session::process() {
  while (!closed_ && !busy_ && !in_.empty()) {
    if (!parser_) {
      parser_.emplace();
      parser_->eager(true);
      parser_->body_limit(kMaxBody);
    }
    error_code ec;
    const std::size_t used = parser_->put(asio::buffer(in_), ec);
    in_.erase(0, used);
    if (parser_->is_done()) {
      const http::request<http::string_body> request = parser_->release();
      parser_.reset();
      busy_ = true;
      const auto method = request.method_string();
      const auto target = request.target();
      reply(server_->answer({.method = {method.data(), method.size()},
                             .target = {target.data(), target.size()},
                             .body = request.body(),
                             .keep_alive = request.keep_alive(),
                             .websocket = request[http::field::upgrade] == "websocket"}));
      continue;
    }
    if (ec == http::error::need_more || (!ec && used == 0)) break;
    if (ec) {
      busy_ = true;
      Answer bad;
      bad.bytes = http_answer(400, "text/plain", "", ec.message() + '\n', false);
      bad.ending = Answer::Ending::close;
      reply(std::move(bad));
    }
  }
  if (hanging_) in_.clear();
  if (in_.empty() && in_.capacity() > kKeptBuffer) in_.shrink_to_fit();
}

void Session::reply(Answer answer) {
  answer_ = std::move(answer);
  if (answer_.delay <= answer_.delay.zero()) return carry_out();
  timer_.expires_after(timer_duration(answer_.delay));
  timer_.async_wait([self = shared_from_this()](error_code ec) {
    if (!ec && !self->closed_) self->carry_out();
  });
}

void Session::carry_out() {
  switch (answer_.ending) {
    case Answer::Ending::hang:
      hanging_ = true;
      in_.clear();
      if (!answer_.bytes.empty()) send(std::move(answer_.bytes));
      return;
    case Answer::Ending::reset: {
      error_code ignored;
      socket_.set_option(asio::socket_base::linger(true, 0), ignored);
      return close();
    }
    case Answer::Ending::keep:
    case Answer::Ending::close:
      break;
  }
  dripped_ = std::min(answer_.drip_from, answer_.bytes.size());
  send(dripped_ == answer_.bytes.size() ? std::move(answer_.bytes) : answer_.bytes.substr(0, dripped_));
}

void Session::send(std::string bytes) {
  if (tls_) {
    if (!tls_->send(bytes, next_out_)) return close();
  } else if (next_out_.empty()) {
    next_out_ = std::move(bytes);
  } else {
    next_out_ += bytes;
  }
  // Of an empty answer there is nothing to write, yet what follows it has to happen.
  if (next_out_.empty() && !writing_) return on_written();
  write();
}

void Session::write() {
  if (writing_ || closed_ || next_out_.empty()) return;
  std::swap(out_, next_out_);
  writing_ = true;
  asio::async_write(socket_, asio::buffer(out_), [self = shared_from_this()](error_code ec, std::size_t) {
    self->writing_ = false;
    self->out_.clear();
    if (self->out_.capacity() > kKeptBuffer) self->out_.shrink_to_fit();
    if (self->closed_) return;
    if (ec) return self->close();
    if (!self->next_out_.empty()) return self->write();
    self->on_written();
  });
}

void Session::on_written() {
  // A handshake's bytes, or those of an answer that is still to come.
  if (!busy_ || hanging_) return;
  if (dripped_ < answer_.bytes.size()) {
    timer_.expires_after(answer_.drip_pause);
    timer_.async_wait([self = shared_from_this()](error_code ec) {
      if (!ec && !self->closed_) self->send(self->answer_.bytes.substr(self->dripped_++, 1));
    });
    return;
  }
  if (answer_.flood_bytes > 0) {
    const std::size_t size = std::min<std::uint64_t>(answer_.flood_bytes, 64 << 10);
    answer_.flood_bytes -= size;
    std::string piece(size, 'a');
    if (answer_.flood_chunked) {
      piece = fmt::format("{:x}\r\n{}\r\n{}", size, piece, answer_.flood_bytes == 0 ? "0\r\n\r\n" : "");
    }
    return send(std::move(piece));
  }
  if (answer_.ending == Answer::Ending::close) {
    error_code ignored;
    socket_.shutdown(tcp::socket::shutdown_send, ignored);
    return close();
  }
  busy_ = false;
  answer_ = {};
  process();
  read();
}

Server::Server(asio::io_context& io, std::uint16_t port, std::shared_ptr<const TlsContext> tls)
    : io_(io), acceptor_(io), accept_timer_(io), sweep_timer_(io), tls_(std::move(tls)) {
  try {
    bind(port);
    port_ = acceptor_.local_endpoint().port();
    acceptor_.listen();
  } catch (const boost::system::system_error& e) {
    throw std::system_error(e.code(), fmt::format("127.0.0.1:{}", port));
  }
}

Server::~Server() = default;

void Server::bind(std::uint16_t port) {
  acceptor_.open(tcp::v4());
  acceptor_.set_option(tcp::acceptor::reuse_address(true));
  acceptor_.bind({asio::ip::address_v4::loopback(), port});
}

void Server::start() {
  accept();
}

void Server::stop() {
  stopped_ = true;
  error_code ignored;
  acceptor_.close(ignored);
  accept_timer_.cancel();
  sweep_timer_.cancel();
  for (const auto& session : sessions()) session->close();
}

void Server::refuse() {
  if (stopped_ || refusing_) return;
  refusing_ = true;
  ++listener_;
  error_code ignored;
  acceptor_.close(ignored);
  accept_timer_.cancel();
  try {
    // Bound but not listening: connecting is refused, and no other process gets the port meanwhile.
    bind(port_);
  } catch (const boost::system::system_error&) {
    acceptor_.close(ignored);
  }
  for (const auto& session : sessions()) session->close();
}

void Server::reopen() {
  if (stopped_ || !refusing_) return;
  try {
    if (!acceptor_.is_open()) bind(port_);
    acceptor_.listen();
  } catch (const boost::system::system_error&) {
    // Another process has the port for the moment.
    error_code ignored;
    acceptor_.close(ignored);
    accept_timer_.expires_after(kRetry);
    accept_timer_.async_wait([self = shared_from_this(), listener = listener_](error_code ec) {
      if (!ec && listener == self->listener_) self->reopen();
    });
    return;
  }
  refusing_ = false;
  ++listener_;
  accept();
}

void Server::serve_ignored() {
  for (const auto& session : sessions()) {
    if (session->ignored()) session->serve();
  }
}

void Server::sweep() {
  if (sweeping_ || stopped_) return;
  sweeping_ = true;
  // Nothing tells that the peer has closed while its data are left unread, and clients that give up would use up the
  // descriptors.
  sweep_timer_.expires_after(std::chrono::milliseconds(200));
  sweep_timer_.async_wait([self = shared_from_this()](error_code ec) {
    self->sweeping_ = false;
    if (ec) return;
    bool more = false;
    for (const auto& session : self->sessions()) {
      if (!session->ignored()) continue;
      if (session->abandoned()) {
        session->close();
      } else {
        more = true;
      }
    }
    if (more) self->sweep();
  });
}

void Server::accept() {
  acceptor_.async_accept([self = shared_from_this(), listener = listener_](error_code ec, tcp::socket socket) {
    if (self->stopped_ || listener != self->listener_) return;
    if (ec) {
      // Out of descriptors, most likely: trying again at once would spin.
      self->accept_timer_.expires_after(kRetry);
      self->accept_timer_.async_wait([self, listener](error_code cancelled) {
        if (!cancelled && !self->stopped_ && listener == self->listener_) self->accept();
      });
      return;
    }
    error_code ignored;
    socket.non_blocking(true, ignored);
    socket.set_option(tcp::no_delay(true), ignored);
    const auto session = std::make_shared<Session>(self, std::move(socket));
    self->sessions_.insert(session);
    self->opened();
    if (self->ignores_connection()) {
      session->ignore();
      self->sweep();
    } else {
      session->serve();
    }
    self->accept();
  });
}

}  // namespace sim::detail
