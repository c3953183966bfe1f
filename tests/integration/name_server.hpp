#pragma once

#include <atomic>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/udp.hpp>
#include <cstdint>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace rpcw::test {

/// A DNS server on 127.0.0.1 for HAProxy's `resolvers`: whatever name is asked for, SRV gives the ports that were set
/// (none: there is no such name), A gives 127.0.0.1, and there is nothing else.
class NameServer {
 public:
  NameServer();
  ~NameServer();
  NameServer(const NameServer&) = delete;
  NameServer& operator=(const NameServer&) = delete;

  [[nodiscard]] std::uint16_t port() const { return socket_.local_endpoint().port(); }
  void set(std::vector<std::uint16_t> ports);

 private:
  void serve();
  [[nodiscard]] std::string answer(const std::string& query) const;

  boost::asio::io_context io_;
  boost::asio::ip::udp::socket socket_;
  mutable std::mutex mutex_;
  std::vector<std::uint16_t> ports_;
  std::atomic<bool> ending_ = false;
  std::thread thread_;
};

}  // namespace rpcw::test
