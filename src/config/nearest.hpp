#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace rpcw::config {

/// Optimal string alignment distance: insertions, deletions, substitutions and swaps of neighbours, no place edited
/// twice.
std::size_t edit_distance(std::string_view a, std::string_view b);

/// The known words that may be meant by `word`, best first, at most three: those a few typing errors
/// away, else those that have `word` as one of their parts ("polygon" for "polygon-pos") or begin alike ("warning" for
/// "warn").
std::vector<std::string_view> nearest(std::string_view word, std::span<const std::string_view> known);

/// `did you mean "a", "b" or "c"?`; `words` is not empty.
std::string did_you_mean(std::span<const std::string_view> words);

}  // namespace rpcw::config
