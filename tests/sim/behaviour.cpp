#include <rapidjson/document.h>
#include <rapidjson/error/en.h>
#include <rapidjson/stringbuffer.h>
#include <rapidjson/writer.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "sim/sim.hpp"

namespace sim {
namespace {

using Writer = rapidjson::Writer<rapidjson::StringBuffer>;
using rapidjson::Value;

constexpr std::array<std::pair<Fault, std::string_view>, 21> kFaults{{
    {Fault::none, "none"},
    {Fault::hang, "hang"},
    {Fault::accept_silent, "accept_silent"},
    {Fault::refuse, "refuse"},
    {Fault::reset, "reset"},
    {Fault::http_status, "http_status"},
    {Fault::rpc_error, "rpc_error"},
    {Fault::html, "html"},
    {Fault::truncated, "truncated"},
    {Fault::cut, "cut"},
    {Fault::flood, "flood"},
    {Fault::drip, "drip"},
    {Fault::gzip, "gzip"},
    {Fault::gzip_bomb, "gzip_bomb"},
    {Fault::deep, "deep"},
    {Fault::redirect, "redirect"},
    {Fault::empty, "empty"},
    {Fault::wrong_type, "wrong_type"},
    {Fault::null_result, "null_result"},
    {Fault::other_id, "other_id"},
    {Fault::no_http, "no_http"},
}};

constexpr std::array<std::pair<RateLimitStyle, std::string_view>, 2> kStyles{{
    {RateLimitStyle::http, "http"},
    {RateLimitStyle::rpc, "rpc"},
}};

std::string_view text(const Value& v) {
  return {v.GetString(), v.GetStringLength()};
}

template <class Names, class Enum>
bool read_name(const Names& names, const Value& v, Enum& out) {
  if (!v.IsString()) return false;
  for (const auto& [value, word] : names) {
    if (word != text(v)) continue;
    out = value;
    return true;
  }
  return false;
}

template <class Names, class Enum>
std::string_view name_in(const Names& names, Enum value) {
  for (const auto& [known, word] : names) {
    if (known == value) return word;
  }
  return "?";
}

bool read(const Value& v, bool& out) {
  if (!v.IsBool()) return false;
  out = v.GetBool();
  return true;
}

bool read(const Value& v, std::uint64_t& out) {
  if (!v.IsUint64()) return false;
  out = v.GetUint64();
  return true;
}

bool read(const Value& v, std::int64_t& out) {
  if (!v.IsInt64()) return false;
  out = v.GetInt64();
  return true;
}

bool read(const Value& v, double& out) {
  if (!v.IsNumber() || !std::isfinite(v.GetDouble()) || v.GetDouble() < 0) return false;
  out = v.GetDouble();
  return true;
}

bool read(const Value& v, std::string& out) {
  if (!v.IsString()) return false;
  out = text(v);
  return true;
}

bool read(const Value& v, std::vector<std::string>& out) {
  if (!v.IsArray()) return false;
  std::vector<std::string> list;
  for (const Value& item : v.GetArray()) {
    if (!item.IsString()) return false;
    list.emplace_back(text(item));
  }
  out = std::move(list);
  return true;
}

bool read(const Value& v, std::optional<std::uint64_t>& out) {
  if (v.IsNull()) {
    out.reset();
    return true;
  }
  return read(v, out.emplace());
}

bool read(const Value& v, Fault& out) {
  return read_name(kFaults, v, out);
}
bool read(const Value& v, RateLimitStyle& out) {
  return read_name(kStyles, v, out);
}

void write(Writer& w, bool v) {
  w.Bool(v);
}
void write(Writer& w, std::uint64_t v) {
  w.Uint64(v);
}
void write(Writer& w, std::int64_t v) {
  w.Int64(v);
}
void write(Writer& w, double v) {
  w.Double(v);
}
void write(Writer& w, std::string_view v) {
  w.String(v.data(), static_cast<rapidjson::SizeType>(v.size()));
}
void write(Writer& w, const std::string& v) {
  write(w, std::string_view(v));
}
void write(Writer& w, Fault v) {
  write(w, name(v));
}
void write(Writer& w, RateLimitStyle v) {
  write(w, name_in(kStyles, v));
}

void write(Writer& w, const std::vector<std::string>& v) {
  w.StartArray();
  for (const std::string& item : v) write(w, item);
  w.EndArray();
}

void write(Writer& w, const std::optional<std::uint64_t>& v) {
  if (v) {
    write(w, *v);
  } else {
    w.Null();
  }
}

struct Field {
  std::string_view name;
  bool (*read)(const Value&, Behaviour&);
  void (*write)(Writer&, const Behaviour&);
};

template <auto Member>
constexpr Field field(std::string_view name) {
  return {name, [](const Value& v, Behaviour& b) { return read(v, b.*Member); },
          [](Writer& w, const Behaviour& b) { write(w, b.*Member); }};
}

constexpr std::array kFields{
    field<&Behaviour::family>("family"),
    field<&Behaviour::latency_ms>("latency_ms"),
    field<&Behaviour::latency_sigma>("latency_sigma"),
    field<&Behaviour::chain_id>("chain_id"),
    field<&Behaviour::lag_blocks>("lag_blocks"),
    field<&Behaviour::frozen>("frozen"),
    field<&Behaviour::ahead_blocks>("ahead_blocks"),
    field<&Behaviour::other_pool_head>("other_pool_head"),
    field<&Behaviour::timestamp_offset_s>("timestamp_offset_s"),
    field<&Behaviour::fork_from>("fork_from"),
    field<&Behaviour::fork_id>("fork_id"),
    field<&Behaviour::syncing>("syncing"),
    field<&Behaviour::syncing_blocks>("syncing_blocks"),
    field<&Behaviour::peers>("peers"),
    field<&Behaviour::tx_count>("tx_count"),
    field<&Behaviour::fault>("fault"),
    field<&Behaviour::fault_ratio>("fault_ratio"),
    field<&Behaviour::fault_methods>("fault_methods"),
    field<&Behaviour::flap_ms>("flap_ms"),
    field<&Behaviour::http_status>("http_status"),
    field<&Behaviour::http_body>("http_body"),
    field<&Behaviour::rpc_error_code>("rpc_error_code"),
    field<&Behaviour::rpc_error_message>("rpc_error_message"),
    field<&Behaviour::redirect_to>("redirect_to"),
    field<&Behaviour::flood_bytes>("flood_bytes"),
    field<&Behaviour::flood_chunked>("flood_chunked"),
    field<&Behaviour::drip_ms>("drip_ms"),
    field<&Behaviour::quota_per_s>("quota_per_s"),
    field<&Behaviour::capacity_per_s>("capacity_per_s"),
    field<&Behaviour::rate_limit_style>("rate_limit_style"),
    field<&Behaviour::retry_after_s>("retry_after_s"),
    field<&Behaviour::unsupported_methods>("unsupported_methods"),
};

/// What the types alone don't rule out; empty if there is nothing to say against it.
std::string_view objection(const Behaviour& b) {
  const std::vector<std::string_view> known = families();
  if (std::ranges::find(known, b.family) == known.end()) return "family is none that providers speak";
  if (b.fault_ratio > 1) return "fault_ratio must be between 0 and 1";
  if (b.http_status < 200 || b.http_status > 599) return "http_status must be between 200 and 599";
  if (b.latency_ms > 3.6e6) return "latency_ms must be at most an hour";
  if (b.latency_sigma > 10) return "latency_sigma must be at most 10";
  if (b.flap_ms > 86'400'000 || b.flap_ms == 1) return "flap_ms must be 0, or between 2 and a day";
  if (b.flood_bytes < 1) return "flood_bytes must be at least 1";
  if (std::ranges::any_of(b.redirect_to, [](char c) { return static_cast<unsigned char>(c) < ' '; })) {
    return "redirect_to must not contain control characters";
  }
  if (b.drip_ms < 1 || b.drip_ms > 3'600'000) return "drip_ms must be between 1 and an hour";
  if (b.ahead_blocks > 1'000'000'000'000) return "ahead_blocks must be at most 1000000000000";
  if (b.tx_count > 1'000'000) return "tx_count must be at most 1000000";
  if (b.timestamp_offset_s > 4'000'000'000 || b.timestamp_offset_s < -4'000'000'000) {
    return "timestamp_offset_s must be within 4000000000 seconds";
  }
  return {};
}

}  // namespace

std::string_view name(Fault fault) {
  return name_in(kFaults, fault);
}

std::expected<Behaviour, std::string> merge(Behaviour behaviour, std::string_view json) {
  rapidjson::Document document;
  document.Parse(json.data(), json.size());
  if (document.HasParseError()) {
    return std::unexpected(std::string("not JSON: ") + rapidjson::GetParseError_En(document.GetParseError()));
  }
  if (!document.IsObject()) return std::unexpected("a JSON object is expected");
  for (const auto& member : document.GetObject()) {
    const auto* const known =
        std::ranges::find_if(kFields, [&](const Field& f) { return f.name == text(member.name); });
    if (known == kFields.end()) return std::unexpected("unknown key \"" + std::string(text(member.name)) + '"');
    if (!known->read(member.value, behaviour)) {
      rapidjson::StringBuffer value;
      Writer writer(value);
      member.value.Accept(writer);
      return std::unexpected("bad value for " + std::string(known->name) + ": " + value.GetString());
    }
  }
  if (const std::string_view why = objection(behaviour); !why.empty()) return std::unexpected(std::string(why));
  return behaviour;
}

std::string to_json(const Behaviour& behaviour) {
  rapidjson::StringBuffer out;
  Writer writer(out);
  writer.StartObject();
  for (const Field& f : kFields) {
    write(writer, f.name);
    f.write(writer, behaviour);
  }
  writer.EndObject();
  return out.GetString();
}

}  // namespace sim
