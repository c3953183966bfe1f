#pragma once

#include <cstddef>
#include <set>
#include <string>

namespace rpcw {

/// Lines that are told once. Of more than kMost different ones all are forgotten, and told once more: numbers in them
/// may make them ever new.
class Said {
 public:
  static constexpr std::size_t kMost = 1000;

  /// Whether it was not told before; it is then.
  bool is_new(const std::string& line) {
    if (lines_.contains(line)) return false;
    if (lines_.size() >= kMost) lines_.clear();
    lines_.insert(line);
    return true;
  }
  void clear() { lines_.clear(); }

 private:
  std::set<std::string> lines_;
};

}  // namespace rpcw
