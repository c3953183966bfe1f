#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <expected>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "config/config.hpp"

namespace rpcw {

/// Answers HAProxy's `agent-check` on the loop of its executor: a line from HAProxy (`agent-send`), a line back, and
/// the end of the connection. Connections, times and lines are limited.
class AgentCheckServer {
 public:
  /// From a line without its end to the answer with its end. Empty where nothing was sent in time.
  using Handler = std::function<std::string(std::string_view asked)>;

  AgentCheckServer(boost::asio::any_io_executor executor, Handler handler);
  ~AgentCheckServer();
  AgentCheckServer(const AgentCheckServer&) = delete;
  AgentCheckServer& operator=(const AgentCheckServer&) = delete;

  /// Listens there, and nowhere else. On failure everything stays as it was, and the error is a sentence.
  std::expected<void, std::string> configure(const config::AgentCheck& wanted);

 private:
  class Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace rpcw
