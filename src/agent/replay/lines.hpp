#pragma once

#include <cstddef>
#include <cstdint>
#include <istream>
#include <optional>
#include <string>

namespace rpcw::replay {

/// Lines of a stream, in bounded memory.
class Lines {
 public:
  explicit Lines(std::istream& in) : in_(in) { advance(); }

  /// The next one; absent: there is none. One that is longer than store::kMostLine is cut at one byte more.
  [[nodiscard]] const std::optional<std::string>& peek() const { return next_; }
  /// The next one, which is there, without its end.
  std::string take();
  /// Of the line that was taken last, from 1.
  [[nodiscard]] std::uint64_t number() const { return number_; }
  /// The stream cannot be read any further.
  [[nodiscard]] bool failed() const { return in_.bad(); }

 private:
  void advance();

  std::istream& in_;
  std::string buffer_;
  std::size_t at_ = 0;
  std::uint64_t number_ = 0;
  std::optional<std::string> next_;
};

}  // namespace rpcw::replay
