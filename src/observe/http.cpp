#include "observe/http.hpp"

#include <algorithm>
#include <charconv>
#include <utility>

#include "base/text.hpp"

namespace rpcw::observe {
namespace {

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

/// Calls `take` with each part of `text` between separators, trimmed.
template <typename Take>
void split(std::string_view text, char separator, Take take) {
  while (true) {
    const std::size_t end = text.find(separator);
    take(trimmed(text.substr(0, end)));
    if (end == std::string_view::npos) return;
    text.remove_prefix(end + 1);
  }
}

/// Whether a header with a list of names and their q names one of these, and not with q=0. The last one counts.
bool accepts(std::string_view header, std::initializer_list<std::string_view> names) {
  bool accepted = false;
  split(header, ',', [&](std::string_view entry) {
    bool refused = false;
    bool first = true;
    bool named = false;
    split(entry, ';', [&](std::string_view part) {
      const std::string text = lower(part);
      if (std::exchange(first, false))
        named = std::ranges::find(names, text) != names.end();
      else if (text.starts_with("q=") && text.find_first_not_of("0.", 2) == std::string::npos)
        refused = true;
    });
    if (named) accepted = !refused;
  });
  return accepted;
}

}  // namespace

std::string percent_decoded(std::string_view text, bool query) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    unsigned value = 0;
    const char* const from = text.data() + i + 1;
    if (text[i] == '%' && i + 2 < text.size() && std::from_chars(from, from + 2, value, 16).ptr == from + 2) {
      out += static_cast<char>(value);
      i += 2;
    } else {
      out += query && text[i] == '+' ? ' ' : text[i];
    }
  }
  return out;
}

std::map<std::string, std::string, std::less<>> parse_query(std::string_view query) {
  std::map<std::string, std::string, std::less<>> out;
  split(query, '&', [&](std::string_view part) {
    if (part.empty()) return;
    const std::size_t equals = part.find('=');
    out[percent_decoded(part.substr(0, equals), true)] =
        equals == std::string_view::npos ? std::string{} : percent_decoded(part.substr(equals + 1), true);
  });
  return out;
}

bool host_allowed(std::string_view host, const std::vector<std::string>& names) {
  if (host.starts_with('[')) {
    const std::size_t end = host.find(']');
    const std::string address(host.substr(1, end == std::string_view::npos ? end : end - 1));
    return end != std::string_view::npos && address.find(':') != std::string::npos && is_ip_address(address);
  }
  const std::string name = lower(host.substr(0, host.find(':')));
  return name == "localhost" || is_ip_address(name) || std::ranges::find(names, name) != names.end();
}

bool accepts_gzip(std::string_view accept_encoding) {
  return accepts(accept_encoding, {"gzip", "x-gzip"});
}

bool accepts_openmetrics(std::string_view accept) {
  return accepts(accept, {"application/openmetrics-text"});
}

}  // namespace rpcw::observe
