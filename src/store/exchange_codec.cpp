#include "store/exchange_codec.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string_view>
#include <type_traits>
#include <utility>

namespace rpcw::store {
namespace {

using haproxy::BackendRow;
using haproxy::Counters;
using haproxy::Instance;
using haproxy::ServerRow;

// ---- fields and their names; a test of every field fails when one is forgotten

template <typename F>
void each_member(std::type_identity<Counters>, const F& f) {
  f("econ", &Counters::econ);
  f("eresp", &Counters::eresp);
  f("hrsp_1xx", &Counters::hrsp_1xx);
  f("hrsp_2xx", &Counters::hrsp_2xx);
  f("hrsp_3xx", &Counters::hrsp_3xx);
  f("hrsp_4xx", &Counters::hrsp_4xx);
  f("hrsp_5xx", &Counters::hrsp_5xx);
  f("hrsp_other", &Counters::hrsp_other);
  f("lbtot", &Counters::lbtot);
  f("stot", &Counters::stot);
  f("wretr", &Counters::wretr);
  f("wredis", &Counters::wredis);
  f("cli_abrt", &Counters::cli_abrt);
  f("bout", &Counters::bout);
  f("rtime", &Counters::rtime);
  f("qtime", &Counters::qtime);
  f("qcur", &Counters::qcur);
  f("scur", &Counters::scur);
}

template <typename F>
void each_member(std::type_identity<ServerRow>, const F& f) {
  f("backend", &ServerRow::backend);
  f("name", &ServerRow::name);
  f("sid", &ServerRow::sid);
  f("addr", &ServerRow::addr);
  f("status", &ServerRow::status);
  f("uweight", &ServerRow::uweight);
  f("weight", &ServerRow::weight);
  f("active", &ServerRow::active);
  f("backup", &ServerRow::backup);
  f("check_status", &ServerRow::check_status);
  f("agent_status", &ServerRow::agent_status);
  f("tracked", &ServerRow::tracked);
  f("throttle", &ServerRow::throttle);
  f("admin_state", &ServerRow::admin_state);
  f("iweight", &ServerRow::iweight);
  f("fqdn", &ServerRow::fqdn);
  f("tls", &ServerRow::tls);
}

/// But for its servers.
template <typename F>
void each_member(std::type_identity<BackendRow>, const F& f) {
  f("name", &BackendRow::name);
  f("iid", &BackendRow::iid);
  f("algo", &BackendRow::algo);
  f("mode", &BackendRow::mode);
  f("status", &BackendRow::status);
  f("cookie", &BackendRow::cookie);
  f("stick_table", &BackendRow::stick_table);
  f("percent", &BackendRow::percent);
  f("agent_refused", &BackendRow::agent_refused);
}

template <typename F>
void each_member(std::type_identity<Instance>, const F& f) {
  f("version", &Instance::version);
  f("pid", &Instance::pid);
  f("uptime_s", &Instance::uptime);
}

template <typename Row>
constexpr bool kHasCounters = requires(Row row) {
  row.counters;
};

// ---- writing

template <typename T>
void write_value(JsonWriter& out, const T& value) {
  out.value(value);
}
template <typename T>
void write_value(JsonWriter& out, const std::optional<T>& value) {
  if (value)
    out.value(*value);
  else
    out.null();
}

/// Those that differ from `before`; absent ones are null.
template <typename Row>
void write_fields(JsonWriter& out, const Row& row, const Row& before) {
  each_member(std::type_identity<Row>{}, [&](const char* name, auto member) {
    if (row.*member == before.*member) return;
    out.key(name);
    write_value(out, row.*member);
  });
  if constexpr (kHasCounters<Row>) write_fields(out, row.counters, before.counters);
}

template <typename Row>
bool same_fields(const Row& a, const Row& b) {
  bool same = true;
  each_member(std::type_identity<Row>{}, [&](const char*, auto member) { same = same && a.*member == b.*member; });
  if constexpr (kHasCounters<Row>) same = same && same_fields(a.counters, b.counters);
  return same;
}

bool same_names(const Instance& a, const Instance& b) {
  return std::ranges::equal(a.backends, b.backends, [](const BackendRow& x, const BackendRow& y) {
    return x.name == y.name && std::ranges::equal(x.servers, y.servers, {}, &ServerRow::name, &ServerRow::name);
  });
}

void write_changes(JsonWriter& out, const BackendRow& row, const BackendRow& before, bool whole) {
  write_fields(out, row, before);
  out.key("servers");
  out.begin_array();
  for (std::size_t i = 0; i < row.servers.size(); ++i) {
    if (!whole && same_fields(row.servers[i], before.servers[i])) continue;
    out.begin_object();
    out.field("index", static_cast<std::uint64_t>(i));
    write_fields(out, row.servers[i], before.servers[i]);
    out.end_object();
  }
  out.end_array();
}

// ---- reading

void read_value(const JsonField& in, std::string& to) {
  to = in.text();
}
void read_value(const JsonField& in, bool& to) {
  to = in.boolean();
}
template <std::integral T>
void read_value(const JsonField& in, T& to) {
  to = in.integer<T>();
}
void read_value(const JsonField& in, std::chrono::seconds& to) {
  to = in.duration<std::chrono::seconds>();
}
template <typename T>
void read_value(const JsonField& in, std::optional<T>& to) {
  if (in.present())
    read_value(in, to.emplace());
  else
    to.reset();
}

/// Those that are not given keep their value.
template <typename Row>
void read_fields(const JsonField& in, Row& to) {
  each_member(std::type_identity<Row>{}, [&](const char* name, auto member) {
    if (const JsonField field = in[name]; field.given()) read_value(field, to.*member);
  });
  if constexpr (kHasCounters<Row>) read_fields(in, to.counters);
}

/// The element of `to` that `in` names by its index; nullptr: there is none.
template <typename Row>
Row* at_index(const JsonField& in, std::vector<Row>& to) {
  const auto index = in["index"].integer<std::uint64_t>(0, kMostTargets);
  if (index < to.size()) return &to[index];
  in["index"].fail("must be that of one of the read before");
  return nullptr;
}

template <typename Enum>
Enum read_name(const JsonField& in, Enum last) {
  const std::string name = in.text(64);
  for (std::underlying_type_t<Enum> i = 0; i <= static_cast<std::underlying_type_t<Enum>>(last); ++i)
    if (name == to_string(static_cast<Enum>(i))) return static_cast<Enum>(i);
  in.fail("is not known to this version");
  return {};
}

constexpr std::array<std::string_view, 3> kOutcomes{"done", "refused", "unconfirmed"};
constexpr std::array<std::string_view, 4> kEndpoints{"unix", "tcp", "dns", "master"};

/// Its place in the list.
template <std::size_t N>
std::size_t read_word(const JsonField& in, const std::array<std::string_view, N>& words) {
  const auto at = std::ranges::find(words, in.text(64));
  if (at == words.end()) in.fail(fmt::format("must be one of {}", fmt::join(words, ", ")));
  return at == words.end() ? 0 : static_cast<std::size_t>(at - words.begin());
}

}  // namespace

void write_instance(JsonWriter& out, const Instance& instance, const Instance* before) {
  const bool whole = before == nullptr || !same_names(instance, *before);
  out.begin_object();
  if (whole) out.field("whole", true);
  write_fields(out, instance, whole ? Instance{} : *before);
  out.key("backends");
  out.begin_array();
  for (std::size_t b = 0; b < instance.backends.size(); ++b) {
    const BackendRow& row = instance.backends[b];
    BackendRow fresh;
    if (whole) fresh.servers.resize(row.servers.size());
    const BackendRow& was = whole ? fresh : before->backends[b];
    if (!whole && same_fields(row, was) && std::ranges::equal(row.servers, was.servers, same_fields<ServerRow>))
      continue;
    out.begin_object();
    out.field("index", static_cast<std::uint64_t>(b));
    write_changes(out, row, was, whole);
    out.end_object();
  }
  out.end_array();
  out.end_object();
}

std::optional<Instance> read_instance(const JsonField& in, const Instance* before) {
  const bool whole = in["whole"].present() && in["whole"].boolean();
  if (!whole && before == nullptr) return std::nullopt;
  Instance out = whole ? Instance{} : *before;
  read_fields(in, out);
  const JsonField backends = in["backends"];
  const std::size_t count = backends.size(kMostTargets);
  if (whole) out.backends.resize(count);
  for (std::size_t b = 0; b < count; ++b) {
    BackendRow* row = at_index(backends[b], out.backends);
    if (row == nullptr) continue;
    read_fields(backends[b], *row);
    const JsonField servers = backends[b]["servers"];
    const std::size_t listed = servers.size(kMostTargets);
    if (whole) row->servers.resize(listed);
    for (std::size_t i = 0; i < listed; ++i)
      if (ServerRow* server = at_index(servers[i], row->servers)) read_fields(servers[i], *server);
    if (whole) row->index();
  }
  return out;
}

void write(JsonWriter& out, const haproxy::Info& info) {
  out.begin_object();
  out.field("version", info.version);
  out.field("pid", info.pid);
  out.field("uptime_s", info.uptime);
  out.end_object();
}

haproxy::Info read_info(const JsonField& in) {
  return {in["version"].text(), in["pid"].integer<std::int64_t>(), in["uptime_s"].duration<std::chrono::seconds>()};
}

void write(JsonWriter& out, const haproxy::Failure& failure) {
  out.begin_object();
  out.field("error", to_string(failure.code));
  out.field("detail", failure.detail);
  out.end_object();
}

haproxy::Failure read_haproxy_failure(const JsonField& in) {
  return {read_name(in["error"], haproxy::Error::kCancelled), in["detail"].text()};
}

void write(JsonWriter& out, const haproxy::Outcome& outcome) {
  out.begin_object();
  out.field("what", kOutcomes[static_cast<std::size_t>(outcome.kind)]);
  if (outcome.refusal != haproxy::Refusal::kNone) out.field("refusal", to_string(outcome.refusal));
  if (outcome.error) out.field("error", to_string(*outcome.error));
  if (!outcome.detail.empty()) out.field("detail", outcome.detail);
  out.end_object();
}

haproxy::Outcome read_push_outcome(const JsonField& in) {
  haproxy::Outcome out;
  out.kind = static_cast<haproxy::Outcome::Kind>(read_word(in["what"], kOutcomes));
  if (const JsonField refusal = in["refusal"]; refusal.present())
    out.refusal = read_name(refusal, haproxy::Refusal::kOther);
  if (const JsonField error = in["error"]; error.present()) out.error = read_name(error, haproxy::Error::kCancelled);
  if (const JsonField detail = in["detail"]; detail.present()) out.detail = detail.text();
  return out;
}

void write(JsonWriter& out, const config::Endpoint& endpoint) {
  out.begin_object();
  out.field("kind", kEndpoints[static_cast<std::size_t>(endpoint.kind)]);
  out.field("text", endpoint.text);
  if (!endpoint.resolved.empty()) out.field("resolved", endpoint.resolved);
  out.end_object();
}

config::Endpoint read_endpoint(const JsonField& in) {
  config::Endpoint out;
  out.kind = static_cast<config::Endpoint::Kind>(read_word(in["kind"], kEndpoints));
  out.text = in["text"].text();
  if (const JsonField resolved = in["resolved"]; resolved.present()) out.resolved = resolved.text();
  return out;
}

}  // namespace rpcw::store
