#include "config/url.hpp"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>

#include "base/text.hpp"

namespace rpcw::url {
namespace {

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
bool is_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/// By its first two bytes: 10/8, 172.16/12, 192.168/16 (RFC 1918) and 169.254/16 (RFC 3927).
bool is_own_ipv4(std::array<std::uint8_t, 2> a) {
  return a[0] == 10 || (a[0] == 172 && (a[1] & 0xf0U) == 16) || (a[0] == 192 && a[1] == 168) ||
         (a[0] == 169 && a[1] == 254);
}

bool is_address(int family, const std::string& host) {
  std::array<unsigned char, sizeof(in6_addr)> scratch{};
  return inet_pton(family, host.c_str(), scratch.data()) == 1;
}

/// Whether a resolver or libcurl might take the name for an address in one of inet_aton's old spellings ("127.1",
/// "0x7f.0.0.1"), which other readers of the same URL would not.
bool ends_like_an_address(std::string_view host) {
  if (host.ends_with('.')) host.remove_suffix(1);
  const std::string_view last = host.substr(host.rfind('.') + 1);
  if (last.starts_with("0x") || last.starts_with("0X")) return true;
  return !last.empty() && std::ranges::all_of(last, is_digit);
}

/// Empty: fine. Otherwise what is wrong, as the end of a sentence that begins with "the host ".
std::string_view name_fault(std::string_view host) {
  constexpr std::size_t kLongestName = 253;
  constexpr std::size_t kLongestLabel = 63;
  if (host.ends_with('.')) host.remove_suffix(1);
  if (host.size() > kLongestName) return "is longer than 253 characters";
  while (true) {
    const std::size_t end = std::min(host.find('.'), host.size());
    const std::string_view label = host.substr(0, end);
    if (label.empty()) return "has an empty label";
    if (label.size() > kLongestLabel) return "has a label longer than 63 characters";
    if (label.starts_with('-') || label.ends_with('-')) return "has a label that begins or ends with a dash";
    for (const char c : label) {
      if (static_cast<unsigned char>(c) >= 0x80) return "is not ASCII; write it in its xn-- form";
      // RFC 952 has no underscore, but container networks and Kubernetes do.
      if (!is_letter(c) && !is_digit(c) && c != '-' && c != '_')
        return "has a character that no host name has (if it is part of a user name or password, percent-encode it)";
    }
    if (end == host.size()) return {};
    host.remove_prefix(end + 1);
  }
}

std::expected<std::uint16_t, std::string> parse_port(std::string_view text) {
  unsigned value = 0;
  const char* end = text.data() + text.size();
  const auto [stop, fault] = std::from_chars(text.data(), end, value);
  if (fault != std::errc{} || stop != end || value == 0 || value > 65535)
    return std::unexpected("the port is not a number from 1 to 65535");
  return static_cast<std::uint16_t>(value);
}

/// A to Z, a to z, 0 to 9.
bool is_alphanumeric(char c) {
  return is_letter(c) || is_digit(c);
}

/// As random letters and digits are: digits between letters, more digits than a name's number or year has, or more
/// consonants in a row than can be spoken.
bool is_random(std::string_view stretch) {
  constexpr int kConsonants = 5;
  constexpr int kDigits = 6;
  constexpr std::string_view kVowels = "aeiouyAEIOUY";
  int changes = 0;
  int digits = 0;
  int consonants = 0;
  int most_consonants = 0;
  for (std::size_t i = 0; i < stretch.size(); ++i) {
    if (i > 0 && is_digit(stretch[i]) != is_digit(stretch[i - 1])) ++changes;
    digits += is_digit(stretch[i]) ? 1 : 0;
    const bool consonant = is_letter(stretch[i]) && kVowels.find(stretch[i]) == std::string_view::npos;
    consonants = consonant ? consonants + 1 : 0;
    most_consonants = std::max(most_consonants, consonants);
  }
  return changes >= 2 || (changes == 1 && digits >= kDigits) || most_consonants >= kConsonants;
}

/// As "getL1BatchBlockRange" is: hardly a digit, and at least half of it words in camel case.
bool is_made_of_words(std::string_view text) {
  constexpr std::size_t kShortestWord = 3;
  constexpr std::ptrdiff_t kMostDigits = 2;
  constexpr std::string_view kVowels = "aeiouyAEIOUY";
  if (std::ranges::count_if(text, is_digit) > kMostDigits) return false;
  const auto is_capital = [](char c) { return c >= 'A' && c <= 'Z'; };
  std::size_t letters_of_words = 0;
  for (std::size_t at = 0; at < text.size();) {
    std::size_t end = at + 1;
    while (end < text.size() && is_letter(text[end]) && is_letter(text[at]) &&
           (!is_capital(text[end]) || is_capital(text[end - 1])))
      ++end;
    const std::string_view word = text.substr(at, end - at);
    if (word.size() >= kShortestWord && word.find_first_of(kVowels) != std::string_view::npos && !is_random(word))
      letters_of_words += word.size();
    at = end;
  }
  return letters_of_words * 2 >= text.size();
}

/// As "1000000000000000ms" is.
bool is_number_with_unit(std::string_view text) {
  constexpr std::size_t kLongestUnit = 3;
  const std::size_t unit = text.size() - std::min(text.find_first_not_of("0123456789"), text.size());
  return unit < text.size() && unit <= kLongestUnit && std::ranges::all_of(text.substr(text.size() - unit), is_letter);
}

bool is_uuid(std::string_view text) {
  constexpr std::string_view kForm = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";
  if (text.size() != kForm.size()) return false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    const bool hex = is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
    if (kForm[i] == '-' ? c != '-' : !hex) return false;
  }
  return true;
}

struct Split {
  Url url;
  bool port_given = false;
};

std::expected<Split, std::string> split(std::string_view text) {
  if (text.empty()) return std::unexpected("the URL is empty");
  for (const char c : text) {
    if (c == ' ') return std::unexpected("the URL has a space");
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) return std::unexpected("the URL has a control character");
    if (c == '\\') return std::unexpected("the URL has a backslash");
  }

  const std::size_t colon = text.find("://");
  // The text before "://" is only named when it looks like a scheme: in "KEY@host" it would be a secret.
  if (colon == std::string_view::npos || colon == 0 ||
      !std::ranges::all_of(text.substr(0, colon), [](char c) { return is_letter(c) || is_digit(c) || c == '+'; }))
    return std::unexpected("this is no URL; expected http://HOST[:PORT]/… or https://HOST[:PORT]/…");
  Split out;
  out.url.scheme = lower(text.substr(0, colon));
  if (out.url.scheme != "http" && out.url.scheme != "https") {
    const std::string_view instead = out.url.scheme == "ws"     ? "http"
                                     : out.url.scheme == "wss"  ? "https"
                                     : out.url.scheme == "grpc" ? "the provider's JSON or REST address"
                                                                : "";
    if (!instead.empty())
      return std::unexpected(fmt::format("the scheme {} is not probed; use {}{} instead, HAProxy may go on with {}",
                                         out.url.scheme, instead, out.url.scheme == "grpc" ? "" : "://",
                                         out.url.scheme));
    constexpr std::array<std::string_view, 8> kOthers{"ws", "wss", "ftp", "file", "tcp", "unix", "grpc", "socks5"};
    if (std::ranges::find(kOthers, out.url.scheme) == kOthers.end())
      return std::unexpected("the scheme is not supported; expected http or https");
    return std::unexpected(fmt::format("the scheme {} is not supported; expected http or https", out.url.scheme));
  }
  out.url.port = out.url.scheme == "https" ? 443 : 80;

  std::string_view authority = text.substr(colon + 3);
  authority = authority.substr(0, std::min(authority.find_first_of("/?#"), authority.size()));
  // libcurl ends the user info at the first @, browsers at the last: with two of them the host would be anyone's guess.
  if (const std::size_t at = authority.find('@'); at != std::string_view::npos) {
    authority.remove_prefix(at + 1);
    if (authority.find('@') != std::string_view::npos)
      return std::unexpected("the URL has two @ before the host; percent-encode the first as %40");
  }
  if (authority.empty()) return std::unexpected("the URL has no host");

  std::string_view host = authority;
  std::string_view port;
  bool has_port = false;
  if (authority.starts_with('[')) {
    const std::size_t close = authority.find(']');
    if (close == std::string_view::npos) return std::unexpected("the host begins with [ and has no ]");
    host = authority.substr(1, close - 1);
    const std::string_view rest = authority.substr(close + 1);
    if (!rest.empty() && !rest.starts_with(':')) return std::unexpected("only a :PORT may follow [IPv6]");
    has_port = !rest.empty();
    if (has_port) port = rest.substr(1);
    out.url.host = lower(host);
    if (!is_address(AF_INET6, out.url.host)) return std::unexpected("the host in brackets is no IPv6 address");
  } else {
    if (std::ranges::count(authority, ':') > 1)
      return std::unexpected("the host has several colons; an IPv6 address needs brackets: [ADDRESS]:PORT");
    if (const std::size_t at = authority.find(':'); at != std::string_view::npos) {
      has_port = true;
      host = authority.substr(0, at);
      port = authority.substr(at + 1);
    }
    if (host.empty()) return std::unexpected("the URL has no host");
    out.url.host = lower(host);
    if (const std::string_view fault = name_fault(host); !fault.empty())
      return std::unexpected(fmt::format("the host {}", fault));
    if (ends_like_an_address(host) && !is_address(AF_INET, out.url.host))
      return std::unexpected("the host is no host name, and no IPv4 address of four decimal numbers");
  }
  if (has_port) {
    auto number = parse_port(port);
    if (!number) return std::unexpected(std::move(number.error()));
    out.url.port = *number;
    out.port_given = true;
  }
  return out;
}

}  // namespace

std::expected<Url, std::string> parse(std::string_view text) {
  auto out = split(text);
  if (!out) return std::unexpected(std::move(out.error()));
  return std::move(out->url);
}

bool looks_like_key(std::string_view part) {
  constexpr std::size_t kShortest = 16;
  if (is_uuid(part)) return true;
  while (!part.empty()) {
    const auto end = std::ranges::find_if_not(part, is_alphanumeric);
    const std::string_view stretch = part.substr(0, static_cast<std::size_t>(end - part.begin()));
    if (stretch.size() >= kShortest && is_random(stretch)) return true;
    part.remove_prefix(std::min(stretch.size() + 1, part.size()));
  }
  return false;
}

std::string without_keys(std::string_view text) {
  const auto of_word = [](char c) { return is_alphanumeric(c) || c == '-' || c == '_'; };
  std::string out;
  while (!text.empty()) {
    const auto begin = std::ranges::find_if(text, of_word);
    const auto end = std::find_if_not(begin, text.end(), of_word);
    const std::string_view word(begin, end);
    out.append(text.begin(), begin);
    if (looks_like_key(word) && !is_made_of_words(word) && !is_number_with_unit(word))
      out += "…";
    else
      out += word;
    text = std::string_view(end, text.end());
  }
  return out;
}

std::string shown_host(std::string_view host, HostShown what) {
  bool hide = what == HostShown::kEnd;
  for (std::string_view rest = host; !hide && !rest.empty();) {
    const std::size_t end = std::min(rest.find('.'), rest.size());
    hide = looks_like_key(rest.substr(0, end));
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  if (!hide) return std::string(host);
  if (host.ends_with('.')) host.remove_suffix(1);
  const std::size_t dot = host.rfind('.');
  if (dot == std::string_view::npos || host.find(':') != std::string_view::npos || ends_like_an_address(host))
    return "…";
  const std::string_view last = host.substr(dot + 1);
  return looks_like_key(last) ? "…" : fmt::format("…{}", last);
}

std::string redact(std::string_view text, HostShown what) {
  const auto out = split(text);
  if (!out) return "…";
  const Url& url = out->url;
  std::string shown = fmt::format("{}://{}", url.scheme, url_host(shown_host(url.host, what)));
  if (out->port_given) shown += fmt::format(":{}", url.port);
  return shown + "/…";
}

bool is_own_network(std::string_view host) {
  if (host.ends_with('.')) host.remove_suffix(1);
  const std::string name = lower(host);
  if (in6_addr six{}; inet_pton(AF_INET6, name.c_str(), &six) == 1) {
    const auto& bytes = six.s6_addr;
    // fc00::/7 (RFC 4193) and fe80::/10 (RFC 4291).
    if ((bytes[0] & 0xfeU) == 0xfc || (bytes[0] == 0xfe && (bytes[1] & 0xc0U) == 0x80)) return true;
    return IN6_IS_ADDR_V4MAPPED(&six) && is_own_ipv4({bytes[12], bytes[13]});
  }
  if (in_addr four{}; inet_pton(AF_INET, name.c_str(), &four) == 1) {
    const std::uint32_t bits = ntohl(four.s_addr);
    return is_own_ipv4({static_cast<std::uint8_t>(bits >> 24U), static_cast<std::uint8_t>(bits >> 16U & 0xffU)});
  }
  constexpr std::array<std::string_view, 3> kOwn{".svc", ".local", ".internal"};
  return std::ranges::any_of(kOwn, [&](std::string_view end) { return name.ends_with(end); });
}

std::string registrable_domain(std::string_view host) {
  if (host.ends_with('.')) host.remove_suffix(1);
  const std::string name = lower(host);
  if (is_ip_address(name)) return name;

  // Where a label of three letters or fewer, or one of these, stands before a country's code, registrations are made
  // one level further down: example.co.uk, example.com.au. The whole public suffix list would be more exact and has to
  // be kept up to date; this only decides about a warning.
  constexpr std::array<std::string_view, 14> kSecondLevel{"co", "com",  "net", "org", "gov", "edu",  "ac",
                                                          "or", "asso", "ne",  "go",  "gob", "firm", "mil"};
  const std::size_t last = name.rfind('.');
  if (last == std::string::npos || last == 0) return name;
  const std::size_t second = name.rfind('.', last - 1);
  if (second == std::string::npos) return name;
  const std::string_view label = std::string_view(name).substr(second + 1, last - second - 1);
  const bool country = name.size() - last - 1 == 2;
  if (!country || std::ranges::find(kSecondLevel, label) == kSecondLevel.end() || second == 0)
    return name.substr(second + 1);
  const std::size_t third = name.rfind('.', second - 1);
  return third == std::string::npos ? name : name.substr(third + 1);
}

}  // namespace rpcw::url
