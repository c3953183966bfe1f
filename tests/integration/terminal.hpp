#pragma once

#include <sys/types.h>

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace rpcw::test {

/// The program in a terminal of its own, killed at the end if it is still there.
class Terminal {
 public:
  Terminal(std::vector<std::string> arguments, unsigned short columns, unsigned short rows = 24);
  ~Terminal();
  Terminal(const Terminal&) = delete;
  Terminal& operator=(const Terminal&) = delete;

  void type(std::string_view keys) const;
  void resize(unsigned short columns) const;
  /// Waits for a screen that was drawn from now on and has this text.
  bool shows(std::string_view text);
  /// All that was drawn since the last `shows` began, with escapes.
  [[nodiscard]] const std::string& drawn() const { return seen_; }
  /// Whether what was seen last has this text.
  [[nodiscard]] bool seen(std::string_view text) const { return seen_.find(text) != std::string::npos; }
  /// Columns of the widest line of what was seen last, without escapes.
  [[nodiscard]] std::size_t widest() const;
  /// The exit code, -1 after a signal; nullopt: it still runs.
  std::optional<int> wait();

 private:
  int fd_ = -1;
  pid_t pid_ = -1;
  std::string seen_;
};

}  // namespace rpcw::test
