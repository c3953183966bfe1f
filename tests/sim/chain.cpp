#include <algorithm>
#include <stdexcept>

#include "sim/sim.hpp"

namespace sim {
namespace {

WallTime wall_now() {
  return std::chrono::floor<milliseconds>(std::chrono::system_clock::now());
}

void check(milliseconds block_time) {
  if (block_time <= milliseconds::zero()) throw std::invalid_argument("the block time must be above zero");
}

}  // namespace

Chain::Chain(const ChainOptions& options) : id_(options.chain_id) {
  check(options.block_time);
  // Far above every chain's height, and low enough that no timestamp overflows.
  if (options.genesis_height > 1'000'000'000'000) throw std::invalid_argument("the genesis height is too high");
  const WallTime genesis = options.genesis.value_or(std::chrono::floor<std::chrono::seconds>(wall_now()));
  stretches_.push_back({options.genesis_height, genesis, options.block_time});
}

std::uint64_t Chain::head_at(WallTime now) const {
  if (halted_) return halted_head_;
  const Stretch& last = stretches_.back();
  // The first block of a stretch may be yet to come, its predecessor is the head until then.
  if (now < last.time) return last.first == 0 ? 0 : last.first - 1;
  return last.first + static_cast<std::uint64_t>((now - last.time) / last.block_time);
}

WallTime Chain::time_at(std::uint64_t height) const {
  const auto after = std::ranges::find_if(stretches_, [&](const Stretch& s) { return s.first > height; });
  const Stretch& stretch = after == stretches_.begin() ? *after : *std::prev(after);
  const auto blocks = static_cast<std::int64_t>(height) - static_cast<std::int64_t>(stretch.first);
  return std::max(stretch.time + stretch.block_time * blocks, WallTime{});
}

std::uint64_t Chain::head() const {
  const std::lock_guard lock(mutex_);
  return head_at(wall_now());
}

milliseconds Chain::block_time() const {
  const std::lock_guard lock(mutex_);
  return stretches_.back().block_time;
}

bool Chain::halted() const {
  const std::lock_guard lock(mutex_);
  return halted_;
}

WallTime Chain::time_of(std::uint64_t height) const {
  const std::lock_guard lock(mutex_);
  return time_at(height);
}

void Chain::halt(bool halted) {
  const std::lock_guard lock(mutex_);
  if (halted == halted_) return;
  const WallTime now = wall_now();
  if (halted) {
    halted_head_ = head_at(now);
  } else {
    const milliseconds block_time = stretches_.back().block_time;
    // A stretch none of whose blocks came is void; left in place it would order the stretches wrongly.
    if (stretches_.back().first > halted_head_ && stretches_.size() > 1) stretches_.pop_back();
    stretches_.push_back({halted_head_ + 1, now + block_time, block_time});
  }
  halted_ = halted;
}

void Chain::set_block_time(milliseconds block_time) {
  check(block_time);
  const std::lock_guard lock(mutex_);
  if (block_time == stretches_.back().block_time) return;
  const WallTime now = wall_now();
  const std::uint64_t head = head_at(now);
  const WallTime next = std::max(time_at(head) + block_time, now);
  if (stretches_.back().first > head && stretches_.size() > 1) stretches_.pop_back();
  stretches_.push_back({head + 1, next, block_time});
}

}  // namespace sim
