#include "weighter/controller/timers.hpp"

namespace rpcw::control {

void Timers::set(Key key, MonoTime at) {
  const auto [it, fresh] = at_.try_emplace(key, at);
  if (!fresh) {
    if (it->second == at) return;
    order_.erase({it->second, key});
    it->second = at;
  }
  order_.emplace(at, key);
}

void Timers::cancel(Key key) {
  const auto it = at_.find(key);
  if (it == at_.end()) return;
  order_.erase({it->second, key});
  at_.erase(it);
}

void Timers::clear() {
  at_.clear();
  order_.clear();
}

std::optional<MonoTime> Timers::next() const {
  return order_.empty() ? std::nullopt : std::optional(order_.begin()->first);
}

std::optional<Timers::Key> Timers::take(MonoTime now) {
  if (order_.empty() || order_.begin()->first > now) return std::nullopt;
  const Key key = order_.begin()->second;
  order_.erase(order_.begin());
  at_.erase(key);
  return key;
}

}  // namespace rpcw::control
