#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace boost::asio {
class io_context;
}

/// Simulated providers, of Ethereum JSON-RPC unless they are told otherwise: many in one process and on one thread,
/// each with a port of its own on 127.0.0.1, steered while they run. Every HTTP answer names its provider (X-Provider:
/// NAME) and on which block it is based, whatever the method (X-Head: HEIGHT HASH), so that a client can judge answers
/// that show no block.
namespace sim {

using std::chrono::milliseconds;
using WallTime = std::chrono::sys_time<milliseconds>;

/// What goes wrong. The faults of the connection (`accept_silent`, `refuse`) act on whole connections and whatever
/// the method; all others act on requests, as far as `fault_ratio`, `fault_methods` and `flap_ms` let them.
enum class Fault : std::uint8_t {
  none,
  /// Reads the request and never answers it.
  hang,
  /// Accepts connections and never reads from them; those already open read their next request and hang. When the
  /// fault ends, waiting connections are served, as with a process that was stopped for a while.
  accept_silent,
  /// The port does not listen and open connections are closed, as with a process that died. The port stays reserved and
  /// is the same afterwards.
  refuse,
  /// The connection is reset after the request has been read.
  reset,
  /// HTTP status `http_status` with `http_body`.
  http_status,
  /// HTTP 200 with a JSON-RPC error, `rpc_error_code` and `rpc_error_message`.
  rpc_error,
  /// HTTP 200 with a web page.
  html,
  /// A valid answer of which only the first half is sent, with the right Content-Length for that half.
  truncated,
  /// A valid answer with the right Content-Length, of which half is sent before the connection is closed.
  cut,
  /// `flood_bytes` times 'a', with Content-Length or, by `flood_chunked`, chunked.
  flood,
  /// A valid answer whose body comes one byte per `drip_ms`.
  drip,
  /// A valid answer, compressed, whether or not the client accepts that.
  gzip,
  /// 64 kB that inflate to 64 MB of spaces.
  gzip_bomb,
  /// 1 MB of '['.
  deep,
  /// HTTP 301 to `redirect_to`.
  redirect,
  /// HTTP 200 with an empty body.
  empty,
  /// Arrays, booleans and plain numbers where hexadecimal strings belong.
  wrong_type,
  /// The result is null.
  null_result,
  /// A valid answer with another request's id.
  other_id,
  /// Bytes that are no HTTP, then the connection is closed.
  no_http,
};

std::string_view name(Fault fault);

/// How a request above the quota is refused: HTTP 429, or in the family's own way, on EVM HTTP 200 with the JSON-RPC
/// error -32005.
enum class RateLimitStyle : std::uint8_t { http, rpc };

/// How a provider behaves. The members' names are those of the control API. All have initialisers, so that designated
/// ones can leave out what stays as it is.
struct Behaviour {
  /// The protocol it speaks: one of families().
  std::string family = "evm";
  /// Median time from a request to its answer, faulty or not.
  double latency_ms = 0;
  /// Spread of the latency: the standard deviation of its logarithm. 0: always the median.
  double latency_sigma = 0;

  /// Unset: the world's.
  std::optional<std::uint64_t> chain_id{};
  /// Blocks behind the shared head.
  std::uint64_t lag_blocks = 0;
  /// The head stands still from the moment this is set. lag_blocks and ahead_blocks count from there.
  bool frozen = false;
  /// Claims so many blocks above the shared head. Their timestamps are not in the future: only the height lies.
  std::uint64_t ahead_blocks = 0;
  /// Every other request is answered by another pool of nodes, whose head is this block and stays so.
  std::optional<std::uint64_t> other_pool_head{};
  /// Added to every block's timestamp.
  std::int64_t timestamp_offset_s = 0;
  /// Block hashes differ from this height on.
  std::optional<std::uint64_t> fork_from{};
  /// Providers with the same number are on the same fork.
  std::uint64_t fork_id = 1;
  /// eth_syncing answers with an object whose highestBlock is `syncing_blocks` above the provider's head.
  bool syncing = false;
  std::uint64_t syncing_blocks = 1000;
  std::uint64_t peers = 25;
  /// Transactions in every block, to make answers big.
  std::uint64_t tx_count = 0;

  Fault fault = Fault::none;
  /// Share of the requests that the fault hits; for accept_silent, of the new connections.
  double fault_ratio = 1;
  /// The fault hits these methods only; empty: all. "GET" stands for a plain HTTP GET, "batch" for all of a JSON-RPC
  /// batch.
  std::vector<std::string> fault_methods{};
  /// Period of the fault: half of it on (first), half of it off. 0: always on.
  std::uint64_t flap_ms = 0;

  std::uint64_t http_status = 503;
  std::string http_body{};
  std::int64_t rpc_error_code = -32000;
  std::string rpc_error_message = "internal error";
  std::string redirect_to = "http://127.0.0.1:1/";
  std::uint64_t flood_bytes = 64 << 20;
  bool flood_chunked = false;
  std::uint64_t drip_ms = 100;

  /// JSON-RPC calls a second, with a burst of one second's worth; 0: no limit.
  double quota_per_s = 0;
  /// Requests that it answers in a second, one after the other: those that come faster wait for their turn. 0: all at
  /// once.
  double capacity_per_s = 0;
  RateLimitStyle rate_limit_style = RateLimitStyle::http;
  /// The Retry-After of a 429; unset: none is sent.
  std::optional<std::uint64_t> retry_after_s{};

  /// Answered as a method that does not exist. For requests without a method: their paths.
  std::vector<std::string> unsupported_methods{};

  bool operator==(const Behaviour&) const = default;
};

/// `behaviour` with the members of a JSON object taken over; null returns an optional member to unset. An unknown
/// name or a bad value is an error, and nothing is taken over then.
std::expected<Behaviour, std::string> merge(Behaviour behaviour, std::string_view json);
std::string to_json(const Behaviour& behaviour);

struct Stats {
  /// HTTP requests; a batch is one.
  std::uint64_t requests = 0;
  /// JSON-RPC calls, each one of a batch included.
  std::map<std::string, std::uint64_t, std::less<>> by_method{};
  /// Outcomes of the HTTP requests: as a good provider would answer, hit by the fault, above the quota.
  std::uint64_t good = 0;
  std::uint64_t faulty = 0;
  std::uint64_t limited = 0;
  /// Connections accepted so far, and those open now.
  std::uint64_t accepted = 0;
  std::uint64_t open = 0;
};

struct ChainOptions {
  std::uint64_t chain_id = 1;
  milliseconds block_time{1000};
  /// Height of the head at `genesis`. The blocks below exist as well, each a block time older than the next.
  std::uint64_t genesis_height = 1000;
  /// Unset: the start, in whole seconds.
  std::optional<WallTime> genesis{};
};

/// The chain that all providers follow: its head is a function of the wall clock. Safe to use from any thread.
class Chain {
 public:
  explicit Chain(const ChainOptions& options);

  std::uint64_t id() const { return id_; }
  std::uint64_t head() const;
  milliseconds block_time() const;
  bool halted() const;
  /// When the block was made, or will be.
  WallTime time_of(std::uint64_t height) const;

  /// No new block while halted; afterwards the next one comes a block time later.
  void halt(bool halted);
  /// Blocks that exist keep their timestamps. Throws std::invalid_argument unless it is above zero.
  void set_block_time(milliseconds block_time);

 private:
  /// Blocks at regular distances, from `first` on.
  struct Stretch {
    std::uint64_t first;
    WallTime time;
    milliseconds block_time;
  };

  std::uint64_t head_at(WallTime now) const;
  WallTime time_at(std::uint64_t height) const;

  const std::uint64_t id_;
  mutable std::mutex mutex_;
  std::vector<Stretch> stretches_;
  bool halted_ = false;
  std::uint64_t halted_head_ = 0;
};

/// What providers can speak, in the order of the program's families.
std::vector<std::string_view> families();
/// The answer of a provider on that chain to the question which one it is, as it is compared.
std::string identity(std::string_view family, std::uint64_t chain_id);

/// The hash of a block: a function of its arguments and nothing else. Fork 0 is the common chain.
std::string block_hash(std::uint64_t chain_id, std::uint64_t height, std::uint64_t fork = 0);

struct Options {
  ChainOptions chain{};
  /// Of everything that is drawn: the same seed and the same requests give the same faults.
  std::uint64_t seed = 1;
  /// PEM files; if given, all providers speak TLS (the control API never does).
  std::string tls_cert{};
  std::string tls_key{};
};

namespace detail {
class ProviderServer;
struct WorldState;
}  // namespace detail

/// One provider. Everything here may be called from any thread. In a world with a thread of its own a change has
/// taken effect when the call returns; on a given io_context it takes effect there.
class Provider {
 public:
  explicit Provider(std::shared_ptr<detail::ProviderServer> server);
  ~Provider();
  Provider(const Provider&) = delete;
  Provider& operator=(const Provider&) = delete;

  const std::string& name() const;
  std::uint16_t port() const;
  /// http://127.0.0.1:PORT/, or https.
  std::string url() const;

  /// Starts the fault's flapping anew.
  void set(Behaviour behaviour);
  void update(const std::function<void(Behaviour&)>& change);
  Behaviour behaviour() const;

  Stats stats() const;
  void reset_stats();

 private:
  std::shared_ptr<detail::ProviderServer> server_;
};

/// The providers, their chain and the thread that serves them.
class World {
 public:
  /// Runs on a thread of its own.
  explicit World(Options options = {});
  /// Runs on `io`, which must outlive it. Create, extend and destroy it on the thread that runs `io`, or while none
  /// does.
  explicit World(boost::asio::io_context& io, Options options = {});
  /// Closes everything, whatever state the connections are in.
  ~World();
  World(const World&) = delete;
  World& operator=(const World&) = delete;

  Chain& chain();

  /// Starts a provider; port 0 takes a free one. Throws std::system_error if the port can't be had and
  /// std::invalid_argument if the name is taken. The provider lives as long as the world.
  Provider& add(std::string name, std::uint16_t port = 0);
  /// nullptr if there is none of that name.
  Provider* find(std::string_view name);
  /// In the order of their creation.
  std::vector<Provider*> providers();

  /// Serves the control API and returns its port.
  std::uint16_t serve_control(std::uint16_t port = 0);

  /// Default behaviour for all, counters at zero, the chain running with the block time it began with.
  void reset();

 private:
  std::shared_ptr<detail::WorldState> state_;
};

}  // namespace sim
