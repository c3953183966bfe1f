#include "haproxy/channel.hpp"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <algorithm>
#include <boost/asio/buffer.hpp>
#include <boost/asio/ip/address.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>
#include <cerrno>
#include <system_error>
#include <tuple>
#include <utility>

#include "base/text.hpp"
#include "base/tuple_token.hpp"
#include "haproxy/replies.hpp"

namespace rpcw::haproxy {

namespace asio = boost::asio;
using boost::system::error_code;
using std::chrono::steady_clock;

namespace {

/// Of the master's list of processes.
constexpr std::size_t kMaxProcesses = std::size_t{1} << 20U;
/// Large enough that a big `show stat` takes few reads; HAProxy writes 16 kB at a time.
constexpr std::size_t kReadSize = std::size_t{64} << 10U;
constexpr std::size_t kShortestLine = 250;
/// How often a full queue of connections is tried again. The kernel does not tell when there is room.
constexpr std::chrono::milliseconds kQueueRetry{5};
/// A master that starts itself anew for a reload does not listen for a moment, which is no fault.
constexpr std::chrono::milliseconds kMasterAway{1000};

std::string count_of(std::size_t part, std::size_t whole, std::string_view noun) {
  return std::to_string(part) + " of " + std::to_string(whole) + " " + std::string(noun);
}

bool is_unix(const config::Endpoint& endpoint) {
  return endpoint.kind == config::Endpoint::Kind::kUnix || endpoint.kind == config::Endpoint::Kind::kMaster;
}

}  // namespace

/// A connection and the clock that ends it. Shared, since the clock's handler may run after the exchange is over.
struct Channel::Link : std::enable_shared_from_this<Channel::Link> {
  explicit Link(const asio::any_io_executor& executor) : socket(executor), timer(executor) {}

  asio::generic::stream_protocol::socket socket;
  /// Over `socket`; nullptr: plain.
  std::unique_ptr<TlsStream> tls;
  asio::steady_timer timer;
  bool expired = false;

  asio::awaitable<TlsStream::Result> write(asio::const_buffer all) {
    if (tls) co_return co_await tls->write(all);
    const auto [error, bytes] = co_await asio::async_write(socket, all, kTuple);
    co_return TlsStream::Result(error, bytes);
  }

  asio::awaitable<TlsStream::Result> read_some(asio::mutable_buffer into) {
    if (tls) co_return co_await tls->read_some(into);
    const auto [error, bytes] = co_await socket.async_read_some(into, kTuple);
    co_return TlsStream::Result(error, bytes);
  }

  /// Operations on the socket end at `deadline`, which replaces an earlier one.
  void end_at(TimePoint deadline) {
    expired = false;
    timer.expires_at(deadline);
    timer.async_wait([weak = weak_from_this()](const error_code& error) {
      const auto link = weak.lock();
      if (error || !link) return;
      link->expired = true;
      error_code ignored;
      link->socket.cancel(ignored);
    });
  }
};

Channel::Channel(asio::any_io_executor executor, config::Endpoint endpoint, std::shared_ptr<TlsContext> tls,
                 milliseconds timeout)
    : executor_(std::move(executor)), endpoint_(std::move(endpoint)), tls_(std::move(tls)), timeout_(timeout) {}

Channel::~Channel() {
  give_up_owed();
}

void Channel::give_up_owed() {
  if (!owed_) return;
  error_code ignored;
  owed_->socket.close(ignored);
  owed_.reset();
}

std::string_view Channel::prefix() const {
  return endpoint_.kind == config::Endpoint::Kind::kMaster ? "@1 " : "";
}

std::string Channel::where(std::string_view what) const {
  return endpoint_.text + ": " + std::string(what);
}

Failure Channel::failure(Error code, std::string_view what) const {
  return {code, where(what)};
}

Failure Channel::too_late(std::string_view doing) const {
  return failure(Error::kTimeout,
                 std::string(doing) + " within " + std::to_string(timeout_.count()) +
                     " ms; HAProxy may be stopped or overloaded, or all its CLI connections (about ten) "
                     "are taken by others");
}

Failure Channel::connect_failure(const error_code& error) const {
  const auto with = [&](std::string_view advice) {
    return std::string("cannot connect: ") + error.message() + "; " + std::string(advice);
  };
  if (error == asio::error::access_denied || error.value() == EPERM) {
    return failure(Error::kPermission,
                   with("let this user in by `mode`, `user` or `group` on the `stats socket` line of "
                        "haproxy.cfg, and by the rights of the directories above it"));
  }
  if (error.value() == EMFILE || error.value() == ENFILE)
    return failure(Error::kConnect, with("raise the limit on open files (LimitNOFILE= of a systemd unit)"));
  const bool master = endpoint_.kind == config::Endpoint::Kind::kMaster;
  const std::string_view line =
      master ? "is it started with -W -S and this path?"
             : "does its haproxy.cfg have a `stats socket` line with this path and `level admin`?";
  if (is_unix(endpoint_)) {
    if (error.value() == ENOENT || error.value() == ENOTDIR) {
      return failure(Error::kConnect, with("is HAProxy running here, and " + std::string(line)));
    }
    struct stat status {};
    if (::stat(endpoint_.address.c_str(), &status) == 0 && !S_ISSOCK(status.st_mode)) {
      return failure(Error::kConnect, with("this file is no socket; give the path of HAProxy's"));
    }
    if (error == asio::error::connection_refused) {
      return failure(Error::kConnect,
                     with("the socket file is there but no process listens on it any more: start HAProxy, "
                          "or correct the path; if the file itself is mounted into a container, mount its directory "
                          "instead, since HAProxy makes a new file at each reload"));
    }
  }
  if (error == asio::error::connection_refused) {
    if (tls_) return failure(Error::kConnect, with("is HAProxy running there, with a `bind` line for this port?"));
    return failure(
        Error::kConnect,
        with(is_loopback(endpoint_.resolved.empty() ? endpoint_.address : endpoint_.resolved)
                 ? "is HAProxy running there, with a `stats socket ipv4@ADDRESS:PORT level admin` line?"
                 : "is HAProxy running there, with a stats socket on this port? (one that others can reach needs TLS "
                   "and certificates of its clients)"));
  }
  return failure(Error::kConnect, with("check the endpoint and that HAProxy is running"));
}

Failure Channel::cut_off(const Link& link, const error_code& error, const Line& line) const {
  if (link.tls)
    if (const auto why = link.tls->explain(error)) return failure(Error::kTls, *why);
  const auto got = count_of(reader_.count(), line.replies, "replies");
  const auto words = presentable(reader_.rest());
  if (error == asio::error::operation_aborted) return failure(Error::kCancelled, "given up after " + got);
  if (error == asio::error::eof || error == asio::error::connection_reset || error == asio::error::broken_pipe) {
    auto what = "HAProxy closed the connection after " + got;
    if (words.starts_with("HTTP/"))
      what = "an HTTP server answers there; give the address of a `stats socket` line";
    else if (!words.empty())
      what += "; its last words: \"" + words + "\"";
    if (!is_unix(endpoint_) && !link.tls && reader_.count() == 0 && words.empty())
      what += "; if its `bind` line has `ssl`, give haproxy.ca_file";
    return failure(Error::kClosedEarly, what);
  }
  return failure(Error::kIo, "after " + got + ": " + error.message());
}

asio::awaitable<std::optional<Failure>> Channel::find_addresses(TimePoint deadline) {
  addresses_.clear();
  if (tls_ && !is_unix(endpoint_) && !tls_->fault().empty()) co_return failure(Error::kTls, tls_->fault());
  if (is_unix(endpoint_)) {
    if (endpoint_.address.empty() || endpoint_.address.size() >= sizeof(sockaddr_un::sun_path)) {
      co_return failure(Error::kConnect, "a Unix socket's path has 1 to 107 bytes");
    }
    addresses_.emplace_back(asio::local::stream_protocol::endpoint(endpoint_.address));
    co_return std::nullopt;
  }
  error_code not_numeric;
  const auto numeric =
      asio::ip::make_address(endpoint_.resolved.empty() ? endpoint_.address : endpoint_.resolved, not_numeric);
  if (!not_numeric) {
    addresses_.emplace_back(asio::ip::tcp::endpoint(numeric, endpoint_.port));
    co_return std::nullopt;
  }
  if (!lookup_) {
    try {
      lookup_ = Lookup::start(endpoint_.address, endpoint_.port);
    } catch (const std::system_error& error) {
      co_return failure(Error::kResolve, std::string("cannot look up the host: ") + error.what());
    }
  }
  co_await lookup_->wait(deadline);
  if (!lookup_->done()) {
    if (steady_clock::now() < deadline) co_return failure(Error::kCancelled, "given up during the look-up of the host");
    co_return failure(Error::kTimeout, "no answer to the look-up of the host within " +
                                           std::to_string(timeout_.count()) + " ms; check the name servers");
  }
  const auto result = lookup_->result();
  lookup_.reset();
  if (!result) {
    co_return failure(Error::kResolve, "cannot look up the host: " + result.error() + "; check the name");
  }
  for (const auto& address : *result) addresses_.emplace_back(address);
  co_return std::nullopt;
}

asio::awaitable<std::optional<Failure>> Channel::connect(Link& link, TimePoint deadline) {
  error_code error;
  if (is_unix(endpoint_)) {
    // By hand: when the listener's queue is full, connect() says EAGAIN, which Asio takes for "under way" and then for
    // success.
    link.end_at(deadline);
    link.socket.open(asio::local::stream_protocol(), error);
    if (!error) link.socket.native_non_blocking(true, error);
    if (error) co_return connect_failure(error);
    const auto& address = addresses_.front();
    asio::steady_timer pause(executor_);
    const auto begun = steady_clock::now();
    while (::connect(link.socket.native_handle(), address.data(), static_cast<socklen_t>(address.size())) != 0) {
      if (errno == EINTR) continue;
      const error_code why(errno, boost::system::system_category());
      const bool away = endpoint_.kind == config::Endpoint::Kind::kMaster &&
                        (errno == ECONNREFUSED || errno == ENOENT) && steady_clock::now() - begun < kMasterAway;
      if (errno != EAGAIN && !away) co_return connect_failure(why);
      if (link.expired || steady_clock::now() >= deadline)
        co_return away ? connect_failure(why) : too_late("could not connect (its queue is full)");
      pause.expires_after(kQueueRetry);
      const auto [cancelled] = co_await pause.async_wait(kTuple);
      if (cancelled) co_return failure(Error::kCancelled, "given up while connecting");
    }
    co_return std::nullopt;
  }

  for (std::size_t i = 0; i < addresses_.size(); ++i) {
    // An address that does not answer must leave time for those behind it.
    const auto now = steady_clock::now();
    const auto left = static_cast<std::int64_t>(addresses_.size() - i);
    link.end_at(std::min(deadline, now + (deadline - now) / left));
    error_code ignored;
    link.socket.close(ignored);
    std::tie(error) = co_await link.socket.async_connect(addresses_[i], kTuple);
    if (!error) {
      link.end_at(deadline);
      link.socket.set_option(asio::ip::tcp::no_delay(true), ignored);
      std::swap(addresses_.front(), addresses_[i]);
      co_return std::nullopt;
    }
    if (error == asio::error::operation_aborted && !link.expired) {
      co_return failure(Error::kCancelled, "given up while connecting");
    }
  }
  if (link.expired) co_return too_late("could not connect");
  co_return connect_failure(error);
}

asio::awaitable<std::optional<Failure>> Channel::secure(Link& link) {
  if (!tls_ || is_unix(endpoint_)) co_return std::nullopt;
  link.tls = std::make_unique<TlsStream>(link.socket, *tls_, endpoint_.address);
  const auto error = co_await link.tls->handshake();
  if (!error) co_return std::nullopt;
  if (link.expired) co_return too_late("no end of the TLS handshake");
  if (error == asio::error::operation_aborted) co_return failure(Error::kCancelled, "given up in the TLS handshake");
  if (auto why = link.tls->explain(error)) co_return failure(Error::kTls, *why);
  co_return failure(Error::kTls, "the connection ended in the TLS handshake: " + error.message());
}

asio::awaitable<std::optional<Failure>> Channel::wait_for_worker() {
  owed_->end_at(steady_clock::now() + timeout_);
  std::vector<char> scratch(kReadSize);
  error_code closed;
  while (!closed) std::tie(closed, std::ignore) = co_await owed_->read_some(asio::buffer(scratch));
  if (!owed_->expired) {
    give_up_owed();
    if (closed == asio::error::operation_aborted)
      co_return failure(Error::kCancelled, "given up while waiting for the worker");
    co_return std::nullopt;
  }
  // The master answers this one itself.
  const Line ask{"show proc\n", 1};
  if (auto failed = co_await exchange_now(ask, kMaxProcesses)) co_return failed;
  const auto worker = parse_worker(reader_.reply(0));
  if (owing_worker_ == 0) owing_worker_ = worker.value_or(0);
  if (worker && *worker == owing_worker_)
    co_return failure(Error::kTimeout, "worker " + std::to_string(*worker) +
                                           " has not answered the commands before; nothing more is sent until it does, "
                                           "since each would take one of the master's few connections");
  give_up_owed();
  co_return std::nullopt;
}

asio::awaitable<std::optional<Failure>> Channel::exchange(const Line& line, std::size_t max_bytes,
                                                          const std::function<bool()>& may_send) {
  if (owed_)
    if (auto failed = co_await wait_for_worker()) co_return failed;
  co_return co_await exchange_now(line, max_bytes, may_send);
}

asio::awaitable<std::optional<Failure>> Channel::exchange_now(const Line& line, std::size_t max_bytes,
                                                              const std::function<bool()>& may_send) {
  const auto deadline = steady_clock::now() + timeout_;
  reader_.reset(line.replies, max_bytes);
  if (addresses_.empty()) {
    auto failed = co_await find_addresses(deadline);
    if (failed) co_return failed;
  }
  const auto link = std::make_shared<Link>(executor_);
  auto failed = co_await connect(*link, deadline);
  if (!failed) failed = co_await secure(*link);
  if (failed) co_return failed;
  if (may_send && !may_send()) co_return failure(Error::kCancelled, "not sent");

  const auto [write_error, written] = co_await link->write(asio::buffer(line.text));
  if (link->expired) co_return too_late("could not send the commands");
  // A peer that has closed may still have said why.
  if (write_error && write_error != asio::error::broken_pipe) co_return cut_off(*link, write_error, line);
  if (endpoint_.kind == config::Endpoint::Kind::kMaster) {
    // The master keeps the connection open after its errors ("Can't find the target PID") until we have closed our
    // half.
    error_code ignored;
    link->socket.shutdown(asio::socket_base::shutdown_send, ignored);
  }

  while (reader_.state() == ReplyReader::State::kMore) {
    const auto room = reader_.prepare(kReadSize);
    const auto [read_error, bytes] = co_await link->read_some(asio::buffer(room.data(), room.size()));
    reader_.commit(bytes);
    received_ += bytes;
    if (reader_.finished()) break;
    if (link->expired) {
      if (endpoint_.kind == config::Endpoint::Kind::kMaster && !owed_ && line.text.starts_with(prefix())) {
        owed_ = link;
        owing_worker_ = worker_;
      }
      co_return too_late("only " + count_of(reader_.count(), line.replies, "replies") + " came");
    }
    if (read_error) co_return cut_off(*link, read_error, line);
  }
  if (reader_.state() == ReplyReader::State::kTooLarge) {
    co_return failure(Error::kTooLarge,
                      "more than " + std::to_string(max_bytes) + " bytes of replies; is this HAProxy's socket?");
  }
  if (!reader_.rest().empty()) {
    // Which reply belongs to which command is unknown then.
    reader_.reset(line.replies, max_bytes);
    co_return failure(Error::kMalformed, "more replies than commands; is this HAProxy's socket?");
  }
  co_return std::nullopt;
}

bool Channel::shorten(const Line& line) {
  if (line.replies < 2 || max_line_ <= kShortestLine) return false;
  max_line_ = std::max(kShortestLine, std::min(max_line_, line.text.size()) / 2);
  return true;
}

std::vector<Line> Channel::lines(std::span<const std::string> commands) const {
  auto limit = max_line_;
  for (const auto& command : commands)
    limit = std::max(limit, std::min(prefix().size() + command.size() + 1, kMaxLine));
  return pack(commands, limit, prefix());
}

}  // namespace rpcw::haproxy
