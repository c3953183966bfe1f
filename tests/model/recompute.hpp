#pragma once

#include <doctest/doctest.h>
#include <rapidjson/document.h>

#include <algorithm>
#include <cmath>
#include <string_view>

/// The formulas of docs/report.md, from the report's JSON alone: written from the page, so nothing of the program's own
/// is used here, neither a function nor a constant.
namespace rpcw::model {

inline double number(const rapidjson::Value& inputs, const char* name) {
  REQUIRE_MESSAGE(inputs[name].IsNumber(), std::string_view(name));
  return inputs[name].GetDouble();
}

inline double leading_digit(double whole) {
  if (whole <= 40) return 1;
  const double magnitude = std::pow(10.0, std::floor(std::log10(whole) + 1e-12));
  return std::floor(whole / magnitude) * magnitude;
}

/// The score that a server of the report should have. Fails the running test where the report contradicts itself.
inline double recomputed_score(const rapidjson::Value& backend, const rapidjson::Value& server) {
  const std::string_view state = server["state"].GetString();
  if (state == "ejected" || state == "unknown") return 0;
  // Taken out in HAProxy, and not eligible besides: there is no product.
  if (state == "disabled" && server["score"].GetDouble() == 0) return 0;
  const rapidjson::Value& in = server["inputs"];
  const double common = number(in, "preference") * number(in, "doubt") * number(in, "peers_factor") *
                        number(in, "rate_limit_factor") * number(in, "ramp");
  const std::string_view strategy = backend["strategy"].GetString();
  if (strategy == "equal") return common;
  const double latency = number(in, "latency_used_ms");
  if (strategy == "inverse-latency") {
    const double age = number(in, "age_used_ms");
    CHECK(age >= server["block"]["age_ms"].GetDouble());
    return common * (1 / leading_digit(std::floor(latency)) + 1 / age);
  }
  REQUIRE((strategy == "adaptive" || strategy == "leader"));
  const double error_rate = number(in, "error_rate");
  CHECK(error_rate ==
        doctest::Approx((number(in, "failures") + 10 * number(in, "peers_error_rate")) / (number(in, "attempts") + 10))
            .epsilon(1e-9));
  return common * number(in, "freshness") /
         (std::pow(std::max(latency, 20.0), number(in, "gamma")) * (1 + 20 * error_rate));
}

/// Checks every server of every backend; to one part in a thousand million.
inline void check_scores(const rapidjson::Value& report) {
  for (const rapidjson::Value& backend : report["backends"].GetArray()) {
    for (const rapidjson::Value& server : backend["servers"].GetArray()) {
      CAPTURE(std::string(server["name"].GetString()));
      const double again = recomputed_score(backend, server);
      CHECK(std::abs(server["score"].GetDouble() - again) <= 1e-9 * again);
    }
  }
}

}  // namespace rpcw::model
