#include "weighter/plan/repairs.hpp"

#include <algorithm>

namespace rpcw {

std::optional<milliseconds> Repairs::repaired(const Key& key, MonoTime now) {
  Server& s = servers_[key];
  while (!s.times.empty() && now - s.times.front() >= kWindow) s.times.pop_front();
  s.times.push_back(now);
  if (s.times.size() < kFight) return std::nullopt;
  s.times.clear();
  // Quiet for as long as it was left alone: a new fight, not the old one.
  if (s.paused_until != MonoTime{} && now - s.paused_until > std::max<MonoTime>(s.pause, kWindow))
    s.pause = kFirstPause;
  const milliseconds pause = s.pause;
  s.paused_until = now + pause;
  s.pause = std::min(s.pause * 2, kLongestPause);
  return pause;
}

}  // namespace rpcw
