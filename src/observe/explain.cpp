#include "observe/explain.hpp"

#include <fmt/format.h>
#include <rapidjson/document.h>

#include <optional>
#include <vector>

#include "base/json_parse.hpp"
#include "base/text.hpp"
#include "observe/report_json.hpp"

namespace rpcw::observe {
namespace {

using rapidjson::Value;

std::string shown(double value) {
  return fmt::format("{:.6g}", value);
}

class Explanation {
 public:
  Explanation(const Value& backend, const Value& server)
      : backend_(backend), server_(server), inputs_(server["inputs"]), strategy_(text(backend, "strategy")) {}

  std::string run() {
    state();
    chain();
    score();
    weight();
    return std::move(out_);
  }

 private:
  void line(std::string_view sentence) { out_ += fmt::format("{}\n", sentence); }
  void factor(const char* name, double value, std::string_view why) {
    out_ += fmt::format("  {:<18} {:<12} {}\n", name, shown(value), why);
  }
  [[nodiscard]] double input(const char* name, double otherwise = 1) const {
    return number(inputs_, name).value_or(otherwise);
  }

  /// It is healthy, and other servers have the traffic.
  static bool stands_by(const Value& server) {
    for (const Value& reason : server["reasons"].GetArray())
      if (text(reason, "code") == "standby") return true;
    return false;
  }

  void state() {
    line(fmt::format("{} of {} is {}.", text(server_, "name"), text(backend_, "name"), text(server_, "state")));
    for (const Value& reason : server_["reasons"].GetArray())
      line(fmt::format("  {}: {}", text(reason, "code"), text(reason, "detail")));
    if (text(server_, "admin_state") == "maint" || text(server_, "admin_state") == "drain")
      line(fmt::format("  An operator has put it into {} in HAProxy.", text(server_, "admin_state")));
    out_ += '\n';
  }

  void chain() {
    const Value* head = member(backend_, "head");
    const Value* block = member(server_, "block");
    if (head != nullptr)
      line(fmt::format("The agreed head is {:.0f}; {:g} operator{} on it.", number(*head, "number").value_or(0),
                       number(*head, "agreed_by").value_or(0),
                       number(*head, "agreed_by") == 1.0 ? " agrees" : "s agree"));
    else
      line("No head is agreed on.");
    if (block != nullptr) {
      const auto lag = number(*block, "lag");
      const auto age = number(*block, "age_ms");
      line(fmt::format("Its newest block is {:.0f}{}{}.", number(*block, "number").value_or(0),
                       lag ? fmt::format(", {:g} behind", *lag) : "",
                       age ? fmt::format(", {} old", span_text(milliseconds{static_cast<std::int64_t>(*age)})) : ""));
    } else {
      line("It has not shown a block.");
    }
    if (const auto interval = number(server_, "probe_interval_ms")) {
      const auto budget = number(server_, "probe_budget_per_day");
      line(fmt::format("It is probed each {}{}.", span_text(milliseconds{static_cast<std::int64_t>(*interval)}),
                       budget ? fmt::format("; its budget is {:.0f} requests a day", *budget) : ""));
    }
    out_ += '\n';
  }

  void common_factors() {
    factor("preference", input("preference"), "as configured");
    factor("doubt", input("doubt"), "0.5 after a failure that has not taken it out");
    factor("peers_factor", input("peers_factor"), "0.5 with too few peers");
    factor("rate_limit_factor", input("rate_limit_factor"), "0.25 while it limits our rate");
    factor("ramp", input("ramp"), "rises to 1 after a return");
  }

  void score() {
    const double score = server_["score"].GetDouble();
    const std::string_view state = text(server_, "state");
    if (state == "ejected" || state == "unknown" || (state == "disabled" && score == 0)) {
      line(fmt::format("Its score is 0: a server that is {} gets nothing by the strategy {}.", state, strategy_));
      out_ += '\n';
      return;
    }
    line(fmt::format("The strategy is {}. Its score is the product of", strategy_));
    common_factors();
    std::string formula =
        fmt::format("{} × {} × {} × {} × {}", shown(input("preference")), shown(input("doubt")),
                    shown(input("peers_factor")), shown(input("rate_limit_factor")), shown(input("ramp")));
    if (strategy_ == "inverse-latency") {
      factor("latency_used_ms", input("latency_used_ms", 0),
             "ms; counts as 1 up to 40, and by its leading digit above");
      factor("age_used_ms", input("age_used_ms", 0),
             "ms: the age of its newest block, at least the chain's block time");
      formula += " × (1 ÷ latency + 1 ÷ age)";
    } else if (strategy_ != "equal") {
      factor("freshness", input("freshness"), "1 up to one block time and 2 s behind the agreed head, 0 at max_lag");
      out_ += "divided by\n";
      factor("latency_used_ms", input("latency_used_ms", 0), "ms, smoothed; below 20 ms it counts as 20");
      if (const auto unanswered = number(inputs_, "unanswered_ms"))
        factor("  unanswered_ms", *unanswered, "makes it longer: so long an answer has been missing");
      if (const auto live = number(inputs_, "live_latency_ms"))
        factor("  live_latency_ms", *live, "is half of it: what HAProxy measures on real requests");
      factor("gamma", input("gamma"), "the power of the latency, by HAProxy's algorithm");
      factor("error_rate", input("error_rate", 0),
             fmt::format("{} failures of {} attempts, both fading", shown(input("failures", 0)),
                         shown(input("attempts", 0))));
      formula += fmt::format(" × {} ÷ (max({}, 20)^{} × (1 + 20 × {}))", shown(input("freshness")),
                             shown(input("latency_used_ms", 0)), shown(input("gamma")), shown(input("error_rate", 0)));
    }
    line(fmt::format("score = {} = {}", formula, shown(score)));
    out_ += '\n';
  }

  void weight() {
    const auto is_backup = [](const Value& s) {
      const Value* backup = member(s, "backup");
      return backup != nullptr && backup->IsTrue();
    };
    double scores = 0;
    for (const Value& s : backend_["servers"].GetArray())
      if (!stands_by(s) && is_backup(s) == is_backup(server_)) scores += s["score"].GetDouble();
    const double score = server_["score"].GetDouble();
    const double weight = server_["weight"].GetDouble();
    if (const std::string_view fallback = text(backend_, "fallback"); !fallback.empty())
      line(fmt::format("Too few servers are healthy: the weights follow the fallback \"{}\" and not the scores.",
                       fallback));
    else if (stands_by(server_) && strategy_ != "leader")
      line("It stands by: servers of lower tiers have the traffic, and its score does not count.");
    else if (strategy_ == "leader")
      line(weight > 0 ? "It is the leader and has everything." : "Another server leads and has everything.");
    else if (scores > 0)
      line(fmt::format("All scores add up to {}; its part is {:.1f} %.", shown(scores), 100 * score / scores));
    const std::string_view limit = text(inputs_, "limited_by");
    if (limit == "growth") line("A share grows only so fast: it is still on its way up.");
    if (limit == "max_share") line("Its share is cut to max_share.");
    if (limit == "max_rate")
      line(fmt::format("Its share is cut to its max_rate, {:.1f} % of the traffic.", 100 * input("quota_share", 0)));
    if (limit == "exposure")
      line("Another server is out or has just returned: until that is over no server has much more than half.");
    if (limit == "quota")
      line(fmt::format("Its share is cut to what its quota carries, {:.1f} % of the traffic.",
                       100 * input("quota_share", 0)));
    if (limit == "identity") line("It does not tell its chain id now, so its share must not grow.");
    line("Small changes are not made: a weight can differ a little from its part.");
    line(fmt::format("weight = {:g}{}", weight, [&] {
      const auto share = number(server_, "share");
      if (weight == 0 || !share) return std::string();
      if (*share == 0)
        return std::string(is_backup(server_) ? ", for when no active server is left" : ", of no effect now");
      return fmt::format(", {:.1f} % of the traffic", 100 * *share);
    }()));
    if (const auto current = number(server_, "current_weight"))
      line(fmt::format("HAProxy {} {:g}.", *current == weight ? "has the same:" : "had", *current));
    else
      line("HAProxy was not read, or does not have it.");
  }

  const Value& backend_;
  const Value& server_;
  const Value& inputs_;
  const std::string_view strategy_;
  std::string out_;
};

std::string names_of(const Value& list) {
  std::string out;
  for (const Value& item : list.GetArray()) out += fmt::format("{}{}", out.empty() ? "" : ", ", text(item, "name"));
  return out;
}

bool is_report(const rapidjson::Document& document) {
  if (document.HasParseError() || !document.IsObject()) return false;
  const Value* backends = list(document, "backends");
  if (backends == nullptr) return false;
  for (const Value& b : backends->GetArray()) {
    const Value* servers = list(b, "servers");
    if (servers == nullptr) return false;
    for (const Value& s : servers->GetArray())
      if (!number(s, "score") || !number(s, "weight") || member(s, "inputs") == nullptr ||
          list(s, "reasons") == nullptr)
        return false;
  }
  return true;
}

}  // namespace

std::expected<std::string, std::string> explain(const std::string& report, std::string_view backend,
                                                std::string_view server) {
  rapidjson::Document document;
  if (parse_json(report, document).IsError() || !is_report(document))
    return std::unexpected("the answer is no report of rpc-weighter");
  const Value& backends = document["backends"];
  const Value* b = named(backends, backend);
  if (b == nullptr)
    return std::unexpected(fmt::format("there is no backend {}; there are {}", backend, names_of(backends)));
  const Value* s = named((*b)["servers"], server);
  if (s == nullptr)
    return std::unexpected(fmt::format("{} has no server {}; it has {}", backend, server, names_of((*b)["servers"])));
  return Explanation(*b, *s).run();
}

}  // namespace rpcw::observe
