#pragma once

#include <span>
#include <string_view>

/// One function for each parser of bytes from outside. It must come back from any bytes: a crash, undefined behaviour
/// or a promise that does not hold ends the process.
namespace rpcw::fuzz {

struct Target {
  /// Also the folder of its seeds in tests/fuzz/corpus.
  std::string_view name;
  void (*run)(std::string_view bytes);
};

void haproxy(std::string_view bytes);
void config(std::string_view bytes);
void answers(std::string_view bytes);
void http(std::string_view bytes);
void state(std::string_view bytes);
void recording(std::string_view bytes);
void url(std::string_view bytes);
void controller(std::string_view bytes);

std::span<const Target> targets();
/// nullptr: there is none of that name.
const Target* find(std::string_view name);

/// Ends the process, with `promise` on standard error, unless it is kept.
void must(bool kept, std::string_view promise);

/// Stands for an API key wherever an input may bring one in. No text for people may hold it.
inline constexpr std::string_view kKey = "k3y0marked9secret7f2c";

}  // namespace rpcw::fuzz
