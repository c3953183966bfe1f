#include "rpc/scrubber.hpp"

#include <openssl/evp.h>

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <optional>
#include <utility>
#include <vector>

#include "base/text.hpp"
#include "config/url.hpp"

namespace rpcw::rpc {
namespace {

constexpr std::size_t kShortestSecret = 4;
constexpr std::size_t kShortestPrefix = 6;
constexpr std::size_t kMostBytes = 160;

/// A character as it was before encoding, and how many bytes stand for it.
struct Unit {
  char value = 0;
  std::size_t length = 1;
};

std::optional<char> hex_byte(std::string_view digits) {
  unsigned value = 0;
  const char* end = digits.data() + digits.size();
  if (std::from_chars(digits.data(), end, value, 16).ptr != end || digits.empty() || value > 0xFF) return std::nullopt;
  return static_cast<char>(value);
}

/// Undoes "%2F", "\/" and "\u002f".
Unit unit_at(std::string_view text, std::size_t at) {
  const std::string_view rest = text.substr(at);
  if (rest.front() == '%' && rest.size() >= 3)
    if (const auto byte = hex_byte(rest.substr(1, 2))) return {*byte, 3};
  if (rest.starts_with("\\/")) return {'/', 2};
  if (rest.starts_with("\\u") && rest.size() >= 6)
    if (const auto byte = hex_byte(rest.substr(2, 4))) return {*byte, 6};
  return {rest.front(), 1};
}

std::string decoded(std::string_view text) {
  std::string out;
  for (std::size_t at = 0; at < text.size();) {
    const Unit unit = unit_at(text, at);
    out += unit.value;
    at += unit.length;
  }
  return out;
}

std::string base64(std::string_view bytes) {
  constexpr std::string_view kDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  unsigned buffer = 0;
  int bits = 0;
  for (const char c : bytes) {
    buffer = (buffer << 8U | static_cast<unsigned char>(c)) & 0xFFFFU;
    for (bits += 8; bits >= 6; bits -= 6) out += kDigits[(buffer >> static_cast<unsigned>(bits - 6)) & 0x3FU];
  }
  if (bits > 0) out += kDigits[(buffer << static_cast<unsigned>(6 - bits)) & 0x3FU];
  return out;
}

/// How many bytes of the text, from `at` on, repeat the secret or enough of its beginning; 0: they do not.
std::size_t match(std::string_view text, std::size_t at, std::string_view secret) {
  std::size_t end = at;
  std::size_t same = 0;
  while (same < secret.size() && end < text.size()) {
    const Unit unit = unit_at(text, end);
    if (lower(unit.value) != secret[same]) break;
    ++same;
    end += unit.length;
  }
  return same == secret.size() || same >= kShortestPrefix ? end - at : 0;
}

/// A URL without its scheme: user info, host and port; and the rest, from the path on.
std::pair<std::string_view, std::string_view> split(std::string_view url) {
  if (const auto scheme = url.find("://"); scheme != std::string_view::npos) url.remove_prefix(scheme + 3);
  const std::size_t path = std::min(url.find_first_of("/?#"), url.size());
  return {url.substr(0, path), url.substr(path)};
}

}  // namespace

Scrubber::Scrubber(const config::Target& target, std::span<const config::Canary> canaries) {
  add_user_info(target.url);
  add_pieces(split(target.url).second, "/?#&=;");
  add_host(target);
  for (const auto& [name, value] : target.headers) {
    add(value);
    add_pieces(value, " ,;=");
    add_basic(value);
  }
  for (const config::Canary& canary : canaries) {
    for (const std::string* text : {&canary.method, &canary.path, &canary.body, &canary.params_json, &canary.expect})
      add_keys(*text);
    if (canary.equals) add_keys(*canary.equals);
  }
  std::ranges::sort(secrets_);
  const auto twins = std::ranges::unique(secrets_);
  secrets_.erase(twins.begin(), twins.end());
}

void Scrubber::add_user_info(std::string_view url) {
  const std::string_view authority = split(url).first;
  const std::size_t at = authority.rfind('@');
  if (at == std::string_view::npos) return;
  const std::string_view user_info = authority.substr(0, at);
  add(user_info);
  add_pieces(user_info, ":");
  // As it goes over the wire.
  add(base64(decoded(user_info)));
}

void Scrubber::add_basic(std::string_view header) {
  constexpr std::string_view kScheme = "basic ";
  if (!lower(header.substr(0, kScheme.size())).starts_with(kScheme)) return;
  std::string encoded(header.substr(kScheme.size()));
  encoded.resize(encoded.find_last_not_of(" =") + 1);
  std::size_t padding = 0;
  for (; encoded.size() % 4 != 0; ++padding) encoded += '=';
  std::vector<unsigned char> bytes(encoded.size() / 4 * 3);
  const auto* from = reinterpret_cast<const unsigned char*>(encoded.data());
  const int size = EVP_DecodeBlock(bytes.data(), from, static_cast<int>(encoded.size()));
  if (size <= 0 || static_cast<std::size_t>(size) < padding) return;
  const std::string plain(bytes.begin(), bytes.begin() + size - static_cast<std::ptrdiff_t>(padding));
  add(plain);
  add_pieces(plain, ":");
}

void Scrubber::add(std::string_view secret) {
  if (secret.size() < kShortestSecret) return;
  secrets_.push_back(lower(secret));
  if (std::string plain = lower(decoded(secret)); plain.size() >= kShortestSecret) secrets_.push_back(std::move(plain));
}

void Scrubber::add_host(const config::Target& target) {
  const auto parts = url::parse(target.url);
  if (!parts || config::shown_host(target) == parts->host) return;
  std::string_view host = parts->host;
  add(host);
  for (std::size_t dot = host.find('.'); dot != std::string_view::npos; dot = host.find('.')) {
    const std::string_view label = host.substr(0, dot);
    if (target.redact_host || url::looks_like_key(label)) add(label);
    host.remove_prefix(dot + 1);
  }
}

void Scrubber::add_keys(std::string_view text) {
  constexpr std::string_view kKeyDigits = "-0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
  while (!text.empty()) {
    text.remove_prefix(std::min(text.find_first_of(kKeyDigits), text.size()));
    const std::string_view word = text.substr(0, text.find_first_not_of(kKeyDigits));
    const bool data = word.starts_with("0x") && word.find_first_not_of("0123456789abcdefABCDEF", 2) == word.npos;
    if (!data && url::looks_like_key(word)) add(word);
    text.remove_prefix(word.size());
  }
}

void Scrubber::add_pieces(std::string_view text, std::string_view separators) {
  while (!text.empty()) {
    const std::size_t end = std::min(text.find_first_of(separators), text.size());
    add(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
}

std::string Scrubber::operator()(std::string_view text) const {
  std::string out;
  // Secrets may overlap: up to here everything belongs to one.
  std::size_t secret_until = 0;
  for (std::size_t at = 0; at < text.size(); ++at) {
    if (out.size() >= kMostBytes) {
      out.resize(kMostBytes);
      out += "...";
      break;
    }
    const bool in_secret = at < secret_until;
    for (const std::string& secret : secrets_) secret_until = std::max(secret_until, at + match(text, at, secret));
    if (at < secret_until) {
      if (!in_secret) out += "...";
      continue;
    }
    const auto byte = static_cast<unsigned char>(text[at]);
    out += byte < 0x20 || byte == 0x7F ? ' ' : byte >= 0x80 ? '?' : text[at];
  }
  return out;
}

}  // namespace rpcw::rpc
