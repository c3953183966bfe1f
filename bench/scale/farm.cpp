// Thousands of simulated providers in one process that costs little: tests/sim can do far more, and takes more of the
// machine than what is measured beside it. Every address of 127.0.0.0/8 on one port is a provider of its own, so
// `http://127.1.2.3:PORT/` needs no socket until a client connects. Only the loopback device is listened on.
//
//   provider-farm [MILLISECONDS]    default: 20; prints its port, and serves until it is killed
//
// GET /counts answers at once with what was served so far.
#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <ctime>
#include <deque>
#include <exception>
#include <iterator>
#include <string>
#include <string_view>
#include <system_error>
#include <unordered_map>

namespace {

using Clock = std::chrono::steady_clock;

/// As Ethereum has them: one block in 12 s, with about 200 transactions.
constexpr std::int64_t kBlockSeconds = 12;
constexpr int kTransactions = 200;

/// Any batch is answered as the one of a first pass: with the newest block, the chain id and the sync state.
constexpr std::string_view kBatch = "[]";

[[noreturn]] void fail(const char* what) {
  throw std::system_error(errno, std::generic_category(), what);
}

std::string http(std::string_view body) {
  return fmt::format("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{}", body.size(),
                     body);
}

/// eth_getBlockByNumber, the same for all requests within a block's time.
class Chain {
 public:
  const std::string& newest_block() {
    update();
    return answer_;
  }

  const std::string& batch() {
    update();
    return batch_answer_;
  }

 private:
  void update() {
    const std::int64_t number = time(nullptr) / kBlockSeconds;
    if (number == number_) return;
    number_ = number;
    const std::string body = block(number);
    answer_ = http(body);
    batch_answer_ = http(fmt::format("[{},{},{}]", body, R"({"jsonrpc":"2.0","id":2,"result":"0x1"})",
                                     R"({"jsonrpc":"2.0","id":3,"result":false})"));
  }

  static std::string block(std::int64_t number) {
    std::string out = fmt::format(
        R"({{"jsonrpc":"2.0","id":1,"result":{{"baseFeePerGas":"0x3b9aca00","difficulty":"0x0","extraData":"0x",)"
        R"("gasLimit":"0x2255100","gasUsed":"0x1000000","hash":"0x{0:064x}","logsBloom":"0x{1:0512x}",)"
        R"("miner":"0x{1:040x}","mixHash":"0x{1:064x}","nonce":"0x0000000000000000","number":"0x{0:x}",)"
        R"("parentHash":"0x{2:064x}","receiptsRoot":"0x{1:064x}","sha3Uncles":"0x{1:064x}","size":"0x8000",)"
        R"("stateRoot":"0x{1:064x}","timestamp":"0x{3:x}","transactionsRoot":"0x{1:064x}","transactions":[)",
        number, number * 7, number - 1, number * kBlockSeconds);
    for (int i = 0; i < kTransactions; ++i)
      fmt::format_to(std::back_inserter(out), R"({}"0x{:064x}")", i == 0 ? "" : ",", number * 1000 + i);
    return out + R"(],"uncles":[],"withdrawals":[]}})";
  }

  std::int64_t number_ = 0;
  std::string answer_;
  std::string batch_answer_;
};

class Farm {
 public:
  explicit Farm(std::chrono::milliseconds latency) : latency_(latency) {
    listener_ = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (listener_ < 0) fail("socket");
    constexpr std::string_view kLoopback = "lo";
    if (setsockopt(listener_, SOL_SOCKET, SO_BINDTODEVICE, kLoopback.data(), kLoopback.size()) != 0)
      fail("listening on the loopback device alone");
    sockaddr_in address{};
    address.sin_family = AF_INET;
    if (bind(listener_, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) fail("bind");
    if (listen(listener_, SOMAXCONN) != 0) fail("listen");
    epoll_ = epoll_create1(EPOLL_CLOEXEC);
    watch(listener_);
  }

  std::uint16_t port() const {
    sockaddr_in address{};
    socklen_t size = sizeof address;
    getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size);
    return ntohs(address.sin_port);
  }

  [[noreturn]] void run() {
    std::array<epoll_event, 256> events{};
    for (;;) {
      const int n = wait(events);
      for (int i = 0; i < n; ++i) {
        const int fd = events[static_cast<std::size_t>(i)].data.fd;
        if (fd == listener_)
          accept_all();
        else
          receive(fd);
      }
      answer_due();
    }
  }

 private:
  struct Connection {
    /// Tells it from an earlier one with the same descriptor.
    std::uint64_t serial = 0;
    std::string input;
  };
  struct Due {
    Clock::time_point at;
    int fd;
    std::uint64_t serial;
    std::string_view method;
  };

  void watch(int fd) const {
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.fd = fd;
    if (epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event) != 0) fail("epoll_ctl");
  }

  int wait(std::array<epoll_event, 256>& events) const {
    timespec span{};
    if (!due_.empty()) {
      const auto left = std::max(due_.front().at - Clock::now(), Clock::duration{0});
      const auto ns = std::chrono::duration_cast<std::chrono::nanoseconds>(left).count();
      constexpr std::int64_t kSecond = 1'000'000'000;
      span = {ns / kSecond, ns % kSecond};
    }
    return epoll_pwait2(epoll_, events.data(), static_cast<int>(events.size()), due_.empty() ? nullptr : &span,
                        nullptr);
  }

  void accept_all() {
    for (;;) {
      const int fd = accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
      if (fd < 0) {
        if (errno == EAGAIN || errno == ECONNABORTED) return;
        fail("accept");
      }
      const int on = 1;
      setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
      connections_[fd] = {++accepted_, {}};
      most_open_ = std::max(most_open_, connections_.size());
      watch(fd);
    }
  }

  void receive(int fd) {
    const auto at = connections_.find(fd);
    if (at == connections_.end()) return;
    std::array<char, 4096> chunk;  // NOLINT: written by the kernel
    const ssize_t n = read(fd, chunk.data(), chunk.size());
    if (n <= 0) {
      if (n < 0 && errno == EAGAIN) return;
      close(fd);
      connections_.erase(at);
      return;
    }
    std::string& input = at->second.input;
    input.append(chunk.data(), static_cast<std::size_t>(n));
    const std::size_t end = input.find("\r\n\r\n");
    if (end == std::string::npos) return;
    std::size_t length = 0;
    if (const std::size_t header = input.find("Content-Length: "); header < end)
      std::from_chars(input.data() + header + 16, input.data() + end, length);
    if (input.size() < end + 4 + length) return;
    take(fd, at->second, std::string_view(input).substr(end + 4));
    input.clear();
  }

  void take(int fd, const Connection& connection, std::string_view body) {
    if (connection.input.starts_with("GET /counts ")) {
      send_all(fd, http(fmt::format(R"({{"requests":{},"connections":{},"most_open":{}}})", requests_, accepted_,
                                    most_open_)));
      most_open_ = connections_.size();
      return;
    }
    ++requests_;
    std::string_view method;
    for (const std::string_view known : {"eth_getBlockByNumber", "eth_chainId", "eth_syncing"})
      if (body.find(known) != std::string_view::npos) method = known;
    if (body.starts_with('[')) method = kBatch;
    due_.push_back({Clock::now() + latency_, fd, connection.serial, method});
  }

  void answer_due() {
    static const std::string kChainId = http(R"({"jsonrpc":"2.0","id":1,"result":"0x1"})");
    static const std::string kSyncing = http(R"({"jsonrpc":"2.0","id":1,"result":false})");
    static const std::string kUnknown =
        http(R"({"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"the method does not exist"}})");
    while (!due_.empty() && due_.front().at <= Clock::now()) {
      const Due d = due_.front();
      due_.pop_front();
      const auto at = connections_.find(d.fd);
      if (at == connections_.end() || at->second.serial != d.serial) continue;
      if (d.method == "eth_getBlockByNumber")
        send_all(d.fd, chain_.newest_block());
      else if (d.method == kBatch)
        send_all(d.fd, chain_.batch());
      else
        send_all(d.fd, d.method == "eth_chainId" ? kChainId : d.method == "eth_syncing" ? kSyncing : kUnknown);
    }
  }

  /// An answer is smaller than a socket's buffer.
  static void send_all(int fd, std::string_view text) {
    static_cast<void>(send(fd, text.data(), text.size(), MSG_NOSIGNAL));
  }

  const std::chrono::milliseconds latency_;
  int listener_ = -1;
  int epoll_ = -1;
  std::unordered_map<int, Connection> connections_;
  /// All take the same time, so they are in order.
  std::deque<Due> due_;
  Chain chain_;
  std::uint64_t accepted_ = 0;
  std::uint64_t requests_ = 0;
  std::size_t most_open_ = 0;
};

}  // namespace

int main(int argc, char** argv) {
  try {
    rlimit limit{};
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    int latency_ms = 20;
    if (argc > 1) latency_ms = std::stoi(argv[1]);
    Farm farm{std::chrono::milliseconds{latency_ms}};
    fmt::print("{}\n", farm.port());
    std::fflush(stdout);
    farm.run();
  } catch (const std::exception& e) {
    fmt::print(stderr, "provider-farm: {}\n", e.what());
    return 1;
  }
}
