#pragma once

#include <rapidjson/document.h>
#include <rapidjson/stringbuffer.h>
#include <rapidjson/writer.h>

#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>

#include "base/time.hpp"
#include "weighter/state/observation.hpp"
#include "weighter/state/reason.hpp"

/// JSON that is read back by ourselves: state files, recordings. What is written comes back to the bit, doubles
/// included; what is read is checked in full, since any program may have written it.
namespace rpcw::store {

/// Instants and durations beyond this many ms (three hundred thousand years) are refused: differences of such numbers
/// stay in range.
inline constexpr std::int64_t kMostMs = 10'000'000'000'000'000;
/// The same in us, which is three hundred years.
inline constexpr std::int64_t kMostUs = kMostMs;
/// More servers, references and the like than any configuration has; arrays that long are still small.
inline constexpr std::size_t kMostTargets = 65536;
/// Texts longer than this many bytes are refused.
inline constexpr std::size_t kMostText = 65536;

// ---- writing

/// Writes one JSON value in one line. Begin and end must match, and every value in an object needs its key.
class JsonWriter {
 public:
  void begin_object() { writer_.StartObject(); }
  void end_object() { writer_.EndObject(); }
  void begin_array() { writer_.StartArray(); }
  void end_array() { writer_.EndArray(); }
  void key(std::string_view name) { writer_.Key(name.data(), static_cast<rapidjson::SizeType>(name.size())); }

  void null() { writer_.Null(); }
  void boolean(bool value) { writer_.Bool(value); }
  void integer(std::uint64_t value) { writer_.Uint64(value); }
  void integer(std::int64_t value) { writer_.Int64(value); }
  /// The shortest digits that read back as the same double, -0 included. Infinities and NaN, which JSON does not have,
  /// become null.
  void real(double value);
  /// Bytes that are no UTF-8 become U+FFFD, so that the whole stays readable.
  void text(std::string_view value);

  /// Any of the above by its type; durations as their counts, instants as ms since 1970, and for everything else the
  /// `write` that is found for it.
  template <typename T>
  void value(const T& v) {
    if constexpr (std::same_as<T, bool>)
      boolean(v);
    else if constexpr (std::unsigned_integral<T>)
      integer(static_cast<std::uint64_t>(v));
    else if constexpr (std::signed_integral<T>)
      integer(static_cast<std::int64_t>(v));
    else if constexpr (std::floating_point<T>)
      real(v);
    else if constexpr (std::convertible_to<const T&, std::string_view>)
      text(v);
    else if constexpr (std::same_as<T, WallTime>)
      integer(static_cast<std::int64_t>(v.time_since_epoch().count()));
    else if constexpr (requires { v.count(); })
      integer(static_cast<std::int64_t>(v.count()));
    else
      write(*this, v);
  }
  template <typename T>
  void field(std::string_view name, const T& v) {
    key(name);
    value(v);
  }
  /// Left out when absent.
  template <typename T>
  void field(std::string_view name, const std::optional<T>& v) {
    if (v) field(name, *v);
  }

  /// What was written so far; empty: nothing.
  [[nodiscard]] std::string_view view() const { return {buffer_.GetString(), buffer_.GetSize()}; }
  /// For the next value; the memory is kept.
  void clear() {
    buffer_.Clear();
    writer_.Reset(buffer_);
  }

 private:
  rapidjson::StringBuffer buffer_;
  rapidjson::Writer<rapidjson::StringBuffer> writer_{buffer_};
};

// ---- reading

class JsonDocument;

/// A value at its place in a document, or the place where one is missing. Reading never throws. What is not as asked
/// for is noted in the document, where the first such note stays, and gives a value of the asked-for type and range
/// that means nothing: so read everything, and then look at `JsonDocument::error` before any of it is used.
/// Cheap to copy; valid as long as the document.
class JsonField {
 public:
  /// A member. When this is no object, that is noted; when it has no such member, the result is not `present`.
  JsonField operator[](const char* name) const;
  /// There, and not null.
  [[nodiscard]] bool present() const { return value_ != nullptr && !value_->IsNull(); }
  /// There, be it as null.
  [[nodiscard]] bool given() const { return value_ != nullptr; }

  [[nodiscard]] bool boolean() const;
  /// Inclusive bounds. Written without fraction and exponent.
  template <std::integral T>
  [[nodiscard]] T integer(T low = std::numeric_limits<T>::min(), T high = std::numeric_limits<T>::max()) const {
    if constexpr (std::unsigned_integral<T>)
      return static_cast<T>(unsigned_integer(low, high));
    else
      return static_cast<T>(signed_integer(low, high));
  }
  /// Inclusive bounds. Integers are reals too.
  [[nodiscard]] double real(double low, double high) const;
  /// At most `most` bytes.
  [[nodiscard]] std::string text(std::size_t most = kMostText) const;
  /// A count of ms since 1970, within kMostMs.
  [[nodiscard]] WallTime wall() const { return WallTime{milliseconds{integer<std::int64_t>(-kMostMs, kMostMs)}}; }
  /// A count of the duration's own unit.
  template <typename Duration>
  [[nodiscard]] Duration duration(Duration low = Duration{0}, Duration high = Duration{kMostMs}) const {
    return Duration{integer<std::int64_t>(low.count(), high.count())};
  }
  /// Number of elements, at most `most`; of anything but an array that is noted, and 0.
  [[nodiscard]] std::size_t size(std::size_t most) const;
  /// Element `i`; precondition: below what `size` gave.
  JsonField operator[](std::size_t i) const;
  /// What `read` makes of this; absent when this is not `present`.
  template <typename Read>
  [[nodiscard]] auto optional(Read read) const -> std::optional<std::decay_t<decltype(read(*this))>> {
    if (!present()) return std::nullopt;
    return read(*this);
  }

  /// Nothing wrong was noted in the whole document so far: what was read may be believed, and reading on makes sense.
  [[nodiscard]] bool fine() const;
  /// Notes that this is wrong. `what` follows the place: "must be …", "is missing".
  void fail(std::string what) const;

 private:
  friend class JsonDocument;
  JsonField(JsonDocument& document, const rapidjson::Value* value, const rapidjson::Value* parent, const char* name)
      : document_(&document), value_(value), parent_(parent), name_(name) {}
  [[nodiscard]] std::uint64_t unsigned_integer(std::uint64_t low, std::uint64_t high) const;
  [[nodiscard]] std::int64_t signed_integer(std::int64_t low, std::int64_t high) const;

  JsonDocument* document_;
  const rapidjson::Value* value_;
  /// Of a missing member: the object that lacks it, and its name.
  const rapidjson::Value* parent_;
  const char* name_;
};

/// One parsed JSON value.
class JsonDocument {
 public:
  /// The text must be one whole JSON value in UTF-8, of at most `most_bytes`; nesting of any depth is safe. The error
  /// is a sentence with the place, without any of the text. The result needs about 16 bytes for each value.
  static std::expected<JsonDocument, std::string> parse(std::string_view text, std::size_t most_bytes);

  JsonDocument(JsonDocument&&) = default;
  JsonDocument& operator=(JsonDocument&&) = default;

  /// Valid until the document is moved or gone.
  [[nodiscard]] JsonField root() { return {*this, document_.get(), nullptr, nullptr}; }
  /// The first thing that was not as asked for: "backends[0].name: must be a string"; absent: all was well.
  [[nodiscard]] const std::optional<std::string>& error() const { return error_; }

 private:
  friend class JsonField;
  JsonDocument() = default;
  void note(const JsonField& at, std::string what);

  std::unique_ptr<rapidjson::Document> document_ = std::make_unique<rapidjson::Document>();
  std::optional<std::string> error_;
};

// ---- what the domain is made of. Each `write` writes one object, and the `read_…` of the same name reads it.

void write(JsonWriter& out, const Now& now);
Now read_now(const JsonField& in);

void write(JsonWriter& out, const Head& head);
Head read_head(const JsonField& in);

/// A reason's code.
Reason read_reason(const JsonField& in);

void write(JsonWriter& out, const ProbeFailure& failure);
ProbeFailure read_failure(const JsonField& in);

void write(JsonWriter& out, const ReasonNote& note);
ReasonNote read_reason_note(const JsonField& in);

void write(JsonWriter& out, const HeadObservation& observation);
HeadObservation read_head_observation(const JsonField& in);

void write(JsonWriter& out, const Check& check);
Check read_check(const JsonField& in);

void write(JsonWriter& out, const Answer& answer);
Answer read_answer(const JsonField& in);

}  // namespace rpcw::store
