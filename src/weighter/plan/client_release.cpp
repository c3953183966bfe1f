#include "weighter/plan/client_release.hpp"

namespace rpcw {

using haproxy::ReleaseCommand;

void ClientRelease::follow(const config::Backend& backend, std::span<const ServerDecision> decided,
                           const haproxy::BackendRow& now) {
  if (backend.on_eject == config::OnEject::kNone) return;
  for (std::size_t i = 0; i < backend.servers.size() && i < decided.size(); ++i) {
    Key key{backend.name, backend.servers[i].name};
    const haproxy::ServerRow* row = now.server(key.second);
    if (decided[i].state != State::kEjected || row == nullptr || row->uweight > 0) {
      released_.erase(key);
      continue;
    }
    if (!released_.insert(key).second) continue;
    cleared_.erase(key);
    using Kind = ReleaseCommand::Kind;
    const bool sessions = backend.on_eject == config::OnEject::kShutdownSessions;
    due_.push_back({sessions ? Kind::kShutdownSessions : Kind::kClearStick, key.first, key.second, row->sid});
  }
}

void ClientRelease::leave_alone(const haproxy::Instance& now) {
  for (const haproxy::BackendRow& backend : now.backends)
    for (const haproxy::ServerRow& server : backend.servers)
      if (server.uweight == 0) released_.emplace(backend.name, server.name);
}

void ClientRelease::compare_reads(const haproxy::Instance& before, const haproxy::Instance& after) {
  std::erase_if(released_, [&](const Key& key) { return after.server(key.first, key.second) == nullptr; });
  std::erase_if(cleared_, [&](const auto& entry) { return !released_.contains(entry.first); });
  for (const auto& [key, command] : cleared_) {
    const haproxy::ServerRow* was = before.server(key.first, key.second);
    const haproxy::ServerRow* is = after.server(key.first, key.second);
    if (was != nullptr && is != nullptr && was->uweight == 0 && is->uweight == 0 && was->counters.stot &&
        is->counters.stot > was->counters.stot)
      due_.push_back(command);
  }
}

const std::vector<ReleaseCommand>& ClientRelease::take() {
  return sent_ = std::exchange(due_, {});
}

std::vector<ClientRelease::Result> ClientRelease::answered(const std::vector<std::string>& replies) {
  std::vector<Result> out;
  for (std::size_t k = 0; k < sent_.size(); ++k) {
    Result& result = out.emplace_back(std::move(sent_[k]));
    result.trouble = k < replies.size() ? replies[k] : "HAProxy gave no answer";
    const ReleaseCommand& done = result.command;
    if (result.trouble.empty() && done.kind == ReleaseCommand::Kind::kClearStick)
      result.again = !cleared_.emplace(Key{done.backend, done.server}, done).second;
  }
  sent_.clear();
  return out;
}

std::vector<ClientRelease::Result> ClientRelease::failed(const std::string& why) {
  std::vector<Result> out;
  for (ReleaseCommand& command : sent_) out.push_back({std::move(command), false, why});
  sent_.clear();
  return out;
}

}  // namespace rpcw
