#include "observe/http_server.hpp"

#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <boost/asio/buffer.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/status.hpp>
#include <optional>
#include <unordered_set>
#include <utility>
#include <variant>
#include <vector>

#include "base/listening.hpp"
#include "base/tuple_token.hpp"
#include "base/wait_group.hpp"
#include "observe/gzip.hpp"

namespace rpcw::observe {
namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using Socket = asio::generic::stream_protocol::socket;
using boost::system::error_code;

/// Bodies are sent in pieces of about this size. One takes well below a millisecond to write.
constexpr std::size_t kPiece = 16384;
/// Shorter bodies are not compressed: the header alone has 18 bytes.
constexpr std::size_t kWorthCompressing = 1024;
/// After our end of a connection is closed, the client may take this long to read the rest and close its own. A socket
/// that is closed with unread bytes makes the kernel throw away the answer.
constexpr std::chrono::milliseconds kLinger{1000};
/// Connections that are told 503 and wait for their end; more are closed at once.
constexpr std::size_t kMostRefused = 64;

using Acceptor = std::variant<asio::ip::tcp::acceptor, asio::local::stream_protocol::acceptor>;

std::string chunk(std::string_view text) {
  return text.empty() ? std::string{} : fmt::format("{:x}\r\n{}\r\n", text.size(), text);
}

/// False for a link to a socket, too: no socket is bound through a link.
bool is_socket(const std::string& path) {
  struct stat status {};
  return ::lstat(path.c_str(), &status) == 0 && S_ISSOCK(status.st_mode);
}

/// A socket file that an earlier process has left. A socket that another process serves stays, and so does a file that
/// is no socket.
void remove_stale(const std::string& path) {
  if (!is_socket(path)) return;
  asio::io_context none(1);
  asio::local::stream_protocol::socket probe(none);
  error_code ec;
  probe.connect(asio::local::stream_protocol::endpoint(path), ec);
  if (ec == asio::error::connection_refused) ::unlink(path.c_str());
}

}  // namespace

class HttpServer::Impl : public std::enable_shared_from_this<HttpServer::Impl> {
 public:
  Impl(asio::any_io_executor executor, Handler handler, Limits limits)
      : executor_(std::move(executor)), handler_(std::move(handler)), limits_(limits) {}

  std::expected<void, std::string> configure(const config::Http& wanted) {
    std::vector<std::shared_ptr<Listener>> next;
    for (const config::Listen& at : wanted.listen) {
      const auto known = std::ranges::find_if(listeners_, [&](const auto& l) { return l->at == at; });
      if (known != listeners_.end()) {
        next.push_back(*known);
        continue;
      }
      auto fresh = open(at);
      if (!fresh) {
        for (const auto& l : next)
          if (std::ranges::find(listeners_, l) == listeners_.end()) close(*l);
        return std::unexpected(std::move(fresh.error()));
      }
      next.push_back(std::move(*fresh));
    }
    std::swap(listeners_, next);
    for (const auto& l : next)
      if (std::ranges::find(listeners_, l) == listeners_.end()) close(*l);
    for (const auto& l : listeners_)
      if (std::ranges::find(next, l) == next.end()) asio::co_spawn(executor_, accept(shared_from_this(), l), rethrow);
    hosts_ = wanted.hosts;
    return {};
  }

  void close() {
    closed_ = true;
    for (const auto& l : std::exchange(listeners_, {})) close(*l);
    for (Session* session : *sessions_) session->close();
  }

 private:
  struct Listener {
    config::Listen at;
    Acceptor acceptor;
    /// Between two attempts to accept.
    asio::steady_timer pause;
  };

  struct Session {
    Session(Socket connected, Impl& owner)
        : socket(std::move(connected)), timer(socket.get_executor()), server(owner), sessions(owner.sessions_) {
      sessions->insert(this);
    }
    ~Session() { sessions->erase(this); }
    Session(const Session&) = delete;
    Session& operator=(const Session&) = delete;

    void close() {
      error_code ignored;
      socket.close(ignored);
      timer.cancel();
    }
    /// Closes the connection at that time, unless another time is set before.
    void limit(std::chrono::milliseconds time) {
      timer.expires_after(time);
      timer.async_wait([self = weak](error_code ec) {
        if (const auto session = self.lock(); session && !ec) session->close();
      });
    }

    Socket socket;
    asio::steady_timer timer;
    Impl& server;
    const std::shared_ptr<std::unordered_set<Session*>> sessions;
    std::weak_ptr<Session> weak;
  };

  /// Sends a body as it is written, in chunks where the client's version knows them.
  class Pieces final : public BodyWriter {
   public:
    Pieces(Session& session, bool chunked, bool gzip, std::optional<std::chrono::milliseconds> each)
        : session_(session), chunked_(chunked), each_(each) {
      if (gzip) gzip_.emplace();
    }

    asio::awaitable<bool> next() override {
      if (text.size() < kPiece) co_return !broken_;
      co_return co_await flush();
    }
    asio::awaitable<bool> flush() override { co_return co_await send(false); }
    asio::awaitable<bool> finish() { co_return co_await send(true); }

   private:
    asio::awaitable<bool> send(bool end) {
      if (broken_) co_return false;
      std::string out = gzip_ ? gzip_->add(text, end) : std::exchange(text, {});
      text.clear();
      if (chunked_) out = chunk(out) + (end ? "0\r\n\r\n" : "");
      if (out.empty()) co_return true;
      if (each_) session_.limit(*each_);
      const auto [ec, n] = co_await asio::async_write(session_.socket, asio::buffer(out), kTuple);
      broken_ = static_cast<bool>(ec);
      co_return !broken_;
    }

    Session& session_;
    const bool chunked_;
    /// For each piece; absent: the time of the whole answer is limited.
    const std::optional<std::chrono::milliseconds> each_;
    std::optional<Gzip> gzip_;
    bool broken_ = false;
  };

  // ---- listening

  std::expected<std::shared_ptr<Listener>, std::string> open(const config::Listen& at) {
    const auto failure = [&at](const error_code& ec) {
      const bool in_use = ec == asio::error::address_in_use;
      // The kernel has one word for a name that is taken, whatever has it.
      if (in_use && at.port == 0 && !is_socket(at.address))
        return fmt::format("http.listen {}: a file that is no socket has this name; choose another name, or remove it",
                           at.text);
      return fmt::format("http.listen {}: {}{}", at.text, ec.message(),
                         !in_use        ? ""
                         : at.port == 0 ? "; `ss -lxp` shows which process has it"
                                        : "; `ss -ltnp` shows which process has it");
    };
    const auto listening = [&](auto acceptor,
                               const auto& endpoint) -> std::expected<std::shared_ptr<Listener>, std::string> {
      if (const error_code ec = listen_at(acceptor, endpoint)) return std::unexpected(failure(ec));
      return std::make_shared<Listener>(Listener{at, std::move(acceptor), asio::steady_timer(executor_)});
    };
    if (at.port == 0) {
      remove_stale(at.address);
      return listening(asio::local::stream_protocol::acceptor(executor_),
                       asio::local::stream_protocol::endpoint(at.address));
    }
    error_code ec;
    const asio::ip::address address = asio::ip::make_address(at.address, ec);
    if (ec) return std::unexpected(failure(ec));
    return listening(asio::ip::tcp::acceptor(executor_), asio::ip::tcp::endpoint(address, at.port));
  }

  static void close(Listener& listener) {
    error_code ignored;
    std::visit([&](auto& a) { a.close(ignored); }, listener.acceptor);
    listener.pause.cancel();
    if (listener.at.port == 0) ::unlink(listener.at.address.c_str());
  }

  static asio::awaitable<void> accept(std::shared_ptr<Impl> self, std::shared_ptr<Listener> listener) {
    const auto take = [&self](auto socket) { self->take(Socket(std::move(socket))); };
    if (auto* tcp = std::get_if<asio::ip::tcp::acceptor>(&listener->acceptor))
      co_await accept_all(*tcp, listener->pause, take);
    else
      co_await accept_all(std::get<asio::local::stream_protocol::acceptor>(listener->acceptor), listener->pause, take);
  }

  // ---- connections

  void take(Socket socket) {
    const auto session = std::make_shared<Session>(std::move(socket), *this);
    session->weak = session;
    if (connections_ >= limits_.connections) {
      if (refused_ < kMostRefused) asio::co_spawn(executor_, refuse(shared_from_this(), session), rethrow);
      return;
    }
    ++connections_;
    asio::co_spawn(executor_, serve(shared_from_this(), session), rethrow);
  }

  static asio::awaitable<void> refuse(std::shared_ptr<Impl> self, std::shared_ptr<Session> session) {
    ++self->refused_;
    co_await self->send_error(*session, 503, "too many connections");
    co_await hang_up(*session);
    --self->refused_;
  }

  static asio::awaitable<void> serve(std::shared_ptr<Impl> self, std::shared_ptr<Session> session) {
    boost::beast::flat_buffer buffer(self->limits_.head_bytes + 1);
    bool more = true;
    for (bool first = true; more && session->socket.is_open(); first = false) {
      if (!first && buffer.size() == 0) {
        session->limit(self->limits_.idle_time);
        const auto [ec] = co_await session->socket.async_wait(Socket::wait_read, kTuple);
        if (ec) break;
      }
      more = co_await self->exchange(*session, buffer);
    }
    co_await hang_up(*session);
    --self->connections_;
  }

  /// Closes our half, and waits for the client to close its own: only then it has taken our last bytes.
  static asio::awaitable<void> hang_up(Session& session) {
    error_code ec;
    session.socket.shutdown(Socket::shutdown_send, ec);
    if (!ec) session.limit(kLinger);
    std::array<char, 512> rest{};
    while (!ec) {
      const auto [error, n] = co_await session.socket.async_read_some(asio::buffer(rest), kTuple);
      ec = error;
    }
    session.close();
  }

  /// One request and its answer. False: the connection is to be closed.
  asio::awaitable<bool> exchange(Session& session, boost::beast::flat_buffer& buffer) {
    http::request_parser<http::empty_body> parser;
    parser.header_limit(static_cast<std::uint32_t>(limits_.head_bytes));
    session.limit(limits_.head_time);
    const auto [ec, n] = co_await http::async_read_header(session.socket, buffer, parser, kTuple);
    if (closed_) co_return false;
    if (ec == http::error::end_of_stream || !session.socket.is_open()) co_return false;
    if (ec == http::error::header_limit || ec == http::error::buffer_overflow) {
      co_await send_error(session, 431, "the request's head is too long");
      co_return false;
    }
    if (ec) {
      if (ec.category() == http::make_error_code(http::error::bad_method).category() &&
          ec != http::error::partial_message)
        co_await send_error(session, 400, "this is no HTTP request");
      co_return false;
    }
    const auto& head = parser.get();
    const bool old = head.version() < 11;
    // Any Transfer-Encoding: a proxy may know one that the parser does not, and see another end of the request.
    const bool has_body =
        parser.get().count(http::field::transfer_encoding) > 0 || parser.content_length().value_or(0) > 0;
    const bool close = !head.keep_alive() || has_body;
    HttpRequest request;
    request.accept = head[http::field::accept];
    request.accept_encoding = head[http::field::accept_encoding];
    const bool body_wanted = head.method() != http::verb::head;
    HttpAnswer answer = answer_to(head, old, has_body, request);
    co_return co_await send(session, request, std::move(answer), close, body_wanted, old) && !close;
  }

  template <typename Head>
  HttpAnswer answer_to(const Head& head, bool old, bool has_body, HttpRequest& request) {
    // HAProxy's health checks are HTTP/1.0 and have no Host. Browsers, which this check is about, always send one.
    const std::size_t hosts = head.count(http::field::host);
    if (hosts > 1 || (hosts == 0 && !old)) return http_error(400, "a request has one Host header");
    if (hosts == 1 && !host_allowed(std::string_view(head[http::field::host]), hosts_))
      return http_error(421, "this Host is not served here: see hosts in [http] of the configuration");
    if (head.method() != http::verb::get && head.method() != http::verb::head) {
      HttpAnswer out = http_error(405, "only GET and HEAD are served");
      out.headers.emplace_back("Allow", "GET, HEAD");
      return out;
    }
    if (has_body) return http_error(400, "a request with a body");
    const std::string_view target = head.target();
    if (!target.starts_with('/')) return http_error(400, "the request's target is no path");
    const std::size_t question = target.find('?');
    request.path = percent_decoded(target.substr(0, question), false);
    if (question != std::string_view::npos) request.query = parse_query(target.substr(question + 1));
    return handler_(request);
  }

  /// Answers what is no valid request. The connection is to be closed.
  asio::awaitable<bool> send_error(Session& session, unsigned status, std::string_view text) {
    // Not as temporaries of one co_await: GCC 12 destroys such twice.
    const HttpRequest none;
    HttpAnswer answer = http_error(status, text);
    const bool sent = co_await send(session, none, std::move(answer), true, true);
    co_return sent;
  }

  asio::awaitable<bool> send(Session& session, const HttpRequest& request, HttpAnswer answer, bool close,
                             bool body_wanted, bool old = false) {
    const bool gzip = answer.compress && accepts_gzip(request.accept_encoding) &&
                      (answer.stream || answer.body.size() > kWorthCompressing);
    const bool pieces = answer.stream || gzip;
    // An old client knows the end of such a body by the end of the connection.
    const bool until_end = pieces && old;
    std::string out = fmt::format(
        "HTTP/1.1 {} {}\r\nContent-Type: {}\r\nX-Content-Type-Options: nosniff\r\nCache-Control: no-store\r\n"
        "Referrer-Policy: no-referrer\r\nConnection: {}\r\n",
        answer.status, std::string_view(http::obsolete_reason(http::int_to_status(answer.status))), answer.content_type,
        close || until_end ? "close" : "keep-alive");
    for (const auto& [name, value] : answer.headers) out += fmt::format("{}: {}\r\n", name, value);
    if (answer.compress) out += "Vary: Accept-Encoding\r\n";
    if (gzip) out += "Content-Encoding: gzip\r\n";
    if (!pieces)
      out += fmt::format("Content-Length: {}\r\n", answer.body.size());
    else if (!until_end)
      out += "Transfer-Encoding: chunked\r\n";
    out += "\r\n";
    if (!pieces && body_wanted) out += answer.body;
    session.limit(limits_.write_time);
    const auto [ec, n] = co_await asio::async_write(session.socket, asio::buffer(out), kTuple);
    if (ec) co_return false;
    if (!pieces || !body_wanted) co_return !until_end;
    Pieces writer(session, !until_end, gzip, answer.endless ? std::optional(limits_.write_time) : std::nullopt);
    if (answer.stream) {
      co_await answer.stream(writer);
    } else {
      for (std::string_view rest = answer.body; !rest.empty();) {
        const std::string_view piece = rest.substr(0, kPiece);
        rest.remove_prefix(piece.size());
        writer.text += piece;
        if (!co_await writer.next()) break;
      }
    }
    co_return co_await writer.finish() && !until_end;
  }

  const asio::any_io_executor executor_;
  const Handler handler_;
  const Limits limits_;
  std::vector<std::shared_ptr<Listener>> listeners_;
  std::vector<std::string> hosts_;
  /// Shared: at the end of the loop a session may be destroyed after its server.
  std::shared_ptr<std::unordered_set<Session*>> sessions_ = std::make_shared<std::unordered_set<Session*>>();
  std::size_t connections_ = 0;
  std::size_t refused_ = 0;
  bool closed_ = false;
};

HttpServer::HttpServer(asio::any_io_executor executor, Handler handler, Limits limits)
    : impl_(std::make_shared<Impl>(std::move(executor), std::move(handler), limits)) {}

HttpServer::~HttpServer() {
  impl_->close();
}

std::expected<void, std::string> HttpServer::configure(const config::Http& http) {
  return impl_->configure(http);
}

}  // namespace rpcw::observe
