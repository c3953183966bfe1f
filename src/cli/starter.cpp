#include "cli/starter.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>

#include "base/text.hpp"
#include "config/chain.hpp"
#include "config/reader.hpp"
#include "config/url.hpp"
#include "haproxy/protocol.hpp"
#include "weighter/plan/server_list.hpp"
#include "weighter/strategy/strategy.hpp"

namespace rpcw::cli {
namespace {

constexpr std::string_view kTemplate = "http://{addr}/";
constexpr std::string_view kByName = "https://{server}/";
/// Where comments begin, as in examples/config.toml.
constexpr std::size_t kComments = 33;

/// A TOML basic string. Variables are not meant.
std::string toml_string(std::string_view text) {
  std::string out = "\"";
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (text.substr(i).starts_with("${")) out += '$';
    if (c == '"' || c == '\\')
      out += fmt::format("\\{}", c);
    else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f)
      out += fmt::format("\\u{:04x}", static_cast<unsigned char>(c));
    else
      out += c;
  }
  return out + '"';
}

std::string line(const std::string& setting, std::string_view comment) {
  return fmt::format("{:<{}}# {}\n", setting, std::max(kComments, setting.size() + 1), comment);
}

/// The default strategy, and the others' names; for `balance first` the one that does the same.
std::string strategy_line(const haproxy::BackendRow& row) {
  if (row.algo == "first")
    return line("strategy = \"leader\"", "as `balance first` does, with `balance roundrobin` in haproxy.cfg");
  const std::vector<std::string_view> names = strategy_names();
  return line(fmt::format("#strategy = \"{}\"", names.front()),
              fmt::format("or {}", fmt::join(names.begin() + 1, names.end(), ", ")));
}

/// One backend as all HAProxys have it together.
struct Candidate {
  std::string name;
  const haproxy::BackendRow* first = nullptr;
  ServerLists::Backend list;
  std::vector<const haproxy::ServerRow*> rows{};

  [[nodiscard]] const haproxy::ServerRow* row(std::string_view server) const {
    const auto it =
        std::ranges::find(rows, server, [](const haproxy::ServerRow* s) -> std::string_view { return s->name; });
    return it == rows.end() ? nullptr : *it;
  }
};

std::vector<Candidate> candidates(std::span<const haproxy::Instance> haproxys) {
  std::vector<Candidate> out;
  std::vector<const haproxy::Instance*> lists;
  config::Config all;
  for (const haproxy::Instance& h : haproxys) {
    lists.push_back(&h);
    for (const haproxy::BackendRow& row : h.backends) {
      auto it = std::ranges::find(out, row.name, &Candidate::name);
      if (it == out.end()) {
        it = out.insert(out.end(), {.name = row.name, .first = &row, .list = {}});
        config::Backend& b = all.backends.emplace_back();
        b.name = row.name;
        b.discover = kTemplate;
      }
      for (const haproxy::ServerRow& s : row.servers)
        if (it->row(s.name) == nullptr) it->rows.push_back(&s);
    }
  }
  const ServerLists found = server_lists_of(all, lists);
  for (std::size_t b = 0; b < out.size(); ++b) out[b].list = found.backends[b];
  return out;
}

/// How a server gets into the configuration.
struct Entry {
  const ServerLists::Server* server = nullptr;
  const haproxy::ServerRow* row = nullptr;
  /// Of its own, where the template would not do; empty: the template does.
  std::string url{};
};

bool is_slot(const haproxy::ServerRow& row) {
  return row.addr.empty() || row.status.starts_with("MAINT");
}

/// Whether each server is named as the host that it is, as where TLS is passed through by SNI.
bool named_as_hosts(const Candidate& c) {
  return !c.rows.empty() && std::ranges::all_of(c.rows, [](const haproxy::ServerRow* s) {
    const auto parts = url::parse("https://" + s->name + "/");
    const bool letters = std::ranges::any_of(s->name.substr(s->name.rfind('.') + 1), [](unsigned char ch) {
      return (ch | 0x20U) >= 'a' && (ch | 0x20U) <= 'z';
    });
    return parts && parts->host == s->name && s->name.find('.') != std::string::npos && letters;
  });
}

std::string_view host_of(const haproxy::ServerRow& row) {
  return std::string_view(row.addr).substr(0, row.addr.rfind(':'));
}

/// The same nodes behind another backend: each server has the name and host of one there, and another port.
bool same_nodes(const Candidate& c, const Candidate& there) {
  return !c.rows.empty() && std::ranges::all_of(c.rows, [&](const haproxy::ServerRow* s) {
    const haproxy::ServerRow* other = there.row(s->name);
    return other != nullptr && !s->addr.empty() && host_of(*s) == host_of(*other);
  });
}

/// Another port of 127.0.0.1 is HAProxy's own way to another provider as often as another door of the same node.
bool on_other_loopback_ports(const Candidate& c, const Candidate& there) {
  return std::ranges::any_of(c.rows, [&](const haproxy::ServerRow* s) {
    const haproxy::ServerRow* other = there.row(s->name);
    return other != nullptr && is_loopback(host_of(*s)) && s->addr != other->addr;
  });
}

/// What most servers said; nullptr: none said anything.
const ChainAnswers::Network* network_of(const std::map<std::string, ChainAnswers>& answers,
                                        const std::string& backend) {
  const auto said = answers.find(backend);
  if (said == answers.end() || said->second.networks.empty()) return nullptr;
  return &std::ranges::max_element(said->second.networks, {}, [](const auto& n) { return n.second; })->first;
}

std::string tls_url(const Entry& e) {
  const std::string port = e.server->addr.substr(e.server->addr.rfind(':'));
  const std::string url = "https://" + (e.row->fqdn.empty() ? e.server->addr : e.row->fqdn + port) + "/";
  return url::parse(url) ? url : std::string{};
}

/// Whether it is known what a backend's servers speak.
enum class Spoken : std::uint8_t { kKnown, kNotAsked, kNoAnswer };

/// Why weights are of little use here; empty: they are.
std::string objection(const Candidate& c, std::size_t usable, Spoken spoken) {
  const std::string& algo = c.first->algo;
  if (c.first->mode == "tcp" && spoken != Spoken::kKnown) {
    const std::string more = objection(c, usable, Spoken::kKnown);
    return fmt::format("it is in TCP mode: what its servers speak is not known; {}{}{}",
                       spoken == Spoken::kNotAsked ? "`--probe` asks them" : "`--probe` had no answer from any",
                       more.empty() ? "" : ". And ", more);
  }
  if (algo == "static-rr")
    return "`balance static-rr` takes only 0 % and 100 %; roundrobin does the same and follows weights";
  if (algo == "first")
    return "`balance first` ignores weights; `balance roundrobin` in haproxy.cfg with `strategy = \"leader\"` here sends "
           "all to one server as well, and follows the chain";
  if (algo != "roundrobin" && algo != "leastconn" && algo != "random" && algo != "unknown" && !algo.empty())
    return fmt::format("`balance {}` follows weights only with `hash-type consistent`; roundrobin follows them always",
                       haproxy::presentable(algo));
  std::string agents;
  for (const haproxy::ServerRow* s : c.rows)
    if (!s->agent_status.empty()) agents += fmt::format("{}{}", agents.empty() ? "" : ", ", s->name);
  if (!agents.empty())
    return fmt::format("an agent-check may set the weights too ({}); `drive = \"agent\"` answers it instead", agents);
  const bool slots = std::ranges::any_of(c.rows, [](const haproxy::ServerRow* s) { return is_slot(*s); });
  if (usable == 1 && !slots && !c.first->double_names.empty())
    return fmt::format(
        "besides one server it has several of the name {}, and weights are set by name; give each its own",
        fmt::join(c.first->double_names, ", "));
  if (usable == 1 && !slots)
    return "it has one server only, and so nothing to choose from until it has a second one, be it a `backup`";
  return {};
}

std::string chain_lines(const ChainAnswers* answers, std::string& own_chains) {
  if (answers == nullptr)
    return line("chain = \"ethereum\"", "a guess! One of `rpc-weighter chains`; `discover --probe` asks the servers");
  if (answers->networks.empty())
    return line("chain = \"ethereum\"", "a guess! No server said what it is; one of `rpc-weighter chains`");
  const auto most = std::ranges::max_element(answers->networks, {}, [](const auto& network) { return network.second; });
  const auto& [family, identity] = most->first;
  unsigned others = answers->silent;
  for (const auto& [network, count] : answers->networks)
    if (network != most->first) others += count;
  const std::string who =
      fmt::format("{} {}, as {} server{} said{}", family, identity.empty() ? "without an id" : identity, most->second,
                  most->second == 1 ? "" : "s", others > 0 ? fmt::format("; {} did not", others) : "");
  const auto known = std::ranges::find_if(known_chains(),
                                          [&](const Chain& c) { return c.family == family && c.identity == identity; });
  if (known != known_chains().end()) return line(fmt::format("chain = {}", toml_string(known->name)), who);
  const bool number = !identity.empty() && identity.size() < 19 &&
                      identity.find_first_not_of("0123456789") == std::string::npos && identity.front() != '0';
  std::string name = fmt::format("{}-{}", number ? "chain" : family, number ? identity : "own");
  const std::string table =
      fmt::format("\n[[chain]]\nname = {}\nfamily = {}\n", toml_string(name), toml_string(family)) +
      (identity.empty() ? "" : fmt::format("chain_id = {}\n", number ? identity : toml_string(identity))) +
      line("block_time = \"12s\"", "a guess! The limits of age and lag follow from it");
  if (own_chains.find(table) == std::string::npos) own_chains += table;
  return line(fmt::format("chain = {}", toml_string(name)), who + "; see [[chain]] below");
}

std::string describe_servers(const std::vector<Entry>& entries) {
  constexpr std::size_t kShown = 20;
  std::string out;
  for (std::size_t i = 0; i < std::min(entries.size(), kShown); ++i) {
    const Entry& e = entries[i];
    out += fmt::format("#   {} {}{}{}\n", e.server->name, haproxy::presentable(e.server->addr),
                       e.row->backup ? ", backup" : "", e.row->status.starts_with("MAINT") ? ", in maintenance" : "");
  }
  if (entries.size() > kShown) out += fmt::format("#   and {} more\n", entries.size() - kShown);
  return out;
}

/// The backend that `c` may follow: one of `leaders` that has the same nodes, as far as is known of the same chain;
/// nullptr: none.
const Candidate* leader_of(const Candidate& c, const std::vector<Candidate>& all,
                           const std::vector<std::string>& leaders,
                           const std::map<std::string, ChainAnswers>& answers) {
  for (const Candidate& other : all) {
    if (std::ranges::find(leaders, other.name) == leaders.end() || !same_nodes(c, other)) continue;
    const ChainAnswers::Network* mine = network_of(answers, c.name);
    const ChainAnswers::Network* theirs = network_of(answers, other.name);
    // On one machine there may be nodes of two chains.
    if (mine != nullptr && (theirs == nullptr || *mine != *theirs)) continue;
    if (mine == nullptr && on_other_loopback_ports(c, other)) continue;
    return &other;
  }
  return nullptr;
}

/// The servers of a backend, by what can be made of them.
struct Entries {
  std::vector<Entry> usable;
  /// Those whose address cannot be probed, each a comment.
  std::string odd;
  /// How many have no address.
  std::size_t slots = 0;
};

/// `follows`: its servers are probed for another backend.
Entries entries_of(const Candidate& c, std::string_view url_template, bool follows) {
  Entries out;
  for (const ServerLists::Server& s : c.list.servers) {
    Entry e{.server = &s, .row = c.row(s.name)};
    if (s.addr.empty()) {
      ++out.slots;
      continue;
    }
    const std::string url = fill_template(std::string(url_template), c.name, s);
    if (!config::is_plain_name(s.name) || url.empty() || !url::parse(url)) {
      out.odd += fmt::format("# Server {} ({}) has no address that could be probed{}.\n", haproxy::presentable(s.name),
                             haproxy::presentable(s.addr),
                             config::is_plain_name(s.name) ? "; a [[backend.server]] with a url brings it in" : "");
      continue;
    }
    if (e.row->tls && !follows) e.url = tls_url(e);
    out.usable.push_back(std::move(e));
  }
  return out;
}

/// Comments on what HAProxy has, before the backend's table.
std::string remarks(const Candidate& c, const Entries& entries, const std::string& objection) {
  std::string out = "\n";
  if (!objection.empty()) out += fmt::format("# Asked for, but note: {}.\n", objection);
  out += fmt::format("# HAProxy has now ({}{}):\n", c.first->algo.empty() ? "" : "balance ",
                     haproxy::presentable(c.first->algo)) +
         describe_servers(entries.usable);
  if (entries.slots > 0) out += fmt::format("#   {} without an address\n", counted(entries.slots, "slot"));
  return out + entries.odd;
}

std::string following_table(const Candidate& c, const Candidate& leader, bool asked) {
  return fmt::format("[[backend]]\nname = {}\n", toml_string(c.name)) +
         line(fmt::format("follows = {}", toml_string(leader.name)),
              asked ? "its servers have the same names and hosts there, so they are probed once"
                    : "a guess: its servers have the same names and hosts there, so probe them once") +
         strategy_line(*c.first);
}

/// `chain`: its lines. See chain_lines.
std::string judged_table(const Candidate& c, const Entries& entries, std::string_view url_template,
                         const std::string& chain) {
  std::string out = fmt::format("[[backend]]\nname = {}\n", toml_string(c.name)) + chain +
                    line(fmt::format("discover = {}", toml_string(url_template)),
                         "who is there, HAProxy says; add the path that your nodes want") +
                    strategy_line(*c.first);
  for (const Entry& e : entries.usable)
    if (!e.url.empty())
      out += fmt::format(
          "\n  # HAProxy speaks TLS to it. A certificate is for a name{}; add the path with the key.\n"
          "  [[backend.server]]\n  name = {}\n  url = {}\n",
          e.row->fqdn.empty() ? ", which HAProxy does not show: put it in place of the address" : "",
          toml_string(e.server->name), toml_string(e.url));
  return out;
}

std::string header(std::span<const haproxy::Instance> haproxys, const std::vector<std::string>& left_out) {
  std::string versions;
  for (const haproxy::Instance& h : haproxys)
    if (versions.find(h.version) == std::string::npos)
      versions += fmt::format("{}{}", versions.empty() ? "" : ", ", h.version);
  std::string out = fmt::format(
      "# A configuration to start from, made by `rpc-weighter discover` from HAProxy {}.\n"
      "# Look through it, above all at each backend's `chain`; then `rpc-weighter check --config FILE --online`.\n",
      versions);
  if (!left_out.empty()) out += "#\n# Left out:\n";
  for (const std::string& what : left_out) out += fmt::format("#   {}\n", what);
  return out;
}

std::string haproxy_table(const StarterWishes& wishes) {
  std::string out = fmt::format("\n[haproxy]\nendpoints = [{}]\n", toml_string(wishes.endpoint));
  for (const auto& [key, path] :
       {std::pair("ca_file", &wishes.tls.ca_file), std::pair("cert_file", &wishes.tls.cert_file),
        std::pair("key_file", &wishes.tls.key_file)})
    if (!path->empty()) out += fmt::format("{} = {}\n", key, toml_string(*path));
  return out;
}

}  // namespace

Starter make_starter(const StarterWishes& wishes, std::span<const haproxy::Instance> haproxys,
                     const std::map<std::string, ChainAnswers>& answers) {
  Starter out;
  std::string tables;
  std::string own_chains;
  const std::vector<Candidate> all = candidates(haproxys);
  /// Those of `out.backends` that follow none.
  std::vector<std::string> leaders;
  for (const std::string& name : wishes.backends)
    if (std::ranges::find(all, name, &Candidate::name) == all.end()) out.unknown.push_back(name);

  for (const Candidate& c : all) {
    const bool wished = std::ranges::find(wishes.backends, c.name) != wishes.backends.end();
    if (!wishes.backends.empty() && !wished) continue;
    const auto leave_out = [&](const std::string& why) {
      out.left_out.push_back(fmt::format("backend {}: {}", haproxy::presentable(c.name), why));
    };
    if (!config::is_plain_name(c.name)) {
      leave_out("its name cannot be sent to HAProxy's socket");
      continue;
    }
    // By its own name, TLS that is passed through reaches the right host; the address may be a port of HAProxy's.
    const std::string_view url_template =
        c.first->mode == "tcp" && named_as_hosts(c) ? kByName : std::string_view(kTemplate);
    const Candidate* leader = wishes.for_probing ? nullptr : leader_of(c, all, leaders, answers);
    const Entries entries = entries_of(c, url_template, leader != nullptr);
    if (entries.usable.empty() && entries.slots == 0) {
      leave_out(c.rows.empty() ? "it has no servers" : "none of its servers has an address that could be probed");
      continue;
    }
    const bool known = wishes.for_probing || leader != nullptr || network_of(answers, c.name) != nullptr;
    const Spoken spoken = known ? Spoken::kKnown : answers.contains(c.name) ? Spoken::kNoAnswer : Spoken::kNotAsked;
    const std::string why = entries.usable.empty() && !wished ? "none of its server-template's slots is in use"
                                                              : objection(c, entries.usable.size(), spoken);
    if (!why.empty() && !wished) {
      leave_out(why + "; `--backend` takes it all the same");
      continue;
    }
    out.backends.push_back(c.name);
    tables += remarks(c, entries, why);
    if (leader != nullptr) {
      tables += following_table(c, *leader, !answers.empty());
      continue;
    }
    leaders.push_back(c.name);
    const auto said = answers.find(c.name);
    tables += judged_table(c, entries, url_template,
                           chain_lines(said == answers.end() ? nullptr : &said->second, own_chains));
  }

  out.text = header(haproxys, out.left_out);
  if (!out.backends.empty()) out.text += haproxy_table(wishes) + tables + own_chains;
  return out;
}

}  // namespace rpcw::cli
