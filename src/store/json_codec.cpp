#include "store/json_codec.hpp"

#include <fmt/format.h>
#include <rapidjson/encodings.h>
#include <rapidjson/error/en.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <utility>

#include "base/json_parse.hpp"

namespace rpcw::store {
namespace {

/// Of our own documents none is deeper. Errors below are placed at the last step that is within.
constexpr unsigned kDeepest = 16;

/// The way from `from` to `wanted`, as in "backends[0].name"; false: it is not there.
bool find_way(const rapidjson::Value& from, const rapidjson::Value* wanted, unsigned depth, std::string& way) {
  if (&from == wanted) return true;
  if (depth == kDeepest) return false;
  const std::size_t length = way.size();
  if (from.IsObject()) {
    for (const auto& m : from.GetObject()) {
      way +=
          fmt::format("{}{}", way.empty() ? "" : ".", std::string_view(m.name.GetString(), m.name.GetStringLength()));
      if (find_way(m.value, wanted, depth + 1, way)) return true;
      way.resize(length);
    }
  } else if (from.IsArray()) {
    for (rapidjson::SizeType i = 0; i < from.Size(); ++i) {
      way += fmt::format("[{}]", i);
      if (find_way(from[i], wanted, depth + 1, way)) return true;
      way.resize(length);
    }
  }
  return false;
}

/// How many bytes at the front of `text` are one character of UTF-8; 0: they are none.
std::size_t character(std::string_view text) {
  rapidjson::MemoryStream in(text.data(), text.size());
  unsigned code = 0;
  return rapidjson::UTF8<>::Decode(in, &code) && in.Tell() <= text.size() ? in.Tell() : 0;
}

}  // namespace

// ---- writing

void JsonWriter::real(double value) {
  if (!std::isfinite(value)) {
    writer_.Null();
    return;
  }
  char digits[40];
  char* end = std::to_chars(digits, digits + 32, value).ptr;
  // With a fraction it is read as a double again, and -0 keeps its sign.
  if (std::all_of(digits, end, [](char c) { return c == '-' || (c >= '0' && c <= '9'); })) {
    *end++ = '.';
    *end++ = '0';
  }
  writer_.RawValue(digits, static_cast<std::size_t>(end - digits), rapidjson::kNumberType);
}

void JsonWriter::text(std::string_view value) {
  const auto plain = [](char c) { return static_cast<unsigned char>(c) < 0x80; };
  if (std::ranges::all_of(value, plain)) {
    writer_.String(value.data(), static_cast<rapidjson::SizeType>(value.size()));
    return;
  }
  std::string clean;
  while (!value.empty()) {
    const std::size_t n = character(value);
    clean += n > 0 ? value.substr(0, n) : std::string_view{"\xEF\xBF\xBD"};
    value.remove_prefix(std::max<std::size_t>(n, 1));
  }
  writer_.String(clean.data(), static_cast<rapidjson::SizeType>(clean.size()));
}

// ---- reading

std::expected<JsonDocument, std::string> JsonDocument::parse(std::string_view text, std::size_t most_bytes) {
  if (text.size() > most_bytes)
    return std::unexpected(fmt::format("is {} bytes long, at most {} are read", text.size(), most_bytes));
  // RapidJSON takes a NUL for the end of the text.
  if (const std::size_t nul = text.find('\0'); nul != std::string_view::npos)
    return std::unexpected(fmt::format("byte {}: a NUL byte is no JSON", nul));
  JsonDocument out;
  if (const rapidjson::ParseResult parsed = parse_json(text, *out.document_); parsed.IsError()) {
    const std::string_view why = parsed.Code() == rapidjson::kParseErrorTermination
                                     ? "A number that neither 64 bits nor a double can hold."
                                     : rapidjson::GetParseError_En(parsed.Code());
    return std::unexpected(fmt::format("byte {}: is no JSON: {}", parsed.Offset(), why));
  }
  return out;
}

void JsonDocument::note(const JsonField& at, std::string what) {
  if (error_) return;
  std::string way;
  const rapidjson::Value* place = at.value_ != nullptr ? at.value_ : at.parent_;
  if (place != nullptr && !find_way(*document_, place, 0, way)) way = "somewhere deep inside";
  if (at.value_ == nullptr && at.name_ != nullptr) way += fmt::format("{}{}", way.empty() ? "" : ".", at.name_);
  // Names of members may be anything, too.
  constexpr std::size_t kEnough = 200;
  if (way.size() > kEnough) way = "…" + way.substr(way.size() - kEnough);
  error_ = fmt::format("{}{}{}", way, way.empty() ? "" : ": ", what);
}

bool JsonField::fine() const {
  return !document_->error();
}

void JsonField::fail(std::string what) const {
  document_->note(*this, value_ == nullptr ? "is missing" : std::move(what));
}

JsonField JsonField::operator[](const char* name) const {
  const JsonField nothing(*document_, nullptr, value_, name);
  if (value_ == nullptr) {
    fail("is missing");
    return nothing;
  }
  if (!value_->IsObject()) {
    fail("must be an object");
    return nothing;
  }
  const auto m = value_->FindMember(name);
  return m == value_->MemberEnd() ? nothing : JsonField(*document_, &m->value, value_, name);
}

bool JsonField::boolean() const {
  if (value_ != nullptr && value_->IsBool()) return value_->GetBool();
  fail("must be true or false");
  return false;
}

std::uint64_t JsonField::unsigned_integer(std::uint64_t low, std::uint64_t high) const {
  if (value_ != nullptr && value_->IsUint64() && value_->GetUint64() >= low && value_->GetUint64() <= high)
    return value_->GetUint64();
  fail(fmt::format("must be an integer, {} to {}", low, high));
  return low;
}

std::int64_t JsonField::signed_integer(std::int64_t low, std::int64_t high) const {
  if (value_ != nullptr && value_->IsInt64() && value_->GetInt64() >= low && value_->GetInt64() <= high)
    return value_->GetInt64();
  fail(fmt::format("must be an integer, {} to {}", low, high));
  return low;
}

double JsonField::real(double low, double high) const {
  if (value_ != nullptr && value_->IsNumber() && value_->GetDouble() >= low && value_->GetDouble() <= high)
    return value_->GetDouble();
  fail(fmt::format("must be a number, {} to {}", low, high));
  return low;
}

std::string JsonField::text(std::size_t most) const {
  if (value_ != nullptr && value_->IsString() && value_->GetStringLength() <= most)
    return {value_->GetString(), value_->GetStringLength()};
  fail(fmt::format("must be a string of at most {} bytes", most));
  return {};
}

std::size_t JsonField::size(std::size_t most) const {
  if (value_ != nullptr && value_->IsArray() && value_->Size() <= most) return value_->Size();
  fail(fmt::format("must be an array of at most {} elements", most));
  return 0;
}

JsonField JsonField::operator[](std::size_t i) const {
  return {*document_, &(*value_)[static_cast<rapidjson::SizeType>(i)], value_, nullptr};
}

// ---- the domain

void write(JsonWriter& out, const Now& now) {
  out.begin_object();
  out.field("wall_ms", now.wall);
  out.field("mono_us", now.mono);
  out.end_object();
}

Now read_now(const JsonField& in) {
  return {in["wall_ms"].wall(), in["mono_us"].duration<MonoTime>(MonoTime{-kMostUs}, MonoTime{kMostUs})};
}

void write(JsonWriter& out, const Head& head) {
  out.begin_object();
  out.field("number", head.number);
  out.field("hash", head.hash);
  out.field("timestamp_ms", head.timestamp);
  if (!head.dated) out.field("dated", false);
  if (!head.parent.empty()) out.field("parent", head.parent);
  out.end_object();
}

Head read_head(const JsonField& in) {
  return {in["number"].integer<std::uint64_t>(), in["hash"].text(), in["timestamp_ms"].wall(),
          !in["dated"].present() || in["dated"].boolean(),
          in["parent"].present() ? in["parent"].text() : std::string{}};
}

Reason read_reason(const JsonField& in) {
  const auto reason = reason_from_string(in.text());
  if (!reason) in.fail("must be the code of a reason");
  return reason.value_or(Reason{});
}

void write(JsonWriter& out, const ProbeFailure& failure) {
  out.begin_object();
  out.field("code", to_string(failure.code));
  out.field("detail", failure.detail);
  out.field("retry_after_ms", failure.retry_after);
  if (failure.unsupported) out.field("unsupported", true);
  if (failure.ours) out.field("ours", true);
  out.end_object();
}

ProbeFailure read_failure(const JsonField& in) {
  ProbeFailure out;
  out.code = read_reason(in["code"]);
  out.detail = in["detail"].text();
  out.retry_after = in["retry_after_ms"].optional([](const JsonField& f) { return f.duration<milliseconds>(); });
  out.unsupported = in["unsupported"].present() && in["unsupported"].boolean();
  out.ours = in["ours"].present() && in["ours"].boolean();
  return out;
}

void write(JsonWriter& out, const ReasonNote& note) {
  out.begin_object();
  out.field("code", to_string(note.code));
  out.field("detail", note.detail);
  out.end_object();
}

ReasonNote read_reason_note(const JsonField& in) {
  return {read_reason(in["code"]), in["detail"].text()};
}

void write(JsonWriter& out, const HeadObservation& observation) {
  out.begin_object();
  out.field("received", observation.received);
  out.field("latency_us", observation.latency);
  if (observation.head)
    out.field("head", *observation.head);
  else
    out.field("failure", observation.head.error());
  out.end_object();
}

HeadObservation read_head_observation(const JsonField& in) {
  using std::chrono::microseconds;
  HeadObservation out;
  out.received = read_now(in["received"]);
  out.latency = in["latency_us"].duration(microseconds{-kMostUs}, microseconds{kMostUs});
  if (in["failure"].present())
    out.head = std::unexpected(read_failure(in["failure"]));
  else
    out.head = read_head(in["head"]);
  return out;
}

void write(JsonWriter& out, const Check& check) {
  out.begin_object();
  out.field("question", to_string(check.kind));
  if (check.argument != 0) out.field("argument", check.argument);
  out.end_object();
}

Check read_check(const JsonField& in) {
  const auto kind = check_kind_from_string(in["question"].text());
  if (!kind) in["question"].fail("must be the name of a question");
  return {kind.value_or(CheckKind{}),
          in["argument"].optional([](const JsonField& f) { return f.integer<std::uint64_t>(); }).value_or(0)};
}

void write(JsonWriter& out, const Answer& answer) {
  out.begin_object();
  out.field("received", answer.received);
  out.field("ask", answer.check);
  if (answer.value) {
    out.field("number", answer.value->number);
    if (!answer.value->text.empty()) out.field("text", answer.value->text);
  } else {
    out.field("failure", answer.value.error());
  }
  out.end_object();
}

Answer read_answer(const JsonField& in) {
  Answer out;
  out.received = read_now(in["received"]);
  out.check = read_check(in["ask"]);
  if (in["failure"].present()) {
    out.value = std::unexpected(read_failure(in["failure"]));
  } else {
    out.value = AnswerValue{in["number"].integer<std::uint64_t>(),
                            in["text"].optional([](const JsonField& f) { return f.text(); }).value_or("")};
  }
  return out;
}

}  // namespace rpcw::store
