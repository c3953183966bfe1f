#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "traffic/http.hpp"

namespace rpcw::bench {

/// The script that many a user has: every second eth_blockNumber to all, all at once; 1/latency is the weight, and 0
/// for an error or for a block too far behind the best. If none is left, the weights stay.
class Script {
 public:
  Script(asio::io_context& io, std::span<const std::uint16_t> provider_ports, std::string admin_socket);

  asio::awaitable<void> run();

 private:
  struct Seen {
    /// Absent: no usable answer.
    std::optional<std::uint64_t> block;
    double latency_ms = 0;
  };

  asio::awaitable<void> round();
  asio::awaitable<void> look(std::size_t i, Seen& seen);

  asio::io_context& io_;
  const std::string admin_socket_;
  std::vector<std::unique_ptr<HttpClient>> clients_;
};

}  // namespace rpcw::bench
