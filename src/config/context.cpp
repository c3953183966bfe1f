#include "config/context.hpp"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "config/quantity.hpp"

namespace rpcw::config {

std::optional<Expanded> Context::expanded(Reader& r, std::string_view key, const Found<std::string>& from) const {
  auto out = expand(from.value, surroundings_.variable);
  if (!out) {
    for (std::string& fault : out.error()) r.error(from.place, key, std::move(fault));
    return std::nullopt;
  }
  for (const std::string& name : out->bare)
    r.warning(from.place, key, fmt::format("${0} is taken as it stands; a variable is written ${{{0}}}", name));
  return std::move(*out);
}

std::optional<FilePath> Context::path(Reader& r, std::string_view key, const Found<std::string>& from) const {
  const auto text = expanded(r, key, from);
  if (!text) return std::nullopt;
  if (text->value.empty()) {
    r.error(from.place, key, blaming_empty("the path is empty", *text));
    return std::nullopt;
  }
  const auto whole = [this](const std::string& path) {
    return std::filesystem::path(path).is_absolute() ? path : (directory_ / path).string();
  };
  // What variables hold is not shown.
  const bool by_variable = from.value.starts_with("${");
  constexpr std::size_t kLongest = 4096;
  std::string name = shown(by_variable ? "/" + from.value : whole(from.value), kLongest);
  name = name.substr(by_variable ? 2 : 1);
  name.pop_back();
  return FilePath{.path = whole(text->value), .shown = std::move(name)};
}

std::optional<std::string> Context::contents(Reader& r, std::string_view key, Place place, const FilePath& file) const {
  auto out = surroundings_.read_file(file.path);
  if (out) return std::move(*out);
  r.error(place, key, fmt::format("the file {} cannot be read: {}", file.shown, out.error()));
  return std::nullopt;
}

bool Context::is_other_than_socket(const std::string& path) const {
  const auto mode = surroundings_.mode ? surroundings_.mode(path) : std::nullopt;
  return mode && !S_ISSOCK(*mode);
}

void Context::warn_of_open(Reader& r, std::string_view key, Place place, const FilePath& file) const {
  const auto mode = surroundings_.mode ? surroundings_.mode(file.path) : std::nullopt;
  if (!mode || (surroundings_.mode_is_given && surroundings_.mode_is_given(file.path))) return;
  const bool readable = (*mode & S_IROTH) != 0;
  const bool writable = (*mode & S_IWOTH) != 0;
  if (readable || writable)
    r.warning(place, key,
              fmt::format("all users may {} the file {}; chmod o-rwx keeps its key to you",
                          readable && writable ? "read and write"
                          : readable           ? "read"
                                               : "write",
                          file.shown));
}

std::optional<TlsFault> Context::find_tls_fault(const TlsFiles& files) const {
  return surroundings_.find_tls_fault ? surroundings_.find_tls_fault(files) : std::nullopt;
}

std::string blaming_empty(std::string message, const Expanded& text) {
  for (const std::string& name : text.empty) message += fmt::format(" (the variable {} is empty)", name);
  for (const std::string& name : text.bare)
    message += fmt::format(" (${0} is taken as it stands; a variable is written ${{{0}}})", name);
  return message;
}

void warn_of_empty(Reader& r, std::string_view key, Place place, const Expanded& text) {
  for (const std::string& name : text.empty) r.warning(place, key, fmt::format("the variable {} is empty", name));
}

void read_tls(Reader& r, const Context& context, bool wanted, TlsFiles& out) {
  struct Taken {
    std::string_view key;
    Place place;
    std::string shown;
  };
  std::vector<Taken> taken;
  bool readable = true;
  const auto file = [&](std::string_view key, std::string& into) -> std::optional<Place> {
    const auto found = r.text(key);
    if (!found) return std::nullopt;
    if (!wanted) return found->place;
    auto path = context.path(r, key, *found);
    // A file that is missing would otherwise show as every provider failing at once.
    readable = path && context.contents(r, key, found->place, *path) && readable;
    if (path) {
      if (key == "key_file") context.warn_of_open(r, key, found->place, *path);
      taken.push_back({.key = key, .place = found->place, .shown = std::move(path->shown)});
      into = std::move(path->path);
    }
    return found->place;
  };
  file("ca_file", out.ca_file);
  const auto cert = file("cert_file", out.cert_file);
  const auto key = file("key_file", out.key_file);
  if (cert && !r.has("key_file")) r.error(*cert, "cert_file", "cert_file needs key_file beside it");
  if (key && !r.has("cert_file")) r.error(*key, "key_file", "key_file needs cert_file beside it");
  if (!readable || cert.has_value() != key.has_value()) return;
  if (const auto fault = context.find_tls_fault(out))
    if (const auto at = std::ranges::find(taken, fault->key, &Taken::key); at != taken.end())
      r.error(at->place, at->key, fmt::format("{} {}", at->shown, fault->message));
}

void read_bound(Reader& r, std::string_view low_key, const Given& low_given, milliseconds least, milliseconds& low,
                std::string_view high_key, const Given& high_given, milliseconds& high) {
  if (low <= high) return;
  if (low_given.valid() && high_given.valid())
    r.error(low_given.place, low_key,
            fmt::format("{} is longer than {}; accepted: {} to {}", duration_text(low), high_key, duration_text(least),
                        duration_text(high)));
  else if (low_given.valid())
    high = low;
  else
    low = high;
}

}  // namespace rpcw::config
