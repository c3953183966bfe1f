#pragma once

#include <chrono>
#include <expected>
#include <string>
#include <string_view>

#include "cli/cli.hpp"
#include "config/config.hpp"

namespace rpcw::cli {

/// Where a running agent serves.
struct AgentAddress {
  /// As it was given, without a slash at the end.
  std::string url;
  /// Path of a Unix socket; empty: TCP.
  std::string socket{};

  /// For messages: without user info and path, which may hold keys.
  [[nodiscard]] std::string shown() const;
};

/// From --url, else from the file of --config, else the default address. The error is what to tell the user; the exit
/// code is kUsage.
std::expected<AgentAddress, std::string> agent_address(const AgentOptions& options);
/// Of an agent that listens there.
AgentAddress agent_address(const config::Listen& at);

struct AgentReply {
  /// HTTP's.
  long status = 0;
  /// At most 64 MiB: a longer one is an error.
  std::string body;
};

/// GETs a path such as "/healthz". Blocks for `most` at the longest. The error is a sentence.
std::expected<AgentReply, std::string> ask_agent(const AgentAddress& agent, std::string_view path,
                                                 std::chrono::milliseconds most = std::chrono::seconds(5));

/// What to say of an answer that holds no report: `http://127.0.0.1:80: HTTP 404`.
std::string no_report(const AgentAddress& agent, const AgentReply& reply);

}  // namespace rpcw::cli
