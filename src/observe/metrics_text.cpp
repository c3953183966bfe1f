// Metrics::write: one scrape.

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <map>
#include <set>
#include <span>

#include "base/version.hpp"
#include "observe/metrics.hpp"
#include "observe/process_stats.hpp"

namespace rpcw::observe {
namespace {

/// How a head probe can fail, and what can eject a server. Their series are told as 0 until that happens: Prometheus'
/// increase() counts from a series' first value on, and would miss the first event of one that begins with it.
constexpr std::array kFailures{Reason::kConnectFailed, Reason::kTlsFailed,  Reason::kDnsFailed,
                               Reason::kTimeout,       Reason::kHttpStatus, Reason::kRpcError,
                               Reason::kBadAnswer,     Reason::kTooLarge,   Reason::kRateLimited};
constexpr std::array kEjectionReasons{
    Reason::kConnectFailed, Reason::kTlsFailed,    Reason::kDnsFailed,  Reason::kTimeout,     Reason::kHttpStatus,
    Reason::kRpcError,      Reason::kBadAnswer,    Reason::kTooLarge,   Reason::kRateLimited, Reason::kLatencyTooHigh,
    Reason::kBlockTooOld,   Reason::kBlockLag,     Reason::kBlockAhead, Reason::kWrongChain,  Reason::kForked,
    Reason::kSyncing,       Reason::kCanaryFailed, Reason::kLiveErrors};

constexpr std::array kStates{State::kHealthy, State::kDegraded, State::kEjected, State::kUnknown, State::kDisabled};

void append_escaped(std::string& out, std::string_view value) {
  for (const char c : value) {
    if (c == '\n')
      out += "\\n";
    else if (c == '\\' || c == '"')
      (out += '\\') += c;
    else
      out += c;
  }
}

void append_number(std::string& out, double value) {
  if (std::isnan(value))
    out += "NaN";
  else if (std::isinf(value))
    out += value > 0 ? "+Inf" : "-Inf";
  else
    fmt::format_to(std::back_inserter(out), "{}", value);
}

using Label = std::pair<std::string_view, std::string_view>;

}  // namespace

/// Writes one scrape. Counters may change while the client takes a piece, and series may go; each is looked up when it
/// is written.
class MetricsText {
 public:
  MetricsText(Metrics& metrics, const Report& report, bool open_metrics, BodyWriter& out)
      : m_(metrics), report_(report), open_(open_metrics), out_(out) {}

  boost::asio::awaitable<void> run() {
    program();
    backend_gauges();
    endpoints();
    if (!co_await out_.next()) co_return;
    for (const Gauge& gauge : kGauges) {
      begin(gauge.name, "gauge", gauge.help);
      for (const BackendReport& b : report_.backends)
        for (const ServerReport& s : b.servers) {
          if (const std::optional<double> value = gauge.value(s))
            sample(gauge.name, {{"backend", b.name}, {"server", s.name}}, *value);
          if (!co_await out_.next()) co_return;
        }
    }
    begin("rpc_weighter_server_share_ratio", "gauge", "The server's part of the backend's weights, 0 to 1.");
    for (const BackendReport& b : report_.backends) {
      const std::vector<double> shares = shares_of(b);
      for (std::size_t i = 0; i < shares.size(); ++i)
        sample("rpc_weighter_server_share_ratio", {{"backend", b.name}, {"server", b.servers[i].name}}, shares[i]);
      if (!co_await out_.next()) co_return;
    }
    begin("rpc_weighter_server_state", "gauge", "1 for the state that the server is in, 0 for the others.");
    for (const BackendReport& b : report_.backends)
      for (const ServerReport& s : b.servers) {
        for (const State state : kStates)
          sample("rpc_weighter_server_state", {{"backend", b.name}, {"server", s.name}, {"state", to_string(state)}},
                 s.decision.state == state ? 1 : 0);
        if (!co_await out_.next()) co_return;
      }
    begin("rpc_weighter_server_reason", "gauge", "1 for each reason that holds now.");
    for (const BackendReport& b : report_.backends)
      for (const ServerReport& s : b.servers) {
        std::set<Reason> seen;
        for (const ReasonNote& r : s.decision.reasons)
          if (seen.insert(r.code).second)
            sample("rpc_weighter_server_reason",
                   {{"backend", b.name}, {"server", s.name}, {"reason", to_string(r.code)}}, 1);
        if (!co_await out_.next()) co_return;
      }
    // Static: an initialiser list would not outlast the first co_await.
    static constexpr std::array kFamilies{&MetricsText::probes, &MetricsText::requests, &MetricsText::ejections,
                                          &MetricsText::weight_changes, &MetricsText::probe_seconds};
    for (const auto family : kFamilies) {
      family_begun_ = false;
      for (const BackendReport& b : report_.backends)
        for (const ServerReport& s : b.servers) {
          const auto at = m_.server_counters_.find({b.name, s.name});
          static const Metrics::ServerCounters kNone;
          (this->*family)(b.name, s.name, at == m_.server_counters_.end() ? kNone : at->second);
          if (!co_await out_.next()) co_return;
        }
    }
    if (open_) out_.text += "# EOF\n";
  }

 private:
  struct Gauge {
    std::string_view name;
    std::string_view help;
    std::optional<double> (*value)(const ServerReport&);
  };
  static std::optional<double> seconds(const std::optional<double>& ms) {
    return ms ? std::optional(*ms / 1000.0) : std::nullopt;
  }
  template <typename Integer>
  static std::optional<double> number(const std::optional<Integer>& value) {
    return value ? std::optional(static_cast<double>(*value)) : std::nullopt;
  }
  static std::optional<double> seconds(const std::optional<milliseconds>& t) {
    return t ? std::optional(static_cast<double>(t->count()) / 1000.0) : std::nullopt;
  }
  static constexpr std::array kGauges{
      Gauge{"rpc_weighter_server_weight", "The applied weight, 0 to 256.",
            [](const ServerReport& s) { return std::optional<double>(s.decision.weight); }},
      Gauge{"rpc_weighter_server_score", "What the strategy gives the server; 0: no traffic.",
            [](const ServerReport& s) { return std::optional<double>(s.decision.score); }},
      Gauge{"rpc_weighter_server_latency_seconds", "The latency that the score uses.",
            [](const ServerReport& s) { return seconds(s.decision.inputs.latency_used_ms); }},
      Gauge{"rpc_weighter_server_live_latency_seconds", "HAProxy's average; absent without traffic.",
            [](const ServerReport& s) { return seconds(s.decision.inputs.live_latency_ms); }},
      Gauge{"rpc_weighter_server_block", "Number of the server's newest block.",
            [](const ServerReport& s) {
              return s.decision.head ? std::optional(static_cast<double>(s.decision.head->number)) : std::nullopt;
            }},
      Gauge{"rpc_weighter_server_block_age_seconds", "Age of the server's newest block.",
            [](const ServerReport& s) { return seconds(s.decision.head_age); }},
      Gauge{"rpc_weighter_server_lag_blocks", "Blocks behind the agreed head.",
            [](const ServerReport& s) { return number(s.decision.lag_blocks); }},
      Gauge{"rpc_weighter_server_lag_seconds", "Time behind the agreed head.",
            [](const ServerReport& s) { return seconds(s.lag); }},
      Gauge{"rpc_weighter_server_error_ratio", "The rate of errors that the score uses, 0 to 1.",
            [](const ServerReport& s) { return s.decision.inputs.error_rate; }},
      Gauge{"rpc_weighter_server_quota_requests_per_second", "What the server's quota carries; absent: none is known.",
            [](const ServerReport& s) { return s.quota_per_s; }},
      Gauge{"rpc_weighter_server_probe_interval_seconds", "Between two probes of the server, all being well.",
            [](const ServerReport& s) {
              return s.probe_interval.count() > 0 ? seconds(std::optional(s.probe_interval)) : std::nullopt;
            }},
      Gauge{"rpc_weighter_server_probe_budget_requests_per_second",
            "Requests that the server's probes may cost; absent: no budget.",
            [](const ServerReport& s) { return s.probe_budget_per_s; }},
  };

  /// `name` with _total for a counter.
  void begin(std::string_view name, std::string_view type, std::string_view help) {
    std::string_view family = name;
    if (open_ && type == "counter") family.remove_suffix(std::string_view("_total").size());
    fmt::format_to(std::back_inserter(out_.text), "# HELP {} {}\n# TYPE {} {}\n", family, help, family, type);
  }
  void begin_once(std::string_view name, std::string_view type, std::string_view help) {
    if (!std::exchange(family_begun_, true)) begin(name, type, help);
  }
  /// A label without a key is left out.
  void sample(std::string_view name, std::initializer_list<Label> labels, double value) {
    std::string& out = out_.text;
    out += name;
    char separator = '{';
    for (const auto& [key, text] : labels) {
      if (key.empty()) continue;
      out += separator;
      separator = ',';
      out += key;
      out += "=\"";
      append_escaped(out, text);
      out += '"';
    }
    if (separator == ',') out += '}';
    out += ' ';
    append_number(out, value);
    out += '\n';
  }
  void counter(std::string_view name, std::initializer_list<Label> labels, std::uint64_t value) {
    sample(name, labels, static_cast<double>(value));
  }
  /// Of one server, by a further label; `told`: its values that are 0 where they have not been counted. There are many
  /// of these, so what they have in common is made once.
  void counters(std::string_view name, std::string_view b, std::string_view s, std::string_view label,
                std::span<const Reason> told, const std::map<std::string_view, std::uint64_t>& counts) {
    std::string begin(name);
    begin += "{backend=\"";
    append_escaped(begin, b);
    begin += "\",server=\"";
    append_escaped(begin, s);
    fmt::format_to(std::back_inserter(begin), "\",{}=\"", label);
    const auto one = [&](std::string_view value, std::uint64_t count) {
      out_.text += begin;
      append_escaped(out_.text, value);
      out_.text += "\"} ";
      out_.text += fmt::format_int(count).c_str();
      out_.text += '\n';
    };
    for (const auto& [value, count] : counts) one(value, count);
    for (const Reason reason : told)
      if (const std::string_view value = to_string(reason); !counts.contains(value)) one(value, 0);
  }
  void single(std::string_view name, std::string_view type, std::string_view help, double value) {
    begin(name, type, help);
    sample(name, {}, value);
  }
  void histogram(const std::string& name, Label a, Label b, const Histogram& h) {
    const std::string bucket = name + "_bucket";
    std::uint64_t total = 0;
    for (std::size_t i = 0; i < h.counts().size(); ++i) {
      total += h.counts()[i];
      std::string le = "+Inf";
      // OpenMetrics wants a floating-point number: 1.0, not 1.
      if (i < h.bounds().size()) {
        le = fmt::format("{}", h.bounds()[i]);
        if (le.find('.') == std::string::npos) le += ".0";
      }
      sample(bucket, {a, b, {"le", le}}, static_cast<double>(total));
    }
    sample(name + "_sum", {a, b}, h.sum());
    sample(name + "_count", {a, b}, static_cast<double>(total));
  }

  void program() {
    begin("rpc_weighter_build_info", "gauge", "The program that runs.");
    sample("rpc_weighter_build_info", {{"version", version()}, {"revision", revision()}}, 1);
    single("rpc_weighter_config_last_reload_successful", "gauge",
           "1, or 0 while the configuration read last was refused.", m_.reload_ok_ ? 1 : 0);
    single("rpc_weighter_config_last_reload_success_timestamp_seconds", "gauge",
           "When the configuration was read successfully the last time.",
           static_cast<double>(m_.reloaded_at_.time_since_epoch().count()) / 1000.0);
    single("rpc_weighter_acting", "gauge", "1 while this agent sets weights, 0 while it stands by for another one.",
           report_.standby && !report_.standby->acts ? 0 : 1);
    begin("rpc_weighter_config_reloads_total", "counter", "Readings of the configuration after the start.");
    counter("rpc_weighter_config_reloads_total", {{"result", "success"}}, m_.reloads_ok_);
    counter("rpc_weighter_config_reloads_total", {{"result", "failure"}}, m_.reloads_failed_);
    begin("rpc_weighter_decision_duration_seconds", "histogram", "One decision over all backends.");
    histogram("rpc_weighter_decision_duration_seconds", {}, {}, m_.decision_seconds_);
    begin("rpc_weighter_loop_lag_seconds", "histogram", "How late a timer of the event loop fired.");
    histogram("rpc_weighter_loop_lag_seconds", {}, {}, m_.loop_lag_seconds_);
    const ProcessStats p = process_stats();
    single("process_cpu_seconds_total", "counter", "Processor time used, user and system.", p.cpu_seconds);
    single("process_resident_memory_bytes", "gauge", "Memory in use.", p.resident_bytes);
    single("process_open_fds", "gauge", "Open file descriptors.", p.open_fds);
    single("process_max_fds", "gauge", "The most file descriptors that may be open.", p.max_fds);
    single("process_start_time_seconds", "gauge", "When the process began, in seconds since 1970.", p.start_seconds);
  }

  void backend_gauges() {
    const auto each = [&](std::string_view name, std::string_view help, auto value) {
      begin(name, "gauge", help);
      for (const BackendReport& b : report_.backends)
        if (const std::optional<double> v = value(b)) sample(name, {{"backend", b.name}}, *v);
    };
    begin("rpc_weighter_backend_servers", "gauge", "Servers in each state.");
    for (const BackendReport& b : report_.backends)
      for (const State state : kStates)
        sample("rpc_weighter_backend_servers", {{"backend", b.name}, {"state", to_string(state)}},
               static_cast<double>(
                   std::ranges::count(b.servers, state, [](const ServerReport& s) { return s.decision.state; })));
    each("rpc_weighter_backend_head_block", "The agreed head's number; absent when there is none.",
         [](const BackendReport& b) {
           return b.head ? std::optional(static_cast<double>(b.head->number)) : std::nullopt;
         });
    each("rpc_weighter_backend_head_agreed_by", "Operators that agree on the head; absent when there is none.",
         [](const BackendReport& b) {
           return b.head ? std::optional(static_cast<double>(b.head->agreed_by)) : std::nullopt;
         });
    each("rpc_weighter_backend_fallback", "1 while too few servers are healthy and the fallback decides.",
         [](const BackendReport& b) { return std::optional(b.fallback ? 1.0 : 0.0); });
    each("rpc_weighter_backend_blind", "1 while every provider fails at the transport.",
         [](const BackendReport& b) { return std::optional(b.blind ? 1.0 : 0.0); });
    begin("rpc_weighter_backend_note", "gauge", "1 for each note of the report.");
    for (const BackendReport& b : report_.backends) {
      std::set<std::string_view> seen;
      for (const BackendNote& n : b.notes)
        if (seen.insert(n.code).second) sample("rpc_weighter_backend_note", {{"backend", b.name}, {"code", n.code}}, 1);
    }
  }

  void endpoints() {
    begin("rpc_weighter_haproxy_up", "gauge", "1 when the last read of this HAProxy worked.");
    for (const EndpointReport& e : report_.haproxy)
      sample("rpc_weighter_haproxy_up", {{"endpoint", e.endpoint}}, e.reachable ? 1 : 0);
    begin("rpc_weighter_haproxy_info", "gauge", "The HAProxy that answers.");
    for (const EndpointReport& e : report_.haproxy)
      if (e.reachable) sample("rpc_weighter_haproxy_info", {{"endpoint", e.endpoint}, {"version", e.version}}, 1);
    const auto each = [&](auto put) {
      static const Metrics::EndpointCounters kNone;
      for (const EndpointReport& e : report_.haproxy) {
        const auto at = m_.endpoint_counters_.find(e.endpoint);
        put(e.endpoint, at == m_.endpoint_counters_.end() ? kNone : at->second);
      }
    };
    begin("rpc_weighter_haproxy_commands_total", "counter", "`set weight` commands by what became of them.");
    each([&](const std::string& name, const Metrics::EndpointCounters& c) {
      for (const auto& [result, count] :
           {std::pair("confirmed", c.confirmed), std::pair("refused", c.refused), std::pair("lost", c.lost)})
        counter("rpc_weighter_haproxy_commands_total", {{"endpoint", name}, {"result", result}}, count);
    });
    begin("rpc_weighter_haproxy_repairs_total", "counter", "Weights found changed by another writer.");
    each([&](const std::string& name, const Metrics::EndpointCounters& c) {
      for (const BackendReport& b : report_.backends) {
        const auto at = c.repairs.find(b.name);
        counter("rpc_weighter_haproxy_repairs_total", {{"endpoint", name}, {"backend", b.name}},
                at == c.repairs.end() ? 0 : at->second);
      }
    });
    begin("rpc_weighter_haproxy_reloads_total", "counter", "New workers seen.");
    each([&](const std::string& name, const Metrics::EndpointCounters& c) {
      counter("rpc_weighter_haproxy_reloads_total", {{"endpoint", name}}, c.reloads);
    });
    begin("rpc_weighter_haproxy_exchange_duration_seconds", "histogram", "Exchanges with HAProxy's runtime API.");
    each([&](const std::string& name, const Metrics::EndpointCounters& c) {
      histogram("rpc_weighter_haproxy_exchange_duration_seconds", {"endpoint", name}, {"kind", "read"}, c.read_seconds);
      histogram("rpc_weighter_haproxy_exchange_duration_seconds", {"endpoint", name}, {"kind", "set"}, c.set_seconds);
    });
  }

  void probes(std::string_view b, std::string_view s, const Metrics::ServerCounters& c) {
    begin_once("rpc_weighter_probes_total", "counter", "Head probes by result: ok or a reason code.");
    counters("rpc_weighter_probes_total", b, s, "result", kFailures, c.probes);
  }
  void requests(std::string_view b, std::string_view s, const Metrics::ServerCounters& c) {
    begin_once("rpc_weighter_probe_requests_total", "counter", "Requests sent by what they ask: the bill.");
    const auto put = [&](std::string_view question, std::uint64_t count) {
      counter("rpc_weighter_probe_requests_total", {{"backend", b}, {"server", s}, {"question", question}}, count);
    };
    put("head", c.head_requests);
    for (std::size_t kind = 0; kind < c.checks.size(); ++kind)
      put(to_string(static_cast<CheckKind>(kind)), c.checks.at(kind));
  }
  void ejections(std::string_view b, std::string_view s, const Metrics::ServerCounters& c) {
    begin_once("rpc_weighter_ejections_total", "counter", "Ejections by their first reason.");
    counters("rpc_weighter_ejections_total", b, s, "reason", kEjectionReasons, c.ejections);
  }
  void weight_changes(std::string_view b, std::string_view s, const Metrics::ServerCounters& c) {
    begin_once("rpc_weighter_weight_changes_total", "counter", "Decisions that gave the server another weight.");
    counter("rpc_weighter_weight_changes_total", {{"backend", b}, {"server", s}}, c.weight_changes);
  }
  void probe_seconds(std::string_view b, std::string_view s, const Metrics::ServerCounters& c) {
    begin_once("rpc_weighter_probe_duration_seconds", "histogram", "Head probes that were answered.");
    histogram("rpc_weighter_probe_duration_seconds", {"backend", b}, {"server", s}, c.probe_seconds);
  }

  Metrics& m_;
  const Report& report_;
  const bool open_;
  BodyWriter& out_;
  bool family_begun_ = false;
};

boost::asio::awaitable<void> Metrics::write(std::shared_ptr<Metrics> self, std::shared_ptr<const Report> report,
                                            bool open_metrics, BodyWriter& out) {
  self->forget_gone(*report);
  MetricsText text(*self, *report, open_metrics, out);
  co_await text.run();
}

}  // namespace rpcw::observe
