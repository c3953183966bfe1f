#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>

#include "observe/render.hpp"

namespace rpcw::observe {
namespace {

/// Terminal columns of a text: code points, as nothing here is wider than one column.
std::size_t columns(std::string_view text) {
  return static_cast<std::size_t>(
      std::ranges::count_if(text, [](char c) { return (static_cast<unsigned char>(c) & 0xC0U) != 0x80U; }));
}

std::string first_columns(std::string_view text, std::size_t n) {
  std::size_t at = 0;
  while (at < text.size()) {
    const bool starts = (static_cast<unsigned char>(text[at]) & 0xC0U) != 0x80U;
    if (starts && n-- == 0) break;
    ++at;
  }
  return std::string(text.substr(0, at));
}

std::string spaces(std::size_t n) { return std::string(n, ' '); }

struct Column {
  std::string title;
  bool right = false;
  std::vector<std::string> cells;

  [[nodiscard]] std::size_t width() const {
    std::size_t w = columns(title);
    for (const std::string& c : cells) w = std::max(w, columns(c));
    return w;
  }
};

/// Breaks a sentence into lines of at most `width` columns.
std::vector<std::string> wrap(std::string_view text, std::size_t width) {
  std::vector<std::string> lines(1);
  while (!text.empty()) {
    const std::size_t end = std::min(text.find(' '), text.size());
    std::string word(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
    const std::size_t used = columns(lines.back());
    if (used > 0 && used + 1 + columns(word) > width) lines.emplace_back();
    while (columns(word) > width) {
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
    if (ms < 10'000) return fmt::format("{:.0f} ms", ms);
    return fmt::format("{:.0f} s", ms / 1000.0);
  }

  std::string bar(double part) const {
    constexpr int kCells = 10;
    if (!style_.utf8) return std::string(static_cast<std::size_t>(std::clamp<long>(std::lround(part * kCells), 0, kCells)), '#');
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
    if (!b.algorithm.empty()) head += fmt::format("{}{}", dot, b.algorithm);
    if (b.head) head += fmt::format("{}head {}", dot, b.head->number);
    const auto heading = wrap(head, style_.width - std::min<std::size_t>(columns(b.name) + 2, style_.width / 2));
    line(painted(b.name, "1") + "  " + heading.front());
    for (std::size_t i = 1; i < heading.size(); ++i) line(spaces(columns(b.name) + 2) + heading[i]);
    if (b.fallback)
      paragraph(*b.fallback == config::Fallback::kEqual
                    ? "Fewer than min_healthy servers are healthy: all get the same weight."
                    : "Fewer than min_healthy servers are healthy: the last weights are kept.",
                "33");
    rows(b);
    for (const BackendNote& n : b.notes) paragraph(fmt::format("{}: {}", n.code, n.detail), "");
    out_ += '\n';
  }

  void paragraph(std::string_view text, std::string_view colour) {
    for (const std::string& l : wrap(text, style_.width - 2)) line("  " + painted(l, colour));
  }

  void rows(const BackendReport& b) {
    const bool with_haproxy =
        std::ranges::any_of(b.servers, [](const ServerReport& s) { return s.current_weight.has_value(); });
    unsigned sum = 0;
    for (const ServerReport& s : b.servers)
      if (s.decision.state != State::kDisabled) sum += s.decision.weight;

    std::vector<Column> cols{{"SERVER", false, {}}, {"STATE", false, {}}, {"WEIGHT", true, {}}};
    if (with_haproxy) cols.push_back({"WAS", true, {}});
    const bool wide = style_.width >= 120;
    cols.push_back({"SHARE", true, {}});
    if (wide) cols.push_back({"", false, {}});
    cols.push_back({"LATENCY", true, {}});
    cols.push_back({"BLOCK", true, {}});
    cols.push_back({"LAG", true, {}});
    cols.push_back({"AGE", true, {}});
    if (wide) cols.push_back({"SCORE", true, {}});

    for (const ServerReport& s : b.servers) {
      const ServerDecision& d = s.decision;
      const double part = sum > 0 && d.state != State::kDisabled ? static_cast<double>(d.weight) / sum : 0.0;
      std::size_t c = 0;
      const auto put = [&](std::string text) { cols[c++].cells.push_back(std::move(text)); };
      put(s.name);
      put(std::string(to_string(d.state)));
      put(fmt::format("{}", d.weight));
      if (with_haproxy) put(s.current_weight ? fmt::format("{}", *s.current_weight) : none());
      put(d.state == State::kDisabled ? none() : fmt::format("{:.0f}%", part * 100));
      if (wide) put(bar(part));
      put(d.latency ? latency_text(*d.latency) : none());
      put(d.head ? fmt::format("{}", d.head->number) : none());
      put(d.lag_blocks ? fmt::format("{}", *d.lag_blocks) : none());
      put(d.head_age ? span_text(*d.head_age) : none());
      if (wide) put(d.score > 0 ? fmt::format("{:.4g}", d.score) : none());
    }

    std::size_t used = 0;
    for (const Column& c : cols) used += 2 + c.width();
    // A very long server name must not push the numbers out of the window.
    if (used > style_.width) {
      Column& names = cols.front();
      const std::size_t over = used - style_.width;
      const std::size_t keep = names.width() > over + 8 ? names.width() - over : 8;
      for (std::string& cell : names.cells)
        if (columns(cell) > keep) cell = first_columns(cell, keep - glyph("…", "..").size() / (style_.utf8 ? 3 : 1)) +
                                         std::string(glyph("…", ".."));
      used = 0;
      for (const Column& c : cols) used += 2 + c.width();
    }
    constexpr std::size_t kReadableReason = 30;
    const bool reasons_beside = used + 2 + kReadableReason <= style_.width;

    std::string header;
    for (const Column& c : cols) header += "  " + aligned(c.title, c);
    const bool any_reason =
        std::ranges::any_of(b.servers, [](const ServerReport& s) { return !s.decision.reasons.empty(); });
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
      std::string why;
      for (const ReasonNote& n : d.reasons)
        why += fmt::format("{}{}: {}", why.empty() ? "" : "; ", to_string(n.code), n.detail);
      if (why.empty()) {
        line(row);
      } else if (reasons_beside) {
        const auto lines = wrap(why, style_.width - used - 2);
        line(row + "  " + lines.front());
        for (std::size_t i = 1; i < lines.size(); ++i) line(spaces(used + 2) + lines[i]);
      } else {
        line(row);
        const std::string_view hook = glyph("└ ", "\\ ");
        const auto lines = wrap(why, style_.width - 6);
        for (std::size_t i = 0; i < lines.size(); ++i)
          line("    " + (i == 0 ? std::string(hook) : spaces(2)) + painted(lines[i], colour_of(d.state)));
      }
    }
  }

  static std::string aligned(std::string_view text, const Column& column) {
    const std::size_t pad = column.width() - std::min(column.width(), columns(text));
    return column.right ? spaces(pad) + std::string(text) : std::string(text) + spaces(pad);
  }

  void endpoint(const EndpointReport& e) {
    std::string text = fmt::format("HAProxy {}", e.endpoint);
    if (e.reachable)
      text += fmt::format(": {}, pid {}, {} weight{} {}", e.version, e.pid, e.changed, e.changed == 1 ? "" : "s",
                          report_.dry_run ? "would change (nothing was sent)" : "set");
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

std::string render_table(const Report& report, const TableStyle& style) { return Table(report, style).run(); }

}  // namespace rpcw::observe
