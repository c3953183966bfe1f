#include "haproxy/client.hpp"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/ip/address.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <cerrno>
#include <stdexcept>
#include <system_error>
#include <tuple>
#include <utility>

namespace rpcw::haproxy {

namespace asio = boost::asio;
using boost::system::error_code;
using std::chrono::steady_clock;

namespace {

constexpr auto kToken = asio::as_tuple(asio::use_awaitable);

/// 10,000 servers are 3 MB.
constexpr std::size_t kMaxRead = std::size_t{64} << 20U;
/// A refusal is a line; an unknown command is answered with a page of help.
constexpr std::size_t kMaxPushReply = 8192;
/// Large enough that a big `show stat` takes few reads; HAProxy writes 16 kB at a time.
constexpr std::size_t kReadSize = std::size_t{64} << 10U;
constexpr std::size_t kShortestLine = 250;
/// How often a full queue of connections is tried again. The kernel does not tell when there is room.
constexpr std::chrono::milliseconds kQueueRetry{5};

std::string count_of(std::size_t part, std::size_t whole, std::string_view noun) {
  return std::to_string(part) + " of " + std::to_string(whole) + " " + std::string(noun);
}

bool is_unix(const config::Endpoint& endpoint) {
  return endpoint.kind == config::Endpoint::Kind::kUnix || endpoint.kind == config::Endpoint::Kind::kMaster;
}

}  // namespace

std::shared_ptr<TlsContext> tls_context(const config::TlsFiles& files) {
  return files.empty() ? nullptr : std::make_shared<TlsContext>(files);
}

/// A connection and the clock that ends it. Shared, since the clock's handler may run after the exchange is over.
struct Client::Link : std::enable_shared_from_this<Client::Link> {
  explicit Link(const asio::any_io_executor& executor) : socket(executor), timer(executor) {}

  asio::generic::stream_protocol::socket socket;
  /// Over `socket`; nullptr: plain.
  std::unique_ptr<TlsStream> tls;
  asio::steady_timer timer;
  bool expired = false;

  asio::awaitable<TlsStream::Result> write(asio::const_buffer all) {
    if (tls) co_return co_await tls->write(all);
    const auto [error, bytes] = co_await asio::async_write(socket, all, kToken);
    co_return TlsStream::Result(error, bytes);
  }

  asio::awaitable<TlsStream::Result> read_some(asio::mutable_buffer into) {
    if (tls) co_return co_await tls->read_some(into);
    const auto [error, bytes] = co_await socket.async_read_some(into, kToken);
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

/// Two exchanges at once would share one buffer.
class Client::Busy {
 public:
  explicit Busy(Client& client) : client_(client) {
    if (client.busy_) throw std::logic_error("a haproxy::Client does one operation at a time");
    client.busy_ = true;
  }
  Busy(const Busy&) = delete;
  Busy& operator=(const Busy&) = delete;
  ~Busy() { client_.busy_ = false; }

 private:
  Client& client_;
};

Client::Client(asio::any_io_executor executor, config::Endpoint endpoint, std::shared_ptr<TlsContext> tls,
               milliseconds timeout)
    : executor_(std::move(executor)), endpoint_(std::move(endpoint)), tls_(std::move(tls)), timeout_(timeout) {}

Client::~Client() {
  give_up_owed();
}

void Client::give_up_owed() {
  if (!owed_) return;
  error_code ignored;
  owed_->socket.close(ignored);
  owed_.reset();
}


std::string_view Client::prefix() const {
  return endpoint_.kind == config::Endpoint::Kind::kMaster ? "@1 " : "";
}

std::string Client::where(std::string_view what) const {
  return endpoint_.text + ": " + std::string(what);
}

Failure Client::failure(Error code, std::string_view what) const {
  return {code, where(what)};
}

Failure Client::too_late(std::string_view doing) const {
  return failure(Error::kTimeout,
                 std::string(doing) + " within " + std::to_string(timeout_.count()) +
                     " ms; HAProxy may be stopped or overloaded, or all its CLI connections (about ten) "
                     "are taken by others");
}

Failure Client::connect_failure(const error_code& error) const {
  const auto with = [&](std::string_view advice) {
    return std::string("cannot connect: ") + error.message() + "; " + std::string(advice);
  };
  if (error == asio::error::access_denied || error.value() == EPERM) {
    return failure(Error::kPermission,
                   with("let this user in by `mode`, `user` or `group` on the `stats socket` line of "
                        "haproxy.cfg, and by the rights of the directories above it"));
  }
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
    return failure(Error::kConnect,
                   with("is HAProxy running there, with a `stats socket ipv4@ADDRESS:PORT level admin` line?"));
  }
  return failure(Error::kConnect, with("check the endpoint and that HAProxy is running"));
}

Failure Client::cut_off(const Link& link, const error_code& error, const Line& line) const {
  if (link.tls)
    if (const auto why = link.tls->explain(error)) return failure(Error::kTls, *why);
  const auto got = count_of(reader_.count(), line.replies, "replies");
  const auto words = presentable(reader_.rest());
  if (error == asio::error::operation_aborted) return failure(Error::kCancelled, "given up after " + got);
  if (error == asio::error::eof || error == asio::error::connection_reset || error == asio::error::broken_pipe) {
    auto what = "HAProxy closed the connection after " + got;
    if (!words.empty()) what += "; its last words: \"" + words + "\"";
    if (!is_unix(endpoint_) && !link.tls && reader_.count() == 0 && words.empty())
      what += "; if its `bind` line has `ssl`, give haproxy.ca_file";
    return failure(Error::kClosedEarly, what);
  }
  return failure(Error::kIo, "after " + got + ": " + error.message());
}

asio::awaitable<std::optional<Failure>> Client::find_addresses(TimePoint deadline) {
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

asio::awaitable<std::optional<Failure>> Client::connect(Link& link, TimePoint deadline) {
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
    while (::connect(link.socket.native_handle(), address.data(), static_cast<socklen_t>(address.size())) != 0) {
      if (errno == EINTR) continue;
      if (errno != EAGAIN) co_return connect_failure(error_code(errno, boost::system::system_category()));
      if (link.expired || steady_clock::now() >= deadline) co_return too_late("could not connect (its queue is full)");
      pause.expires_after(kQueueRetry);
      const auto [cancelled] = co_await pause.async_wait(kToken);
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
    std::tie(error) = co_await link.socket.async_connect(addresses_[i], kToken);
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

asio::awaitable<std::optional<Failure>> Client::secure(Link& link) {
  if (!tls_ || is_unix(endpoint_)) co_return std::nullopt;
  link.tls = std::make_unique<TlsStream>(link.socket, *tls_, endpoint_.address);
  const auto error = co_await link.tls->handshake();
  if (!error) co_return std::nullopt;
  if (link.expired) co_return too_late("no end of the TLS handshake");
  if (error == asio::error::operation_aborted) co_return failure(Error::kCancelled, "given up in the TLS handshake");
  if (auto why = link.tls->explain(error)) co_return failure(Error::kTls, *why);
  co_return failure(Error::kTls, "the connection ended in the TLS handshake: " + error.message());
}

asio::awaitable<std::optional<Failure>> Client::wait_for_worker() {
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
  if (auto failed = co_await exchange_now(ask, kMaxRead)) co_return failed;
  const auto worker = parse_worker(reader_.reply(0));
  if (owing_worker_ == 0) owing_worker_ = worker.value_or(0);
  if (worker && *worker == owing_worker_)
    co_return failure(Error::kTimeout, "worker " + std::to_string(*worker) +
                                           " has not answered the commands before; nothing more is sent until it does, "
                                           "since each would take one of the master's few connections");
  give_up_owed();
  co_return std::nullopt;
}

asio::awaitable<std::optional<Failure>> Client::exchange(const Line& line, std::size_t max_bytes) {
  if (owed_)
    if (auto failed = co_await wait_for_worker()) co_return failed;
  co_return co_await exchange_now(line, max_bytes);
}

asio::awaitable<std::optional<Failure>> Client::exchange_now(const Line& line, std::size_t max_bytes) {
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

bool Client::shorten(const Line& line) {
  if (line.replies < 2 || max_line_ <= kShortestLine) return false;
  max_line_ = std::max(kShortestLine, std::min(max_line_, line.text.size()) / 2);
  return true;
}

std::vector<Line> Client::lines(std::span<const std::string> commands) const {
  auto limit = max_line_;
  for (const auto& command : commands)
    limit = std::max(limit, std::min(prefix().size() + command.size() + 1, kMaxLine));
  return pack(commands, limit, prefix());
}

asio::awaitable<std::expected<std::vector<std::string>, Failure>> Client::run(std::vector<std::string> commands) {
  const Busy busy(*this);
  addresses_.clear();
  const std::span<const std::string> all(commands);
  std::vector<std::string> replies;
  replies.reserve(commands.size());
  auto todo = lines(all);
  for (std::size_t i = 0; i < todo.size();) {
    const auto& line = todo[i];
    auto failed = co_await exchange(line, kMaxRead);
    if (failed && line_too_big(reader_.rest()) && reader_.count() == 0 && shorten(line)) {
      todo = lines(all.subspan(replies.size()));
      i = 0;
      continue;
    }
    for (std::size_t r = 0; r < reader_.count(); ++r) replies.emplace_back(reader_.reply(r));
    if (failed) {
      if (commands.size() > 1)
        failed->detail += " (" + count_of(replies.size(), commands.size(), "commands confirmed") + ")";
      co_return std::unexpected(std::move(*failed));
    }
    ++i;
  }
  co_return replies;
}

std::expected<Info, Failure> Client::take_info() const {
  const auto first = reader_.reply(0);
  if (first.starts_with("Can't connect to the target CLI") || first.starts_with("Can't find the target")) {
    return std::unexpected(failure(Error::kClosedEarly, "the master has no worker to ask: \"" + presentable(first) +
                                                            "\"; it is starting one, or its configuration is wrong"));
  }
  if (first.starts_with("Permission denied")) {
    return std::unexpected(failure(Error::kPermission, "HAProxy refuses `show info`; the socket needs `level admin`"));
  }
  auto info = parse_info(first);
  if (info) {
    worker_ = info->pid;
    return std::move(*info);
  }
  auto what = info.error();
  if (first.starts_with("Unknown command") || first.starts_with("The following commands are valid")) {
    what += endpoint_.kind == config::Endpoint::Kind::kMaster
                ? "; if this is a `stats socket` and not the master's, write unix: instead of master:unix:"
                : "; if this is the master's socket, write master:unix: instead of unix:";
  }
  return std::unexpected(failure(Error::kMalformed, what));
}

Failure Client::read_failure(Failure&& failure) const {
  if (failure.code == Error::kClosedEarly && reader_.count() > 0)
    if (auto info = take_info(); !info) return std::move(info.error());
  return std::move(failure);
}

std::optional<Failure> Client::take_topology(std::span<const std::string> names, Instance& instance) {
  auto info = take_info();
  if (!info) return std::move(info.error());
  instance.version = std::move(info->version);
  instance.pid = info->pid;
  instance.uptime = info->uptime;
  const auto parts = std::max<std::size_t>(names.size(), 1);
  for (std::size_t i = 0; i < parts; ++i) {
    const auto stat = reader_.reply(1 + i);
    if (!names.empty() && stat.starts_with("No such proxy")) continue;
    if (auto added = add_stat(stat, instance.backends); !added) return failure(Error::kMalformed, added.error());
  }
  for (std::size_t i = 0; i < parts; ++i) {
    const auto state = reader_.reply(1 + parts + i);
    if (state.starts_with("Can't find backend") || state.starts_with("Permission denied")) continue;
    if (auto added = add_servers_state(state, instance.backends); !added) {
      return failure(Error::kMalformed, added.error());
    }
  }
  for (const auto& table : parse_tables(reader_.reply(1 + 2 * parts)))
    if (auto* backend = instance.backend(table)) backend->stick_table = true;
  return std::nullopt;
}

namespace {

std::vector<std::string> names_of(std::span<const std::string> backends) {
  std::vector<std::string> names;
  for (const auto& name : backends) {
    if (valid_name(name) && std::ranges::find(names, name) == names.end()) names.push_back(name);
  }
  return names;
}

/// A server with weight 0 can read DRAIN whether or not an operator drains it, and then his hand does not show.
bool hides_admin_state(const ServerRow& server) {
  return server.uweight == 0 && server.status.starts_with("DRAIN");
}

/// Whether `fresh` has the same servers in the same states as `last`, so that what it lacks can be taken from there.
bool take_over(const BackendRow& last, BackendRow& fresh) {
  if (last.servers.size() != fresh.servers.size()) return false;
  for (std::size_t i = 0; i < last.servers.size(); ++i) {
    const auto& from = last.servers[i];
    auto& to = fresh.servers[i];
    if (from.name != to.name || from.status != to.status || from.addr != to.addr) return false;
    if (hides_admin_state(to) && !hides_admin_state(from)) return false;
    fresh.stick_table = last.stick_table;
    to.iweight = from.iweight;
    to.fqdn = from.fqdn;
    to.tls = from.tls;
    if (!to.admin_state) to.admin_state = from.admin_state;
  }
  return true;
}

}  // namespace

asio::awaitable<std::expected<Info, Failure>> Client::info() {
  const Busy busy(*this);
  addresses_.clear();
  const auto one = lines(std::vector<std::string>{"show info"});
  auto failed = co_await exchange(one.front(), kMaxRead);
  if (failed) co_return std::unexpected(std::move(*failed));
  co_return take_info();
}

asio::awaitable<std::expected<Instance, Failure>> Client::read(std::span<const std::string> only_backends) {
  const Busy busy(*this);
  co_return co_await read_all(names_of(only_backends), !only_backends.empty());
}

asio::awaitable<std::expected<Instance, Failure>> Client::refresh(const Instance& last,
                                                                  std::span<const std::string> only_backends) {
  const Busy busy(*this);
  auto names = names_of(only_backends);
  if (!names.empty()) {
    addresses_.clear();
    auto changes = co_await read_changes(last, names);
    if (!changes) co_return std::unexpected(std::move(changes.error()));
    if (*changes) co_return std::move(**changes);
  }
  co_return co_await read_all(std::move(names), !only_backends.empty());
}

asio::awaitable<std::expected<std::optional<Instance>, Failure>> Client::read_changes(
    const Instance& last, std::span<const std::string> names) {
  struct Part {
    const std::string* name;
    const BackendRow* known;
    bool states;
  };
  Instance instance;
  instance.backends.reserve(names.size());
  for (std::size_t next = 0; next < names.size();) {
    // Each line has its own `show info`: two of them may reach two workers.
    std::vector<std::string> commands{"show info"};
    std::vector<Part> parts;
    std::size_t size = 2 * prefix().size() + commands.front().size() + 2;
    for (; next < names.size(); ++next) {
      const auto& name = names[next];
      const auto* known = last.backend(name);
      const bool states = known != nullptr && std::ranges::any_of(known->servers, hides_admin_state);
      // HAProxy takes a number for a name first, and a name that is a number is none of ours to find here.
      auto stat = "show stat " + (known != nullptr ? std::to_string(known->iid) : name) + " 6 -1";
      auto state = "show servers state " + name;
      const auto more = stat.size() + 1 + prefix().size() + (states ? state.size() + 1 + prefix().size() : 0);
      if (!parts.empty() && size + more > max_line_) break;
      size += more;
      commands.push_back(std::move(stat));
      if (states) commands.push_back(std::move(state));
      parts.push_back({&name, known, states});
    }
    const auto one = lines(commands);
    if (one.size() != 1) co_return std::nullopt;
    auto failed = co_await exchange(one.front(), kMaxRead);
    if (failed && line_too_big(reader_.rest())) co_return std::nullopt;
    if (failed) co_return std::unexpected(std::move(*failed));
    auto info = take_info();
    if (!info) co_return std::unexpected(std::move(info.error()));
    if (info->pid != last.pid || info->uptime < last.uptime) co_return std::nullopt;
    instance.version = std::move(info->version);
    instance.pid = info->pid;
    instance.uptime = info->uptime;
    std::size_t reply = 1;
    for (const auto& part : parts) {
      const auto stat = reader_.reply(reply++);
      std::vector<BackendRow> rows;
      if (!stat.starts_with("No such proxy")) {
        if (auto added = add_stat(stat, rows); !added)
          co_return std::unexpected(failure(Error::kMalformed, added.error()));
      }
      if (part.states) {
        const auto state = reader_.reply(reply++);
        if (!state.starts_with("Can't find backend") && !state.starts_with("Permission denied")) {
          if (auto added = add_servers_state(state, rows); !added)
            co_return std::unexpected(failure(Error::kMalformed, added.error()));
        }
      }
      const auto found = std::ranges::find(rows, *part.name, &BackendRow::name);
      if (part.known == nullptr && found == rows.end()) continue;
      if (part.known == nullptr || found == rows.end() || !take_over(*part.known, *found)) co_return std::nullopt;
      instance.backends.push_back(std::move(*found));
    }
  }
  co_return instance;
}

asio::awaitable<std::expected<Instance, Failure>> Client::read_all(std::vector<std::string> names, bool only_named) {
  addresses_.clear();
  // By name when that fits in one line: all is then from one process and one moment.
  if (!names.empty()) {
    std::vector<std::string> commands{"show info"};
    for (const auto& name : names) commands.push_back("show stat " + name + " 6 -1");
    for (const auto& name : names) commands.push_back("show servers state " + name);
    commands.emplace_back("show table");
    const auto one = lines(commands);
    if (one.size() == 1) {
      auto failed = co_await exchange(one.front(), kMaxRead);
      const bool too_big = failed && line_too_big(reader_.rest());
      if (failed && !too_big) co_return std::unexpected(read_failure(std::move(*failed)));
      Instance instance;
      bool complete = !too_big;
      if (complete) {
        failed = take_topology(names, instance);
        if (failed) co_return std::unexpected(std::move(*failed));
        // HAProxy looks for any proxy of that name, or else of that number: a frontend hides the backend of its name.
        for (std::size_t i = 0; i < names.size(); ++i) {
          const auto* backend = instance.backend(names[i]);
          const bool exists = !reader_.reply(1 + names.size() + i).starts_with("Can't find backend");
          if (exists && (backend == nullptr || backend->status.empty())) complete = false;
        }
      }
      if (complete) {
        std::erase_if(instance.backends,
                      [&](const BackendRow& row) { return std::ranges::find(names, row.name) == names.end(); });
        co_return instance;
      }
    }
  }

  const std::vector<std::string> commands{"show info", "show stat -1 6 -1", "show servers state", "show table"};
  const auto all = lines(commands);
  auto failed = co_await exchange(all.front(), kMaxRead);
  if (failed) co_return std::unexpected(read_failure(std::move(*failed)));
  Instance instance;
  failed = take_topology({}, instance);
  if (failed) co_return std::unexpected(std::move(*failed));
  if (only_named) {
    std::erase_if(instance.backends,
                  [&](const BackendRow& row) { return std::ranges::find(names, row.name) == names.end(); });
  }
  co_return instance;
}

asio::awaitable<std::expected<std::vector<std::string>, Failure>> Client::release(
    std::vector<ReleaseCommand> commands) {
  std::vector<std::string> texts;
  for (const auto& command : commands) {
    try {
      texts.push_back(release_command(command));
    } catch (const std::invalid_argument& error) {
      co_return std::unexpected(failure(Error::kUnsupported, error.what()));
    }
  }
  auto replies = co_await run(std::move(texts));
  if (replies)
    for (auto& reply : *replies) reply = presentable(reply);
  co_return replies;
}

asio::awaitable<std::vector<Outcome>> Client::push(std::vector<WeightCommand> pushes) {
  const Busy busy(*this);
  addresses_.clear();
  std::vector<Outcome> outcomes(pushes.size());
  std::vector<std::string> commands;
  commands.reserve(pushes.size());
  // commands[i] is pushes[order[i]].
  std::vector<std::size_t> order;
  order.reserve(pushes.size());
  for (std::size_t i = 0; i < pushes.size(); ++i) {
    const auto& one = pushes[i];
    auto& outcome = outcomes[i];
    outcome.kind = Outcome::Kind::kRefused;
    if (!valid_name(one.backend) || !valid_name(one.server)) {
      outcome.refusal = Refusal::kInvalidName;
      outcome.detail = "no HAProxy can have this name: " + presentable(one.backend) + "/" + presentable(one.server);
    } else if (one.weight > (one.percent ? 100U : 256U)) {
      outcome.refusal = Refusal::kBadWeight;
      outcome.detail = "not sent: weights are 0 to 256, percentages 0 to 100";
    } else {
      outcome.kind = Outcome::Kind::kUnconfirmed;
      commands.push_back(one.percent ? set_weight_percent_command(one.backend, one.server, one.weight)
                                     : set_weight_command(one.backend, one.server, one.weight));
      order.push_back(i);
    }
  }

  const std::span<const std::string> all(commands);
  std::size_t answered = 0;
  auto todo = lines(all);
  for (std::size_t i = 0; i < todo.size();) {
    const auto& line = todo[i];
    auto failed = co_await exchange(line, line.replies * kMaxPushReply);
    if (failed && line_too_big(reader_.rest()) && reader_.count() == 0 && shorten(line)) {
      todo = lines(all.subspan(answered));
      i = 0;
      continue;
    }
    for (std::size_t r = 0; r < reader_.count(); ++r, ++answered) {
      auto& outcome = outcomes[order[answered]];
      auto verdict = classify_set_weight(reader_.reply(r));
      outcome.kind = verdict.done() ? Outcome::Kind::kDone : Outcome::Kind::kRefused;
      outcome.refusal = verdict.refusal;
      outcome.detail = std::move(verdict.words);
      // Some messages lack the empty line, and the next reply is taken for their end: with replies missing, what
      // follows such a message may belong to another command.
      const bool certain = verdict.refusal != Refusal::kOther && verdict.refusal != Refusal::kBadWeight;
      if (failed && !certain) {
        ++answered;
        break;
      }
    }
    if (failed) {
      for (; answered < order.size(); ++answered) {
        auto& outcome = outcomes[order[answered]];
        outcome.error = failed->code;
        outcome.detail = failed->detail;
      }
      break;
    }
    ++i;
  }
  co_return outcomes;
}

}  // namespace rpcw::haproxy
