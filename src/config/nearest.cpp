#include "config/nearest.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace rpcw::config {
namespace {

constexpr std::size_t kMostSuggestions = 3;

/// Upper and lower case, dash and underscore are the same mistake, and not worth a point.
std::string folded(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    if (c == '_') c = '-';
  }
  return out;
}

}  // namespace

std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> before(b.size() + 1);
  std::vector<std::size_t> above(b.size() + 1);
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) above[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t change = a[i - 1] == b[j - 1] ? 0 : 1;
      row[j] = std::min({above[j] + 1, row[j - 1] + 1, above[j - 1] + change});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) row[j] = std::min(row[j], before[j - 2] + 1);
    }
    std::swap(before, above);
    std::swap(above, row);
  }
  return above[b.size()];
}

std::vector<std::string_view> nearest(std::string_view word, std::span<const std::string_view> known) {
  // Nothing known is this long; it also bounds the work on a file of garbage.
  constexpr std::size_t kLongest = 64;
  constexpr std::size_t kShortestPart = 3;
  std::vector<std::string_view> out;
  if (word.empty() || word.size() > kLongest) return out;
  const std::string mine = folded(word);

  const std::size_t allowed = std::max<std::size_t>(1, mine.size() / 3);
  std::vector<std::pair<std::size_t, std::string_view>> close;
  for (const std::string_view candidate : known)
    if (const std::size_t distance = edit_distance(mine, folded(candidate));
        distance <= allowed && distance < candidate.size())
      close.emplace_back(distance, candidate);
  std::ranges::stable_sort(close, {}, &std::pair<std::size_t, std::string_view>::first);
  for (const auto& [distance, candidate] : close) {
    // Once there is a good guess, a worse one only distracts.
    if (distance != close.front().first) break;
    out.push_back(candidate);
  }
  if (out.empty() && mine.size() >= kShortestPart)
    for (const std::string_view candidate : known) {
      const std::string theirs = folded(candidate);
      const bool part = fmt::format("-{}-", theirs).find(fmt::format("-{}-", mine)) != std::string::npos;
      if (part || (theirs.size() >= kShortestPart && (mine.starts_with(theirs) || theirs.starts_with(mine))))
        out.push_back(candidate);
    }
  if (out.size() > kMostSuggestions) out.resize(kMostSuggestions);
  return out;
}

std::string did_you_mean(std::span<const std::string_view> words) {
  std::string out = "did you mean ";
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (i > 0) out += i + 1 == words.size() ? " or " : ", ";
    out += fmt::format("\"{}\"", words[i]);
  }
  return out + "?";
}

}  // namespace rpcw::config
