// once and scores: what they send, what they report, in three formats.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <regex>

#include "integration/program_stage.hpp"

using namespace rpcw::test;

namespace {

Result once(const std::string& config, std::vector<std::string> more = {}) {
  std::vector<std::string> arguments{"once", "--config", config};
  arguments.insert(arguments.end(), more.begin(), more.end());
  return run(arguments);
}

Result scores(const std::string& config, std::vector<std::string> more = {}) {
  std::vector<std::string> arguments{"scores", "--config", config};
  arguments.insert(arguments.end(), more.begin(), more.end());
  return run(arguments);
}

}  // namespace

TEST_CASE("once shares 256 between healthy servers and HAProxy has them") {
  const Stage stage;
  const Result r = once(stage.config());
  CHECK(r.code == 0);
  CHECK(r.err == "");
  CHECK(stage.weights() == Weights{{"a", 86}, {"b", 85}, {"c", 85}});
  CHECK(r.out.find("HAProxy unix:") != std::string::npos);
  CHECK(r.out.find("3 weights set") != std::string::npos);

  const Result again = once(stage.config());
  CHECK(again.code == 0);
  CHECK(again.out.find("0 weights set") != std::string::npos);
}

TEST_CASE("many providers are asked in one request each, a few of them without batches") {
  const Stage stage(36);
  const auto asked = [&](std::size_t i) { return stage.providers[i]->stats().by_method["eth_chainId"]; };
  const auto requests = [&](std::size_t i) { return stage.providers[i]->stats().requests; };
  const auto faulty = [&](std::size_t i, sim::Behaviour b) {
    b.fault_methods = {"batch"};
    stage.providers[i]->set(b);
  };
  faulty(1, {.fault = sim::Fault::http_status, .http_status = 400});
  faulty(2, {.fault = sim::Fault::reset});
  faulty(3, {.fault = sim::Fault::hang});
  stage.providers[4]->set({.chain_id = 56});
  stage.providers[5]->set({.lag_blocks = 40, .syncing = true});
  // The one that hangs takes all of it, and the others must not on a busy machine: they would be asked again, too.
  const std::string config = stage.config({.probe = "timeout = \"5s\""});
  for (const std::string command : {"scores", "once"}) {
    CAPTURE(command);
    for (sim::Provider* p : stage.providers) p->reset_stats();
    const Result r = run({command, "--config", config, "--format", "json"});
    CHECK(r.code == 0);
    const auto doc = json(r.out);
    for (std::size_t i = 0; i < 36; ++i) {
      CAPTURE(i);
      const auto& server = at(doc, fmt::format("/backends/0/servers/{}", i));
      CHECK(std::string(at(server, "/state").GetString()) == (i == 4 || i == 5 ? "ejected" : "healthy"));
      if (i == 4) CHECK(at(server, "/reasons/0/code").GetString() == std::string("wrong_chain"));
      if (i == 5) CHECK(at(server, "/reasons/1/code").GetString() == std::string("syncing"));
      const bool alone = i >= 1 && i <= 3;
      CHECK(asked(i) == (alone ? 2 : 1));
      // Those whose heads differ are asked for another block, to compare their chains.
      CHECK(requests(i) <= (alone ? 5 : 2));
    }
  }
  CHECK(stage.weights().at("a") == 8);
  CHECK(stage.weights().at("e") == 0);
}

TEST_CASE("inverse-latency gives slow servers less") {
  const Stage stage;
  stage.providers[2]->update([](sim::Behaviour& b) { b.latency_ms = 300; });
  const Result r = once(stage.config({.backend = "strategy = \"inverse-latency\""}), {"--format", "json"});
  CHECK(r.code == 0);
  const Weights w = stage.weights();
  CHECK(sum(w) == 256);
  CHECK(w.at("c") < w.at("a"));
  CHECK(w.at("c") >= 1);
  const auto doc = json(r.out);
  CHECK(at(doc, "/backends/0/strategy").GetString() == std::string("inverse-latency"));
  CHECK(at(doc, "/backends/0/servers/2/latency_ms").GetDouble() >= 300);
  CHECK(at(doc, "/backends/0/servers/2/inputs/latency_used_ms").GetDouble() >= 300);
}

TEST_CASE("a dry run and scores send nothing") {
  const Stage stage;
  const Weights before = stage.weights();
  const Result dry = once(stage.config(), {"--dry-run", "--format", "json"});
  CHECK(dry.code == 0);
  CHECK(at(json(dry.out), "/backends/0/servers/0/weight").GetUint() == 86);
  CHECK(at(json(dry.out), "/backends/0/servers/0/current_weight").GetUint() == 1);
  CHECK(once(stage.config(), {"--dry-run"}).out.find("3 weights would change (nothing was sent)") != std::string::npos);
  CHECK(scores(stage.config()).code == 0);
  CHECK(stage.weights() == before);
}

TEST_CASE("the JSON report is the contract's, field by field") {
  const Stage stage;
  stage.break_provider(1, sim::Fault::refuse);
  stage.providers[2]->update([](sim::Behaviour& b) { b.lag_blocks = 2; });
  const Result r = once(stage.config({.probe = "fall = 1"}), {"--format", "json"});
  CHECK(r.code == 0);
  const auto doc = json(r.out);
  CHECK(names(doc) == "schema time haproxy backends");
  CHECK(at(doc, "/schema").GetInt() == 1);
  CHECK(std::regex_match(at(doc, "/time").GetString(), std::regex(R"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z)")));

  const auto& h = at(doc, "/haproxy/0");
  CHECK(names(h) == "endpoint reachable version pid error");
  CHECK(h["endpoint"].GetString() == "unix:" + stage.haproxy.admin_socket());
  CHECK(h["reachable"].GetBool());
  CHECK(std::string(h["version"].GetString()).find('.') != std::string::npos);
  CHECK(std::to_string(h["pid"].GetInt64()) == std::to_string(stage.haproxy.worker_pid()));
  CHECK(h["error"].IsNull());

  const auto& b = at(doc, "/backends/0");
  CHECK(names(b) == "name chain strategy follows fallback algorithm driven head blind notes servers");
  CHECK(b["name"].GetString() == std::string("rpc"));
  CHECK(b["chain"].GetString() == std::string("simchain"));
  CHECK(b["strategy"].GetString() == std::string("equal"));
  CHECK(b["fallback"].IsNull());
  CHECK(b["algorithm"].GetString() == std::string("roundrobin"));
  CHECK(b["driven"].GetString() == std::string("absolute"));
  CHECK(names(b["head"]) == "number agreed_by");
  CHECK(b["head"]["number"].GetUint64() >= 1000);
  CHECK(b["head"]["agreed_by"].GetUint() == 1);
  CHECK(b["notes"].IsArray());
  REQUIRE(b["servers"].Size() == 3);

  const char* const members =
      "name url state reasons latency_ms block score weight current_weight admin_state backup "
      "quota_requests_per_second probe_interval_ms probe_budget_per_day share inputs";
  const auto& good = b["servers"][0];
  CHECK(names(good) == members);
  CHECK(good["name"].GetString() == std::string("a"));
  CHECK(good["url"].GetString() == fmt::format("http://127.0.0.1:{}/…", stage.providers[0]->port()));
  CHECK(good["state"].GetString() == std::string("healthy"));
  CHECK(good["reasons"].Empty());
  CHECK(good["latency_ms"].GetDouble() > 0);
  CHECK(names(good["block"]) == "number hash age_ms lag lag_ms");
  CHECK(good["block"]["hash"].GetString() == sim::block_hash(1, good["block"]["number"].GetUint64()));
  CHECK(good["block"]["age_ms"].GetUint64() < 60'000);
  CHECK(good["block"]["lag"].GetUint64() == 0);
  CHECK(good["score"].GetDouble() == 1.0);
  CHECK(good["weight"].GetUint() == 128);
  CHECK(good["current_weight"].GetUint() == 1);
  CHECK(good["admin_state"].GetString() == std::string("ready"));
  CHECK_FALSE(good["backup"].GetBool());
  CHECK(
      names(good["inputs"]) ==
      "latency_used_ms unanswered_ms live_latency_ms age_used_ms gamma freshness attempts failures peers_error_rate error_rate doubt peers_factor "
      "rate_limit_factor ramp preference quota_share limited_by");
  for (const char* unused : {"live_latency_ms", "gamma", "freshness", "limited_by"})
    CHECK(good["inputs"][unused].IsNull());
  for (const char* factor : {"doubt", "rate_limit_factor", "ramp", "preference"})
    CHECK(good["inputs"][factor].GetDouble() == 1.0);

  const auto& dead = b["servers"][1];
  CHECK(names(dead) == members);
  CHECK(dead["state"].GetString() == std::string("ejected"));
  REQUIRE(dead["reasons"].Size() == 1);
  CHECK(names(dead["reasons"][0]) == "code detail");
  CHECK(dead["reasons"][0]["code"].GetString() == std::string("connect_failed"));
  CHECK(dead["latency_ms"].IsNull());
  CHECK(dead["block"].IsNull());
  CHECK(dead["weight"].GetUint() == 0);
  CHECK(dead["score"].GetDouble() == 0);

  const auto& behind = b["servers"][2];
  CHECK(behind["state"].GetString() == std::string("healthy"));
  CHECK(behind["block"]["lag"].GetUint64() >= 1);
}

TEST_CASE("what is not known is null in JSON and empty in CSV") {
  const Stage stage(1);
  const std::string config = stage.folder.write("scores.toml", [&] {
    std::string text = stage.toml();
    const std::size_t from = text.find("[haproxy]");
    return text.erase(from, text.find("[probe]") - from);
  }());
  const Result r = scores(config, {"--format", "json"});
  CHECK(r.code == 0);
  const auto doc = json(r.out);
  CHECK(at(doc, "/haproxy").Empty());
  CHECK(at(doc, "/backends/0/algorithm").IsNull());
  CHECK(at(doc, "/backends/0/servers/0/current_weight").IsNull());
  CHECK(at(doc, "/backends/0/servers/0/admin_state").IsNull());
  CHECK(at(doc, "/backends/0/servers/0/backup").IsNull());
  CHECK(at(doc, "/backends/0/servers/0/weight").GetUint() == 256);

  const auto lines = csv(scores(config, {"--format", "csv"}).out);
  REQUIRE(lines.size() == 2);
  REQUIRE(lines[1].size() == lines[0].size());
  CHECK(lines[1][10] == "");
  CHECK(lines[1][11] == "");
}

TEST_CASE("CSV has one line a server under a header") {
  const Stage stage;
  stage.break_provider(1, sim::Fault::rpc_error);
  const Result r = once(stage.config(), {"--format", "csv"});
  CHECK(r.code == 0);
  const auto lines = csv(r.out);
  REQUIRE(lines.size() == 4);
  CHECK(lines[0] == std::vector<std::string>{"backend", "server", "state", "reasons", "latency_ms", "block_number",
                                             "block_age_ms", "lag", "score", "weight", "current_weight", "admin_state",
                                             "url"});
  for (const auto& line : lines) CHECK(line.size() == lines[0].size());
  CHECK(lines[1][1] == "a");
  CHECK(lines[1][2] == "healthy");
  CHECK(lines[1][9] == "128");
  CHECK(lines[2][2] == "ejected");
  CHECK(lines[2][3] == "rpc_error");
  CHECK(lines[2][4] == "");
  CHECK(lines[2][9] == "0");
  CHECK(lines[3][11] == "ready");
}

TEST_CASE("--backend limits a pass to some backends") {
  sim::World world;
  const Folder folder;
  std::string backends;
  std::string text;
  for (const std::string name : {"one", "two", "three"}) {
    auto& provider = world.add(name);
    backends +=
        fmt::format("backend {0}\n  server {0} 127.0.0.1:{1}\n  server spare 127.0.0.1:9\n", name, provider.port());
    text += fmt::format("[[backend]]\nname = \"{}\"\nchain = \"simchain\"\nstrategy = \"equal\"\n{}", name,
                        Stage::server(provider));
  }
  const HaproxyProcess haproxy(haproxy_cfg(backends));
  const std::string config =
      folder.write("config.toml", Stage::tables(fmt::format("\"unix:{}\"", haproxy.admin_socket()), {}) + text);
  const Result r = once(config, {"--backend", "one", "--backend", "three", "--format", "json"});
  CHECK(r.code == 0);
  const auto doc = json(r.out);
  REQUIRE(at(doc, "/backends").Size() == 2);
  CHECK(at(doc, "/backends/1/name").GetString() == std::string("three"));
  CHECK(at(doc, "/backends/0/notes/0/code").GetString() == std::string("unmanaged"));
  CHECK(weights_of(haproxy, "one").at("one") == 256);
  CHECK(weights_of(haproxy, "one").at("spare") == 1);
  CHECK(weights_of(haproxy, "two").at("two") == 1);
  CHECK(weights_of(haproxy, "three").at("three") == 256);
  CHECK(world.find("two")->stats().requests == 0);
}

TEST_CASE("--samples asks as often as it says") {
  const Stage stage(2);
  CHECK(once(stage.config(), {"--samples", "3"}).code == 0);
  for (const sim::Provider* p : stage.providers) {
    CHECK(p->stats().by_method.at("eth_getBlockByNumber") == 3);
    CHECK(p->stats().by_method.at("eth_chainId") == 1);
  }
}

TEST_CASE("a lost connection is tried again, a dead provider as often as fall says") {
  const Stage stage(2);
  stage.break_provider(0, sim::Fault::reset);
  stage.break_provider(1, sim::Fault::reset);
  const Result r = once(stage.config({.probe = "fall = 3\ntimeout = \"5s\""}), {"--format", "json"});
  CHECK(r.code == 1);
  CHECK(at(json(r.out), "/backends/0/servers/1/state").GetString() == std::string("ejected"));
  CHECK(stage.providers[1]->stats().by_method.at("eth_getBlockByNumber") == 3);

  stage.providers[0]->update([](sim::Behaviour& b) {
    // On for the first request, off before the next one, which comes fast_interval later.
    b.fault = sim::Fault::reset;
    b.flap_ms = 2000;
  });
  std::string config = stage.toml({.probe = "fall = 2"});
  config.replace(config.find("fast_interval = \"100ms\""), 23, "fast_interval = \"1200ms\"");
  config.replace(config.find("interval = \"200ms\""), 18, "interval = \"5s\"");
  const Result second = once(stage.folder.write("config.toml", config), {"--format", "json"});
  CHECK(second.code == 0);
  CHECK(at(json(second.out), "/backends/0/servers/0/state").GetString() == std::string("healthy"));
  CHECK(at(json(second.out), "/backends/0/servers/0/weight").GetUint() == 256);
}

TEST_CASE("a pass ends when the answers are in, whatever the time-outs are") {
  const Stage stage;
  const Result r = once(stage.config({.probe = "timeout = \"60s\"", .haproxy_timeout = "60s"}));
  CHECK(r.code == 0);
  CHECK(r.took < 10s);
}

TEST_CASE("a provider that hangs makes no other one's head old") {
  const Stage stage;
  stage.break_provider(0, sim::Fault::hang);
  // Blocks are a second old when they come; the pass waits for two time-outs of two seconds.
  const Result r = once(stage.config({.probe = "fall = 2\ntimeout = \"2s\"", .backend = "max_block_age = \"3s\""}),
                        {"--format", "json"});
  CHECK(r.code == 0);
  const auto report = json(r.out);
  CHECK(std::string(at(report, "/backends/0/servers/0/state").GetString()) == "ejected");
  for (const char* server : {"/backends/0/servers/1/state", "/backends/0/servers/2/state"})
    CHECK(std::string(at(report, server).GetString()) == "healthy");
  CHECK(at(report, "/backends/0/head").IsObject());
}

TEST_CASE("a server on another chain gets nothing") {
  const Stage stage;
  stage.providers[1]->update([](sim::Behaviour& b) { b.chain_id = 5; });
  const Result r = once(stage.config(), {"--format", "json"});
  CHECK(r.code == 0);
  CHECK(at(json(r.out), "/backends/0/servers/1/reasons/0/code").GetString() == std::string("wrong_chain"));
  CHECK(stage.weights() == Weights{{"a", 128}, {"b", 0}, {"c", 128}});
}

TEST_CASE("errors of every kind are told without a secret") {
  const Stage stage;
  for (const auto fault :
       {sim::Fault::http_status, sim::Fault::rpc_error, sim::Fault::html, sim::Fault::redirect, sim::Fault::no_http,
        sim::Fault::truncated, sim::Fault::cut, sim::Fault::reset, sim::Fault::refuse, sim::Fault::wrong_type}) {
    CAPTURE(sim::name(fault));
    stage.break_provider(0, fault);
    for (const char* format : {"table", "json", "csv"}) {
      const Result r = once(stage.config(), {"--format", format});
      CHECK(r.code == 0);
      CHECK(r.out.find("ejected") != std::string::npos);
    }
    CHECK(stage.weights().at("a") == 0);
  }
}
