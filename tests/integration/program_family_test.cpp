// Every chain family, through the program and a real HAProxy.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <chrono>
#include <cstdlib>
#include <string>
#include <vector>

#include "program_stage.hpp"

using namespace rpcw::test;

namespace {

/// A backend of each family with the servers a to d, all in one world.
struct Families {
  Families() {
    for (const std::string_view family : sim::families()) {
      Row& row = rows.emplace_back(Row{std::string(family), {}});
      for (const char* name : {"a", "b", "c", "d"}) {
        row.providers.push_back(&world.add(fmt::format("{}-{}", family, name)));
        set(*row.providers.back(), row.family, {});
      }
    }
  }

  struct Row {
    std::string family;
    std::vector<sim::Provider*> providers;
  };

  static void set(sim::Provider& provider, const std::string& family, sim::Behaviour behaviour) {
    behaviour.family = family;
    provider.set(std::move(behaviour));
  }

  [[nodiscard]] std::string cfg() const {
    std::string out;
    for (const Row& row : rows) {
      out += fmt::format("backend {}\n  balance roundrobin\n", row.family);
      for (std::size_t i = 0; i < row.providers.size(); ++i)
        out += fmt::format("  server {} 127.0.0.1:{}\n", static_cast<char>('a' + i), row.providers[i]->port());
    }
    return haproxy_cfg(out);
  }

  [[nodiscard]] std::string toml(const HaproxyProcess& haproxy) const {
    using std::chrono::seconds;
    std::string out = Stage::tables(fmt::format("\"unix:{}\"", haproxy.admin_socket()), {});
    const auto genesis = std::chrono::duration_cast<seconds>(world_chain().time_of(0).time_since_epoch()).count();
    for (const Row& row : rows) {
      const std::string id = row.family == "evm" ? "1" : fmt::format("\"{}\"", sim::identity(row.family, 1));
      out += fmt::format(
          "[[chain]]\nname = \"sim-{0}\"\nfamily = \"{0}\"\nchain_id = {1}\nblock_time = \"1s\"\n"
          "max_block_age = \"60s\"\nmax_lag = \"30s\"\ngenesis_time = {2}\n"
          "[[backend]]\nname = \"{0}\"\nchain = \"sim-{0}\"\nstrategy = \"equal\"\neject_time = \"0s\"\nramp = \"0s\"\n",
          row.family, id, genesis);
      for (std::size_t i = 0; i < row.providers.size(); ++i)
        out += fmt::format("[[backend.server]]\nname = \"{}\"\nurl = \"{}\"\n", static_cast<char>('a' + i),
                           row.providers[i]->url());
    }
    return out;
  }

  [[nodiscard]] const sim::Chain& world_chain() const { return const_cast<sim::World&>(world).chain(); }

  sim::World world;
  std::vector<Row> rows;
};

bool reach(const HaproxyProcess& haproxy, const Families& all, const Weights& wanted) {
  std::string waits;
  const bool reached = eventually([&] {
    waits.clear();
    for (const Families::Row& row : all.rows)
      if (weights_of(haproxy, row.family) != wanted) waits += row.family + " ";
    return waits.empty();
  });
  if (!reached) MESSAGE("still other weights: ", waits);
  return reached;
}

}  // namespace

TEST_CASE("each family keeps the servers of a backend in step") {
  Families all;
  for (const Families::Row& row : all.rows) Families::set(*row.providers[2], row.family, {.chain_id = 56});
  const HaproxyProcess haproxy(all.cfg());
  const Folder folder;
  Program program({"run", "--config", folder.write("config.toml", all.toml(haproxy))});
  // c is on another network.
  REQUIRE(reach(haproxy, all, {{"a", 86}, {"b", 85}, {"c", 0}, {"d", 85}}));
  for (const Families::Row& row : all.rows) Families::set(*row.providers[1], row.family, {.lag_blocks = 100});
  CHECK(reach(haproxy, all, {{"a", 128}, {"b", 0}, {"c", 0}, {"d", 128}}));
  for (const Families::Row& row : all.rows)
    Families::set(*row.providers[0], row.family, {.fault = sim::Fault::rpc_error});
  CHECK(reach(haproxy, all, {{"a", 0}, {"b", 0}, {"c", 0}, {"d", 256}}));
  for (const Families::Row& row : all.rows)
    for (const std::size_t i : {0U, 1U}) Families::set(*row.providers[i], row.family, {});
  CHECK(reach(haproxy, all, {{"a", 86}, {"b", 85}, {"c", 0}, {"d", 85}}));
  CHECK(program.stop() == 0);
}

TEST_CASE("a family of one's own, from the configuration alone") {
  sim::World world;
  std::vector<sim::Provider*> providers;
  std::string servers;
  std::string cfg = "backend rpc\n";
  for (const char* name : {"a", "b"}) {
    sim::Provider& p = world.add(name);
    providers.push_back(&p);
    Families::set(p, "aptos", {});
    servers += fmt::format("[[backend.server]]\nname = \"{}\"\nurl = \"{}\"\n", name, p.url());
    cfg += fmt::format("  server {} 127.0.0.1:{}\n", name, p.port());
  }
  const HaproxyProcess haproxy(haproxy_cfg(cfg));
  const Folder folder;
  const std::string config =
      folder.write("config.toml", Stage::tables(fmt::format("\"unix:{}\"", haproxy.admin_socket()), {}) + R"(
[[family]]
name = "myapi"
  [family.head]
  path = "/v1"
  height = "/block_height"
  time = "/ledger_timestamp"
  time_encoding = "us"
  error = "/error_code"
  [family.identity]
  path = "/v1"
  id = "/chain_id"
[[chain]]
name = "mychain"
family = "myapi"
chain_id = 1
block_time = "1s"
[[backend]]
name = "rpc"
chain = "mychain"
strategy = "equal"
)" + servers);
  const Result checked = run({"check", "--config", config, "--online"});
  INFO(checked.err);
  CHECK(checked.code == 0);
  CHECK(checked.out.find("/chain_id: 1\n") != std::string::npos);
  CHECK(checked.out.find("/error_code: missing\n") != std::string::npos);
  Families::set(*providers[1], "aptos", {.chain_id = 2});
  CHECK(run({"once", "--config", config}).code == 0);
  CHECK(weights_of(haproxy) == Weights{{"a", 256}, {"b", 0}});
}

TEST_CASE("the example of four chains is understood by the program and by HAProxy") {
  const Result r = run({"check", "--config", RPCW_EXAMPLES "/chains.toml"}, {.environment = {"BITCOIN_AUTH=dTpw"}});
  INFO(r.err);
  CHECK(r.code == 0);
  for (const char* words : {"solana", "noble", "bitcoin", "getblockheader"})
    CHECK(r.out.find(words) != std::string::npos);
  const char* given = std::getenv("HAPROXY");
  Process haproxy(given != nullptr ? given : "/usr/sbin/haproxy",
                  {.arguments = {"-c", "-f", RPCW_EXAMPLES "/chains.cfg"}});
  CHECK(haproxy.wait() == 0);
  INFO(haproxy.err());
}

TEST_CASE("chains: all of them by family, one with its requests") {
  const Result all = run({"chains"});
  CHECK(all.code == 0);
  CHECK(all.out.find("cometbft: ") < all.out.find("noble"));
  CHECK(at(json(run({"chains", "--format", "json"}).out), "/chains/0/name").IsString());
  const auto rows = csv(run({"chains", "--format", "csv"}).out);
  CHECK(rows.size() == 79);
  for (const auto& row : rows) CHECK(row.size() == 9);
  const Result one = run({"chains", "noble"});
  CHECK(one.code == 0);
  CHECK(one.out.find("curl -sS \"$URL/status\"") != std::string::npos);
  const Result none = run({"chains", "nobel"});
  CHECK(none.code == 2);
  CHECK(none.err.find("noble") != std::string::npos);
}
