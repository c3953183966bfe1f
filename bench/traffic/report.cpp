#include "traffic/report.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

#include "common/json.hpp"
#include "common/markdown.hpp"

namespace rpcw::bench {
namespace {

std::string milliseconds(const std::optional<double>& ms) {
  return ms ? fmt::format("{:.0f} ms", *ms) : "-";
}

std::string percent(double value) {
  return value == 0 ? "0" : fmt::format("{:.2f}", value);
}

/// "1.2 s (0.9 to 1.5)" over the runs in which it had any traffic; those in which it never happened are counted apart.
std::string moments(const std::vector<Reaction>& reactions, std::optional<double> Reaction::*moment) {
  std::vector<double> values;
  std::size_t runs = 0;
  for (const Reaction& r : reactions) {
    if (r.had_none()) continue;
    ++runs;
    if (r.*moment) values.push_back(*(r.*moment));
  }
  if (runs == 0) return "had none";
  if (values.empty()) return "never";
  std::ranges::sort(values);
  std::string out = fmt::format("{:.1f} s", values[values.size() / 2]);
  if (values.size() > 1) out += fmt::format(" ({:.1f} to {:.1f})", values.front(), values.back());
  if (values.size() < runs) out += fmt::format(", in {} of {}", values.size(), runs);
  return out;
}

/// One table of the scenarios with several faults, and one of those with one alone.
void overview(Markdown& out, const std::vector<Summary>& summaries, bool alone) {
  std::vector<const Summary*> shown;
  for (const Summary& s : summaries)
    if ((s.scenario.form == Form::kAlone) == alone) shown.push_back(&s);
  if (shown.empty()) return;
  std::vector<std::string> cells{"bad answers, %"};
  for (const Summary* s : shown) cells.push_back(s->scenario.name);
  out.head(cells);
  for (const Score& contestant : shown.front()->scores) {
    cells = {contestant.contestant};
    for (const Summary* s : shown) {
      const Score* score = find(*s, contestant.contestant);
      cells.push_back(score == nullptr ? "-" : percent(score->bad_percent()));
    }
    out.row(cells);
  }
  out.line("");
}

const Contestant* contestant_of(std::string_view name) {
  const auto it = std::ranges::find(contestants(), name, &Contestant::name);
  return it == contestants().end() ? nullptr : &*it;
}

bool is_rival(std::string_view name) {
  const Contestant* c = contestant_of(name);
  return c != nullptr && c->kind != Contestant::Kind::kWeighter && c->kind != Contestant::Kind::kOracle;
}

std::string ratio(const std::optional<double>& ours, const std::optional<double>& best, double limit) {
  if (!ours || !best || *best <= 0) return "-";
  return fmt::format("{:.2f}{}", *ours / *best, *ours / *best <= limit ? "" : " (missed)");
}

/// What rpc-weighter is meant to reach, and whether it does.
void goals(Markdown& out, const std::vector<Summary>& summaries) {
  constexpr double kMostBad = 0.5;
  constexpr double kMostLatency = 1.3;
  const auto first = std::ranges::find(summaries, "crashes", [](const Summary& s) { return s.scenario.name; });
  const Score* oracle = first == summaries.end() ? nullptr : find(*first, "oracle");
  out.line(
      "Goals: in `crashes` at most {} % bad, and median and 99th percentile at most {} times the oracle's; nowhere "
      "more bad answers than HAProxy alone, its checks or the script.",
      kMostBad, kMostLatency);
  out.line("");
  out.head({"contestant", "bad in `crashes`, %", "median / oracle's", "99 % / oracle's", "loses"});
  for (const Score& who : summaries.front().scores) {
    const Contestant* contestant = contestant_of(who.contestant);
    if (contestant == nullptr || contestant->kind != Contestant::Kind::kWeighter) continue;
    std::vector<std::string> cells{who.contestant, "-", "-", "-"};
    if (const Score* score = first == summaries.end() ? nullptr : find(*first, who.contestant)) {
      cells[1] = percent(score->bad_percent()) + (score->bad_percent() <= kMostBad ? "" : " (missed)");
      if (oracle != nullptr) {
        cells[2] = ratio(score->median_ms, oracle->median_ms, kMostLatency);
        cells[3] = ratio(score->p99_ms, oracle->p99_ms, kMostLatency);
      }
    }
    std::string losses;
    for (const Summary& s : summaries) {
      const Score* score = find(s, who.contestant);
      if (score == nullptr) continue;
      const auto winners = better_than(s, *score, is_rival);
      if (!winners.empty())
        losses += fmt::format("{}{} to {}", losses.empty() ? "" : "; ", s.scenario.name, fmt::join(winners, ", "));
    }
    cells.push_back(losses.empty() ? "nowhere" : losses);
    out.row(cells);
  }
  out.line("");
}

void classes(Markdown& out, const Summary& summary) {
  std::vector<std::string> cells{"contestant", "bad, %"};
  for (std::size_t v = 1; v < kVerdicts; ++v) cells.emplace_back(to_string(static_cast<Verdict>(v)));
  cells.insert(cells.end(), {"median", "99 %", "changes of weights"});
  const bool probes = std::ranges::any_of(summary.scores, [](const Score& s) { return s.probes > 0; });
  if (probes) cells.emplace_back("probes");
  out.head(cells);
  const std::size_t runs = summary.runs.size();
  for (const Score& s : summary.scores) {
    cells = {s.contestant, percent(s.bad_percent())};
    for (std::size_t v = 1; v < kVerdicts; ++v) cells.push_back(percent(s.percent(static_cast<Verdict>(v))));
    cells.insert(cells.end(), {milliseconds(s.median_ms), milliseconds(s.p99_ms), fmt::format("{}", s.changes / runs)});
    if (probes) cells.push_back(fmt::format("{}", s.probes / runs));
    out.row(cells);
  }
  out.line("");
}

void reaction_table(Markdown& out, const Summary& summary) {
  if (summary.scenario.faults.empty()) return;
  std::vector<std::string> cells{"from fault to weight 0"};
  for (const Fault& f : summary.scenario.faults)
    cells.push_back(fmt::format("{} of {}", f.kind, providers()[f.provider].name));
  out.head(cells);
  for (std::size_t c = 0; c < summary.scores.size(); ++c) {
    cells = {summary.scores[c].contestant};
    for (const auto& reactions : summary.reactions[c]) cells.push_back(moments(reactions, &Reaction::to_zero_s));
    out.row(cells);
  }
  out.line("");
}

/// Where each fault's bad answers come from.
void diagnosis(Markdown& out, const Summary& summary) {
  if (summary.scenario.faults.empty()) return;
  out.head({"contestant", "fault", "share before", "to half", "to 0", "bad until 0", "bad later", "weight again",
            "back to 3/4"});
  for (std::size_t c = 0; c < summary.scores.size(); ++c) {
    for (std::size_t f = 0; f < summary.scenario.faults.size(); ++f) {
      const auto& reactions = summary.reactions[c][f];
      const Fault& fault = summary.scenario.faults[f];
      Reaction mean;
      for (const Reaction& r : reactions) {
        mean.share_before += r.share_before / static_cast<double>(reactions.size());
        mean.back_in_s += r.back_in_s / static_cast<double>(reactions.size());
        mean.bad_until_zero += r.bad_until_zero;
        mean.bad_later += r.bad_later;
      }
      out.row({summary.scores[c].contestant, fmt::format("{} of {}", fault.kind, providers()[fault.provider].name),
               fmt::format("{:.0f} %", 100 * mean.share_before), moments(reactions, &Reaction::to_half_s),
               moments(reactions, &Reaction::to_zero_s), fmt::format("{}", mean.bad_until_zero / reactions.size()),
               fmt::format("{}", mean.bad_later / reactions.size()), fmt::format("{:.1f} s", mean.back_in_s),
               moments(reactions, &Reaction::to_return_s)});
    }
  }
  out.line("");
}

using Writer = JsonResults::Writer;

void put(Writer& w, const char* name, const std::string& text) {
  w.Key(name);
  w.String(text);
}
void put(Writer& w, const char* name, double value) {
  w.Key(name);
  w.Double(value);
}
void put(Writer& w, const char* name, std::size_t value) {
  w.Key(name);
  w.Uint64(value);
}
void put(Writer& w, const char* name, const std::optional<double>& value) {
  w.Key(name);
  if (value)
    w.Double(*value);
  else
    w.Null();
}

void put_reaction(Writer& w, const Reaction& r) {
  w.StartObject();
  put(w, "share_before", r.share_before);
  put(w, "to_half_s", r.to_half_s);
  put(w, "to_zero_s", r.to_zero_s);
  put(w, "bad_until_zero", r.bad_until_zero);
  put(w, "bad_later", r.bad_later);
  put(w, "back_in_s", r.back_in_s);
  put(w, "to_return_s", r.to_return_s);
  w.EndObject();
}

void put_score(Writer& w, const Score& s, const std::vector<std::vector<Reaction>>& reactions) {
  w.StartObject();
  put(w, "contestant", s.contestant);
  put(w, "requests", s.requests);
  put(w, "bad_percent", s.bad_percent());
  w.Key("answers");
  w.StartObject();
  for (std::size_t v = 0; v < kVerdicts; ++v)
    put(w, std::string(to_string(static_cast<Verdict>(v))).c_str(), s.by_verdict[v]);
  w.EndObject();
  put(w, "median_ms", s.median_ms);
  put(w, "p99_ms", s.p99_ms);
  put(w, "weight_changes", s.changes);
  if (s.probes > 0) put(w, "probes", s.probes);
  put(w, "sent_late_p99_ms", s.late_p99_ms);
  w.Key("reactions");
  w.StartArray();
  for (const auto& of_fault : reactions) {
    w.StartArray();
    for (const Reaction& r : of_fault) put_reaction(w, r);
    w.EndArray();
  }
  w.EndArray();
  w.EndObject();
}

}  // namespace

std::string to_markdown(const std::vector<Summary>& summaries, const Machine& machine, std::string_view charts) {
  Markdown out;
  out.line("{}", machine.sentence());
  out.line("");
  overview(out, summaries, false);
  overview(out, summaries, true);
  goals(out, summaries);
  for (const Summary& s : summaries) {
    double load = 0;
    for (const Run& run : s.runs) load += run.load_average / static_cast<double>(s.runs.size());
    out.line("## {}", s.scenario.name);
    out.line("");
    out.line(
        "{}. {:.0f} s, {:.0f} requests a second, {} run{}; load average {:.1f}; the load generator was at most "
        "{:.1f} ms late for 99 % of its requests.",
        s.scenario.title, s.scenario.seconds, kRequestsPerSecond, s.runs.size(), s.runs.size() == 1 ? "" : "s", load,
        std::ranges::max(s.scores, {}, &Score::late_p99_ms).late_p99_ms);
    out.line("");
    classes(out, s);
    reaction_table(out, s);
    if (!charts.empty()) {
      out.line("![Bad answers in each second]({}/{}-timeline.svg)", charts, s.scenario.name);
      out.line("");
    }
    if (s.scenario.faults.empty()) continue;
    out.line("<details><summary>Where the bad answers come from</summary>");
    out.line("");
    diagnosis(out, s);
    out.line("</details>");
    out.line("");
  }
  return std::move(out).end();
}

std::string to_json(const std::vector<Summary>& summaries, const Machine& machine) {
  JsonResults out(machine, 4);
  auto& w = out.writer;
  put(w, "requests_per_second", kRequestsPerSecond);
  w.Key("scenarios");
  w.StartArray();
  for (const Summary& s : summaries) {
    w.StartObject();
    put(w, "name", s.scenario.name);
    put(w, "title", s.scenario.title);
    put(w, "seconds", s.scenario.seconds);
    put(w, "runs", s.runs.size());
    put(w, "load_average", s.runs.front().load_average);
    w.Key("faults");
    w.StartArray();
    for (const Fault& f : s.scenario.faults) {
      w.StartObject();
      put(w, "kind", f.kind);
      put(w, "provider", providers()[f.provider].name);
      put(w, "from_s", f.from_s);
      put(w, "bad_from_s", f.bad_from_s());
      put(w, "to_s", f.to_s);
      w.EndObject();
    }
    w.EndArray();
    w.Key("contestants");
    w.StartArray();
    for (std::size_t c = 0; c < s.scores.size(); ++c) put_score(w, s.scores[c], s.reactions[c]);
    w.EndArray();
    w.EndObject();
  }
  w.EndArray();
  return std::move(out).end();
}

}  // namespace rpcw::bench
