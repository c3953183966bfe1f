#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <vector>

namespace rpcw::bench {

/// What a benchmark is given on its command line. In front of CLI11, whose header takes longer to compile than all else
/// in the files with main().
class CommandLine {
 public:
  /// `program`: its name, for errors. `about`: the first line of --help.
  CommandLine(std::string program, const std::string& about);
  ~CommandLine();
  CommandLine(const CommandLine&) = delete;
  CommandLine& operator=(const CommandLine&) = delete;

  /// --out, which all of them have: scripts/bench gives one, and a user's after it counts.
  void folder(std::string& value, const std::string& help);
  /// --weighter: a program that exists.
  void weighter(std::string& value);
  void flag(const std::string& name, bool& value, const std::string& help);
  void text(const std::string& name, std::string& value, const std::string& help);
  /// May be repeated.
  void texts(const std::string& name, std::vector<std::string>& values, const std::string& help);
  /// From `least` to `most`, both included.
  void number(const std::string& name, std::uint64_t& value, const std::string& help, std::uint64_t least = 0,
              std::uint64_t most = std::numeric_limits<std::uint64_t>::max());
  /// The same, and may be repeated.
  void numbers(const std::string& name, std::vector<std::uint64_t>& values, const std::string& help,
               std::uint64_t least, std::uint64_t most);

  /// Reads the arguments and returns what `body` does: the exit code. Wrong ones, --help and exceptions of `body` have
  /// one of their own; an exception's text goes to stderr.
  int run(int argc, char** argv, const std::function<int()>& body);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace rpcw::bench
