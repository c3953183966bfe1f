#include "cli/chains.hpp"

#include <fmt/format.h>
#include <rapidjson/stringbuffer.h>
#include <rapidjson/writer.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <utility>

#include "base/text.hpp"
#include "cli/print.hpp"
#include "config/nearest.hpp"
#include "config/quantity.hpp"
#include "observe/csv.hpp"
#include "rpc/family/registry.hpp"

namespace rpcw::cli {
namespace {

using rpc::HttpRequest;
using rpc::family::Family;
using Writer = rapidjson::Writer<rapidjson::StringBuffer>;

/// Any height will do to show the request.
constexpr std::uint64_t kSomeHeight = 1'000'000;

struct Line {
  std::string_view check;
  HttpRequest request;
};

std::vector<Line> lines_of(const Family& family) {
  std::vector<Line> out;
  for (const HttpRequest& request : family.head_requests()) out.push_back({"head", request});
  constexpr std::array<std::pair<CheckKind, std::string_view>, 4> kChecks{{{CheckKind::kIdentity, "identity"},
                                                                           {CheckKind::kSyncing, "sync state"},
                                                                           {CheckKind::kPeers, "peers"},
                                                                           {CheckKind::kBlock, "block"}}};
  for (const auto& [kind, name] : kChecks)
    if (family.offers(kind)) out.push_back({name, family.request({kind, kind == CheckKind::kBlock ? kSomeHeight : 0})});
  return out;
}

std::vector<std::string> words_of(const Offers& offers, bool offered) {
  std::vector<std::string> out;
  const auto add = [&](bool has, const char* word) {
    if (has == offered) out.emplace_back(word);
  };
  if (offered) out.emplace_back("height");
  add(offers.time, "time");
  add(offers.hash, "hash");
  add(offers.identity, "identity");
  add(offers.syncing, "sync state");
  add(offers.peers, "peers");
  add(offers.block, "forks");
  return out;
}

std::string shortened(std::string_view identity) {
  constexpr std::size_t kMost = 20;
  return identity.size() <= kMost ? std::string(identity) : fmt::format("{}…", identity.substr(0, kMost - 1));
}

std::string age_of(const Chain& chain) {
  return chain.max_block_age ? config::duration_text(*chain.max_block_age) : "off";
}

template <typename Visit>
void each_family(Visit visit) {
  for (const auto& family : rpc::family::all()) {
    std::vector<const Chain*> chains;
    for (const Chain& chain : known_chains())
      if (chain.family == family->name()) chains.push_back(&chain);
    visit(*family, chains);
  }
}

void write(Writer& w, const char* key, std::string_view value) {
  w.Key(key);
  if (value.empty())
    w.Null();
  else
    w.String(value.data(), static_cast<rapidjson::SizeType>(value.size()));
}

void write(Writer& w, const Chain& chain) {
  w.StartObject();
  write(w, "name", chain.name);
  write(w, "title", chain.title);
  write(w, "family", chain.family);
  write(w, "identity", chain.identity);
  w.Key("block_time_ms");
  w.Int64(chain.block_time.count());
  w.Key("max_block_age_ms");
  if (chain.max_block_age)
    w.Int64(chain.max_block_age->count());
  else
    w.Null();
  w.Key("max_lag_ms");
  w.Int64(chain.max_lag.count());
  w.Key("fork_depth");
  w.Uint(chain.fork_depth);
  write(w, "source", chain.source);
}

std::string json_of(const Chain& chain) {
  rapidjson::StringBuffer buffer;
  Writer w(buffer);
  write(w, chain);
  w.Key("checked");
  w.StartArray();
  for (const std::string& word : words_of(chain.offers, true)) w.String(word);
  w.EndArray();
  w.Key("requests");
  w.StartArray();
  for (const Line& line : lines_of(*rpc::family::of(chain))) {
    w.StartObject();
    write(w, "check", line.check);
    write(w, "curl", curl_line(line.request));
    w.EndObject();
  }
  w.EndArray();
  w.EndObject();
  return std::string(buffer.GetString(), buffer.GetSize()) + "\n";
}

std::string json_list() {
  rapidjson::StringBuffer buffer;
  Writer w(buffer);
  w.StartObject();
  w.Key("schema");
  w.Int(1);
  w.Key("chains");
  w.StartArray();
  for (const Chain& chain : known_chains()) {
    write(w, chain);
    w.EndObject();
  }
  w.EndArray();
  w.EndObject();
  return std::string(buffer.GetString(), buffer.GetSize()) + "\n";
}

std::string csv_row(const Chain& chain) {
  using observe::csv_field;
  return fmt::format("{},{},{},{},{},{},{},{},{}\n", chain.name, csv_field(chain.title), chain.family,
                     csv_field(chain.identity), chain.block_time.count(),
                     chain.max_block_age ? fmt::format("{}", chain.max_block_age->count()) : "", chain.max_lag.count(),
                     chain.fork_depth, csv_field(chain.source));
}

constexpr const char* kCsvHead =
    "name,title,family,identity,block_time_ms,max_block_age_ms,max_lag_ms,fork_depth,source\n";

std::string table_list() {
  std::string out = fmt::format("{:<20} {:<26} {:<20} {:>10} {:>8} {:>8}\n", "CHAIN", "", "IDENTITY", "BLOCK TIME",
                                "TOO OLD", "MAX LAG");
  each_family([&](const Family& family, const std::vector<const Chain*>& chains) {
    out += fmt::format("\n{}: {}\n", family.name(), family.title());
    for (const Chain* c : chains)
      out += fmt::format("{:<20} {:<26} {:<20} {:>10} {:>8} {:>8}\n", c->name, c->title, shortened(c->identity),
                         config::duration_text(c->block_time), age_of(*c), config::duration_text(c->max_lag));
  });
  return out + "\n`rpc-weighter chains NAME` shows one chain whole, with its requests.\n";
}

std::string table_of(const Chain& chain) {
  const auto family = rpc::family::of(chain);
  const auto line = [](std::string_view key, std::string_view value) {
    return fmt::format("  {:<12} {}\n", key, value);
  };
  std::string out = fmt::format("{}: {}\n", chain.name, chain.title);
  out += line("family", fmt::format("{}: {}", family->name(), family->title()));
  out += line("identity", chain.identity.empty() ? "not checked" : std::string_view(chain.identity));
  out += line("block time", config::duration_text(chain.block_time));
  out += line("too old", age_of(chain));
  out += line("max lag", config::duration_text(chain.max_lag));
  out += line("fork depth", fmt::format("{} blocks", chain.fork_depth));
  out += line("checked", fmt::format("{}", fmt::join(words_of(chain.offers, true), ", ")));
  if (const auto missing = words_of(chain.offers, false); !missing.empty())
    out += line("not checked", fmt::format("{}", fmt::join(missing, ", ")));
  out += line("source", chain.source);
  out += "\nThe requests, with your provider's address in URL:\n";
  for (const Line& l : lines_of(*family)) out += fmt::format("\n# {}\n{}\n", l.check, curl_line(l.request));
  return out;
}

}  // namespace

std::string curl_line(const HttpRequest& request) {
  std::string out = "curl -sS";
  if (request.method == HttpRequest::Method::kPost)
    out += fmt::format(" -H 'content-type: application/json' -d {}", shell_quoted(request.body));
  return out + fmt::format(" \"$URL{}\"", request.path);
}

std::string render_chains(Format format) {
  if (format == Format::kJson) return json_list();
  if (format == Format::kTable) return table_list();
  std::string out = kCsvHead;
  for (const Chain& chain : known_chains()) out += csv_row(chain);
  return out;
}

std::string render_chain(const Chain& chain, Format format) {
  if (format == Format::kJson) return json_of(chain);
  return format == Format::kCsv ? kCsvHead + csv_row(chain) : table_of(chain);
}

std::string families_page() {
  const auto mark = [](bool has) { return has ? "yes" : "–"; };
  std::string out =
      "| family | what it is | time | hash | identity | sync state | peers | forks |\n"
      "|---|---|---|---|---|---|---|---|\n";
  for (const auto& family : rpc::family::all()) {
    const Offers o = family->offers();
    out += fmt::format("| `{}` | {} | {} | {} | {} | {} | {} | {} |\n", family->name(), family->title(), mark(o.time),
                       mark(o.hash), mark(o.identity), mark(o.syncing), mark(o.peers), mark(o.block));
  }
  return out;
}

std::string chains_page() {
  std::string out;
  each_family([&](const Family& family, const std::vector<const Chain*>& chains) {
    out += fmt::format("{}### {}: {}\n\n", out.empty() ? "" : "\n", family.name(), family.title());
    for (const Line& l : lines_of(family))
      out += fmt::format("- {}: `{} {}`{}\n", l.check, l.request.method == HttpRequest::Method::kGet ? "GET" : "POST",
                         l.request.path.empty() ? "URL" : l.request.path,
                         l.request.body.empty() ? "" : fmt::format(" `{}`", l.request.body));
    out +=
        "\n| name | | identity | block time | too old | max lag | source |\n"
        "|---|---|---|---|---|---|---|\n";
    for (const Chain* c : chains)
      out +=
          fmt::format("| `{}` | {} | {} | {} | {} | {} | {} |\n", c->name, c->title,
                      c->identity.empty() ? "not checked" : fmt::format("`{}`", c->identity),
                      config::duration_text(c->block_time), age_of(*c), config::duration_text(c->max_lag), c->source);
  });
  return out;
}

int command_chains(const ChainsOptions& options) {
  if (options.name.empty()) {
    print(render_chains(options.format));
    return kDone;
  }
  if (const Chain* chain = find_chain(options.name)) {
    print(render_chain(*chain, options.format));
    return kDone;
  }
  std::vector<std::string_view> names;
  for (const Chain& chain : known_chains()) names.emplace_back(chain.name);
  const auto near = config::nearest(options.name, names);
  std::fprintf(stderr, "rpc-weighter: there is no chain of that name; %s`rpc-weighter chains` lists them\n",
               near.empty() ? "" : (config::did_you_mean(near) + " ").c_str());
  return kUsage;
}

}  // namespace rpcw::cli
