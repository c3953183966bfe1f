#include "config/targets.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "base/text.hpp"
#include "config/url.hpp"

namespace rpcw::config {
namespace {

bool is_token(std::string_view text) {
  constexpr std::string_view kMarks = "!#$%&'*+-.^_`|~";
  return !text.empty() && std::ranges::all_of(text, [&](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           kMarks.find(c) != std::string_view::npos;
  });
}

constexpr char kFilledIn = '\x01';

/// The file's text with one `kFilledIn` for each variable and placeholder: what stands in the file itself.
std::string literal_text(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    if (text.starts_with("$${")) {
      out += "${";
      text.remove_prefix(3);
    } else if (const std::size_t close = text.find('}');
               (text.starts_with("${") || text.starts_with('{')) && close != std::string_view::npos) {
      out += kFilledIn;
      text.remove_prefix(close + 1);
    } else {
      out += text.front();
      text.remove_prefix(1);
    }
  }
  return out;
}

/// Whether user info, path or query of a URL stand in the file. Where one of them has a variable, that is the secret,
/// and the rest is such as "v3".
bool holds_secret(std::string_view from) {
  constexpr std::string_view kMarks = "/?#&=:";
  const std::string text = literal_text(from);
  std::string_view rest = text;
  if (const std::size_t scheme = rest.find("://"); scheme != std::string_view::npos) rest.remove_prefix(scheme + 3);
  const std::size_t path = std::min(rest.find_first_of("/?#"), rest.size());
  std::string_view host = rest.substr(0, path);
  const auto literal = [&](std::string_view part) {
    return part.find_first_not_of(kMarks) != std::string_view::npos && part.find(kFilledIn) == std::string_view::npos;
  };
  if (literal(rest.substr(path))) return true;
  if (const std::size_t at = host.rfind('@'); at != std::string_view::npos) {
    // Of a name and a password the latter.
    const std::string_view user_info = host.substr(0, at);
    if (literal(user_info.substr(user_info.find(':') + 1))) return true;
    host.remove_prefix(at + 1);
  }
  return url::shown_host(host.substr(0, host.find(':'))).starts_with("…") || url::looks_like_key(rest.substr(path));
}

std::string read_url(Reader& r, const Context& context, bool needed, bool secret_host) {
  const auto direct = r.text("url");
  const auto file = r.text("url_file");
  if (r.has("url") && r.has("url_file")) {
    r.error(file ? file->place : r.place(), "url_file", "url and url_file exclude each other; keep one");
    return {};
  }
  if (!r.has("url") && !r.has("url_file")) {
    if (needed) r.error(r.place(), "url", "missing; expected url, or url_file with the name of a file that holds it");
    return {};
  }
  if (direct && (holds_secret(direct->value) ||
                 (secret_host && literal_text(direct->value).find(kFilledIn) == std::string::npos)))
    r.note_secret();
  if (!context.providers()) return {};
  if (direct) {
    auto text = context.expanded(r, "url", *direct);
    if (!text) return {};
    if (const auto parts = url::parse(text->value); !parts) {
      r.error(direct->place, "url", blaming_empty(parts.error(), *text));
      return {};
    }
    warn_of_empty(r, "url", direct->place, *text);
    return std::move(text->value);
  }
  if (file) {
    const auto path = context.path(r, "url_file", *file);
    if (!path) return {};
    auto content = context.contents(r, "url_file", file->place, *path);
    if (!content) return {};
    context.warn_of_open(r, "url_file", file->place, *path);
    while (content->ends_with('\n') || content->ends_with('\r')) content->pop_back();
    if (content->find('\n') != std::string::npos) {
      r.error(file->place, "url_file", "the file has more than one line");
      return {};
    }
    if (const auto parts = url::parse(*content); !parts) {
      r.error(file->place, "url_file", fmt::format("in the file: {}", parts.error()));
      return {};
    }
    return std::move(*content);
  }
  return {};
}

void read_headers(Reader& r, const Context& context, const Node& table, Headers& out) {
  // They decide about the message's framing; a wrong one would break every request.
  constexpr std::array<std::string_view, 3> kOurs{"content-length", "transfer-encoding", "connection"};
  Seen seen;
  for (const Member& member : table.members) {
    // The name is not shown: "Authorization: Bearer KEY" pasted whole would end up here.
    if (!is_token(member.key)) {
      r.error(member.place, "headers", "this is no header's name; accepted: letters, digits and !#$%&'*+-.^_`|~");
      continue;
    }
    const std::string key = fmt::format("headers.{}", url::without_keys(member.key));
    if (std::ranges::find(kOurs, lower(member.key)) != kOurs.end()) {
      r.error(member.place, key, "this header is made from the request and cannot be set");
      continue;
    }
    if (const auto [at, fresh] = seen.emplace(lower(member.key), member.place); !fresh) {
      r.error(member.place, key,
              fmt::format("the same header is already given on line {} (case makes no difference)", at->second.line));
      continue;
    }
    if (member.value.kind != Node::Kind::kString) {
      r.error(member.value.place, key, fmt::format("found {}; expected a string", kind_name(member.value.kind)));
      continue;
    }
    if (member.value.text.find("${") == std::string::npos) r.note_secret();
    auto text = context.expanded(r, key, {.value = member.value.text, .place = member.value.place});
    if (!text) continue;
    const bool clean =
        std::ranges::none_of(text->value, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
    if (!clean) {
      r.error(member.value.place, key, "the value has a control character");
      continue;
    }
    if (text->value.find_first_not_of(' ') == std::string::npos) {
      r.error(member.value.place, key, blaming_empty("the value is empty", *text));
      continue;
    }
    warn_of_empty(r, key, member.value.place, *text);
    out.emplace_back(member.key, std::move(text->value));
  }
}

/// Logs, reports and metrics show it in full.
void read_operator(Reader& r, Target& out) {
  constexpr std::size_t kLongest = 64;
  const auto name = r.text("operator");
  if (!name) return;
  const std::string& value = name->value;
  const auto wrong = [&](std::string message) { r.error(name->place, "operator", std::move(message)); };
  if (value.empty())
    wrong("it is empty; expected a name, such as \"quicknode\"");
  else if (harmless(value) != value)
    wrong("it has a control character; expected a name, such as \"quicknode\"");
  else if (value.find_first_of("/@") != std::string::npos)
    wrong(
        "expected the operator's name without / and @, such as \"quicknode\"; it is shown in full, and a URL may hold a "
        "key");
  else if (value.size() > kLongest)
    wrong(fmt::format("it has {} bytes; expected a name of at most {}, such as \"quicknode\"", value.size(), kLongest));
  else if (url::looks_like_key(value))
    r.warning(name->place, "operator", "it looks like a key, and is shown in full in reports and logs");
  out.operator_name = value;
  out.operator_given = true;
}

}  // namespace

void read_plain_headers(Reader& r, const Node& table, Headers& out) {
  for (const Member& member : table.members) {
    const bool text = member.value.kind == Node::Kind::kString;
    const bool clean = text && !member.value.text.empty() && std::ranges::none_of(member.value.text, [](char c) {
                         return static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
                       });
    if (!is_token(member.key))
      r.error(member.place, "headers", "this is no header's name; accepted: letters, digits and !#$%&'*+-.^_`|~");
    else if (!clean)
      r.error(member.value.place, fmt::format("headers.{}", url::without_keys(member.key)),
              "expected a text without control characters");
    else
      out.emplace_back(member.key, member.value.text);
  }
}

void read_target(Reader& r, const Context& context, Target& out, bool needs_url) {
  r.boolean("redact_host", out.redact_host);
  out.url = read_url(r, context, needs_url, out.redact_host);
  if (const Node* headers = r.free_table("headers"); headers != nullptr && context.providers())
    read_headers(r, context, *headers, out.headers);
  read_operator(r, out);
  std::optional<milliseconds> interval;
  if (r.duration_or_word("interval", "auto", interval, kLeastInterval, kMostInterval).valid())
    out.own_interval = interval.value_or(milliseconds{0});
  r.budget("budget", out.own_budget);
}

std::string read_discover(Reader& r, const Context& context, const Found<std::string>& from) {
  struct Placeholder {
    std::string_view name;
    std::string_view example;
  };
  constexpr std::array<Placeholder, 5> kPlaceholders{{{"{addr}", "192.0.2.1:8545"},
                                                      {"{host}", "192.0.2.1"},
                                                      {"{port}", "8545"},
                                                      {"{server}", "server"},
                                                      {"{backend}", "backend"}}};
  constexpr std::string_view kAccepted = "accepted: {addr}, {host}, {port}, {server}, {backend}";
  if (holds_secret(from.value)) r.note_secret();
  if (!context.providers()) return from.value;
  // The file's text is checked, not the expanded one: what variables bring is neither a placeholder nor shown.
  bool good = true;
  std::string_view rest = from.value;
  while (true) {
    const std::size_t open = rest.find_first_of("{}");
    if (open == std::string_view::npos) break;
    const std::size_t close = rest.find('}', open);
    const bool variable = open > 0 && rest[open - 1] == '$';
    if (close == std::string_view::npos || close == open) {
      // A variable's missing brace is noted when it is expanded.
      if (!variable) {
        r.error(from.place, "discover", fmt::format("a brace has no partner; {}", kAccepted));
        good = false;
      }
      break;
    }
    const std::string_view name = rest.substr(open, close - open + 1);
    if (!variable && std::ranges::find(kPlaceholders, name, &Placeholder::name) == kPlaceholders.end()) {
      const std::string_view inner = name.substr(1, name.size() - 2);
      const bool word = inner.size() <= 16 && std::ranges::all_of(inner, [](char c) { return c >= 'a' && c <= 'z'; });
      r.error(from.place, "discover",
              fmt::format("{} is no placeholder; {}", word ? fmt::format("{{{}}}", inner) : "what stands in {…}",
                          kAccepted));
      good = false;
    }
    rest.remove_prefix(close + 1);
  }
  const auto tells_apart = [&](const Placeholder& p) {
    return p.name != "{backend}" && from.value.find(p.name) != std::string::npos;
  };
  // What variables bring may hold one.
  if (good && !from.value.empty() && from.value.find("${") == std::string::npos &&
      std::ranges::none_of(kPlaceholders, tells_apart)) {
    r.error(
        from.place, "discover",
        "it is the same URL for all servers of a backend; expected one of {addr}, {host}, {port} or {server} in it");
    good = false;
  }
  const auto text = context.expanded(r, "discover", from);
  if (!text || !good) return {};
  std::string example = text->value;
  for (const auto& [name, value] : kPlaceholders)
    for (std::size_t at = example.find(name); at != std::string::npos; at = example.find(name, at + value.size()))
      example.replace(at, name.size(), value);
  if (const auto parts = url::parse(example); !parts) {
    r.error(from.place, "discover", blaming_empty(parts.error(), *text));
    return {};
  }
  warn_of_empty(r, "discover", from.place, *text);
  return text->value;
}

}  // namespace rpcw::config
