#include "haproxy/protocol.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <deque>
#include <limits>
#include <stdexcept>

namespace rpcw::haproxy {
namespace {

constexpr std::size_t kMaxName = 1000;
constexpr std::size_t kMaxWords = 200;
constexpr unsigned kMaxWeight = 256;

template <class T>
std::optional<T> number(std::string_view text) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

bool has_control(std::string_view text) {
  return std::ranges::any_of(text, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
}

/// Takes the next line off `text`, without its end (LF or CR LF).
std::string_view next_line(std::string_view& text) {
  const auto end = text.find('\n');
  auto line = text.substr(0, end);
  text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  if (line.ends_with('\r')) line.remove_suffix(1);
  return line;
}

/// Length of the prefix that `severity-output number` ("[3]: ") or `string` ("[err]: ") puts before a message; 0: none.
/// A line of the prefix alone keeps it: an empty line would mean the end of the reply.
std::size_t severity_prefix(std::string_view line) {
  if (!line.starts_with('[')) return 0;
  const auto end = line.find("]: ");
  if (end == std::string_view::npos || end + 3 >= line.size()) return 0;
  static constexpr std::array<std::string_view, 8> kLevels{"emerg",   "alert",  "crit", "err",
                                                           "warning", "notice", "info", "debug"};
  const auto level = line.substr(1, end - 1);
  const bool known = number<unsigned>(level).has_value() || std::ranges::find(kLevels, level) != kLevels.end();
  return known ? end + 3 : 0;
}

std::string weight_command(std::string_view backend, std::string_view server, unsigned weight, std::string_view unit) {
  if (!valid_name(backend) || !valid_name(server)) {
    throw std::invalid_argument("not a name HAProxy can have: " + presentable(backend) + "/" + presentable(server));
  }
  std::string command;
  command.reserve(backend.size() + server.size() + 18);
  command.append("set weight ").append(backend).append("/").append(server).append(" ");
  command.append(std::to_string(weight)).append(unit);
  return command;
}

}  // namespace

std::vector<Line> pack(std::span<const std::string> commands, std::size_t max_line, std::string_view prefix) {
  std::vector<Line> lines;
  for (const auto& command : commands) {
    if (command.empty() || command.find_first_of(std::string_view("\n\r;\0", 4)) != std::string::npos) {
      throw std::invalid_argument("not one command: " + presentable(command));
    }
    const auto size = prefix.size() + command.size() + 1;  // with the separator or line end that follows it
    if (size > max_line) throw std::invalid_argument("command too long: " + presentable(command));
    if (lines.empty() || lines.back().text.size() + size > max_line) {
      lines.emplace_back().text.reserve(max_line);
    } else {
      lines.back().text.back() = ';';
    }
    auto& line = lines.back();
    line.text.append(prefix).append(command).push_back('\n');
    ++line.replies;
  }
  return lines;
}

void ReplyReader::reset(std::size_t expected, std::size_t max_bytes) {
  used_ = line_ = scanned_ = removed_ = 0;
  ends_.clear();
  expected_ = expected;
  max_bytes_ = max_bytes;
  state_ = expected == 0 ? State::kFinished : State::kMore;
}

std::span<char> ReplyReader::prepare(std::size_t at_least) {
  // Removed prefixes count too: a hostile peer could send nothing else.
  const auto limit = max_bytes_ - removed_;
  const auto wanted = std::min(used_ + at_least, limit);
  if (buffer_.size() < wanted) buffer_.resize(std::min(std::max(wanted, buffer_.size() * 2), limit));
  // A buffer kept from a larger exchange does not widen the limit of this one.
  const auto end = std::min(buffer_.size(), limit);
  return {buffer_.data() + used_, end > used_ ? end - used_ : 0};
}

ReplyReader::State ReplyReader::commit(std::size_t bytes) {
  used_ += bytes;
  // Lines move down over the prefixes that were removed from lines before them.
  std::size_t kept = line_;
  std::size_t line = line_;
  const auto keep = [&](std::size_t begin, std::size_t end) {
    if (kept != begin) std::memmove(buffer_.data() + kept, buffer_.data() + begin, end - begin);
    kept += end - begin;
  };
  while (state_ == State::kMore) {
    const auto* found = std::memchr(buffer_.data() + scanned_, '\n', used_ - scanned_);
    if (found == nullptr) {
      scanned_ = used_;
      break;
    }
    const auto at = static_cast<std::size_t>(static_cast<const char*>(found) - buffer_.data());
    if (at == line) {
      ends_.push_back(kept);
      if (ends_.size() == expected_) state_ = State::kFinished;
    }
    const auto prefix = severity_prefix({buffer_.data() + line, at - line});
    removed_ += prefix;
    keep(line + prefix, at + 1);
    line = scanned_ = at + 1;
  }
  line_ = kept;
  scanned_ -= line - kept;
  keep(line, used_);
  used_ = kept;
  if (state_ == State::kMore && used_ + removed_ >= max_bytes_) state_ = State::kTooLarge;
  return state_;
}

ReplyReader::State ReplyReader::feed(std::string_view bytes) {
  while (!bytes.empty() && state_ == State::kMore) {
    const auto room = prepare(bytes.size());
    const auto count = std::min(room.size(), bytes.size());
    std::memcpy(room.data(), bytes.data(), count);
    bytes.remove_prefix(count);
    commit(count);
  }
  return state_;
}

std::string_view ReplyReader::reply(std::size_t index) const {
  const auto begin = index == 0 ? 0 : ends_.at(index - 1) + 1;
  std::string_view text(buffer_.data() + begin, ends_.at(index) - begin);
  if (text.ends_with('\n')) text.remove_suffix(1);
  return text;
}

std::string_view ReplyReader::rest() const {
  const auto begin = ends_.empty() ? 0 : ends_.back() + 1;
  return {buffer_.data() + begin, used_ - begin};
}

bool valid_name(std::string_view name) {
  return !name.empty() && name.size() <= kMaxName && std::ranges::all_of(name, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '.' ||
           c == ':' || c == '-';
  });
}

std::string set_weight_command(std::string_view backend, std::string_view server, unsigned weight) {
  if (weight > kMaxWeight) throw std::invalid_argument("weight above 256: " + std::to_string(weight));
  return weight_command(backend, server, weight, "");
}

std::string set_weight_percent_command(std::string_view backend, std::string_view server, unsigned percent) {
  if (percent > 100) throw std::invalid_argument("weight above 100%: " + std::to_string(percent));
  return weight_command(backend, server, percent, "%");
}

std::string set_state_command(std::string_view backend, std::string_view server, bool drain) {
  if (!valid_name(backend) || !valid_name(server))
    throw std::invalid_argument("not a name HAProxy can have: " + presentable(backend) + "/" + presentable(server));
  return "set server " + std::string(backend) + "/" + std::string(server) + " state " + (drain ? "drain" : "ready");
}

std::string release_command(const ReleaseCommand& command) {
  if (!valid_name(command.backend) || !valid_name(command.server))
    throw std::invalid_argument("not a name HAProxy can have: " + presentable(command.backend) + "/" +
                                presentable(command.server));
  if (command.kind == ReleaseCommand::Kind::kShutdownSessions)
    return "shutdown sessions server " + command.backend + "/" + command.server;
  if (command.sid == 0) throw std::invalid_argument("HAProxy does not show the server's number");
  return "clear table " + command.backend + " data.server_id eq " + std::to_string(command.sid);
}

namespace {

constexpr std::string_view kStaticWords = "Backend is using a static LB algorithm";

}  // namespace

Verdict classify_set_weight(std::string_view reply) {
  if (reply.empty()) return {};
  struct Known {
    std::string_view words;
    Refusal refusal;
  };
  static constexpr std::array kKnown{
      Known{"No such backend", Refusal::kNoSuchBackend},
      Known{"No such server", Refusal::kNoSuchServer},
      Known{kStaticWords, Refusal::kStaticAlgorithm},
      Known{"Permission denied", Refusal::kPermissionDenied},
      Known{"Absolute weight can only be", Refusal::kBadWeight},
      Known{"Relative weight", Refusal::kBadWeight},
      Known{"Empty weight string", Refusal::kBadWeight},
      Known{"Trailing garbage in weight string", Refusal::kBadWeight},
      Known{"Require <weight>", Refusal::kBadWeight},
      Known{"Proxy is disabled", Refusal::kDisabled},
  };
  Verdict verdict{.refusal = Refusal::kOther, .words = presentable(reply)};
  for (const auto& known : kKnown) {
    if (verdict.words.starts_with(known.words)) verdict.refusal = known.refusal;
  }
  if (verdict.words.empty()) verdict.words = "an answer of blanks";
  return verdict;
}

bool line_too_big(std::string_view reply) {
  return reply.starts_with("The command line is too big for the buffer");
}

std::string presentable(std::string_view text) {
  const auto begin = text.find_first_not_of(" \t\r\n");
  if (begin == std::string_view::npos) return {};
  text = text.substr(begin, text.find_last_not_of(" \t\r\n") - begin + 1);
  const bool cut = text.size() > kMaxWords;
  std::string result(text.substr(0, cut ? kMaxWords - 3 : text.size()));
  for (auto& c : result) {
    if (c == '\n' || c == '\r' || c == '\t') c = ' ';
    if (c < 0x20 || c > 0x7e) c = '?';
  }
  if (cut) result += "...";
  return result;
}

std::expected<Info, std::string> parse_info(std::string_view reply) {
  Info info;
  std::optional<std::int64_t> pid;
  std::optional<std::int64_t> uptime;
  for (auto text = reply; !text.empty();) {
    const auto line = next_line(text);
    const auto colon = line.find(": ");
    if (colon == std::string_view::npos) continue;
    const auto key = line.substr(0, colon);
    const auto value = line.substr(colon + 2);
    if (key == "Version") info.version = presentable(value);
    if (key == "Pid") pid = number<std::int64_t>(value);
    if (key == "Uptime_sec") uptime = number<std::int64_t>(value);
  }
  std::string missing;
  const auto need = [&missing](bool there, std::string_view what) {
    if (!there) missing.append(missing.empty() ? "" : ", ").append(what);
  };
  need(!info.version.empty(), "Version");
  need(pid && *pid > 0, "Pid");
  need(uptime && *uptime >= 0, "Uptime_sec");
  if (!missing.empty()) {
    return std::unexpected("`show info` lacks " + missing + "; it begins with \"" +
                           presentable(reply.substr(0, reply.find('\n'))) + "\"");
  }
  info.pid = *pid;
  info.uptime = std::chrono::seconds(*uptime);
  return info;
}

std::optional<std::int64_t> parse_worker(std::string_view reply) {
  // "# workers", then a line for each: pid, type and more, in columns. Those of before a reload come after another "#".
  const auto blank = " \t";
  bool in_section = false;
  for (auto text = reply; !text.empty();) {
    auto line = next_line(text);
    if (line.starts_with('#')) {
      in_section = line.starts_with("# workers");
      continue;
    }
    if (!in_section) continue;
    const auto pid = line.substr(0, line.find_first_of(blank));
    line.remove_prefix(std::min(line.find_first_not_of(blank, pid.size()), line.size()));
    if (line.starts_with("worker")) return number<std::int64_t>(pid);
  }
  return std::nullopt;
}

namespace {

/// A column of `show stat` that we want, and where its value goes.
struct Column {
  std::string_view name;
  bool required;
  std::string_view StatRow::*text;
  std::optional<std::uint64_t> StatRow::*value;
  std::optional<std::uint64_t> Counters::*counter;
};

constexpr Column text_column(std::string_view name, bool required, std::string_view StatRow::*field) {
  return {name, required, field, nullptr, nullptr};
}
constexpr Column value_column(std::string_view name, std::optional<std::uint64_t> StatRow::*field,
                              bool required = true) {
  return {name, required, nullptr, field, nullptr};
}
constexpr Column counter_column(std::string_view name, std::optional<std::uint64_t> Counters::*field) {
  return {name, false, nullptr, nullptr, field};
}

constexpr std::array kColumns{
    text_column("pxname", true, &StatRow::pxname),
    text_column("svname", true, &StatRow::svname),
    text_column("status", true, &StatRow::status),
    text_column("addr", false, &StatRow::addr),
    text_column("algo", false, &StatRow::algo),
    text_column("mode", false, &StatRow::mode),
    text_column("check_status", false, &StatRow::check_status),
    text_column("agent_status", false, &StatRow::agent_status),
    text_column("last_agt", false, &StatRow::last_agt),
    text_column("tracked", false, &StatRow::tracked),
    text_column("cookie", false, &StatRow::cookie),
    value_column("iid", &StatRow::iid),
    value_column("sid", &StatRow::sid, false),
    value_column("weight", &StatRow::weight),
    value_column("uweight", &StatRow::uweight),
    value_column("act", &StatRow::act),
    value_column("bck", &StatRow::bck),
    value_column("throttle", &StatRow::throttle, false),
    counter_column("econ", &Counters::econ),
    counter_column("eresp", &Counters::eresp),
    counter_column("hrsp_1xx", &Counters::hrsp_1xx),
    counter_column("hrsp_2xx", &Counters::hrsp_2xx),
    counter_column("hrsp_3xx", &Counters::hrsp_3xx),
    counter_column("hrsp_4xx", &Counters::hrsp_4xx),
    counter_column("hrsp_5xx", &Counters::hrsp_5xx),
    counter_column("hrsp_other", &Counters::hrsp_other),
    counter_column("lbtot", &Counters::lbtot),
    counter_column("stot", &Counters::stot),
    counter_column("wretr", &Counters::wretr),
    counter_column("wredis", &Counters::wredis),
    counter_column("cli_abrt", &Counters::cli_abrt),
    counter_column("bout", &Counters::bout),
    counter_column("rtime", &Counters::rtime),
    counter_column("qtime", &Counters::qtime),
    counter_column("qcur", &Counters::qcur),
    counter_column("scur", &Counters::scur),
    // No field: its value is the row's type.
    Column{"type", true, nullptr, nullptr, nullptr},
};

constexpr std::uint8_t kNotWanted = std::numeric_limits<std::uint8_t>::max();
static_assert(kColumns.size() < kNotWanted);

std::unexpected<std::string> stat_error(std::size_t line, std::string_view what) {
  return std::unexpected("`show stat`, line " + std::to_string(line) + ": " + std::string(what));
}

struct Header {
  /// Which wanted column each one is.
  std::vector<std::uint8_t> columns;
  /// Lines end in a comma, so that a row without one is cut short.
  bool comma_ends_line = false;
};

std::expected<Header, std::string> read_header(std::string_view line) {
  if (!line.starts_with("# ")) {
    return stat_error(1, "no header that begins with \"# \" but \"" + presentable(line.substr(0, 400)) + "\"");
  }
  line.remove_prefix(2);
  Header out;
  out.comma_ends_line = line.ends_with(',');
  if (out.comma_ends_line) line.remove_suffix(1);
  std::vector<std::uint8_t>& columns = out.columns;
  std::array<bool, kColumns.size()> seen{};
  while (true) {
    const auto comma = line.find(',');
    const auto name = line.substr(0, comma);
    auto wanted = kNotWanted;
    for (std::size_t i = 0; i < kColumns.size(); ++i) {
      if (kColumns[i].name == name && !seen[i]) {
        seen[i] = true;
        wanted = static_cast<std::uint8_t>(i);
      }
    }
    columns.push_back(wanted);
    if (comma == std::string_view::npos) break;
    line.remove_prefix(comma + 1);
  }
  for (std::size_t i = 0; i < kColumns.size(); ++i) {
    if (kColumns[i].required && !seen[i]) return stat_error(1, "no column " + std::string(kColumns[i].name));
  }
  return out;
}

/// A quoted field; `at` is behind its opening quote and ends behind the closing one. False: there is none.
bool read_quoted(std::string_view text, std::size_t& at, std::string_view& field, std::deque<std::string>& unescaped) {
  const auto begin = at;
  bool doubled = false;
  while (true) {
    const auto quote = text.find('"', at);
    if (quote == std::string_view::npos) return false;
    at = quote + 1;
    if (at >= text.size() || text[at] != '"') {
      field = text.substr(begin, quote - begin);
      break;
    }
    doubled = true;
    ++at;
  }
  if (doubled) {
    auto& plain = unescaped.emplace_back();
    for (std::size_t i = 0; i < field.size(); ++i) {
      plain.push_back(field[i]);
      if (field[i] == '"') ++i;
    }
    field = plain;
  }
  return true;
}

/// Empty: stored. Otherwise what is wrong with it.
std::string_view store(const Column& column, std::string_view field, StatRow& row) {
  if (column.text != nullptr) {
    // The agent's own words may be anything.
    if (has_control(field) && column.text != &StatRow::last_agt) return "control characters";
    row.*column.text = field;
    return {};
  }
  if (column.value == nullptr && column.counter == nullptr) {
    const auto type = number<unsigned>(field);
    if (!type || *type > 3) return "not a row type";
    row.type = static_cast<StatRow::Type>(*type);
    return {};
  }
  std::optional<std::uint64_t> value;
  if (!field.empty()) {
    value = number<std::uint64_t>(field);
    if (!value) return "not a whole number";
  }
  if (column.value != nullptr) {
    row.*column.value = value;
  } else {
    row.counters.*column.counter = value;
  }
  return {};
}

}  // namespace

std::expected<void, std::string> parse_stat(std::string_view reply, const std::function<void(const StatRow&)>& on_row) {
  auto text = reply;
  const auto header = read_header(next_line(text));
  if (!header) return std::unexpected(header.error());
  const std::vector<std::uint8_t>& columns = header->columns;

  std::deque<std::string> unescaped;
  std::size_t at = 0;
  for (std::size_t line = 2; at < text.size(); ++line) {
    StatRow row;
    unescaped.clear();
    std::size_t column = 0;
    bool more = true;
    while (more) {
      std::string_view field;
      if (at < text.size() && text[at] == '"') {
        ++at;
        if (!read_quoted(text, at, field, unescaped)) return stat_error(line, "a quoted field does not end");
        if (at < text.size() && text[at] != ',' && text[at] != '\n')
          return stat_error(line, "text behind a quoted field");
      } else {
        const auto begin = at;
        while (at < text.size() && text[at] != ',' && text[at] != '\n') ++at;
        field = text.substr(begin, at - begin);
      }
      more = at < text.size() && text[at] == ',';
      if (at < text.size()) ++at;
      if (column == columns.size()) {
        // The line ends in a comma, which makes one empty field too many.
        if (more || !field.empty()) return stat_error(line, "more fields than the header has");
        ++column;
        break;
      }
      if (const auto wanted = columns[column]; wanted != kNotWanted) {
        if (const auto wrong = store(kColumns[wanted], field, row); !wrong.empty()) {
          return stat_error(line, "column " + std::string(kColumns[wanted].name) + ": " + std::string(wrong) + ": \"" +
                                      presentable(field) + "\"");
        }
      }
      ++column;
    }
    if (column < columns.size()) {
      return stat_error(line, "only " + std::to_string(column) + " of " + std::to_string(columns.size()) + " fields");
    }
    if (header->comma_ends_line && column == columns.size()) return stat_error(line, "it ends inside its last field");
    on_row(row);
  }
  return {};
}

std::vector<std::string> parse_tables(std::string_view reply) {
  // "# table: rpc, type: ip, size:1024, used:1"
  constexpr std::string_view kBegin = "# table: ";
  std::vector<std::string> out;
  for (auto text = reply; !text.empty();) {
    const auto line = next_line(text);
    if (line.starts_with(kBegin)) out.emplace_back(line.substr(kBegin.size(), line.find(',') - kBegin.size()));
  }
  return out;
}

std::expected<void, std::string> parse_servers_state(std::string_view reply,
                                                     const std::function<void(const ServerState&)>& on_row) {
  enum Wanted : std::uint8_t { kBackend, kName, kAdmin, kUweight, kIweight, kFqdn, kTls, kCount };
  static constexpr std::array<std::string_view, kCount> kNames{
      "be_name", "srv_name", "srv_admin_state", "srv_uweight", "srv_iweight", "srv_fqdn", "srv_use_ssl"};
  const auto error = [](std::size_t line, std::string_view what) {
    return std::unexpected("`show servers state`, line " + std::to_string(line) + ": " + std::string(what));
  };

  auto text = reply;
  if (const auto version = next_line(text); version != "1") {
    return error(1, "format \"" + presentable(version) + "\" instead of 1");
  }
  auto header = next_line(text);
  if (!header.starts_with("# ")) return error(2, "no header that begins with \"# \"");
  header.remove_prefix(2);
  std::array<std::optional<std::size_t>, kCount> position;
  std::size_t columns = 0;
  const auto next_field = [](std::string_view& rest) {
    const auto end = rest.find(' ');
    const auto field = rest.substr(0, end);
    rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
    return field;
  };
  while (!header.empty()) {
    const auto name = next_field(header);
    for (std::size_t i = 0; i < kCount; ++i) {
      if (kNames[i] == name && !position[i]) position[i] = columns;
    }
    ++columns;
  }
  for (const auto required : {kBackend, kName, kAdmin}) {
    if (!position[required]) return error(2, "no column " + std::string(kNames[required]));
  }

  std::array<std::string_view, kCount> fields;
  for (std::size_t line = 3; !text.empty(); ++line) {
    auto row = next_line(text);
    if (row.empty()) continue;
    fields.fill({});
    std::size_t column = 0;
    for (; !row.empty(); ++column) {
      const auto field = next_field(row);
      for (std::size_t i = 0; i < kCount; ++i) {
        if (position[i] == column && field != "-") fields[i] = field;
      }
    }
    for (std::size_t i = 0; i < kCount; ++i) {
      if (position[i] && *position[i] >= column) return error(line, "no field " + std::string(kNames[i]));
      if (has_control(fields[i])) return error(line, "column " + std::string(kNames[i]) + ": control characters");
    }
    ServerState state{.backend = fields[kBackend],
                      .name = fields[kName],
                      .admin_state = number<unsigned>(fields[kAdmin]),
                      .uweight = number<unsigned>(fields[kUweight]),
                      .iweight = number<unsigned>(fields[kIweight]),
                      .fqdn = fields[kFqdn],
                      .use_ssl = number<unsigned>(fields[kTls])};
    if (!state.admin_state)
      return error(line, "srv_admin_state: not a number: \"" + presentable(fields[kAdmin]) + "\"");
    on_row(state);
  }
  return {};
}

namespace {

/// About how many rows of one proxy `text` begins with, at most some ten thousand: a hostile peer must not make us
/// reserve more.
std::size_t rows_of(std::string_view proxy, std::string_view text) {
  constexpr std::size_t kMost = 65'536;
  std::size_t rows = 0;
  while (rows < kMost && text.starts_with(proxy) && text.substr(proxy.size()).starts_with(',')) {
    next_line(text);
    ++rows;
  }
  return rows;
}

}  // namespace

std::expected<void, std::string> add_stat(std::string_view reply, std::vector<BackendRow>& out) {
  std::string wrong;
  // A backend's servers come before its own row, and backends follow one another.
  std::optional<std::size_t> current;
  const auto first = out.size();
  const auto backend_of = [&](std::string_view name) -> BackendRow& {
    if (!current || out[*current].name != name) {
      current.reset();
      for (auto i = first; i < out.size(); ++i) {
        if (out[i].name == name) current = i;
      }
      if (!current) {
        current = out.size();
        auto& added = out.emplace_back();
        added.name = name;
        // Thousands of rows are not to be moved again and again as the list grows.
        const std::less<> before;
        if (!before(name.data(), reply.data()) && before(name.data(), reply.data() + reply.size()))
          added.servers.reserve(rows_of(name, {name.data(), reply.data() + reply.size()}));
      }
    }
    return out[*current];
  };
  const auto result = parse_stat(reply, [&](const StatRow& row) {
    if (row.type != StatRow::Type::kBackend && row.type != StatRow::Type::kServer) return;
    if (row.pxname.empty() || row.svname.empty()) {
      if (wrong.empty()) wrong = "`show stat`: a row without a name";
      return;
    }
    auto& backend = backend_of(row.pxname);
    if (row.iid && *row.iid <= std::numeric_limits<unsigned>::max()) backend.iid = static_cast<unsigned>(*row.iid);
    if (row.type == StatRow::Type::kBackend) {
      backend.algo = row.algo;
      backend.mode = row.mode;
      backend.cookie = row.cookie;
      backend.status = row.status;
      backend.counters = row.counters;
      return;
    }
    if (!row.uweight || *row.uweight > kMaxWeight || !row.weight ||
        *row.weight > std::numeric_limits<unsigned>::max()) {
      if (wrong.empty()) {
        wrong =
            "`show stat`: server " + presentable(row.pxname) + "/" + presentable(row.svname) + " has no usable weight";
      }
      return;
    }
    auto& server = backend.servers.emplace_back();
    server.backend = row.pxname;
    server.name = row.svname;
    if (row.sid && *row.sid <= std::numeric_limits<unsigned>::max()) server.sid = static_cast<unsigned>(*row.sid);
    server.addr = row.addr;
    server.status = row.status;
    server.uweight = static_cast<unsigned>(*row.uweight);
    server.weight = static_cast<unsigned>(*row.weight);
    server.active = row.act.value_or(0) != 0;
    server.backup = row.bck.value_or(0) != 0;
    server.check_status = row.check_status;
    server.agent_status = row.agent_status;
    if (row.last_agt.find(kStaticWords) != std::string_view::npos) backend.agent_refused = true;
    server.tracked = row.tracked;
    if (row.throttle && *row.throttle < 100) server.throttle = static_cast<unsigned>(*row.throttle);
    server.counters = row.counters;
  });
  for (auto i = first; i < out.size(); ++i) out[i].index();
  if (!result) return result;
  if (!wrong.empty()) return std::unexpected(wrong);
  return {};
}

std::expected<void, std::string> add_servers_state(std::string_view reply, std::vector<BackendRow>& out) {
  BackendRow* backend = nullptr;
  return parse_servers_state(reply, [&](const ServerState& state) {
    if (backend == nullptr || backend->name != state.backend) {
      const auto found = std::ranges::find(out, state.backend, &BackendRow::name);
      backend = found == out.end() ? nullptr : &*found;
    }
    auto* server = backend == nullptr ? nullptr : backend->server(state.name);
    if (server == nullptr) return;
    server->admin_state = state.admin_state;
    server->iweight = state.iweight;
    server->fqdn = state.fqdn;
    server->tls = state.use_ssl.value_or(0) != 0;
  });
}

}  // namespace rpcw::haproxy
