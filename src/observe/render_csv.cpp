#include <fmt/format.h>

#include "observe/csv.hpp"
#include "observe/render.hpp"

namespace rpcw::observe {
namespace {

template <typename Value>
std::string or_empty(const std::optional<Value>& value) {
  return value ? fmt::format("{}", *value) : std::string();
}

}  // namespace

std::string render_csv(const Report& report) {
  std::string out =
      "backend,server,state,reasons,latency_ms,block_number,block_age_ms,lag,score,weight,current_weight,admin_state,"
      "url\n";
  for (const BackendReport& b : report.backends) {
    for (const ServerReport& s : b.servers) {
      const ServerDecision& d = s.decision;
      std::string reasons;
      for (const ReasonNote& r : d.reasons)
        reasons += fmt::format("{}{}", reasons.empty() ? "" : " ", to_string(r.code));
      const auto latency = d.latency ? std::optional(static_cast<double>(d.latency->count()) / 1000.0) : std::nullopt;
      const auto block = d.head ? std::optional(d.head->number) : std::nullopt;
      const auto age = d.head_age ? std::optional(d.head_age->count()) : std::nullopt;
      out += fmt::format("{},{},{},{},{},{},{},{},{},{},{},{},{}\n", csv_field(b.name), csv_field(s.name),
                         to_string(d.state), reasons, or_empty(latency), or_empty(block), or_empty(age),
                         or_empty(d.lag_blocks), d.score, d.weight, or_empty(s.current_weight), s.admin_state,
                         csv_field(s.url));
    }
  }
  return out;
}

}  // namespace rpcw::observe
