#include "weighter/plan/other_writers.hpp"

#include <algorithm>

namespace rpcw {

void OtherWriters::compare_reads(const std::vector<config::Backend>& ours, const haproxy::Instance* before,
                                 const haproxy::Instance& after, const std::set<Key>& unconfirmed) {
  changed_.clear();
  std::erase_if(servers_,
                [&](const auto& entry) { return after.server(entry.first.first, entry.first.second) == nullptr; });
  if (before == nullptr) return;
  for (const config::Backend& backend : ours) {
    const haproxy::BackendRow* rows_before = before->backend(backend.name);
    const haproxy::BackendRow* rows_after = after.backend(backend.name);
    if (rows_before == nullptr || rows_after == nullptr) continue;
    for (const config::Server& server : backend.servers) {
      const haproxy::ServerRow* was = rows_before->server(server.name);
      const haproxy::ServerRow* is = rows_after->server(server.name);
      if (was == nullptr || is == nullptr) continue;
      Key key{backend.name, was->name};
      // Deleted and added again: it has the weight that it was added with, and no writer's.
      if (was->addr != is->addr || was->sid != is->sid) {
        servers_.erase(key);
        continue;
      }
      // An operator has just put it into or out of MAINT or DRAIN, and `ready` sets its weight to 0 with that.
      if (was->uweight == is->uweight || was->forced_off() != is->forced_off()) continue;
      if (!unconfirmed.contains(key)) changed_.insert(std::move(key));
    }
  }
}

OtherWriters::Repair OtherWriters::repair(const Key& key, MonoTime now) {
  if (changed_.erase(key) == 0) return Repair::kNone;
  Server& s = servers_[key];
  while (!s.repairs.empty() && now - s.repairs.front() >= kWindow) s.repairs.pop_front();
  s.repairs.push_back(now);
  if (s.repairs.size() < kFight) return Repair::kPutBack;
  s.repairs.clear();
  // Quiet for as long as it was left alone: a new fight, not the old one.
  if (s.left_alone_until != MonoTime{} && now - s.left_alone_until > std::max<MonoTime>(s.pause, kWindow))
    s.pause = kFirstPause;
  s.left_alone_until = now + s.pause;
  s.pause = std::min(s.pause * 2, kLongestPause);
  return Repair::kFight;
}

std::vector<OtherWriters::Key> OtherWriters::left_alone(MonoTime now) const {
  std::vector<Key> out;
  for (const auto& [key, server] : servers_)
    if (server.left_alone_until > now) out.push_back(key);
  return out;
}

bool OtherWriters::may_cross(const Key& key, MonoTime now) const {
  const auto it = servers_.find(key);
  return it == servers_.end() || !it->second.crossed_at || now - *it->second.crossed_at >= kCrossing;
}

void OtherWriters::crosses(const Key& key, MonoTime now) {
  changed_.erase(key);
  servers_[key].crossed_at = now;
}

}  // namespace rpcw
