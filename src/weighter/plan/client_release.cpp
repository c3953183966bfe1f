#include "weighter/plan/client_release.hpp"

namespace rpcw {

using haproxy::ReleaseCommand;

void ClientRelease::ejected(const Key& key, config::OnEject how, unsigned sid) {
  if (how == config::OnEject::kNone) return;
  released_.insert(key);
  cleared_.erase(key);
  using Kind = ReleaseCommand::Kind;
  const Kind kind = how == config::OnEject::kShutdownSessions ? Kind::kShutdownSessions : Kind::kClearStick;
  due_.push_back({kind, key.first, key.second, sid});
}

void ClientRelease::found_out(const Key& key, config::OnEject how, unsigned sid) {
  if (!released_.contains(key)) ejected(key, how, sid);
}

void ClientRelease::compare_reads(const haproxy::Instance& before, const haproxy::Instance& after,
                                  const std::function<bool(const Key&)>& is_ejected) {
  // One that stands by at weight 0 after its return may keep its clients.
  std::erase_if(cleared_, [&](const auto& entry) {
    return !is_ejected(entry.first) || after.server(entry.first.first, entry.first.second) == nullptr;
  });
  for (const auto& [key, command] : cleared_) {
    const haproxy::ServerRow* was = before.server(key.first, key.second);
    const haproxy::ServerRow* is = after.server(key.first, key.second);
    if (was != nullptr && was->uweight == 0 && is->uweight == 0 && was->counters.stot &&
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
