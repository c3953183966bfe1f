#include "config/load.hpp"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <map>
#include <memory>
#include <set>
#include <utility>

#include "config/document.hpp"
#include "config/endpoint.hpp"
#include "config/expand.hpp"
#include "config/nearest.hpp"
#include "config/params.hpp"
#include "config/quantity.hpp"
#include "config/reader.hpp"
#include "config/url.hpp"

namespace rpcw::config {
namespace {

using namespace std::chrono_literals;

constexpr milliseconds kDay = 24h;
constexpr std::string_view kNameCharacters = "accepted: A-Z a-z 0-9 - _ . :";

bool is_token(std::string_view text) {
  constexpr std::string_view kMarks = "!#$%&'*+-.^_`|~";
  return !text.empty() && std::ranges::all_of(text, [&](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           kMarks.find(c) != std::string_view::npos;
  });
}

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return out;
}

std::string quoted_list(const std::vector<std::string>& names) {
  std::string out;
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (i > 0) out += i + 1 == names.size() ? " and " : ", ";
    out += fmt::format("\"{}\"", names[i]);
  }
  return out;
}

/// Where a name was first defined.
using Seen = std::map<std::string, Place, std::less<>>;

class Loader {
 public:
  Loader(const std::string& file, const Surroundings& surroundings)
      : findings_(file), directory_(std::filesystem::path(file).parent_path()), surroundings_(surroundings) {}

  std::expected<Loaded, std::vector<Diagnostic>> load(const Node& document) {
    Loaded out;
    Reader root(document, "", findings_);
    read_root(root, out.config);
    root.finish();
    if (findings_.failed()) return std::unexpected(findings_.take_errors());
    out.warnings = findings_.take_warnings();
    return out;
  }

 private:
  struct OwnChain {
    Chain chain;
    Place place;
    /// Whether all of it was understood; if not, whoever uses it is not blamed again.
    bool valid = false;
  };

  void read_root(Reader& root, Config& out) {
    root.boolean("watch_config", out.watch_config);
    root.table("haproxy", [&](Reader& r) { read_haproxy(r, out.haproxy); });
    root.table("probe", [&](Reader& r) { read_probe(r, out.probe); });
    root.table("http", [&](Reader& r) { read_http(r, out.http); });
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
    root.tables("chain", "name", [&](Reader& r) { read_chain(r); });
    const std::size_t backends = root.tables("backend", "name", [&](Reader& r) { read_backend(r, out); });
    if (backends == 0) root.error({}, "", "there is no [[backend]]; at least one is needed");
  }

  // ---- texts with variables

  /// `key` is only for messages. Notes what is wrong and gives nullopt then.
  std::optional<Expanded> expanded(Reader& r, std::string_view key, const Found<std::string>& from) {
    auto out = expand(from.value, surroundings_.variable);
    if (!out) {
      for (std::string& fault : out.error()) r.error(from.place, key, std::move(fault));
      return std::nullopt;
    }
    return std::move(*out);
  }

  /// Says which variables are empty, as they are behind most texts that make no sense.
  static std::string blaming_empty(std::string message, const Expanded& text) {
    for (const std::string& name : text.empty) message += fmt::format(" (the variable {} is empty)", name);
    return message;
  }

  static void warn_of_empty(Reader& r, std::string_view key, Place place, const Expanded& text) {
    for (const std::string& name : text.empty) r.warning(place, key, fmt::format("the variable {} is empty", name));
  }

  std::string resolved(const std::string& path) const {
    return std::filesystem::path(path).is_absolute() ? path : (directory_ / path).string();
  }

  // ---- tables

  void read_haproxy(Reader& r, Haproxy& out) {
    Seen seen;
    for (const auto& item : r.texts("endpoints")) {
      const auto text = expanded(r, "endpoints", item);
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
    }
    r.duration("timeout", out.timeout, 10ms, 60s);
    r.duration("watch_interval", out.watch_interval, 100ms, 1h);
    read_tls(r, out.tls);
  }

  void read_tls(Reader& r, TlsFiles& out) {
    const auto file = [&](std::string_view key, std::string& path) -> std::optional<Place> {
      const auto found = r.text(key);
      if (!found) return std::nullopt;
      const auto text = expanded(r, key, *found);
      if (!text) return found->place;
      if (text->value.empty()) {
        r.error(found->place, key, blaming_empty("the path is empty", *text));
        return found->place;
      }
      path = resolved(text->value);
      // A file that is missing would otherwise show as every provider failing at once.
      if (auto content = surroundings_.read_file(path); !content)
        r.error(found->place, key, fmt::format("the file cannot be read: {}", content.error()));
      return found->place;
    };
    file("ca_file", out.ca_file);
    const auto cert = file("cert_file", out.cert_file);
    const auto key = file("key_file", out.key_file);
    if (cert && !key) r.error(*cert, "cert_file", "cert_file needs key_file beside it");
    if (key && !cert) r.error(*key, "key_file", "key_file needs cert_file beside it");
  }

  void read_probe(Reader& r, Probe& out) {
    const Given interval = r.duration("interval", out.interval, 100ms, 1h);
    const Given fast = r.duration("fast_interval", out.fast_interval, 50ms, 1h);
    bounded(r, "fast_interval", fast, out.fast_interval, "interval", interval, out.interval);
    r.duration("timeout", out.timeout, 10ms, 60s);
    r.integer("fall", out.fall, 1, 10);
    r.integer("rise", out.rise, 1, 10);
    r.integer("max_in_flight", out.max_in_flight, 1, 65536);
    r.integer("max_lookups", out.max_lookups, 1, 1024);
    r.size("max_response_bytes", out.max_response_bytes, 1U << 10U, 64U << 20U);
    read_tls(r, out.tls);

    if (const auto found = r.text("proxy"))
      if (const auto text = expanded(r, "proxy", *found)) {
        if (!text->value.empty() && text->value != "environment")
          if (const auto parts = url::parse(text->value); !parts)
            r.error(found->place, "proxy",
                    blaming_empty(fmt::format("{}; expected a proxy's URL, \"environment\" or \"\"", parts.error()),
                                  *text));
        if (text->value.empty()) warn_of_empty(r, "proxy", found->place, *text);
        out.proxy = text->value;
      }
  }

  /// `low` may not be above `high`. A default gives way to what was written.
  static void bounded(Reader& r, std::string_view low_key, const Given& low_given, milliseconds& low,
                      std::string_view high_key, const Given& high_given, milliseconds& high) {
    if (low <= high) return;
    if (low_given.valid() && high_given.valid())
      r.error(low_given.place, low_key,
              fmt::format("{} is longer than {} ({}); accepted: up to that", duration_text(low), high_key,
                          duration_text(high)));
    else if (low_given.valid())
      high = low;
    else
      low = high;
  }

  static void read_http(Reader& r, Http& out) {
    const auto found = r.text("listen");
    if (!found) return;
    if (!found->value.empty())
      if (const auto at = parse_host_port(found->value); !at)
        r.error(found->place, "listen", fmt::format("{}: {}; \"\" turns it off", shown(found->value), at.error()));
    out.listen = found->value;
  }

  void read_chain(Reader& r) {
    OwnChain own;
    Chain& chain = own.chain;
    own.place = r.place();
    own.valid = true;
    const auto note = [&](const Given& given) { own.valid = own.valid && given.state != Given::State::kInvalid; };

    const auto name = r.text("name");
    if (!name) {
      if (!r.has("name")) r.error(r.place(), "name", "missing; every [[chain]] needs a name");
      own.valid = false;
    } else {
      const bool good = !name->value.empty() && std::ranges::all_of(name->value, [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
      });
      chain.name = name->value;
      if (!good) {
        r.error(name->place, "name", fmt::format("{} is no chain's name; accepted: a-z 0-9 -", shown(name->value)));
      } else if (find_chain(chain.name) != nullptr) {
        r.error(name->place, "name",
                fmt::format("{} is a chain that is already known; its limits can be set in a backend, or choose "
                            "another name",
                            shown(chain.name)));
      } else if (const auto* twin = own_chain(chain.name)) {
        r.error(name->place, "name",
                fmt::format("the chain {} is already defined on line {}", shown(chain.name), twin->place.line));
      }
      own.valid = own.valid && good;
    }

    if (const auto family = r.text("family")) {
      const auto known = family_from_string(family->value);
      if (known) chain.family = *known;
      if (!known) {
        const auto near = nearest(family->value, family_names());
        r.error(family->place, "family",
                fmt::format("{} is not known; {}accepted: {}", shown(family->value),
                            near.empty() ? "" : did_you_mean(near) + " ", fmt::join(family_names(), ", ")));
        own.valid = false;
      } else if (!family_supported(*known)) {
        r.error(family->place, "family", unsupported(*known));
        own.valid = false;
      }
    } else {
      if (!r.has("family"))
        r.error(r.place(), "family", fmt::format("missing; accepted: {}", fmt::join(supported_families(), ", ")));
      own.valid = false;
    }

    note(r.integer("chain_id", chain.chain_id, 1, std::numeric_limits<std::int64_t>::max()));
    const Given time = r.duration("block_time", chain.block_time, 1ms, 1h);
    note(time);
    if (time.absent()) {
      r.error(r.place(), "block_time", "missing; the nominal time between blocks, such as \"2s\"");
      own.valid = false;
    }
    if (!time.valid()) chain.block_time = 1s;
    chain.max_block_age = default_max_block_age(chain.block_time);
    note(r.duration_or_off("max_block_age", chain.max_block_age, 1s, kDay));
    chain.max_lag = default_max_lag(chain.max_block_age, chain.block_time);
    note(r.duration("max_lag", chain.max_lag, 1s, kDay));
    chain.fork_depth = default_fork_depth(chain.block_time);
    note(r.integer("fork_depth", chain.fork_depth, 1, 1000));

    if (!chain.name.empty() && own_chain(chain.name) == nullptr) own_chains_.push_back(std::move(own));
  }

  [[nodiscard]] const OwnChain* own_chain(std::string_view name) const {
    const auto at =
        std::ranges::find(own_chains_, name, [](const OwnChain& own) { return std::string_view(own.chain.name); });
    return at == own_chains_.end() ? nullptr : &*at;
  }

  static std::vector<std::string_view> supported_families() {
    std::vector<std::string_view> out;
    for (const std::string_view name : family_names())
      if (const auto family = family_from_string(name); family && family_supported(*family)) out.push_back(name);
    return out;
  }

  static std::string unsupported(Family family) {
    return fmt::format("the family {} is not supported yet; supported: {}", to_string(family),
                       fmt::join(supported_families(), ", "));
  }

  /// False: it was refused, or what it refers to was.
  bool choose_chain(Reader& r, Chain& out) {
    const auto found = r.text("chain");
    if (!found) {
      if (!r.has("chain"))
        r.error(r.place(), "chain",
                "missing; a name that `rpc-weighter chains` lists, such as \"ethereum\", or that of a [[chain]]");
      return false;
    }
    if (const OwnChain* own = own_chain(found->value)) {
      out = own->chain;
      return own->valid;
    }
    if (const Chain* known = find_chain(found->value)) {
      out = *known;
      if (family_supported(known->family)) return true;
      std::string message = fmt::format("{}: {}", shown(found->value), unsupported(known->family));
      if (known->chain_id)
        message += fmt::format("; for its EVM endpoints define a [[chain]] with family = \"evm\" and chain_id = {}",
                               *known->chain_id);
      r.error(found->place, "chain", std::move(message));
      return false;
    }
    std::vector<std::string_view> names;
    for (const OwnChain& own : own_chains_)
      if (find_chain(own.chain.name) == nullptr) names.emplace_back(own.chain.name);
    for (const Chain& chain : known_chains()) names.emplace_back(chain.name);
    const auto near = nearest(found->value, names);
    r.error(found->place, "chain",
            fmt::format("{} is not known; {}`rpc-weighter chains` lists the names, and a [[chain]] defines one of your "
                        "own",
                        shown(found->value), near.empty() ? "" : did_you_mean(near) + " "));
    return false;
  }

  /// The name of a backend or server; empty when there is no good one.
  static std::string read_name(Reader& r, std::string_view what, Seen& seen) {
    const auto found = r.text("name");
    if (!found) {
      if (!r.has("name")) r.error(r.place(), "name", fmt::format("missing; the {}'s name in haproxy.cfg", what));
      return {};
    }
    if (!is_plain_name(found->value)) {
      r.error(found->place, "name",
              found->value.empty()
                  ? fmt::format("is empty; expected the {}'s name in haproxy.cfg", what)
                  : fmt::format("{} is no name for HAProxy; {}", shown(found->value), kNameCharacters));
      return {};
    }
    if (const auto [at, fresh] = seen.emplace(found->value, found->place); !fresh) {
      r.error(found->place, "name",
              fmt::format("the {} {} is already defined on line {}", what, shown(found->value), at->second.line));
      return {};
    }
    return found->value;
  }

  void read_backend(Reader& r, Config& config) {
    Backend out;
    out.name = read_name(r, "backend", backends_seen_);
    const bool chain_known = choose_chain(r, out.chain);

    const Given strategy = r.choice<Strategy>("strategy", out.strategy,
                                              {{"adaptive", Strategy::kAdaptive},
                                               {"inverse-latency", Strategy::kInverseLatency},
                                               {"equal", Strategy::kEqual},
                                               {"leader", Strategy::kLeader}});
    if (strategy.valid() && !strategy_supported(out.strategy)) {
      std::vector<std::string_view> built;
      for (const auto one : {Strategy::kAdaptive, Strategy::kInverseLatency, Strategy::kEqual, Strategy::kLeader})
        if (strategy_supported(one)) built.push_back(to_string(one));
      r.error(
          strategy.place, "strategy",
          fmt::format("\"{}\" is not available yet; accepted: {}", to_string(out.strategy), fmt::join(built, ", ")));
    }
    r.choice<Scale>("scale", out.scale, {{"share", Scale::kShare}, {"peak", Scale::kPeak}});
    r.choice<Fallback>("fallback", out.fallback, {{"equal", Fallback::kEqual}, {"keep", Fallback::kKeep}});
    const Given min_healthy = r.integer("min_healthy", out.min_healthy, 1, 4096);
    r.duration("max_latency", out.max_latency, 1ms, 60s);

    std::optional<milliseconds> max_block_age = chain_known ? out.chain.max_block_age : std::nullopt;
    milliseconds max_lag = chain_known ? out.chain.max_lag : 30s;
    r.duration_or_off("max_block_age", max_block_age, 1s, kDay);
    r.duration("max_lag", max_lag, 1s, kDay);
    out.chain.max_block_age = max_block_age;
    out.chain.max_lag = max_lag;
    r.integer("max_block_lag", out.max_block_lag, 1, 1'000'000);
    r.integer("min_peers", out.min_peers, 0, 10'000);
    r.duration("ramp", out.ramp, 0s, 1h);
    const Given eject = r.duration("eject_time", out.eject_time, 0s, kDay);
    const Given max_eject = r.duration("max_eject_time", out.max_eject_time, 0s, kDay);
    bounded(r, "eject_time", eject, out.eject_time, "max_eject_time", max_eject, out.max_eject_time);
    const Given max_share = r.number("max_share", out.max_share, 0.01, 1);
    r.boolean("live", out.live);
    r.boolean("switch_back", out.switch_back);

    const auto discover = r.text("discover");
    if (discover) out.discover = read_discover(r, *discover);
    const std::size_t servers = read_servers(r, out);
    if (discover && servers > 0)
      r.error(discover->place, "discover", "discover and [[backend.server]] exclude each other; keep one");
    if (!discover && !r.has("discover") && servers == 0)
      r.error(r.place(), "",
              "the backend has no servers; add a [[backend.server]] for each, or discover = \"http://{addr}/\" to take "
              "HAProxy's own list");
    if (servers > 0 && !discover) {
      if (min_healthy.valid() && out.min_healthy > servers)
        r.error(min_healthy.place, "min_healthy",
                fmt::format("{} is more than the backend has servers; accepted: 1 to {}", out.min_healthy, servers));
      // One third, written 0.3333, is meant as one third.
      constexpr double kSlack = 1e-3;
      const double total = out.max_share * static_cast<double>(servers);
      if (max_share.valid() && total < 1 - kSlack)
        r.error(max_share.place, "max_share",
                fmt::format("{} servers with {} each carry only {:.3g} of the traffic; accepted: {:.4g} to 1", servers,
                            out.max_share, total, std::ceil(1e4 / static_cast<double>(servers)) / 1e4));
    }
    r.tables("reference", "", [&](Reader& inner) { read_reference(inner, out); });
    r.tables("canary", "", [&](Reader& inner) { read_canary(inner, out); });
    warn_of_shared_operators(r, out);
    config.backends.push_back(std::move(out));
    target_places_.clear();
  }

  std::size_t read_servers(Reader& r, Backend& out) {
    Seen seen;
    return r.tables("server", "name", [&](Reader& inner) {
      Server server;
      server.name = read_name(inner, "server", seen);
      read_target(inner, server.target);
      if (!server.target.operator_given) server.target.operator_name = server.name;
      inner.number("preference", server.preference, 0.01, 100);
      out.servers.push_back(std::move(server));
      target_places_.push_back(inner.place());
    });
  }

  void read_reference(Reader& r, Backend& out) {
    Target target;
    read_target(r, target);
    if (!target.url.empty()) {
      if (!target.operator_given)
        if (const auto parts = url::parse(target.url)) target.operator_name = parts->host;
      const auto same = [&](const Target& other) { return other.url == target.url; };
      const auto server = std::ranges::find_if(out.servers, [&](const Server& s) { return same(s.target); });
      if (server != out.servers.end())
        r.error(r.place(), "", "its URL is that of a server of this backend, which is compared with anyway");
      else if (std::ranges::any_of(out.references, same))
        r.error(r.place(), "", "its URL is that of another reference of this backend");
    }
    out.references.push_back(std::move(target));
  }

  void read_target(Reader& r, Target& out) {
    out.url = read_url(r);
    if (const Node* headers = r.free_table("headers")) read_headers(r, *headers, out.headers);
    if (const auto name = r.text("operator")) {
      const bool printable =
          std::ranges::none_of(name->value, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
      if (name->value.empty() || !printable)
        r.error(name->place, "operator", "is empty or has a control character; expected a name");
      out.operator_name = name->value;
      out.operator_given = true;
    }
  }

  std::string read_url(Reader& r) {
    const auto direct = r.text("url");
    const auto file = r.text("url_file");
    if (r.has("url") && r.has("url_file")) {
      r.error(file ? file->place : r.place(), "url_file", "url and url_file exclude each other; keep one");
      return {};
    }
    if (!r.has("url") && !r.has("url_file")) {
      r.error(r.place(), "url", "missing; expected url, or url_file with the name of a file that holds it");
      return {};
    }
    if (direct) {
      auto text = expanded(r, "url", *direct);
      if (!text) return {};
      if (const auto parts = url::parse(text->value); !parts) {
        r.error(direct->place, "url", blaming_empty(parts.error(), *text));
        return {};
      }
      warn_of_empty(r, "url", direct->place, *text);
      return std::move(text->value);
    }
    if (file) {
      const auto path = expanded(r, "url_file", *file);
      if (!path) return {};
      if (path->value.empty()) {
        r.error(file->place, "url_file", blaming_empty("the path is empty", *path));
        return {};
      }
      auto content = surroundings_.read_file(resolved(path->value));
      if (!content) {
        r.error(file->place, "url_file", fmt::format("the file cannot be read: {}", content.error()));
        return {};
      }
      while (content->ends_with('\n') || content->ends_with('\r')) content->pop_back();
      if (const auto parts = url::parse(*content); !parts) {
        r.error(file->place, "url_file", fmt::format("what the file holds is wrong: {}", parts.error()));
        return {};
      }
      return std::move(*content);
    }
    return {};
  }

  void read_headers(Reader& r, const Node& table, Headers& out) {
    // They decide about the message's framing; a wrong one would break every request.
    constexpr std::array<std::string_view, 3> kOurs{"content-length", "transfer-encoding", "connection"};
    Seen seen;
    for (const Member& member : table.members) {
      // The name is not shown: "Authorization: Bearer KEY" pasted whole would end up here.
      if (!is_token(member.key)) {
        r.error(member.place, "headers", "this is no header's name; accepted: letters, digits and !#$%&'*+-.^_`|~");
        continue;
      }
      const std::string key = fmt::format("headers.{}", member.key);
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
      auto text = expanded(r, key, {.value = member.value.text, .place = member.value.place});
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

  std::string read_discover(Reader& r, const Found<std::string>& from) {
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
    const auto text = expanded(r, "discover", from);
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

  static void read_canary(Reader& r, Backend& out) {
    Canary canary;
    if (const auto method = r.text("method")) {
      canary.method = method->value;
      const bool word = !method->value.empty() && std::ranges::all_of(method->value, [](char c) {
        return static_cast<unsigned char>(c) > 0x20 && static_cast<unsigned char>(c) < 0x7f && c != '"' && c != '\\';
      });
      if (!word)
        r.error(method->place, "method",
                fmt::format("{} is no method's name; expected one such as \"eth_call\"", shown(method->value)));
    } else if (!r.has("method")) {
      r.error(r.place(), "method", "missing; expected a method's name such as \"eth_call\"");
    }
    if (const Node* params = r.any("params")) {
      if (params->kind != Node::Kind::kArray && params->kind != Node::Kind::kTable) {
        r.error(params->place, "params",
                fmt::format("found {}; expected an array or a table", kind_name(params->kind)));
      } else if (auto json = to_json(*params)) {
        canary.params_json = std::move(*json);
      } else {
        r.error(json.error().place, "params", std::move(json.error().message));
      }
    }
    r.duration("interval", canary.interval, 1s, kDay);
    out.canaries.push_back(std::move(canary));
  }

  /// Two keys at one vendor are one voice on the chain's head, and would count as two.
  void warn_of_shared_operators(Reader& r, const Backend& backend) const {
    struct Group {
      std::vector<std::string> names;
      Place place;
    };
    std::map<std::string, Group> groups;
    for (std::size_t i = 0; i < backend.servers.size(); ++i) {
      const Server& server = backend.servers[i];
      if (server.target.operator_given || server.name.empty()) continue;
      const auto parts = url::parse(server.target.url);
      if (!parts) continue;
      std::string domain = url::registrable_domain(parts->host);
      // Addresses and names of a local network have no registrable domain.
      const bool address = parts->host.find(':') != std::string::npos ||
                           std::ranges::all_of(domain, [](char c) { return c == '.' || (c >= '0' && c <= '9'); });
      if (address || domain.find('.') == std::string::npos) continue;
      Group& group = groups[std::move(domain)];
      group.names.push_back(server.name);
      group.place = target_places_.at(i);
    }
    for (const auto& [domain, group] : groups)
      if (group.names.size() > 1)
        r.warning(group.place, "",
                  fmt::format("the servers {} share the domain {} and count as separate voices on the chain's head; if "
                              "one operator runs them, give them the same operator",
                              quoted_list(group.names), domain));
  }

  Findings findings_;
  std::filesystem::path directory_;
  const Surroundings& surroundings_;
  std::vector<OwnChain> own_chains_;
  Seen backends_seen_;
  /// Of the servers of the backend that is being read.
  std::vector<Place> target_places_;
};

struct Close {
  void operator()(std::FILE* file) const { std::fclose(file); }
};

std::expected<std::string, std::string> read_whole(const std::string& path) {
  // Far above any configuration, key or bundle of certificates; it ends the reading of /dev/zero.
  constexpr std::size_t kMost = std::size_t{16} << 20U;
  const std::unique_ptr<std::FILE, Close> file(std::fopen(path.c_str(), "rbe"));
  if (!file) return std::unexpected(std::strerror(errno));
  std::string out;
  std::array<char, 16384> block{};
  while (true) {
    const std::size_t got = std::fread(block.data(), 1, block.size(), file.get());
    out.append(block.data(), got);
    if (out.size() > kMost) return std::unexpected("it is larger than 16 MiB");
    if (got == block.size()) continue;
    if (std::ferror(file.get()) != 0) return std::unexpected(std::strerror(errno));
    return out;
  }
}

}  // namespace

std::string Diagnostic::to_text() const {
  std::string out = file;
  if (line > 0) out += fmt::format(":{}:{}", line, column);
  out += ": ";
  if (!key.empty()) out += key + ": ";
  return out + message;
}

Surroundings Surroundings::of_process() {
  return {.variable = [](const std::string& name) -> std::optional<std::string> {
            const char* value = std::getenv(name.c_str());
            if (value == nullptr) return std::nullopt;
            return value;
          },
          .read_file = read_whole};
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
  return Loader(file, surroundings).load(*document);
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
    const bool readable = (status.st_mode & S_IROTH) != 0;
    const bool writable = (status.st_mode & S_IWOTH) != 0;
    if (readable || writable)
      out->warnings.insert(out->warnings.begin(),
                           about_file(fmt::format("everybody may {} the file; chmod o-rwx keeps its keys to you",
                                                  readable && writable ? "read and write"
                                                  : readable           ? "read"
                                                                       : "write")));
  }
  return out;
}

}  // namespace rpcw::config
