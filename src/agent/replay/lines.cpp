#include "agent/replay/lines.hpp"

#include <algorithm>
#include <utility>

#include "store/recording_format.hpp"

namespace rpcw::replay {

std::string Lines::take() {
  std::string out = std::move(*next_);
  ++number_;
  advance();
  return out;
}

void Lines::advance() {
  std::string line;
  for (;;) {
    const std::size_t end = buffer_.find('\n', at_);
    const std::size_t part = std::min(end, buffer_.size()) - at_;
    line.append(buffer_, at_, std::min(part, store::kMostLine + 1 - line.size()));
    at_ += part;
    if (end != std::string::npos) {
      ++at_;
      next_ = std::move(line);
      return;
    }
    constexpr std::size_t kBlock = 64U << 10U;
    buffer_.resize(kBlock);
    in_.read(buffer_.data(), static_cast<std::streamsize>(buffer_.size()));
    buffer_.resize(static_cast<std::size_t>(in_.gcount()));
    at_ = 0;
    if (!buffer_.empty()) continue;
    next_ = line.empty() ? std::nullopt : std::optional(std::move(line));
    return;
  }
}

}  // namespace rpcw::replay
