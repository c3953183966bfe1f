#include "haproxy/replies.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <deque>
#include <limits>

#include "haproxy/protocol.hpp"

namespace rpcw::haproxy {
namespace {

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

}  // namespace

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
  need(pid.value_or(0) > 0, "Pid");
  need(uptime.value_or(-1) >= 0, "Uptime_sec");
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
