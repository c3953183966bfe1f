#include "cli/render_replay.hpp"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <vector>

#include "base/columns.hpp"
#include "base/text.hpp"
#include "observe/csv.hpp"
#include "store/json_codec.hpp"

namespace rpcw::cli {
namespace {

using replay::Difference;
using replay::Result;
using replay::ServerTotals;
using store::Outcome;

milliseconds whole_ms(MonoTime t) {
  return std::chrono::duration_cast<milliseconds>(t);
}

std::string codes(const Outcome& o) {
  std::string out;
  for (const ReasonNote& r : o.reasons) out += fmt::format("{}{}", out.empty() ? "" : " ", to_string(r.code));
  return out;
}

std::string short_text(const Outcome& o) {
  const std::string why = codes(o);
  return fmt::format("{:>3} {}{}", o.weight, to_string(o.state), why.empty() ? "" : " (" + why + ")");
}

using Row = std::vector<std::string>;

/// Columns as wide as their widest cell, two spaces between them; `right` aligns to the right.
std::string table(const std::vector<Row>& rows, const std::vector<bool>& right) {
  std::vector<std::size_t> widths(right.size(), 0);
  for (const Row& row : rows)
    for (std::size_t c = 0; c < row.size(); ++c) widths[c] = std::max(widths[c], columns_of(row[c]));
  std::string out;
  for (const Row& row : rows) {
    std::string line;
    for (std::size_t c = 0; c < row.size(); ++c)
      line += right[c] ? fmt::format("  {:>{}}", row[c], widths[c]) : fmt::format("  {:<{}}", row[c], widths[c]);
    line.erase(line.find_last_not_of(' ') + 1);
    out += line + "\n";
  }
  return out;
}

std::string percent(double part) {
  return fmt::format("{:.1f} %", part * 100.0);
}

void outcome(store::JsonWriter& out, const char* name, const Outcome& o) {
  out.key(name);
  out.begin_object();
  out.field("weight", o.weight);
  out.field("state", to_string(o.state));
  out.key("reasons");
  out.begin_array();
  for (const ReasonNote& r : o.reasons) out.value(r);
  out.end_array();
  out.end_object();
}

/// A push to a thousand servers is a long line.
std::string cut(const std::string& actions) {
  constexpr std::size_t kMost = 300;
  if (actions.empty()) return "nothing";
  return actions.size() <= kMost ? actions : actions.substr(0, actions.rfind(' ', kMost)) + " and so on";
}

/// Lines; empty: none was recorded.
std::string schedule_text(const replay::Schedule& s) {
  if (s.turns == 0) return {};
  std::string out;
  const std::string what = fmt::format("{} to providers, {} with HAProxy, {} set", counted(s.requests, "request"),
                                       counted(s.exchanges, "exchange"), counted(s.weights, "weight"));
  if (s.compared == s.turns)
    out += fmt::format("same schedule in all {}: {}\n", counted(s.turns, "turn"), what);
  else
    out += fmt::format("same schedule in {} of {}: {}\n", s.compared, counted(s.turns, "turn"), what);
  for (const replay::Schedule::Difference& d : s.differences)
    out += fmt::format("another schedule from {} UTC on, not compared any further:\n  recorded: {}\n  replayed: {}\n",
                       date_and_time(d.at), cut(d.recorded), cut(d.replayed));
  for (const std::string& n : s.notes) out += fmt::format("note: a part of the schedule was not compared: {}\n", n);
  return out;
}

}  // namespace

std::string render_replay_table(const Result& r, const observe::TableStyle& style) {
  const std::string_view arrow = style.utf8 ? "→" : "->";
  std::string out;
  if (r.decisions == 0) {
    out += "nothing was decided in this recording\n";
  } else {
    out += fmt::format("{} to {} UTC, {}: {}\n", date_and_time(r.begin), date_and_time(r.end),
                       span_text(whole_ms(r.covered)), counted(r.decisions, "decision"));
    out += fmt::format("weights changed {} as recorded, {} as replayed\n", counted(r.recorded_changes, "time"),
                       counted(r.replayed_changes, "time"));
    if (r.other == 0)
      out += fmt::format("same weights in all {}\n", counted(r.decisions, "decision"));
    else
      out += fmt::format("other weights in {}, another weight, state or reason in {}\n",
                         counted(r.other_weights, "decision"), counted(r.other, "decision"));
  }
  out += schedule_text(r.schedule);
  for (const std::string& n : r.notes) out += fmt::format("note: {}\n", n);
  if (r.other == 0) return out;

  std::vector<Row> rows{{"FROM (UTC)", "FOR", "SERVER", "RECORDED", "REPLAYED"}};
  for (const Difference& d : r.differences)
    rows.push_back({date_and_time(d.from), span_text(whole_ms(d.lasted)), fmt::format("{}/{}", d.backend, d.server),
                    short_text(d.recorded), short_text(d.replayed)});
  out += "\n" + table(rows, {false, true, false, false, false});
  if (r.more_differences > 0) out += fmt::format("  and {} more\n", r.more_differences);

  // The arrow is one column wide, whatever its bytes are: so it stands in the last column.
  rows = {{"SERVER", "DIFFERED", "OUT RECORDED", "REPLAYED", "MEAN SHARE"}};
  for (const ServerTotals& t : r.servers)
    rows.push_back({fmt::format("{}/{}", t.backend, t.server), span_text(whole_ms(t.differed)),
                    span_text(whole_ms(t.recorded_out)), span_text(whole_ms(t.replayed_out)),
                    fmt::format("{} {} {}", percent(t.recorded_share), arrow, percent(t.replayed_share))});
  return out + "\n" + table(rows, {false, true, true, true, false});
}

std::string render_replay_json(const Result& r) {
  store::JsonWriter out;
  out.begin_object();
  out.field("schema", std::uint64_t{1});
  out.key("begin");
  if (r.decisions > 0)
    out.text(rfc3339(r.begin));
  else
    out.null();
  out.key("end");
  if (r.decisions > 0)
    out.text(rfc3339(r.end));
  else
    out.null();
  out.field("covered_ms", whole_ms(r.covered));
  out.field("sections", r.sections);
  out.field("decisions", r.decisions);
  out.field("decisions_with_other_weights", r.other_weights);
  out.field("decisions_that_differ", r.other);
  out.field("weight_changes_recorded", r.recorded_changes);
  out.field("weight_changes_replayed", r.replayed_changes);
  out.key("notes");
  out.begin_array();
  for (const std::string& n : r.notes) out.text(n);
  out.end_array();
  out.key("differences");
  out.begin_array();
  for (const Difference& d : r.differences) {
    out.begin_object();
    out.field("from", rfc3339(d.from));
    out.field("lasted_ms", whole_ms(d.lasted));
    out.field("backend", d.backend);
    out.field("server", d.server);
    outcome(out, "recorded", d.recorded);
    outcome(out, "replayed", d.replayed);
    out.end_object();
  }
  out.end_array();
  out.field("more_differences", r.more_differences);
  out.key("schedule");
  out.begin_object();
  out.field("turns", r.schedule.turns);
  out.field("compared", r.schedule.compared);
  out.field("requests", r.schedule.requests);
  out.field("exchanges", r.schedule.exchanges);
  out.field("weights", r.schedule.weights);
  out.key("differences");
  out.begin_array();
  for (const replay::Schedule::Difference& d : r.schedule.differences) {
    out.begin_object();
    out.field("at", rfc3339(d.at));
    out.field("recorded", d.recorded);
    out.field("replayed", d.replayed);
    out.end_object();
  }
  out.end_array();
  out.key("notes");
  out.begin_array();
  for (const std::string& n : r.schedule.notes) out.text(n);
  out.end_array();
  out.end_object();
  out.key("servers");
  out.begin_array();
  for (const ServerTotals& t : r.servers) {
    out.begin_object();
    out.field("backend", t.backend);
    out.field("server", t.server);
    out.field("differed_ms", whole_ms(t.differed));
    out.field("weight_differed_ms", whole_ms(t.weight_differed));
    out.field("recorded_out_ms", whole_ms(t.recorded_out));
    out.field("replayed_out_ms", whole_ms(t.replayed_out));
    out.field("recorded_share", t.recorded_share);
    out.field("replayed_share", t.replayed_share);
    out.end_object();
  }
  out.end_array();
  out.end_object();
  return std::string(out.view()) + "\n";
}

std::string render_replay_csv(const Result& r) {
  std::string out =
      "from,lasted_ms,backend,server,recorded_weight,recorded_state,recorded_reasons,replayed_weight,replayed_state,"
      "replayed_reasons\n";
  for (const Difference& d : r.differences)
    out += fmt::format("{},{},{},{},{},{},{},{},{},{}\n", rfc3339(d.from), whole_ms(d.lasted).count(),
                       observe::csv_field(d.backend), observe::csv_field(d.server), d.recorded.weight,
                       to_string(d.recorded.state), codes(d.recorded), d.replayed.weight, to_string(d.replayed.state),
                       codes(d.replayed));
  return out;
}

}  // namespace rpcw::cli
