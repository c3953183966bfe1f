#pragma once

#include <atomic>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "authority.hpp"
#include "config/config.hpp"
#include "rpc/prober.hpp"

/// What the tests of src/rpc share: a prober with its loop, servers that send any bytes, certificates.
namespace rpcw::test {

using namespace std::chrono_literals;

/// Far above what anything here takes, so that a busy machine fails no test.
inline constexpr std::chrono::seconds kLimit{20};
/// Below it an answer from this machine counts as undisturbed, above it as held up by another provider.
inline constexpr std::chrono::milliseconds kUndisturbed{250};

config::Target target(std::string url);
/// A short time-out, the defaults besides.
config::Probe settings();

/// Runs the loop until the condition holds; false when it does not within kLimit.
bool run_until(boost::asio::io_context& io, const std::function<bool()>& condition);

/// A prober of some targets, driven by the calls.
class Stage {
 public:
  Stage(std::vector<config::Target> targets, const config::Probe& settings = test::settings(),
        Resolver::Lookup lookup = Resolver::system_lookup(), std::vector<config::Canary> canaries = {},
        const Chain* chain = nullptr);

  HeadObservation head(std::size_t target = 0);
  Answer check(const Check& kind, std::size_t target = 0);

  struct Round {
    HeadObservation head;
    /// In the order in which they came.
    std::vector<Answer> answers;
  };
  /// All in one request where the provider answers it.
  Round head_and_checks(const std::vector<Check>& checks, rpc::Afterwards afterwards = rpc::Afterwards::kKeep,
                        std::size_t target = 0);

  struct Pair {
    HeadObservation subject;
    std::vector<HeadObservation> witness;
    std::chrono::steady_clock::duration took{};
  };
  /// Probes target 0 once, and target 1 again and again for as long as that takes.
  Pair head_beside_healthy();

  boost::asio::io_context io{1};

 private:
  /// Of all targets.
  std::vector<config::Canary> canaries_;
  std::vector<config::Target> targets_;
  std::unique_ptr<rpc::Prober> prober_;
};

/// Whether all of them are good, and were not held up.
bool undisturbed(const std::vector<HeadObservation>& heads);

/// One TCP connection of a ByteServer, by blocking calls.
class Wire {
 public:
  explicit Wire(int fd) : fd_(fd) {}

  /// One HTTP request with its body; empty: the connection has ended.
  std::string request();
  /// False: the peer is gone.
  bool send(std::string_view bytes);
  /// A whole HTTP answer with a body of JSON.
  bool answer(std::string_view body, std::string_view status = "200 OK", std::string_view headers = {});
  /// Returns when the peer has closed.
  void wait_closed();
  /// Ends with RST instead of FIN.
  void reset();
  [[nodiscard]] int fd() const { return fd_; }

 private:
  int fd_;
  std::string buffer_;
};

/// A server of which each connection runs a function on a thread of its own; afterwards the connection is closed.
class ByteServer {
 public:
  using Session = std::function<void(Wire&)>;

  explicit ByteServer(Session session);
  ~ByteServer();
  ByteServer(const ByteServer&) = delete;
  ByteServer& operator=(const ByteServer&) = delete;

  [[nodiscard]] std::uint16_t port() const { return port_; }
  [[nodiscard]] std::string url(std::string_view path = "/") const;
  [[nodiscard]] unsigned accepted() const { return accepted_; }

 private:
  void accept();

  Session session_;
  int listener_ = -1;
  std::uint16_t port_ = 0;
  std::atomic<unsigned> accepted_ = 0;
  std::mutex mutex_;
  bool closing_ = false;
  std::vector<int> open_;
  std::vector<std::thread> sessions_;
  std::thread thread_;
};

/// Connects through; what lies between can forget connections, as a NAT does.
class Relay {
 public:
  explicit Relay(std::uint16_t to);
  [[nodiscard]] std::uint16_t port() const { return server_.port(); }
  [[nodiscard]] unsigned accepted() const { return server_.accepted(); }
  /// Nothing passes any more on the connections made so far, and neither end is told.
  void forget();

 private:
  std::atomic<unsigned> forgotten_ = 0;
  std::atomic<unsigned> count_ = 0;
  ByteServer server_;
};

/// A port on which connecting neither succeeds nor fails: its queue is full.
class FullPort {
 public:
  FullPort();
  ~FullPort();
  FullPort(const FullPort&) = delete;
  FullPort& operator=(const FullPort&) = delete;
  [[nodiscard]] std::uint16_t port() const { return port_; }

 private:
  std::vector<int> fds_;
  std::uint16_t port_ = 0;
};

/// A good answer to the head request.
std::string head_answer(std::uint64_t number = 1000);

}  // namespace rpcw::test
