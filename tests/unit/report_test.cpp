// What the JSON report says is enough to recompute every score by hand.
#include <doctest/doctest.h>

#include <array>
#include <map>
#include <string>

#include "model/recompute.hpp"
#include "model/world.hpp"
#include "observe/render.hpp"

using namespace rpcw;
using model::Behaviour;

namespace {

/// Every server has another trouble, so that every factor is at work.
Behaviour troubles(std::size_t server, double s) {
  Behaviour b;
  b.latency_ms = std::array{25.0, 12.0, 60.0, 90.0, 140.0, 33.0, 47.0}.at(server);
  b.sigma = 0.2;
  switch (server) {
    case 1:
      b.loss = 0.1;
      break;
    case 2:
      b.blocks_behind = s > 100 && s < 200 ? 2 : 0;
      break;
    case 3:
      b.limited = s > 150 && s < 210;
      break;
    case 4:
      b.loss = s > 60 && s < 100 ? 1 : 0;
      b.loss_reason = Reason::kConnectFailed;
      break;
    case 5:
      b.spike = 20;
      b.spike_ratio = 0.05;
      break;
    default:
      break;
  }
  return b;
}

rapidjson::Document json_of(const model::World& w, const BackendDecision& d) {
  Report report;
  report.time = w.now().wall;
  BackendReport& b = report.backends.emplace_back();
  b.name = w.backend.name;
  b.strategy = w.backend.strategy;
  b.head = d.head;
  for (std::size_t i = 0; i < d.servers.size(); ++i) {
    ServerReport& s = b.servers.emplace_back();
    s.name = w.backend.servers[i].name;
    s.decision = d.servers[i];
  }
  rapidjson::Document out;
  out.Parse<rapidjson::kParseFullPrecisionFlag>(observe::render_json(report).c_str());
  REQUIRE_FALSE(out.HasParseError());
  return out;
}

}  // namespace

TEST_CASE("every score can be recomputed from the JSON alone, whatever the trouble") {
  for (const std::string_view strategy : {"adaptive", "leader", "inverse-latency", "equal"}) {
    for (const char* algorithm : {"roundrobin", "random", "leastconn", ""}) {
      CAPTURE(strategy);
      CAPTURE(std::string(algorithm));
      model::World w(7, strategy, 11, troubles);
      w.backend.max_share = 0.3;
      w.backend.min_peers = 3;
      w.backend.servers[0].preference = 2.5;
      w.backend.servers[6].preference = 0.37;
      w.history->servers[6].node.peers = 1;
      w.view.algorithm = algorithm;
      std::map<std::string, unsigned> seen;
      w.run(400, [&](const BackendDecision& d, double) {
        const rapidjson::Document doc = json_of(w, d);
        model::check_scores(doc);
        for (const rapidjson::Value& s : doc["backends"][0]["servers"].GetArray()) {
          const rapidjson::Value& in = s["inputs"];
          for (const char* factor : {"doubt", "peers_factor", "rate_limit_factor", "ramp", "freshness"})
            if (in[factor].IsNumber() && in[factor].GetDouble() < 1) ++seen[factor];
          if (in["error_rate"].IsNumber() && in["error_rate"].GetDouble() > 0) ++seen["error_rate"];
          if (in["limited_by"].IsString()) ++seen[in["limited_by"].GetString()];
        }
      });
      for (const char* factor : {"doubt", "peers_factor", "rate_limit_factor", "ramp"}) {
        CAPTURE(std::string(factor));
        CHECK(seen[factor] > 0);
      }
      const bool smooth = strategy == "adaptive" || strategy == "leader";
      CHECK((seen["freshness"] > 0) == smooth);
      CHECK((seen["error_rate"] > 0) == smooth);
      CHECK((seen["max_share"] > 0) == (strategy != "leader"));
      CHECK((seen["growth"] > 0) == (strategy != "leader"));
    }
  }
}
