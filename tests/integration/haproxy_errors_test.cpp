// What the HAProxy client says of what a real HAProxy seldom does: each error has its code and a sentence that helps.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <chrono>
#include <condition_variable>
#include <exception>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "authority.hpp"
#include "fake_server.hpp"
#include "haproxy/client.hpp"
#include "haproxy/discovery.hpp"
#include "haproxy/replies.hpp"
#include "haproxy_blocking.hpp"
#include "haproxy_process.hpp"

using namespace rpcw;
using namespace rpcw::haproxy;
using namespace rpcw::test;
using namespace std::chrono_literals;
using std::chrono::steady_clock;
namespace asio = boost::asio;

namespace {

/// Much more than any of this takes, on a busy machine too.
constexpr auto kPatience = 20s;

// ---- a HAProxy that answers what it is told to

constexpr std::string_view kInfo = "Name: HAProxy\nVersion: 2.6.12\nPid: 7\nUptime_sec: 60\n";
constexpr std::string_view kStat =
    "# pxname,svname,status,iid,weight,uweight,act,bck,type,\n"
    "rpc,a,DRAIN,3,0,0,0,0,2,\n"
    "rpc,BACKEND,UP,3,0,0,0,0,1,\n";
constexpr std::string_view kStates = "1\n# be_name srv_name srv_admin_state srv_iweight\nrpc a 8 100\n";
constexpr std::string_view kTooBig = "The command line is too big for the buffer size (250)";

std::string well(std::string_view command) {
  if (command == "show info") return std::string(kInfo);
  if (command.starts_with("show stat ")) return std::string(kStat);
  if (command.starts_with("show servers state")) return std::string(kStates);
  return "";
}

/// A message to commands that begin with `command`; the others are answered well.
struct Odd {
  std::string_view command;
  std::string_view reply;
};

std::string answers(std::string_view line, const Odd& odd) {
  std::string out;
  while (!line.empty()) {
    const auto end = std::min(line.find(';'), line.size());
    const auto command = line.substr(0, end);
    line.remove_prefix(std::min(end + 1, line.size()));
    const bool is_odd = !odd.command.empty() && command.starts_with(odd.command);
    out += (is_odd ? std::string(odd.reply) : well(command)) + "\n";
  }
  return out;
}

FakeServer::Serve answering(Odd odd) {
  return [odd](int fd, std::string_view line) { FakeServer::say(fd, answers(line, odd)); };
}

/// Returns when the peer has closed both directions, or after ten seconds: the client closes its own at once on a
/// master's socket.
void hold_open(int fd) {
  pollfd wait{.fd = fd, .events = 0, .revents = 0};
  ::poll(&wait, 1, 10'000);
}

// ---- operations that are cancelled

/// Starts `operation`, lets the loop go on until `reached`, cancels, and returns how it failed.
template <class T>
Failure cancelled(Blocking& client, asio::awaitable<std::expected<T, Failure>> operation,
                  const std::function<bool()>& reached) {
  asio::cancellation_signal signal;
  std::optional<Failure> failure;
  bool ended = false;
  asio::co_spawn(client.io, std::move(operation),
                 asio::bind_cancellation_slot(signal.slot(),
                                              [&](const std::exception_ptr& error, std::expected<T, Failure> result) {
                                                ended = true;
                                                if (!error && !result) failure = result.error();
                                              }));
  const auto deadline = steady_clock::now() + kPatience;
  client.io.restart();
  // To its first wait, however slow the machine.
  client.io.poll();
  while (!ended && !reached() && steady_clock::now() < deadline) client.io.run_for(5ms);
  REQUIRE_FALSE(ended);
  REQUIRE(reached());
  signal.emit(asio::cancellation_type::terminal);
  client.io.restart();
  client.io.run();
  REQUIRE(failure.has_value());
  return *failure;
}

bool at_once() {
  return true;
}

/// No descriptor can be opened while it lives. Those that are open go on.
class NoDescriptors {
 public:
  NoDescriptors() {
    REQUIRE(::getrlimit(RLIMIT_NOFILE, &before_) == 0);
    rlimit none = before_;
    none.rlim_cur = 0;
    REQUIRE(::setrlimit(RLIMIT_NOFILE, &none) == 0);
  }
  ~NoDescriptors() { ::setrlimit(RLIMIT_NOFILE, &before_); }
  NoDescriptors(const NoDescriptors&) = delete;
  NoDescriptors& operator=(const NoDescriptors&) = delete;

 private:
  rlimit before_{};
};

// ---- TCP

/// A listener on the loopback. Its queue takes one connection more than `backlog`.
class Listener {
 public:
  explicit Listener(int backlog) : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof at;
    REQUIRE(::bind(fd_, reinterpret_cast<const sockaddr*>(&at), size) == 0);
    REQUIRE(::listen(fd_, backlog) == 0);
    REQUIRE(::getsockname(fd_, reinterpret_cast<sockaddr*>(&at), &size) == 0);
    port = ntohs(at.sin_port);
  }
  ~Listener() { ::close(fd_); }
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;

  /// A connection that waits; -1: none does.
  [[nodiscard]] int accept() const { return ::accept4(fd_, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK); }
  void never_wait() const { ::fcntl(fd_, F_SETFL, O_NONBLOCK); }
  [[nodiscard]] int descriptor() const { return fd_; }

  std::uint16_t port = 0;

 private:
  int fd_;
};

int connect_to(std::uint16_t port, int flags) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);
  sockaddr_in at{};
  at.sin_family = AF_INET;
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  at.sin_port = htons(port);
  static_cast<void>(::connect(fd, reinterpret_cast<const sockaddr*>(&at), sizeof at));
  return fd;
}

/// Takes the first connection and waits for its first bytes, which it leaves there.
struct Accepted {
  explicit Accepted(const Listener& on) : listener(on) { listener.never_wait(); }
  ~Accepted() {
    if (fd >= 0) ::close(fd);
  }
  Accepted(const Accepted&) = delete;
  Accepted& operator=(const Accepted&) = delete;

  bool has_bytes() {
    if (fd < 0) fd = listener.accept();
    char byte = 0;
    return fd >= 0 && ::recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 1;
  }

  const Listener& listener;
  int fd = -1;
};

/// Passes one connection on to `port`, and from the client's second piece on changes what comes back.
class Corrupter {
 public:
  explicit Corrupter(std::uint16_t port) : thread_([this, port] { pass(port); }) {}
  ~Corrupter() {
    stopping_ = true;
    thread_.join();
  }
  Corrupter(const Corrupter&) = delete;
  Corrupter& operator=(const Corrupter&) = delete;
  [[nodiscard]] std::uint16_t port() const { return listener_.port; }

 private:
  void pass(std::uint16_t port) {
    int client = -1;
    while (client < 0 && !stopping_) {
      pollfd wait{.fd = listener_.descriptor(), .events = POLLIN, .revents = 0};
      if (::poll(&wait, 1, 50) == 1) client = listener_.accept();
    }
    if (client < 0) return;
    const int server = connect_to(port, 0);
    unsigned pieces = 0;
    bool open = true;
    while (open && !stopping_) {
      std::array<pollfd, 2> wait{pollfd{.fd = client, .events = POLLIN, .revents = 0},
                                 pollfd{.fd = server, .events = POLLIN, .revents = 0}};
      if (::poll(wait.data(), wait.size(), 50) <= 0) continue;
      std::array<char, 16384> piece{};
      for (const auto& [from, to] : {std::pair{client, server}, std::pair{server, client}}) {
        if (wait[from == client ? 0 : 1].revents == 0) continue;
        const auto bytes = ::recv(from, piece.data(), piece.size(), MSG_DONTWAIT);
        open = open && bytes > 0;
        if (bytes <= 0) continue;
        if (from == client) ++pieces;
        // The first byte behind a record's header of five bytes.
        else if (pieces > 1)
          piece[bytes > 5 ? 5 : 0] ^= 1;
        static_cast<void>(::send(to, piece.data(), static_cast<std::size_t>(bytes), MSG_NOSIGNAL));
      }
    }
    ::close(client);
    ::close(server);
  }

  const Listener listener_{8};
  std::atomic<bool> stopping_ = false;
  std::thread thread_;
};

config::TlsFiles trusting(const Authority& authority) {
  return {.ca_file = authority.ca_file(), .cert_file = {}, .key_file = {}};
}

}  // namespace

TEST_CASE("errors: replies that are no answer to a read") {
  struct Case {
    Odd odd;
    Error code;
    std::string_view words;
  };
  const std::vector<Case> cases{
      {{"show info", "Permission denied\n"}, Error::kPermission, "needs `level admin`"},
      {{"show info", "Hello\n"}, Error::kMalformed, "lacks Version, Pid, Uptime_sec"},
      {{"show info", "Unknown command\n"}, Error::kMalformed, "write master:unix: instead of unix:"},
      {{"show info", "Can't connect to the target CLI!\n"}, Error::kClosedEarly, "the master has no worker to ask"},
      {{"show stat", "Hello\n"}, Error::kMalformed, "`show stat`, line 1"},
      {{"show servers state", "2\n"}, Error::kMalformed, "`show servers state`"},
  };
  for (const auto& c : cases) {
    CAPTURE(c.odd.command);
    CAPTURE(c.odd.reply);
    FakeServer server(answering(c.odd));
    Blocking client(unix_endpoint(server.path()), kPatience);
    // All, by name, and what has changed since.
    const std::vector<std::string> names{"rpc"};
    Instance last{.version = "2.6.12", .pid = 7, .uptime = 60s, .backends = {}};
    REQUIRE(add_stat(kStat, last.backends));
    for (const auto& result : {client.wait(client.client.read()), client.wait(client.client.read(names)),
                               client.wait(client.client.refresh(last, names))}) {
      REQUIRE_FALSE(result.has_value());
      CHECK(result.error().code == c.code);
      CHECK_MESSAGE(contains(result.error().detail, c.words), result.error().detail);
      CHECK(contains(result.error().detail, "unix:" + server.path()));
    }
  }
}

TEST_CASE("errors: a backend that is not there is no error") {
  const std::vector<std::string> names{"rpc"};
  for (const Odd& odd :
       {Odd{"show stat rpc", "No such proxy.\n"}, Odd{"show servers state rpc", "Can't find backend.\n"},
        Odd{"show servers state rpc", "Permission denied\n"}}) {
    CAPTURE(odd.reply);
    FakeServer server(answering(odd));
    Blocking client(unix_endpoint(server.path()), kPatience);
    const auto read = client.wait(client.client.read(names));
    REQUIRE(read.has_value());
    const auto fresh = client.wait(client.client.refresh(*read, names));
    REQUIRE(fresh.has_value());
    CHECK(fresh->backends.size() == read->backends.size());
  }
}

TEST_CASE("errors: connections that end before the replies") {
  const std::vector<std::string> names{"rpc"};
  Instance last{.version = "2.6.12", .pid = 7, .uptime = 60s, .backends = {}};
  REQUIRE(add_stat(kStat, last.backends));
  FakeServer server([](int, std::string_view) {});
  Blocking client(unix_endpoint(server.path()), kPatience);
  const auto info = client.wait(client.client.info());
  REQUIRE_FALSE(info.has_value());
  CHECK(info.error().code == Error::kClosedEarly);
  CHECK(contains(info.error().detail, "closed the connection after 0 of 1 replies"));
  const auto read = client.wait(client.client.read(names));
  REQUIRE_FALSE(read.has_value());
  CHECK(read.error().code == Error::kClosedEarly);
  const auto fresh = client.wait(client.client.refresh(last, names));
  REQUIRE_FALSE(fresh.has_value());
  CHECK(fresh.error().code == Error::kClosedEarly);
}

TEST_CASE("errors: lines that HAProxy finds too long are shortened") {
  // As 3.4 does with a small tune.bufsize: a message without its empty line, and none of the commands.
  constexpr std::size_t kMost = 250;
  std::atomic<unsigned> refused = 0;
  FakeServer server([&](int fd, std::string_view line) {
    const bool too_big = line.size() >= kMost;
    if (too_big) ++refused;
    FakeServer::say(fd, too_big ? std::string(kTooBig) + "\n" : answers(line, {}));
  });
  Blocking client(unix_endpoint(server.path()), kPatience);
  // A read by name falls back to one of everything.
  const std::string name(120, 'x');
  const std::vector<std::string> names{"rpc", name};
  const auto read = client.wait(client.client.read(names));
  REQUIRE(read.has_value());
  CHECK(read->backends.size() == 1);
  CHECK(refused == 1);
  const auto fresh = client.wait(client.client.refresh(*read, names));
  REQUIRE(fresh.has_value());

  std::vector<haproxy::WeightCommand> pushes;
  for (unsigned i = 0; i < 100; ++i) pushes.push_back(weight("rpc", "server-" + std::to_string(i), i));
  CHECK(count_kind(client.push(pushes), Outcome::Kind::kDone) == pushes.size());
  CHECK(refused > 1);
  const auto after = refused.load();
  CHECK(count_kind(client.push(pushes), Outcome::Kind::kDone) == pushes.size());
  CHECK(refused == after);
  // Two names no longer fit in a line.
  CHECK(client.wait(client.client.refresh(*read, names)).has_value());

  Blocking runner(unix_endpoint(server.path()), kPatience);
  const std::vector<std::string> commands(40, "help set weight");
  CHECK(runner.run(commands).size() == commands.size());
  // One command alone cannot be shortened.
  const auto one = runner.wait(runner.client.run({std::string(kMost, 'x')}));
  REQUIRE_FALSE(one.has_value());
  CHECK(one.error().code == Error::kClosedEarly);
  CHECK(contains(one.error().detail, "too big"));
}

TEST_CASE("errors: commands that are not sent") {
  FakeServer server(answering({}));
  Blocking client(unix_endpoint(server.path()), kPatience);
  const auto outcomes = client.wait(client.client.push({weight("rpc", "a", 1)}, [] { return false; }));
  CHECK(outcomes[0].kind == Outcome::Kind::kUnconfirmed);
  CHECK(outcomes[0].error == Error::kCancelled);
  CHECK(contains(outcomes[0].detail, "not sent"));
  const auto freed = client.wait(
      client.client.release({{.kind = ReleaseCommand::Kind::kClearStick, .backend = "rpc", .server = "a", .sid = 0}}));
  REQUIRE_FALSE(freed.has_value());
  CHECK(freed.error().code == Error::kUnsupported);
  CHECK(contains(freed.error().detail, "does not show the server's number"));
}

TEST_CASE("errors: a server that closes before it is written to") {
  std::atomic<bool> closed = false;
  const Listener listener(8);
  std::thread closer([&] {
    ::close(::accept(listener.descriptor(), nullptr, nullptr));
    closed = true;
  });
  Blocking client(tcp_endpoint("127.0.0.1", listener.port), kPatience);
  // Asked after connecting and before writing.
  const auto wait = [&] {
    const auto deadline = steady_clock::now() + kPatience;
    while (!closed && steady_clock::now() < deadline) std::this_thread::sleep_for(1ms);
    return true;
  };
  const auto outcomes = client.wait(client.client.push({weight("rpc", "a", 1)}, wait));
  closer.join();
  CHECK(outcomes[0].kind == Outcome::Kind::kUnconfirmed);
  CHECK(outcomes[0].error == Error::kClosedEarly);
  CHECK(contains(outcomes[0].detail, "if its `bind` line has `ssl`, give haproxy.ca_file"));
}

TEST_CASE("errors: places where nothing serves the runtime API") {
  const TemporaryFolder folder;
  SUBCASE("a master that is not there") {
    const auto failure = Blocking(master_endpoint(folder.file("none.sock"))).failed_read();
    CHECK(failure.code == Error::kConnect);
    CHECK(contains(failure.detail, "is it started with -W -S and this path?"));
  }
  SUBCASE("a path through a file") {
    folder.write("file", "");
    const auto failure = Blocking(unix_endpoint(folder.file("file/s"))).failed_read();
    CHECK(failure.code == Error::kConnect);
    CHECK(contains(failure.detail, "is HAProxy running here"));
  }
  SUBCASE("a socket of another kind") {
    const int fd = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    sockaddr_un at{};
    at.sun_family = AF_UNIX;
    folder.file("log").copy(at.sun_path, sizeof at.sun_path - 1);
    REQUIRE(::bind(fd, reinterpret_cast<const sockaddr*>(&at), sizeof at) == 0);
    const auto failure = Blocking(unix_endpoint(folder.file("log"))).failed_read();
    ::close(fd);
    CHECK(failure.code == Error::kConnect);
    CHECK(contains(failure.detail, "check the endpoint"));
  }
  SUBCASE("a port that has TLS, when it is there") {
    Authority authority(folder);
    Blocking client(tcp_endpoint("127.0.0.1", free_port()), kPatience, trusting(authority));
    const auto failure = client.failed_read();
    CHECK(failure.code == Error::kConnect);
    CHECK(contains(failure.detail, "with a `bind` line for this port?"));
  }
  SUBCASE("an empty path") {
    const auto failure = Blocking(unix_endpoint("")).failed_read();
    CHECK(failure.code == Error::kConnect);
    CHECK(contains(failure.detail, "1 to 107 bytes"));
  }
}

TEST_CASE("errors: without a descriptor the cause is named, and afterwards all is well") {
  FakeServer server(answering({}));
  Blocking by_path(unix_endpoint(server.path()), kPatience);
  Blocking by_address(tcp_endpoint("127.0.0.1", free_port()), kPatience);
  Blocking by_name(tcp_endpoint("localhost", free_port()), kPatience);
  Discovery discovery(
      {.kind = config::Endpoint::Kind::kDns, .address = "localhost", .port = 1, .text = "dns:localhost"});
  // A loop opens its own descriptors for its first operation.
  CHECK(by_path.read().pid == 7);
  CHECK(by_address.failed_read().code == Error::kConnect);
  CHECK(by_name.failed_read().code == Error::kConnect);
  std::optional<NoDescriptors> none(std::in_place);
  const auto path = by_path.wait(by_path.client.read());
  const auto address = by_address.wait(by_address.client.read());
  const auto name = by_name.wait(by_name.client.read());
  const auto found = by_name.wait(discovery.find(kPatience));
  none.reset();
  REQUIRE_FALSE(path.has_value());
  CHECK(path.error().code == Error::kConnect);
  CHECK(contains(path.error().detail, "raise the limit on open files"));
  REQUIRE_FALSE(address.has_value());
  CHECK(contains(address.error().detail, "raise the limit on open files"));
  REQUIRE_FALSE(name.has_value());
  CHECK(name.error().code == Error::kResolve);
  CHECK(contains(name.error().detail, "cannot look up the host: eventfd: Too many open files"));
  REQUIRE_FALSE(found.has_value());
  CHECK(contains(found.error().detail, "cannot look up the name: eventfd: Too many open files"));
  CHECK(by_path.read().pid == 7);
}

TEST_CASE("errors: a connection that is not accepted") {
  const Listener listener(0);
  std::vector<int> waiting;
  for (int i = 0; i < 4; ++i) waiting.push_back(connect_to(listener.port, SOCK_NONBLOCK));
  SUBCASE("in time") {
    Blocking client(tcp_endpoint("127.0.0.1", listener.port), 200ms);
    const auto failure = client.failed_read();
    CHECK(failure.code == Error::kTimeout);
    CHECK(contains(failure.detail, "could not connect within 200 ms"));
  }
  SUBCASE("and not waited for any longer") {
    Blocking client(tcp_endpoint("127.0.0.1", listener.port), kPatience);
    const auto failure = cancelled(client, client.client.read(), at_once);
    CHECK(failure.code == Error::kCancelled);
    CHECK(contains(failure.detail, "given up while connecting"));
  }
  for (const int fd : waiting) ::close(fd);
}

TEST_CASE("errors: an operation that is cancelled says how far it came") {
  SUBCASE("while the socket's queue is full") {
    FakeServer server(nullptr, 0);
    const FullQueue full(server);
    Blocking client(unix_endpoint(server.path()), kPatience);
    const auto failure = cancelled(client, client.client.read(), at_once);
    CHECK(failure.code == Error::kCancelled);
    CHECK(contains(failure.detail, "given up while connecting"));
  }
  SUBCASE("while replies are missing") {
    std::atomic<bool> asked = false;
    FakeServer server([&](int fd, std::string_view) {
      asked = true;
      FakeServer::hold(fd);
    });
    Blocking client(unix_endpoint(server.path()), kPatience);
    const auto failure = cancelled(client, client.client.read(), [&] { return asked.load(); });
    CHECK(failure.code == Error::kCancelled);
    CHECK(contains(failure.detail, "given up after 0 of 4 replies"));
    // The client is of use afterwards.
    CHECK(client.wait(client.client.run({})).has_value());
  }
  SUBCASE("while the master's worker owes replies") {
    std::atomic<unsigned> asked = 0;
    FakeServer server([&](int fd, std::string_view) {
      ++asked;
      hold_open(fd);
    });
    Blocking client(master_endpoint(server.path()), 200ms);
    CHECK(client.failed_read().code == Error::kTimeout);
    const auto failure = cancelled(client, client.client.read(), at_once);
    CHECK(failure.code == Error::kCancelled);
    CHECK(contains(failure.detail, "given up while waiting for the worker"));
    CHECK(asked == 1);
  }
  SUBCASE("in the TLS handshake") {
    const TemporaryFolder folder;
    Authority authority(folder);
    const Listener listener(8);
    Accepted accepted(listener);
    Blocking client(tcp_endpoint("127.0.0.1", listener.port), kPatience, trusting(authority));
    const auto failure = cancelled(client, client.client.read(), [&] { return accepted.has_bytes(); });
    CHECK(failure.code == Error::kCancelled);
    CHECK(contains(failure.detail, "given up in the TLS handshake"));
  }
  SUBCASE("while a name is looked up") {
    std::mutex mutex;
    std::condition_variable changed;
    bool answered = false;
    std::atomic<bool> ended = false;
    std::atomic<bool> asked = false;
    const auto slow = [&](const std::string&) -> std::expected<std::vector<std::string>, std::string> {
      asked = true;
      std::unique_lock lock(mutex);
      changed.wait(lock, [&] { return answered; });
      lock.unlock();
      ended = true;
      return std::vector<std::string>{"127.0.0.1", "127.0.0.1"};
    };
    Discovery discovery(
        {.kind = config::Endpoint::Kind::kDns, .address = "slow.test", .port = 1, .text = "dns:slow.test"}, slow);
    Blocking client(unix_endpoint(""));
    const auto given_up = cancelled(client, discovery.find(kPatience), [&] { return asked.load(); });
    CHECK(given_up.code == Error::kCancelled);
    CHECK(contains(given_up.detail, "dns:slow.test: given up during the look-up of the name"));
    const auto late = client.wait(discovery.find(50ms));
    REQUIRE_FALSE(late.has_value());
    CHECK(late.error().code == Error::kTimeout);
    CHECK(contains(late.error().detail, "no answer to the look-up of the name within 50 ms"));
    {
      const std::lock_guard lock(mutex);
      answered = true;
      changed.notify_all();
    }
    // The next call waits for the look-up that is under way.
    const auto found = client.wait(discovery.find(kPatience));
    REQUIRE(found.has_value());
    CHECK(found->size() == 1);
    CHECK(ended);
  }
}

TEST_CASE("errors: a worker that owes replies, and a master that says nothing of its workers") {
  std::atomic<unsigned> lines = 0;
  std::string shown;
  SUBCASE("no workers at all") {
    shown = "hello\n";
  }
  SUBCASE("another one") {
    shown = "#<PID> <type>\n# workers\n99 worker 0 0d00h00m01s 2.6.12\n# programs\n";
  }
  FakeServer server([&](int fd, std::string_view line) {
    ++lines;
    if (line == "show proc") {
      FakeServer::say(fd, shown + "\n");
    } else if (lines == 1) {
      // Until the client gives it up: then the next line is served.
      std::thread([fd = ::dup(fd)] {
        hold_open(fd);
        ::close(fd);
      }).detach();
    } else {
      std::string out;
      for (std::string_view rest = line; !rest.empty();) {
        const auto end = std::min(rest.find(';'), rest.size());
        const auto command = rest.substr(0, end);
        rest.remove_prefix(std::min(end + 1, rest.size()));
        out += well(command.substr(command.starts_with("@1 ") ? 3 : 0)) + "\n";
      }
      FakeServer::say(fd, out);
    }
  });
  Blocking client(master_endpoint(server.path()), 500ms);
  CHECK(client.failed_read().code == Error::kTimeout);
  CHECK(client.reads_in_the_end());
}

TEST_CASE("errors: TLS that breaks") {
  const TemporaryFolder folder;
  Authority authority(folder);
  SUBCASE("a connection that is reset in the handshake") {
    const Listener listener(8);
    std::thread resetter([&] {
      const int fd = ::accept(listener.descriptor(), nullptr, nullptr);
      char byte = 0;
      static_cast<void>(::recv(fd, &byte, 1, 0));
      const linger at_once{.l_onoff = 1, .l_linger = 0};
      ::setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
      ::close(fd);
    });
    Blocking client(tcp_endpoint("127.0.0.1", listener.port), kPatience, trusting(authority));
    const auto failure = client.failed_read();
    resetter.join();
    CHECK(failure.code == Error::kTls);
    CHECK(contains(failure.detail, "the connection ended in the TLS handshake: Connection reset by peer"));
  }
  SUBCASE("a connection that ends in the handshake") {
    const Listener listener(8);
    std::thread closer([&] {
      const int fd = ::accept(listener.descriptor(), nullptr, nullptr);
      std::array<char, 16384> hello{};
      static_cast<void>(::recv(fd, hello.data(), hello.size(), 0));
      // An orderly end: bytes that are left unread would make it a reset.
      ::shutdown(fd, SHUT_WR);
      FakeServer::hold(fd);
      ::close(fd);
    });
    Blocking client(tcp_endpoint("127.0.0.1", listener.port), kPatience, trusting(authority));
    const auto failure = client.failed_read();
    closer.join();
    CHECK(failure.code == Error::kTls);
    CHECK(contains(failure.detail, "the connection ended in the TLS handshake; does the `bind` line"));
  }
  SUBCASE("bytes that were changed on their way") {
    const auto port = free_port();
    const HaproxyProcess process(
        "global\n  stats socket @DIR@/admin.sock level admin\n"
        "defaults\n  mode http\n  timeout client 5s\n  timeout server 5s\n  timeout connect 1s\n"
        "listen cli\n  mode tcp\n  bind 127.0.0.1:" +
        std::to_string(port) + " ssl crt " + authority.issue("127.0.0.1") + "\n  server self @DIR@/admin.sock\n");
    const Corrupter between(port);
    Blocking client(tcp_endpoint("127.0.0.1", between.port()), kPatience, trusting(authority));
    const auto failure = client.failed_read();
    CHECK(failure.code == Error::kTls);
    CHECK_MESSAGE(contains(failure.detail, "TLS: "), failure.detail);
  }
}
