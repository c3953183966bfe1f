#include <fmt/chrono.h>
#include <fmt/format.h>
#include <rapidjson/writer.h>

#include <array>
#include <cmath>
#include <functional>
#include <string>
#include <string_view>

#include "base/text.hpp"
#include "observe/render.hpp"

namespace rpcw::observe {
namespace {

/// An output stream of RapidJSON's that hands over what it is given, in parts.
class Parts {
 public:
  using Ch = char;

  explicit Parts(const std::function<void(std::string_view)>& write) : write_(write) { part_.reserve(kPart); }

  // NOLINTNEXTLINE(readability-identifier-naming): RapidJSON's names
  void Put(char c) {
    if (part_.size() == kPart) hand_over();
    part_.push_back(c);
  }
  /// The writer's, at the document's end.
  // NOLINTNEXTLINE(readability-identifier-naming)
  void Flush() {}
  void hand_over() {
    write_(part_);
    part_.clear();
  }

 private:
  static constexpr std::size_t kPart = 64 * 1024;

  const std::function<void(std::string_view)>& write_;
  std::string part_;
};

using Writer = rapidjson::Writer<Parts>;

class Document {
 public:
  explicit Document(const std::function<void(std::string_view)>& write) : parts_(write) {}

  void run(const Report& report) {
    w_.StartObject();
    key("schema").Int(1);
    text("time", rfc3339(report.time));
    if (report.dry_run == DryRun::kAgent) key("dry_run").Bool(true);
    if (report.standby) standby(*report.standby);
    key("haproxy").StartArray();
    for (const EndpointReport& e : report.haproxy) endpoint(e);
    w_.EndArray();
    key("backends").StartArray();
    for (const BackendReport& b : report.backends) backend(b);
    w_.EndArray();
    w_.EndObject();
    parts_.Put('\n');
    parts_.hand_over();
  }

 private:
  Writer& key(std::string_view name) {
    w_.Key(name.data(), static_cast<rapidjson::SizeType>(name.size()));
    return w_;
  }
  void text(std::string_view name, std::string_view value) {
    key(name).String(value.data(), static_cast<rapidjson::SizeType>(value.size()));
  }
  void text_or_null(std::string_view name, std::string_view value) {
    if (value.empty())
      key(name).Null();
    else
      text(name, value);
  }
  void number(std::string_view name, double value) {
    key(name);
    if (!std::isfinite(value)) {
      w_.Null();
      return;
    }
    // The shortest text that reads back as the same number, so that a score can be recomputed exactly.
    std::array<char, 32> shortest;  // NOLINT: written below
    const auto written = fmt::format_to_n(shortest.data(), shortest.size(), "{}", value);
    w_.RawValue(shortest.data(), written.size, rapidjson::kNumberType);
  }
  void number(std::string_view name, const std::optional<double>& value) {
    if (value)
      number(name, *value);
    else
      key(name).Null();
  }
  template <typename Integer>
  void integer(std::string_view name, const std::optional<Integer>& value) {
    if (value)
      key(name).Uint64(*value);
    else
      key(name).Null();
  }

  void standby(const StandbyReport& s) {
    key("standby").StartObject();
    text("lease", s.lease);
    key("acts").Bool(s.acts);
    text("identity", s.identity);
    text_or_null("holder", s.holder);
    text_or_null("error", s.error);
    w_.EndObject();
  }

  void endpoint(const EndpointReport& e) {
    w_.StartObject();
    text("endpoint", e.endpoint);
    key("reachable").Bool(e.reachable);
    text_or_null("version", e.version);
    key("pid");
    if (e.pid > 0)
      w_.Int64(e.pid);
    else
      w_.Null();
    text_or_null("error", fmt::format("{}", fmt::join(e.errors, "; ")));
    w_.EndObject();
  }

  void backend(const BackendReport& b) {
    w_.StartObject();
    text("name", b.name);
    text("chain", b.chain);
    text("strategy", b.strategy);
    text_or_null("follows", b.follows);
    text_or_null("fallback", b.fallback ? config::to_string(*b.fallback) : "");
    text_or_null("algorithm", b.algorithm);
    text("driven", b.agent ? "agent" : b.percent ? "percent" : "absolute");
    key("head");
    if (b.head) {
      w_.StartObject();
      key("number").Uint64(b.head->number);
      key("agreed_by").Uint(b.head->agreed_by);
      w_.EndObject();
    } else {
      w_.Null();
    }
    key("blind").Bool(b.blind);
    key("notes").StartArray();
    for (const BackendNote& n : b.notes) coded(n.code, n.detail);
    w_.EndArray();
    key("servers").StartArray();
    const std::vector<double> shares = shares_of(b);
    for (std::size_t i = 0; i < b.servers.size(); ++i) server(b.servers[i], shares[i]);
    w_.EndArray();
    if (!b.references.empty()) {
      key("references").StartArray();
      for (const ReferenceReport& r : b.references) reference(r);
      w_.EndArray();
    }
    w_.EndObject();
  }

  void coded(std::string_view code, std::string_view detail) {
    w_.StartObject();
    text("code", code);
    text("detail", detail);
    w_.EndObject();
  }

  /// `share`: see shares_of.
  void server(const ServerReport& s, double share) {
    const ServerDecision& d = s.decision;
    w_.StartObject();
    text("name", s.name);
    text("url", s.url);
    text("state", to_string(d.state));
    seen(d, s.lag);
    number("score", d.score);
    key("weight").Uint(d.weight);
    integer("current_weight", s.current_weight);
    text_or_null("admin_state", s.admin_state);
    key("backup");
    if (s.backup)
      w_.Bool(*s.backup);
    else
      w_.Null();
    number("quota_requests_per_second", s.quota_per_s);
    constexpr double kSecondsADay = 86'400;
    const auto interval = static_cast<std::uint64_t>(s.probe_interval.count());
    integer("probe_interval_ms", interval > 0 ? std::optional(interval) : std::nullopt);
    number("probe_budget_per_day",
           s.probe_budget_per_s ? std::optional(std::round(*s.probe_budget_per_s * kSecondsADay)) : std::nullopt);
    number("share", share);
    inputs(d.inputs);
    w_.EndObject();
  }

  void reference(const ReferenceReport& r) {
    w_.StartObject();
    text("name", r.name);
    text("url", r.url);
    seen(r.verdict, r.lag);
    w_.EndObject();
  }

  /// What a server or a reference has shown, a ServerDecision or a ReferenceVerdict.
  void seen(const auto& target, const std::optional<milliseconds>& lag) {
    key("reasons").StartArray();
    for (const ReasonNote& r : target.reasons) coded(to_string(r.code), r.detail);
    w_.EndArray();
    number("latency_ms", milliseconds_of(target.latency));
    key("block");
    if (target.head) {
      const auto count = [](const std::optional<milliseconds>& t) {
        return t ? std::optional(static_cast<std::uint64_t>(t->count())) : std::nullopt;
      };
      w_.StartObject();
      key("number").Uint64(target.head->number);
      text_or_null("hash", target.head->hash);
      integer("age_ms", count(target.head_age));
      integer("lag", target.lag_blocks);
      integer("lag_ms", count(lag));
      w_.EndObject();
    } else {
      w_.Null();
    }
  }

  static std::optional<double> milliseconds_of(const std::optional<std::chrono::microseconds>& t) {
    if (!t) return std::nullopt;
    return static_cast<double>(t->count()) / 1000.0;
  }

  void inputs(const ScoreInputs& i) {
    key("inputs").StartObject();
    number("latency_used_ms", i.latency_used_ms);
    number("unanswered_ms", i.unanswered_ms);
    number("live_latency_ms", i.live_latency_ms);
    number("age_used_ms", i.age_used_ms);
    number("gamma", i.gamma);
    number("freshness", i.freshness);
    number("attempts", i.attempts);
    number("failures", i.failures);
    number("peers_error_rate", i.peers_error_rate);
    number("error_rate", i.error_rate);
    number("doubt", i.failure_penalty);
    number("peers_factor", i.peers_factor);
    number("rate_limit_factor", i.rate_limit_factor);
    number("ramp", i.ramp);
    number("preference", i.preference);
    number("quota_share", i.quota_share);
    text_or_null("limited_by", i.limited_by);
    w_.EndObject();
  }

  Parts parts_;
  Writer w_{parts_};
};

}  // namespace

std::string render_json(const Report& report) {
  std::string out;
  write_json(report, [&out](std::string_view part) { out += part; });
  return out;
}

void write_json(const Report& report, const std::function<void(std::string_view)>& write) {
  Document(write).run(report);
}

}  // namespace rpcw::observe
