#include <fmt/format.h>

#include <cstdio>

#include "cli/ask_agent.hpp"
#include "cli/print.hpp"

namespace rpcw::cli {

int command_health(const AgentOptions& options) {
  const auto agent = agent_address(options);
  if (!agent) {
    std::fprintf(stderr, "%s\n", agent.error().c_str());
    return kUsage;
  }
  const auto answer = ask_agent(*agent, "/healthz");
  if (answer && answer->status == 200) {
    print(answer->body);
    return kDone;
  }
  std::string trouble =
      answer ? fmt::format("{}: HTTP {}: {}", agent->shown(), answer->status, answer->body) : answer.error() + "\n";
  std::fprintf(stderr, "%s", trouble.c_str());
  return kUnhealthy;
}

}  // namespace rpcw::cli
