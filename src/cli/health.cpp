#include <fmt/format.h>

#include <cstdio>

#include "cli/ask_agent.hpp"
#include "cli/print.hpp"
#include "observe/http.hpp"

namespace rpcw::cli {

int command_health(const AgentOptions& options) {
  const auto agent = agent_address(options);
  if (!agent) {
    std::fprintf(stderr, "%s\n", agent.error().c_str());
    return kUsage;
  }
  const auto answer = ask_agent(*agent, "/healthz");
  if (answer && answer->status == 200 && answer->body == observe::kAlive) {
    print(answer->body);
    return kDone;
  }
  if (answer && answer->status == 200) {
    std::fprintf(stderr, "%s: this is no rpc-weighter: its /healthz answers with another text\n",
                 agent->shown().c_str());
    return kUnhealthy;
  }
  std::string trouble =
      answer ? fmt::format("{}: HTTP {}: {}", agent->shown(), answer->status, answer->body) : answer.error() + "\n";
  std::fprintf(stderr, "%s", trouble.c_str());
  return kUnhealthy;
}

}  // namespace rpcw::cli
