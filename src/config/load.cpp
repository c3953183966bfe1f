#include "config/load.hpp"

#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <system_error>
#include <utility>

#include "base/read_file.hpp"
#include "base/text.hpp"
#include "config/backends.hpp"
#include "config/chains.hpp"
#include "config/context.hpp"
#include "config/document.hpp"
#include "config/endpoint.hpp"
#include "config/reader.hpp"
#include "config/tls_files.hpp"
#include "config/url.hpp"

namespace rpcw::config {
namespace {

using namespace std::chrono_literals;

void read_haproxy(Reader& r, const Context& context, Haproxy& out) {
  Seen seen;
  std::vector<Place> places;
  for (const auto& item : r.texts("endpoints")) {
    if (!context.network()) break;
    const auto text = context.expanded(r, "endpoints", item);
    if (!text) continue;
    auto endpoint = parse_endpoint(text->value);
    if (!endpoint) {
      r.error(item.place, "endpoints",
              blaming_empty(fmt::format("{}: {}", shown(item.value), endpoint.error()), *text));
      continue;
    }
    const std::string what =
        fmt::format("{}:{}:{}", static_cast<int>(endpoint->kind), endpoint->address, endpoint->port);
    if (const auto [at, fresh] = seen.emplace(what, item.place); !fresh) {
      r.error(item.place, "endpoints", fmt::format("the same endpoint is already given on line {}", at->second.line));
      continue;
    }
    endpoint->text = item.value;
    out.endpoints.push_back(std::move(*endpoint));
    places.push_back(item.place);
  }
  r.duration("timeout", out.timeout, 10ms, 60s);
  r.duration("watch_interval", out.watch_interval, 100ms, 1h);
  read_tls(r, context, context.network(), out.tls);
  if (!out.tls.empty()) return;
  for (std::size_t i = 0; i < out.endpoints.size(); ++i) {
    const Endpoint& e = out.endpoints[i];
    if (e.port != 0 && !is_loopback(e.address))
      r.warning(places[i], "endpoints",
                "is a stats socket over the network without TLS: every machine that reaches this port can read and set "
                "all of HAProxy; see docs/haproxy.md for a stats socket with certificates");
  }
}

void read_probe(Reader& r, const Context& context, Probe& out) {
  std::optional<milliseconds> named = out.interval;
  const Given interval = r.duration_or_word("interval", "auto", named, kLeastInterval, kMostInterval);
  out.auto_interval = interval.absent() || !named;
  if (named) out.interval = *named;
  const Given fast = r.duration("fast_interval", out.fast_interval, 50ms, 1h);
  out.auto_fast_interval = fast.absent();
  if (fast.absent()) out.fast_interval = fast_interval_for(out.interval);
  read_bound(r, "fast_interval", fast, 50ms, out.fast_interval, "interval", interval, out.interval);
  r.budget("budget", out.budget);
  r.duration("timeout", out.timeout, 10ms, 60s);
  r.integer("fall", out.fall, 1, 10);
  r.integer("rise", out.rise, 1, 10);
  r.integer("max_in_flight", out.max_in_flight, 1, 65536);
  r.integer("max_lookups", out.max_lookups, 1, 1024);
  r.size("max_response_bytes", out.max_response_bytes, 1U << 10U, 64U << 20U);
  read_tls(r, context, context.providers(), out.tls);

  if (const auto found = r.text("proxy"); found && context.providers())
    if (const auto text = context.expanded(r, "proxy", *found)) {
      if (!text->value.empty() && text->value != "environment")
        if (const auto parts = url::parse(text->value); !parts)
          r.error(
              found->place, "proxy",
              blaming_empty(fmt::format("{}; expected a proxy's URL, \"environment\" or \"\"", parts.error()), *text));
      if (found->value.find('@') != std::string::npos && found->value.find("${") == std::string::npos) r.note_secret();
      if (text->value.empty()) warn_of_empty(r, "proxy", found->place, *text);
      out.proxy = text->value;
    }
}

bool is_host_name(std::string_view text) {
  constexpr std::size_t kLongest = 253;  // RFC 1035
  return !text.empty() && text.size() <= kLongest && std::ranges::all_of(text, [](unsigned char c) {
    return std::isalnum(c) != 0 || c == '-' || c == '.' || c == '_';
  });
}

void read_http(Reader& r, const Context& context, Http& out, std::vector<Place>& places) {
  const auto listen = r.text_or_texts("listen");
  if (r.has("listen")) out.listen.clear();
  for (const auto& item : listen) {
    if (item.value.empty()) continue;
    auto at = parse_listen(item.value);
    if (!at) {
      r.error(item.place, "listen", fmt::format("{}: {}; \"\" turns it off", shown(item.value), at.error()));
    } else if (std::ranges::find(out.listen, at->text, &Listen::text) != out.listen.end()) {
      r.error(item.place, "listen", fmt::format("{} is already given", shown(item.value)));
    } else {
      if (at->port == 0 && context.network() && context.is_other_than_socket(at->address))
        r.warning(item.place, "listen",
                  fmt::format("{}: a file that is no socket has this name, so that `run` cannot listen there; choose "
                              "another name, or remove the file",
                              shown(item.value)));
      out.listen.push_back(std::move(*at));
      places.push_back(item.place);
    }
  }
  for (const auto& item : r.texts("hosts")) {
    if (!is_host_name(item.value)) {
      r.error(item.place, "hosts",
              fmt::format("{}: expected a host name without a port, such as \"weighter.internal\"", shown(item.value)));
      continue;
    }
    out.hosts.push_back(lower(item.value));
  }
}

/// `place`: where `listen` stands.
void read_agent_check(Reader& r, AgentCheck& out, Place& place) {
  const auto text = r.text("listen");
  if (!text || text->value.empty()) return;
  place = text->place;
  auto at = parse_listen(text->value);
  if (!at)
    r.error(text->place, "listen", fmt::format("{}: {}; \"\" turns it off", shown(text->value), at.error()));
  else if (at->port == 0)
    r.error(text->place, "listen",
            fmt::format("{}: HAProxy's agent-check needs an IP address and a port", shown(text->value)));
  else
    out.listen = std::move(*at);
}

/// Two sockets that listen cannot have one port, unless they have different addresses.
void refuse_same_port(Reader& root, const Config& config, const std::vector<Place>& http_places, Place agent_place) {
  if (!config.agent_check.listen) return;
  const Listen& agent = *config.agent_check.listen;
  const auto all = [](const Listen& at) { return at.address == "0.0.0.0" || at.address == "::"; };
  const auto six = [](const Listen& at) { return at.address.find(':') != std::string::npos; };
  for (std::size_t i = 0; i < config.http.listen.size(); ++i) {
    const Listen& http = config.http.listen[i];
    if (http.port != agent.port) continue;
    if (http.address != agent.address && (six(http) != six(agent) || (!all(http) && !all(agent)))) continue;
    // The default one stands nowhere in the file.
    const bool given = i < http_places.size();
    root.error(
        agent_place, "agent_check.listen",
        fmt::format("{} is the port of http.listen, {}{}; choose another port for one of them", shown(agent.text),
                    shown(http.text), given ? fmt::format(" on line {}", http_places[i].line) : " by default"));
  }
}

/// RFC 1123, as Kubernetes has its names.
bool is_kubernetes_name(std::string_view text) {
  constexpr std::size_t kLongest = 253;
  const auto alphanumeric = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); };
  return !text.empty() && text.size() <= kLongest && alphanumeric(text.front()) && alphanumeric(text.back()) &&
         std::ranges::all_of(text, [&](char c) { return alphanumeric(c) || c == '-' || c == '.'; });
}

void read_standby(Reader& r, const Context& context, Standby& out) {
  constexpr std::string_view kKind = "kubernetes:";
  // A pod's namespace comes by a variable, which an operator at a terminal does not have.
  if (const auto found = r.text("lease"); found && !found->value.empty() && context.providers())
    if (const auto text = context.expanded(r, "lease", *found)) {
      const std::string_view value = text->value;
      const std::string_view place = value.starts_with(kKind) ? value.substr(kKind.size()) : std::string_view{};
      const std::size_t slash = place.find('/');
      if (slash != std::string_view::npos && is_kubernetes_name(place.substr(0, slash)) &&
          is_kubernetes_name(place.substr(slash + 1))) {
        out.name_space = place.substr(0, slash);
        out.name = place.substr(slash + 1);
      } else {
        r.error(found->place, "lease",
                blaming_empty(fmt::format("{}: expected kubernetes:NAMESPACE/NAME, or \"\" for an agent that is alone",
                                          shown(found->value)),
                              *text));
      }
    }
  if (const auto text = r.text("api"); text && !text->value.empty()) {
    const auto parts = url::parse(text->value);
    if (!parts || text->value.find_first_of("@?#") != std::string::npos)
      r.error(text->place, "api", "expected the API server's address, such as https://10.0.0.1:443");
    else
      out.api = text->value;
    while (out.api.ends_with('/')) out.api.pop_back();
  }
  if (const auto text = r.text("account"); text) {
    if (text->value.empty())
      r.error(text->place, "account", "it is empty; expected the folder with token and ca.crt");
    else
      out.account = text->value;
  }
}

void read_root(Reader& root, const Context& context, Config& out) {
  root.boolean("watch_config", out.watch_config);
  root.table("haproxy", [&](Reader& r) { read_haproxy(r, context, out.haproxy); });
  root.table("probe", [&](Reader& r) { read_probe(r, context, out.probe); });
  std::vector<Place> http_places;
  root.table("http", [&](Reader& r) { read_http(r, context, out.http, http_places); });
  Place agent_place;
  root.table("agent_check", [&](Reader& r) { read_agent_check(r, out.agent_check, agent_place); });
  refuse_same_port(root, out, http_places, agent_place);
  root.table("standby", [&](Reader& r) { read_standby(r, context, out.standby); });
  root.table("log", [&](Reader& r) {
    r.choice<LogLevel>("level", out.log.level,
                       {{"trace", LogLevel::kTrace},
                        {"debug", LogLevel::kDebug},
                        {"info", LogLevel::kInfo},
                        {"warn", LogLevel::kWarn},
                        {"error", LogLevel::kError}});
    r.choice<bool>("format", out.log.json, {{"text", false}, {"json", true}});
  });
  // Before the backends, which refer to them.
  Families families;
  root.tables("family", "name", [&](Reader& r) { families.read(r); });
  Chains chains(families);
  root.tables("chain", "name", [&](Reader& r) { chains.read(r); });
  Backends reader(context, chains, out.agent_check.listen.has_value(), out.probe.timeout);
  const std::size_t backends =
      root.tables("backend", "name", [&](Reader& r) { out.backends.push_back(reader.read(r)); });
  reader.join(root, out.backends);
  const auto by_agent = [](const Backend& b) { return b.drive == Drive::kAgent; };
  if (out.agent_check.listen && std::ranges::none_of(out.backends, by_agent))
    root.warning(agent_place, "agent_check.listen",
                 "no backend has drive = \"agent\", so that HAProxy's agent-check is told no weight");
  if (backends == 0) root.error({}, "", "there is no [[backend]]; at least one is needed");
}

/// Where a key belongs, by what the readers of all tables ask for.
std::string place_in_file(std::string_view key) {
  static const std::vector<TableKeys> kTables = [] {
    const Surroundings nothing{.variable = {}, .read_file = {}, .network = false, .providers = false};
    Findings findings{{}};
    findings.begin_learning();
    const Node empty;
    Config ignored;
    Reader root(empty, "", findings);
    read_root(root, Context({}, nothing), ignored);
    root.finish();
    return findings.take_learned();
  }();
  return place_of(key, kTables);
}

std::expected<std::string, std::string> read_whole(const std::string& path) {
  auto text = read_regular_file(path, kMostTextBytes);
  if (!text) return std::unexpected(std::move(text.error()));
  if (!*text) return std::unexpected(std::strerror(ENOENT));
  return std::move(**text);
}

/// See Surroundings::mode_is_given.
bool is_mode_given(const std::string& path) {
  struct statvfs mount {};
  if (::statvfs(path.c_str(), &mount) == 0 && (mount.f_flag & ST_RDONLY) != 0) return true;
  std::error_code ec;
  const std::string real = std::filesystem::canonical(path, ec).string();
  return !ec && real.starts_with("/run/secrets/");
}

}  // namespace

std::string Diagnostic::to_text() const {
  std::string out = file;
  if (line > 0) out += fmt::format(":{}:{}", line, column);
  out += ": ";
  if (!key.empty()) out += key + ": ";
  return out + message;
}

Surroundings Surroundings::of_process(std::vector<std::string_view> strategies) {
  return {.variable = [](const std::string& name) -> std::optional<std::string> {
            const char* value = std::getenv(name.c_str());
            if (value == nullptr) return std::nullopt;
            return value;
          },
          .read_file = read_whole,
          .strategies = std::move(strategies),
          .mode = [](const std::string& path) -> std::optional<unsigned> {
            struct stat status {};
            if (::stat(path.c_str(), &status) != 0) return std::nullopt;
            return status.st_mode;
          },
          .mode_is_given = is_mode_given,
          .find_tls_fault = rpcw::config::find_tls_fault};
}

std::expected<Loaded, std::vector<Diagnostic>> parse(std::string_view text, const std::string& file,
                                                     const Surroundings& surroundings) {
  auto document = parse_document(text);
  if (!document)
    return std::unexpected(std::vector<Diagnostic>{{.file = file,
                                                    .line = document.error().place.line,
                                                    .column = document.error().place.column,
                                                    .key = {},
                                                    .message = std::move(document.error().message)}});
  Findings findings(file, place_in_file);
  Loaded out;
  Reader root(*document, "", findings);
  read_root(root, Context(file, surroundings), out.config);
  root.finish();
  if (findings.failed()) return std::unexpected(findings.take_errors());
  out.warnings = findings.take_warnings();
  out.holds_secret = findings.holds_secret();
  return out;
}

std::expected<Loaded, std::vector<Diagnostic>> load(const std::string& file, const Surroundings& surroundings) {
  auto text = surroundings.read_file(file);
  const auto about_file = [&](std::string message) {
    return Diagnostic{.file = file, .line = 0, .column = 0, .key = {}, .message = std::move(message)};
  };
  if (!text)
    return std::unexpected(
        std::vector<Diagnostic>{about_file(fmt::format("the file cannot be read: {}", text.error()))});
  auto out = parse(*text, file, surroundings);
  if (!out) return out;
  struct stat status {};
  if (::stat(file.c_str(), &status) == 0 && S_ISREG(status.st_mode)) {
    const bool readable = out->holds_secret && (status.st_mode & S_IROTH) != 0;
    const bool writable = (status.st_mode & S_IWOTH) != 0;
    const auto warn = [&](std::string_view may, std::string_view remedy) {
      out->warnings.insert(out->warnings.begin(),
                           about_file(fmt::format("all users may {} the file; {}", may, remedy)));
    };
    if (readable)
      warn(writable ? "read and write" : "read", "chmod o-rwx keeps its keys to you");
    else if (writable)
      warn("write", "chmod o-w keeps what it decides to you");
  }
  return out;
}

}  // namespace rpcw::config
