#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>

#include "base/columns.hpp"
#include "base/text.hpp"
#include "observe/render.hpp"
#include "weighter/allocate/fallback.hpp"
#include "weighter/constants.hpp"
#include "weighter/strategy/strategy.hpp"

namespace rpcw::observe {
namespace {

std::string spaces(std::size_t n) {
  return std::string(n, ' ');
}

/// In a window that is too narrow for all, the columns with the highest rank go first; those with 0 stay.
struct Column {
  std::string title;
  bool right = false;
  int rank = 0;
  std::vector<std::string> cells{};
  /// Of the title and the cells; see `measure`.
  std::size_t width = 0;

  void measure() {
    width = columns_of(title);
    for (const std::string& c : cells) width = std::max(width, columns_of(c));
  }
};

std::size_t total_width(const std::vector<Column>& table) {
  std::size_t out = 0;
  for (const Column& c : table) out += 2 + c.width;
  return out;
}

/// Where the first word of a sentence ends. A number and its unit ("30 s") stay together.
std::size_t word_end(std::string_view text) {
  const auto digit = [](char c) { return c >= '0' && c <= '9'; };
  const std::size_t end = std::min(text.find(' '), text.size());
  if (end == 0 || end + 1 >= text.size() || !digit(text[end - 1]) || digit(text[end + 1])) return end;
  constexpr std::size_t kLongestUnit = 4;  // "min,"
  const std::size_t next = std::min(text.find(' ', end + 1), text.size());
  return next - end - 1 <= kLongestUnit ? next : end;
}

/// Breaks a sentence into lines of at most `width` columns.
std::vector<std::string> wrap(std::string_view text, std::size_t width) {
  std::vector<std::string> lines(1);
  while (!text.empty()) {
    const std::size_t end = word_end(text);
    std::string word(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
    const std::size_t used = columns_of(lines.back());
    if (used > 0 && used + 1 + columns_of(word) > width) lines.emplace_back();
    while (columns_of(word) > width) {
      const std::string head = first_columns(word, width);
      word.erase(0, head.size());
      lines.back() = head;
      lines.emplace_back();
    }
    if (!lines.back().empty()) lines.back() += ' ';
    lines.back() += word;
  }
  return lines;
}

/// What a reason's detail lacks to be a sentence for a person; empty: nothing.
std::string_view lead(Reason code) {
  switch (code) {
    case Reason::kConnectFailed:
      return "cannot connect: ";
    case Reason::kTlsFailed:
      return "no TLS: ";
    case Reason::kHttpStatus:
      return "answers ";
    case Reason::kRpcError:
      return "answers with ";
    case Reason::kBadAnswer:
      return "unusable answer: ";
    case Reason::kTooLarge:
      return "too long an answer: ";
    case Reason::kRateLimited:
      return "limits our rate: ";
    case Reason::kLatencyTooHigh:
      return "too slow: ";
    case Reason::kBlockAhead:
      return "impossible block: ";
    case Reason::kWrongChain:
      return "wrong chain: ";
    case Reason::kForked:
      return "on a fork: ";
    case Reason::kTooFewPeers:
      return "too few peers: ";
    case Reason::kCanaryFailed:
      return "a canary failed: ";
    case Reason::kLiveErrors:
      return "errors in live traffic: ";
    case Reason::kLiveLatency:
      return "slow in live traffic: ";
    case Reason::kWarmingUp:
      return "on its way back: ";
    case Reason::kStandby:
      return "stands by: ";
    case Reason::kDnsFailed:
    case Reason::kTimeout:
    case Reason::kBlockTooOld:
    case Reason::kBlockLag:
    case Reason::kSyncing:
    case Reason::kBlind:
      return "";
  }
  return "";
}

std::string_view lead(const BackendNote& note) {
  return note.code == "unmanaged" ? "not in the file: " : "";
}

bool has_reason(const ServerDecision& d, Reason code) {
  return std::ranges::find(d.reasons, code, &ReasonNote::code) != d.reasons.end();
}

bool is_backup(const ServerReport& s) {
  return s.backup.value_or(false);
}

/// Whether its weight means traffic as long as no other group of servers has it.
bool counts(const ServerReport& s) {
  return s.decision.state != State::kDisabled && s.decision.weight > 0;
}

/// The servers that get requests at all: HAProxy uses backups only when it has no active server.
struct Traffic {
  bool by_backups = false;
  /// By servers that the file does not name alone.
  bool by_others = false;
  /// See shares_of.
  std::vector<double> shares;

  explicit Traffic(const BackendReport& b) : shares(shares_of(b)), backend(b) {
    const bool any = std::ranges::any_of(shares, [](double share) { return share > 0; });
    by_others = !any && b.unmanaged_weight > 0;
    for (const ServerReport& s : b.servers) by_backups = by_backups || (part(s) > 0 && is_backup(s));
  }

  /// `s`: one of the backend's.
  [[nodiscard]] double part(const ServerReport& s) const {
    return shares[static_cast<std::size_t>(&s - backend.servers.data())];
  }

 private:
  const BackendReport& backend;
};

/// The server that leads; nullptr: none does.
const ServerReport* leader_of(const BackendReport& b) {
  if (!strategy_named(b.strategy).single_leader || b.fallback) return nullptr;
  const auto at = std::ranges::find_if(b.servers, [](const ServerReport& s) { return !is_backup(s) && counts(s); });
  return at == b.servers.end() ? nullptr : &*at;
}

/// What the report's fallback does.
std::string fallback_line(const BackendReport& b) {
  std::vector<const ServerDecision*> servers;
  for (const ServerReport& s : b.servers) servers.push_back(&s.decision);
  const std::string text = fallback_text(*b.fallback, servers);
  return fmt::format("Fewer than min_healthy servers are healthy: {}{}", text, text.ends_with('?') ? "" : ".");
}

/// "backup", "leader", "standby", or nothing. `leader`: of its backend, see `leader_of`.
std::string_view role(const ServerReport& s, const ServerReport* leader) {
  if (is_backup(s)) return "backup";
  if (has_reason(s.decision, Reason::kStandby)) return "standby";
  return &s == leader ? "leader" : "";
}

class Table {
 public:
  Table(const Report& report, const TableStyle& style) : report_(report), style_(style) {
    style_.width = std::max(style_.width, 60U);
  }

  std::string run() {
    for (const BackendReport& b : report_.backends) backend(b);
    for (const EndpointReport& e : report_.haproxy) endpoint(e);
    return std::move(out_);
  }

 private:
  std::string_view glyph(std::string_view utf8, std::string_view ascii) const { return style_.utf8 ? utf8 : ascii; }

  std::string painted(std::string_view text, std::string_view code) const {
    return style_.colour && !code.empty() ? fmt::format("\x1b[{}m{}\x1b[0m", code, text) : std::string(text);
  }

  static std::string_view colour_of(State state) {
    switch (state) {
      case State::kHealthy:
        return "32";
      case State::kDegraded:
        return "33";
      case State::kEjected:
        return "31";
      case State::kUnknown:
      case State::kDisabled:
        return "2";
    }
    return "";
  }

  std::string none() const { return std::string(glyph("–", "-")); }

  static std::string latency_text(std::chrono::microseconds t) {
    const double ms = static_cast<double>(t.count()) / 1000.0;
    if (ms < 10) return fmt::format("{:.1f} ms", ms);
    return span_text(milliseconds{std::llround(ms)});
  }

  std::string bar(double part) const {
    constexpr int kCells = 10;
    if (!style_.utf8)
      return std::string(static_cast<std::size_t>(std::clamp<long>(std::lround(part * kCells), 0, kCells)), '#');
    static constexpr std::array<std::string_view, 9> kEighths{"", "▏", "▎", "▍", "▌", "▋", "▊", "▉", "█"};
    auto eighths = std::clamp<long>(std::lround(part * kCells * 8), part > 0 ? 1 : 0, kCells * 8);
    std::string out;
    for (; eighths >= 8; eighths -= 8) out += kEighths[8];
    return out + std::string(kEighths[static_cast<std::size_t>(eighths)]);
  }

  void line(std::string_view text) {
    out_ += text;
    while (!out_.empty() && out_.back() == ' ') out_.pop_back();
    out_ += '\n';
  }

  void backend(const BackendReport& b) {
    const std::string_view dot = glyph(" · ", ", ");
    std::string head = fmt::format("{}{}{}", b.chain, dot, b.strategy);
    if (!b.follows.empty()) head = fmt::format("follows {}{}{}", b.follows, dot, b.strategy);
    if (const ServerReport* leader = leader_of(b)) head += " " + leader->name;
    if (!b.algorithm.empty()) head += fmt::format("{}{}", dot, b.algorithm);
    if (b.agent) head += fmt::format("{}agent-check", dot);
    if (b.head) head += fmt::format("{}head {}", dot, b.head->number);
    head += fmt::format("{}{} of {} healthy", dot, b.healthy, b.servers.size());
    const std::size_t beside = columns_of(b.name) + 2;
    if (beside + columns_of(head) <= style_.width) {
      line(painted(b.name, "1") + "  " + head);
    } else {
      line(painted(b.name, "1"));
      paragraph(head, "");
    }
    if (b.fallback) paragraph(fallback_line(b), "33");
    const Traffic traffic(b);
    if (traffic.by_backups && !b.fallback)
      paragraph("No active server is healthy: the backup servers have the traffic.", "33");
    if (traffic.by_others && !b.fallback)
      paragraph("No active server of the file is healthy: those not in it have the traffic.", "33");
    rows(b, traffic);
    for (const ReferenceReport& r : b.references) paragraph(sentence(r), r.verdict.reasons.empty() ? "" : "33");
    for (const BackendNote& n : b.notes) paragraph(fmt::format("Note: {}{} ({})", lead(n), n.detail, n.code), "");
    out_ += '\n';
  }

  static std::string sentence(const ReferenceReport& r) {
    const ReferenceVerdict& v = r.verdict;
    std::string out = fmt::format("Reference {}: ", r.name);
    if (!v.head)
      out += "no block yet";
    else if (v.lag_blocks.value_or(0) == 0)
      out += fmt::format("block {}", v.head->number);
    else
      out += fmt::format("block {}, {} behind", v.head->number, *v.lag_blocks);
    for (const ReasonNote& n : v.reasons) out += fmt::format("; {}{} ({})", lead(n.code), n.detail, to_string(n.code));
    return out;
  }

  void paragraph(std::string_view text, std::string_view colour) {
    for (const std::string& l : wrap(text, style_.width - 2)) line("  " + painted(l, colour));
  }

  /// As wide as their cells; see `fit`.
  std::vector<Column> server_columns(const BackendReport& b, const Traffic& traffic) const {
    const bool with_haproxy =
        std::ranges::any_of(b.servers, [](const ServerReport& s) { return s.current_weight.has_value(); });
    const ServerReport* leader = leader_of(b);
    const bool with_roles =
        std::ranges::any_of(b.servers, [&](const ServerReport& s) { return !role(s, leader).empty(); });
    std::vector<Column> cols;
    const auto add = [&](std::string_view title, bool right, int rank, auto&& cell) {
      Column& column = cols.emplace_back(Column{std::string(title), right, rank});
      column.cells.reserve(b.servers.size());
      for (const ServerReport& s : b.servers) column.cells.push_back(cell(s, s.decision));
      column.measure();
    };
    using Server = const ServerReport&;
    using Decision = const ServerDecision&;
    const bool wide = style_.width >= 120;
    add("SERVER", false, 0, [](Server s, Decision) { return s.name; });
    add("STATE", false, 0, [](Server, Decision d) { return std::string(to_string(d.state)); });
    if (with_roles) add("ROLE", false, 0, [&](Server s, Decision) { return std::string(role(s, leader)); });
    add("WEIGHT", true, 0, [](Server, Decision d) { return fmt::format("{}", d.weight); });
    if (with_haproxy)
      add("WAS", true, 2,
          [this](Server s, Decision) { return s.current_weight ? fmt::format("{}", *s.current_weight) : none(); });
    add("SHARE", true, 1, [&](Server s, Decision d) {
      // The weight of a backup is a share of nothing while active servers have the traffic.
      const bool waits = is_backup(s) && !traffic.by_backups && d.weight > 0;
      return waits || d.state == State::kDisabled ? none() : fmt::format("{:.0f}%", traffic.part(s) * 100);
    });
    if (wide) add("", false, 6, [&](Server s, Decision) { return bar(traffic.part(s)); });
    add("LATENCY", true, 0, [this](Server, Decision d) { return d.latency ? latency_text(*d.latency) : none(); });
    add("BLOCK", true, 4, [this](Server, Decision d) { return d.head ? fmt::format("{}", d.head->number) : none(); });
    add("LAG", true, 0,
        [this](Server, Decision d) { return d.lag_blocks ? fmt::format("{}", *d.lag_blocks) : none(); });
    add("AGE", true, 3, [this](Server, Decision d) { return d.head_age ? span_text(*d.head_age) : none(); });
    if (wide)
      add("SCORE", true, 5,
          [this](Server, Decision d) { return d.score > 0 ? fmt::format("{:.4g}", d.score) : none(); });
    return cols;
  }

  void rows(const BackendReport& b, const Traffic& traffic) {
    std::vector<Column> cols = server_columns(b, traffic);
    fit(cols);
    const std::size_t used = total_width(cols);
    constexpr std::size_t kReadableReason = 30;
    const bool reasons_beside = used + 2 + kReadableReason <= style_.width;
    const std::size_t indent = reasons_beside ? used + 2 : 6;

    std::string header;
    for (const Column& c : cols) header += "  " + aligned(c.title, c);
    const bool any_reason =
        std::ranges::any_of(b.servers, [this](const ServerReport& s) { return !sentences(s).empty(); });
    if (reasons_beside && any_reason) header += "  WHY";
    while (header.ends_with(' ')) header.pop_back();
    line(painted(header, "2"));

    for (std::size_t r = 0; r < b.servers.size(); ++r) {
      const ServerDecision& d = b.servers[r].decision;
      std::string row;
      for (std::size_t c = 0; c < cols.size(); ++c) {
        const std::string cell = aligned(cols[c].cells[r], cols[c]);
        row += "  " + (c == 1 ? painted(cell, colour_of(d.state)) : cell);
      }
      const std::vector<std::string> why = wrapped(sentences(b.servers[r]), style_.width - indent);
      if (why.empty() || !reasons_beside) line(row);
      for (std::size_t i = 0; i < why.size(); ++i) {
        if (reasons_beside)
          line((i == 0 ? row + "  " : spaces(indent)) + why[i]);
        else
          line("    " + std::string(i == 0 ? glyph("└ ", "\\ ") : "  ") + painted(why[i], colour_of(d.state)));
      }
    }
  }

  /// A sentence's second line stands further in than the next sentence.
  static std::vector<std::string> wrapped(const std::vector<std::string>& sentences, std::size_t width) {
    constexpr std::size_t kFurther = 2;
    std::vector<std::string> out;
    for (const std::string& sentence : sentences) {
      const bool fits = columns_of(sentence) <= width;
      const std::size_t first = out.size();
      for (std::string& l : wrap(sentence, fits ? width : width - kFurther))
        out.push_back(out.size() == first ? std::move(l) : spaces(kFurther) + l);
    }
    return out;
  }

  /// Why a server is not plainly healthy, and what else keeps its share down.
  std::vector<std::string> sentences(const ServerReport& s) const {
    const ServerDecision& d = s.decision;
    std::vector<std::string> out;
    for (std::size_t i = 0; i < d.reasons.size(); ++i) {
      const ReasonNote& n = d.reasons[i];
      // The column ROLE and the heading have said who leads, but not that a tier waits.
      if (n.code == Reason::kStandby && !is_backup(s) && !n.detail.starts_with("tier ")) continue;
      out.push_back(fmt::format("{}{} ({}{})", lead(n.code), n.detail, to_string(n.code), factors(d, i)));
    }
    if (d.state == State::kDisabled)
      out.push_back(fmt::format("taken out in HAProxy{}", s.admin_state.empty() ? "" : " (" + s.admin_state + ")"));
    if (std::string slow = slowness_text(d); !slow.empty()) out.push_back(std::move(slow));
    constexpr double kWorthTelling = 0.005;
    if (const double errors = d.inputs.error_rate.value_or(0); errors >= kWorthTelling)
      out.push_back(fmt::format("recent failures: an error rate of {:.1f} % (score{})", errors * 100,
                                times(1.0 / (1.0 + constants::kErrorWeight * errors))));
    if (d.inputs.limited_by == "growth") out.emplace_back("its share is still growing");
    if (d.inputs.limited_by == "max_rate") out.emplace_back("its share is what its max_rate allows");
    if (d.inputs.limited_by == "quota") out.emplace_back("its share is what its quota carries");
    if (d.inputs.limited_by == "identity")
      out.emplace_back("its share does not grow until it tells its chain id again");
    if (d.inputs.limited_by == "exposure")
      out.emplace_back("its share is kept down while another server is out or has just returned");
    if (d.inputs.limited_by == "max_share") out.emplace_back("max_share keeps its share down");
    return out;
  }

  std::string times(double factor) const { return fmt::format(" {} {:.2g}", glyph("×", "x"), factor); }

  /// What a reason does to the score, such as " × 0.25"; empty: nothing, or it is the end of the score.
  std::string factors(const ServerDecision& d, std::size_t reason) const {
    if (d.state == State::kEjected) return "";
    double product = 1;
    // One doubt, however many failures.
    if (reason == 0) product *= d.inputs.failure_penalty;
    switch (d.reasons[reason].code) {
      case Reason::kRateLimited:
        product *= d.inputs.rate_limit_factor;
        break;
      case Reason::kBlockLag:
        product *= d.inputs.freshness.value_or(1.0);
        break;
      case Reason::kTooFewPeers:
        product *= d.inputs.peers_factor;
        break;
      case Reason::kWarmingUp:
        product *= d.inputs.ramp;
        break;
      default:
        break;
    }
    return product < 1 ? ", score" + times(product) : "";
  }

  /// Drops columns and shortens names until the rows fit.
  void fit(std::vector<Column>& cols) const {
    constexpr std::size_t kReadableName = 16;
    const std::size_t longest = cols.front().width;
    const std::size_t spare = longest - std::min(longest, kReadableName);
    while (total_width(cols) > style_.width + spare) {
      const auto least = std::ranges::max_element(cols, {}, &Column::rank);
      if (least->rank == 0) break;
      cols.erase(least);
    }
    const std::size_t used = total_width(cols);
    constexpr std::size_t kLeast = 8;
    if (used <= style_.width || longest <= kLeast) return;
    const std::size_t keep = longest - std::min(longest - kLeast, used - style_.width);
    for (std::string& cell : cols.front().cells) cell = shortened(cell, keep);
    cols.front().measure();
  }

  /// Names of one vendor differ at the end more often than in the middle.
  std::string shortened(const std::string& name, std::size_t width) const {
    if (columns_of(name) <= width) return name;
    const std::string_view gap = glyph("…", "..");
    const std::size_t kept = width - columns_of(gap);
    const std::size_t tail = kept / 2;
    std::string_view end = name;
    end.remove_prefix(first_columns(name, columns_of(name) - tail).size());
    return first_columns(name, kept - tail) + std::string(gap) + std::string(end);
  }

  static std::string aligned(std::string_view text, const Column& column) {
    const std::size_t pad = column.width - std::min(column.width, columns_of(text));
    return column.right ? spaces(pad) + std::string(text) : std::string(text) + spaces(pad);
  }

  void endpoint(const EndpointReport& e) {
    std::string text = fmt::format("HAProxy {}", e.endpoint);
    if (e.reachable)
      text += fmt::format(": {}, pid {}, {} {}", e.version, e.pid, counted(e.changed, "weight"),
                          report_.dry_run != DryRun::kNone ? "would change (nothing was sent)" : "set");
    else
      text += ": not reached";
    for (const std::string& l : wrap(text, style_.width)) line(l);
    for (const std::string& error : e.errors) paragraph(error, "31");
  }

  const Report& report_;
  TableStyle style_;
  std::string out_;
};

}  // namespace

std::string render_table(const Report& report, const TableStyle& style) {
  return Table(report, style).run();
}

}  // namespace rpcw::observe
