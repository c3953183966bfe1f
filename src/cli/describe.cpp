#include "cli/describe.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>
#include <vector>

#include "base/columns.hpp"
#include "base/text.hpp"
#include "config/quantity.hpp"
#include "config/url.hpp"
#include "weighter/cadence.hpp"
#include "weighter/schedule/pace.hpp"
#include "weighter/strategy/strategy.hpp"

namespace rpcw::cli {
namespace {

constexpr std::size_t kColumns = 80;
constexpr std::size_t kLabelColumns = 12;
constexpr std::uint64_t kMonthDays = 30;

class Page {
 public:
  void heading(std::string_view text) {
    if (!out_.empty()) out_ += '\n';
    out_ += text;
    out_ += '\n';
  }

  /// `  label       part, part, part`, continued below the first part where the line is full.
  void line(std::string_view label, const std::vector<std::string>& parts) {
    std::string row = padded_to(fmt::format("  {}", label), kLabelColumns + 2);
    const std::size_t indent = row.size();
    bool first = true;
    for (std::size_t i = 0; i < parts.size(); ++i) {
      const std::string part = parts[i] + (i + 1 < parts.size() ? "," : "");
      if (!first && columns_of(row) + 1 + columns_of(part) > kColumns) {
        out_ += row + '\n';
        row.assign(indent, ' ');
        first = true;
      }
      if (!first) row += ' ';
      row += part;
      first = false;
    }
    out_ += row + '\n';
  }

  [[nodiscard]] std::string take() { return std::move(out_); }

 private:
  std::string out_;
};

std::string every(milliseconds interval) {
  return fmt::format("every {}", config::duration_text(interval));
}

std::string grouped(std::uint64_t value) {
  std::string out = fmt::format("{}", value);
  for (auto at = static_cast<std::ptrdiff_t>(out.size()) - 3; at > 0; at -= 3)
    out.insert(static_cast<std::size_t>(at), 1, ' ');
  return out;
}

void add_tls(std::vector<std::string>& parts, const config::TlsFiles& tls) {
  // Paths are not shown: they may come from variables.
  if (!tls.ca_file.empty()) parts.emplace_back("a CA of your own");
  if (!tls.cert_file.empty()) parts.emplace_back("a client certificate");
}

void describe_haproxy(Page& page, const config::Config& config) {
  const config::Haproxy& haproxy = config.haproxy;
  page.heading("haproxy");
  std::vector<std::string> endpoints;
  for (const config::Endpoint& endpoint : haproxy.endpoints) endpoints.push_back(endpoint.text);
  if (endpoints.empty())
    endpoints.emplace_back(
        std::ranges::all_of(config.backends, [](const config::Backend& b) { return b.drive == config::Drive::kAgent; })
            ? "none: HAProxy asks by its agent-check"
            : "none: only `scores` and `check` can be used");
  page.line("endpoints", endpoints);
  std::vector<std::string> parts{fmt::format("read {}", every(haproxy.watch_interval)),
                                 fmt::format("time-out {}", config::duration_text(haproxy.timeout))};
  add_tls(parts, haproxy.tls);
  page.line("exchanges", parts);
}

void describe_probe(Page& page, const config::Probe& probe) {
  page.heading("probe");
  std::vector<std::string> interval;
  if (probe.auto_interval)
    interval = {"auto", fmt::format("{} for own nodes", config::duration_text(std::min(probe.interval, kOwnEvery))),
                fmt::format("{} for others", config::duration_text(probe.interval))};
  else
    interval = {every(probe.interval)};
  interval.push_back(fmt::format("{} in doubt", every(probe.fast_interval)));
  interval.push_back(fmt::format("time-out {}", config::duration_text(probe.timeout)));
  page.line("interval", interval);
  if (probe.budget > 0)
    page.line("budget",
              {fmt::format("{} requests a day to each provider{}", grouped(static_cast<std::uint64_t>(probe.budget)),
                           probe.auto_interval ? " but own nodes" : "")});
  page.line("verdict", {fmt::format("out after {} failed", probe.fall), fmt::format("back after {} good", probe.rise)});
  page.line("at most",
            {fmt::format("{} requests at a time", probe.max_in_flight), fmt::format("{} look-ups", probe.max_lookups),
             fmt::format("{} an answer", config::size_text(probe.max_response_bytes))});
  std::vector<std::string> way;
  if (probe.proxy == "environment")
    way.emplace_back("a proxy if the environment names one");
  else if (!probe.proxy.empty())
    way.push_back(fmt::format("through the proxy {}", url::redact(probe.proxy)));
  add_tls(way, probe.tls);
  if (!way.empty()) page.line("connection", way);
}

std::vector<std::string> details(const config::Target& target, std::string_view default_operator) {
  std::vector<std::string> out;
  if (target.operator_name != default_operator) out.push_back(fmt::format("operator {}", target.operator_name));
  if (!target.headers.empty()) {
    std::vector<std::string> names;
    for (const auto& [name, value] : target.headers) names.push_back(url::without_keys(name));
    out.push_back(fmt::format("header{} {}", names.size() > 1 ? "s" : "", fmt::join(names, " ")));
  }
  return out;
}

/// As `url::redact`, which takes the placeholders for a broken host.
std::string redact_template(std::string_view text) {
  const std::size_t colon = text.find("://");
  if (colon == std::string_view::npos) return "…";
  std::string_view authority = text.substr(colon + 3);
  authority = authority.substr(0, std::min(authority.find_first_of("/?#"), authority.size()));
  if (const std::size_t at = authority.rfind('@'); at != std::string_view::npos) authority.remove_prefix(at + 1);
  const std::size_t port = std::min(authority.rfind(':'), authority.size());
  return fmt::format("{}://{}{}/…", text.substr(0, colon), url::shown_host(authority.substr(0, port)),
                     authority.substr(port));
}

void describe_limits(Page& page, const config::Backend& backend) {
  const Chain& chain = backend.chain;
  std::vector<std::string> parts{fmt::format("latency {}", config::duration_text(backend.max_latency)),
                                 chain.max_block_age
                                     ? fmt::format("block age {}", config::duration_text(*chain.max_block_age))
                                     : "block age not limited",
                                 fmt::format("lag {}", config::duration_text(chain.max_lag))};
  if (backend.max_block_lag) parts.push_back("lag " + counted(*backend.max_block_lag, "block"));
  if (backend.min_peers > 0) parts.push_back(fmt::format("at least {} peers", backend.min_peers));
  page.line("limits", parts);
}

/// Its interval and bill: `every 5s, 19 008 requests a day`. Where HAProxy has the address: also those of an own node.
std::vector<std::string> pace_parts(const config::Config& config, const config::Backend& backend,
                                    const config::Target& target, bool reference) {
  const milliseconds interval = config::interval_of(target, config.probe);
  const std::uint64_t a_day = bill_of(backend, reference, interval).sum();
  std::vector<std::string> out{every(interval), fmt::format("{} requests a day", grouped(a_day))};
  if (target.pace.budget > 0)
    out.push_back(fmt::format("{} {}",
                              static_cast<double>(a_day) > target.pace.budget ? "more than the budget of" : "budget",
                              grouped(static_cast<std::uint64_t>(target.pace.budget))));
  if (const milliseconds own = std::min(interval, kOwnEvery);
      target.url.empty() && own < interval && paced_by_address(target, config.probe))
    out.push_back(fmt::format("as an own node {}, {} requests a day", every(own),
                              grouped(bill_of(backend, reference, own).sum())));
  return out;
}

/// Of all targets that the file names; an address that HAProxy has counts as a hosted provider's.
struct Cost {
  std::size_t targets = 0;
  Bill a_day;
};

Cost cost_of(const config::Config& config, const config::Backend& backend) {
  Cost out;
  if (!backend.follows.empty()) return out;
  const auto add = [&](const config::Target& target, bool reference) {
    ++out.targets;
    out.a_day += bill_of(backend, reference, config::interval_of(target, config.probe));
  };
  for (const config::Server& server : backend.servers) add(server.target, false);
  for (const config::Target& reference : backend.references) add(reference, true);
  return out;
}

std::string sum_text(std::uint64_t a_day) {
  return fmt::format("{} requests a day, {} in {} days", grouped(a_day), grouped(a_day * kMonthDays), kMonthDays);
}

void describe_cost(Page& page, const config::Config& config, const config::Backend& backend) {
  const bool discovers = !backend.discover.empty();
  const Cost cost = cost_of(config, backend);
  if (cost.targets > 0) {
    page.line("cost", {sum_text(cost.a_day.sum()) + (discovers ? " for those named here" : "")});
    std::vector<std::string> terms{fmt::format("{} heads", grouped(cost.a_day.heads))};
    if (cost.a_day.identity > 0) terms.push_back(fmt::format("{} chain ids", grouped(cost.a_day.identity)));
    if (cost.a_day.node_state > 0) terms.push_back(fmt::format("{} node states", grouped(cost.a_day.node_state)));
    if (cost.a_day.canaries > 0) terms.push_back(fmt::format("{} canaries", grouped(cost.a_day.canaries)));
    page.line("", terms);
  }
  if (!discovers) return;
  // Which servers there are and where they stand, HAProxy's list will tell.
  config::Target found;
  found.pace = pace_of(found, false, backend, config.probe);
  std::vector<std::string> parts = pace_parts(config, backend, found, false);
  parts.front().insert(0, cost.targets > 0 ? "each other server found: " : "each server found: ");
  page.line(cost.targets > 0 ? "" : "cost", parts);
}

std::vector<std::string> strategy_parts(const config::Backend& backend) {
  const Strategy& strategy = strategy_named(backend.strategy);
  std::vector<std::string> parts{fmt::format("{} ({})", strategy.name, strategy.description)};
  if (strategy.single_leader) {
    parts.emplace_back(backend.switch_back ? "switches back to a clearly better one" : "changes only when it fails");
  } else {
    parts.push_back(fmt::format("scale {}", to_string(backend.scale)));
    if (backend.max_share < 1) parts.push_back(fmt::format("a server gets at most {:g} %", backend.max_share * 100));
  }
  if (!backend.live) parts.emplace_back("without HAProxy's counters");
  return parts;
}

std::vector<std::string> drive_parts(const config::Config& config, const config::Backend& backend) {
  if (backend.drive == config::Drive::kAgent)
    return {fmt::format("answers to HAProxy's agent-check on {}",
                        config.agent_check.listen ? config.agent_check.listen->text : "")};
  return {};
}

/// Its chain, limits and costs are those of the backend that it follows.
void describe_follower(Page& page, const config::Config& config, const config::Backend& backend) {
  page.line("follows", {fmt::format("{}: its servers are judged there", backend.follows), "no probes of its own"});
  page.line("strategy", strategy_parts(backend));
  if (const auto way = drive_parts(config, backend); !way.empty()) page.line("weights", way);
  for (const config::Server& server : backend.servers)
    page.line("server", {server.preference != 1.0 ? fmt::format("{}, preference {:g}", server.name, server.preference)
                                                  : server.name});
}

/// Whether max_rate cuts shares.
bool keeps_rates(const config::Backend& backend) {
  return backend.live && !strategy_named(backend.strategy).single_leader;
}

/// Canaries go beside heads: a server's is no more frequent than its probes.
std::string canary_pace(const config::Config& config, const config::Backend& backend, const config::Canary& canary) {
  milliseconds shortest = milliseconds::max();
  milliseconds longest{0};
  const auto add = [&](milliseconds probes) {
    shortest = std::min(shortest, std::max(probes, canary.interval));
    longest = std::max(longest, std::max(probes, canary.interval));
  };
  const auto add_target = [&](const config::Target& target) {
    const milliseconds interval = config::interval_of(target, config.probe);
    add(interval);
    // Where HAProxy has the address, it may be an own node's.
    if (target.url.empty() && paced_by_address(target, config.probe)) add(std::min(interval, kOwnEvery));
  };
  for (const config::Server& server : backend.servers) add_target(server.target);
  if (!backend.discover.empty()) {
    config::Target found;
    found.pace = pace_of(found, false, backend, config.probe);
    add_target(found);
  }
  if (longest == canary.interval || shortest > longest) return every(canary.interval);
  const std::string pace =
      shortest == longest ? every(longest) : fmt::format("{} to {}", every(shortest), config::duration_text(longest));
  return pace + ", with the probes";
}

void describe_backend(Page& page, const config::Config& config, const config::Backend& backend) {
  page.heading(fmt::format("backend {}", backend.name));
  if (!backend.follows.empty()) return describe_follower(page, config, backend);
  const Chain& chain = backend.chain;
  std::vector<std::string> parts{chain.name, chain.family};
  parts.push_back(chain.identity.empty() ? "chain id not checked" : fmt::format("chain id {}", chain.identity));
  parts.push_back(fmt::format("a block {}", every(chain.block_time)));
  page.line("chain", parts);
  describe_limits(page, backend);

  page.line("strategy", strategy_parts(backend));
  if (const auto way = drive_parts(config, backend); !way.empty()) page.line("weights", way);
  std::vector<std::string> way_back;
  if (backend.eject_time.count() > 0)
    way_back = {fmt::format("after {}", config::duration_text(backend.eject_time)),
                fmt::format("doubled each time up to {}", config::duration_text(backend.max_eject_time))};
  way_back.push_back(backend.ramp.count() == 0
                         ? std::string("at once")
                         : fmt::format("to its share within {}", config::duration_text(backend.ramp)));
  page.line("return", way_back);
  page.line("fallback",
            {fmt::format("{} when {}", to_string(backend.fallback),
                         backend.min_healthy == 1 ? std::string("none is healthy")
                                                  : fmt::format("fewer than {} are healthy", backend.min_healthy))});

  std::size_t widest = 0;
  for (const config::Server& server : backend.servers) widest = std::max(widest, columns_of(server.name));
  for (const config::Server& server : backend.servers) {
    page.line("server", {padded_to(server.name, widest) + "  " +
                         (server.target.url.empty() ? "if HAProxy has it" : config::shown_url(server.target))});
    auto more = details(server.target, server.name);
    if (server.target.url.empty() && !server.target.headers.empty())
      more.emplace_back(backend.headers_to_discovered          ? "sent to any address that HAProxy has"
                        : sends_headers_to_discovered(backend) ? "sent to the host of discover alone"
                                                               : "not sent");
    if (server.preference != 1.0) more.push_back(fmt::format("preference {:g}", server.preference));
    if (server.max_rate > 0)
      more.push_back(keeps_rates(backend)
                         ? fmt::format("at most {} of the traffic", config::rate_text(server.max_rate))
                         : fmt::format("max_rate {} without effect", config::rate_text(server.max_rate)));
    if (server.tier > 0)
      more.push_back(fmt::format("tier {}: serves while fewer than {} of the lower tiers are healthy", server.tier,
                                 backend.min_healthy));
    if (!more.empty()) page.line("", more);
    page.line("", pace_parts(config, backend, server.target, false));
  }
  if (!backend.discover.empty()) page.line("servers", {"HAProxy's own list", redact_template(backend.discover)});
  for (const config::Target& reference : backend.references) {
    page.line("reference", {config::shown_url(reference)});
    const std::string_view known = reference.operator_given ? std::string_view{} : reference.operator_name;
    if (auto more = details(reference, known); !more.empty()) page.line("", more);
    page.line("", pace_parts(config, backend, reference, true));
  }
  for (const config::Canary& canary : backend.canaries)
    page.line("canary", {name_of(canary), canary_pace(config, backend, canary)});
  describe_cost(page, config, backend);
}

}  // namespace

std::string describe(const config::Config& config) {
  constexpr std::array<std::string_view, 5> kLevels{"trace", "debug", "info", "warn", "error"};
  Page page;
  page.heading("rpc-weighter");
  page.line("log",
            {std::string(kLevels.at(static_cast<std::size_t>(config.log.level))), config.log.json ? "JSON" : "text"});
  page.line("re-read", {config.watch_config ? "on SIGHUP and when the file changes" : "on SIGHUP"});
  describe_haproxy(page, config);
  describe_probe(page, config.probe);
  page.heading("http");
  std::vector<std::string> listen;
  for (const config::Listen& at : config.http.listen) listen.push_back(at.text);
  if (listen.empty()) listen.emplace_back("off");
  page.line("listen", listen);
  if (!config.http.hosts.empty()) page.line("hosts", config.http.hosts);
  Cost all;
  std::size_t with_cost = 0;
  bool discovers = false;
  for (const config::Backend& backend : config.backends) {
    describe_backend(page, config, backend);
    const Cost cost = cost_of(config, backend);
    if (cost.targets > 0) ++with_cost;
    all.targets += cost.targets;
    all.a_day += cost.a_day;
    discovers = discovers || !backend.discover.empty();
  }
  if (with_cost > 1) {
    page.heading("all backends");
    page.line("cost", {sum_text(all.a_day.sum()) + (discovers ? " for those named here" : "")});
  }
  return page.take();
}

}  // namespace rpcw::cli
