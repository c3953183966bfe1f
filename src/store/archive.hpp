#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "base/time.hpp"
#include "store/json_codec.hpp"

/// Fields of structs as JSON, named once for both directions: Saver and Loader have the same functions, so one template
/// writes a struct and reads it (see history_fields.hpp).
namespace rpcw::store {

/// The most that is read of counts in a row and the like, and of other numbers.
inline constexpr unsigned kMostCount = 1'000'000'000;
inline constexpr double kMostReal = 1e15;

/// Writes fields. The bounds are the Loader's.
class Saver {
 public:
  /// `to_the_bit`: for the same process's clock, with the requests that are under way.
  Saver(JsonWriter& out, MonoTime now, bool to_the_bit = false) : exact(to_the_bit), out_(out), now_(now) {}

  /// Also what only the same process can go on with.
  const bool exact;

  template <std::integral T>
  void integer(const char* name, const T& v, T = 0, T = 0) {
    out_.field(name, v);
  }
  template <std::integral T>
  void integer(const char* name, const std::optional<T>& v, T = 0, T = 0) {
    out_.field(name, v);
  }
  void boolean(const char* name, const bool& v) { out_.field(name, v); }
  /// Absent where it is false, as in files of before it was kept.
  void flag(const char* name, const bool& v) {
    if (v) out_.field(name, v);
  }
  void real(const char* name, const double& v, double, double) { out_.field(name, v); }
  void real(const char* name, const std::optional<double>& v, double, double) { out_.field(name, v); }
  void reals(const char* name, const std::vector<double>& v, double, double) {
    out_.key(name);
    out_.begin_array();
    for (const double x : v) out_.real(x);
    out_.end_array();
  }
  void integers(const char* name, const std::vector<unsigned>& v, unsigned, unsigned) {
    out_.key(name);
    out_.begin_array();
    for (const std::uint64_t x : v) out_.integer(x);
    out_.end_array();
  }
  void text(const char* name, const std::string& v) { out_.field(name, std::string_view(v).substr(0, kMostText / 4)); }
  template <typename Enum, std::size_t N>
  void choice(const char* name, const Enum& v, const std::array<std::string_view, N>& names) {
    out_.field(name, names[static_cast<std::size_t>(v)]);
  }
  template <typename Enum, std::size_t N>
  void choice(const char* name, const std::optional<Enum>& v, const std::array<std::string_view, N>& names) {
    if (v) choice(name, *v, names);
  }
  template <typename Duration>
  void duration(const char* name, const Duration& v, Duration, Duration) {
    out_.field(name, v);
  }
  template <typename Duration>
  void duration(const char* name, const std::optional<Duration>& v, Duration, Duration) {
    out_.field(name, v);
  }
  void wall(const char* name, const WallTime& v) { out_.field(name, v); }
  /// Of an instant: how long before the saving it was; negative: it is still to come.
  void ago(const char* name, const MonoTime& v) { out_.field(name, now_ - v); }
  void ago(const char* name, const std::optional<MonoTime>& v) {
    if (v) ago(name, *v);
  }
  void head(const char* name, const std::optional<Head>& v) { out_.field(name, v); }
  void failure(const char* name, const std::optional<ProbeFailure>& v) { out_.field(name, v); }
  template <typename Body>
  void object(const char* name, Body body) {
    out_.key(name);
    out_.begin_object();
    body(*this);
    out_.end_object();
  }
  /// `body` is called with each of the first `count` elements.
  template <typename Elements, typename Body>
  void elements(const char* name, const Elements& v, std::size_t count, Body body) {
    out_.key(name);
    out_.begin_array();
    for (std::size_t i = 0; i < count; ++i) {
      out_.begin_object();
      body(*this, v[i]);
      out_.end_object();
    }
    out_.end_array();
  }
  template <typename T, typename Body>
  void list(const char* name, const std::vector<T>& v, std::size_t, Body body) {
    elements(name, v, v.size(), body);
  }
  template <typename T, std::size_t N, typename Body>
  void list(const char* name, const std::array<T, N>& v, const unsigned& count, Body body) {
    elements(name, v, count, body);
  }
  template <typename T, typename Body>
  void maybe(const char* name, const std::optional<T>& v, Body body) {
    if (v) object(name, [&](Saver& s) { body(s, *v); });
  }
  template <typename T, typename Body>
  void maybe_list(const char* name, const std::vector<std::optional<T>>& v, Body body) {
    list(name, v, 0, [&](Saver& s, const std::optional<T>& x) { s.maybe("row", x, body); });
  }
  /// What must hold between fields.
  void demand(bool, const char*, const char*) {}

 private:
  JsonWriter& out_;
  const MonoTime now_;
};

/// Reads fields, within bounds. What is wrong is noted in the document, and the field then holds anything within them.
class Loader {
 public:
  /// `saved_at`: the moment of saving on the present clock. `to_the_bit`: as Saver's.
  Loader(const JsonField& in, MonoTime saved_at, bool to_the_bit = false)
      : exact(to_the_bit), in_(in), saved_at_(saved_at) {}

  /// Also what only the same process can go on with.
  const bool exact;

  template <std::integral T>
  void integer(const char* name, T& v, T low, T high) {
    v = in_[name].template integer<T>(low, high);
  }
  template <std::integral T>
  void integer(const char* name, std::optional<T>& v, T low, T high) {
    v = in_[name].optional([&](const JsonField& f) { return f.template integer<T>(low, high); });
  }
  void boolean(const char* name, bool& v) { v = in_[name].boolean(); }
  void flag(const char* name, bool& v) { v = in_[name].present() && in_[name].boolean(); }
  void real(const char* name, double& v, double low, double high) { v = in_[name].real(low, high); }
  void real(const char* name, std::optional<double>& v, double low, double high) {
    v = in_[name].optional([&](const JsonField& f) { return f.real(low, high); });
  }
  void reals(const char* name, std::vector<double>& v, double low, double high) {
    const JsonField f = in_[name];
    v.resize(f.size(kMostTargets));
    for (std::size_t i = 0; i < v.size(); ++i) v[i] = f[i].real(low, high);
  }
  void integers(const char* name, std::vector<unsigned>& v, unsigned low, unsigned high) {
    const JsonField f = in_[name];
    v.resize(f.size(kMostTargets));
    for (std::size_t i = 0; i < v.size(); ++i) v[i] = f[i].integer<unsigned>(low, high);
  }
  void text(const char* name, std::string& v) { v = in_[name].text(); }
  template <typename Enum, std::size_t N>
  void choice(const char* name, Enum& v, const std::array<std::string_view, N>& names) {
    const auto at = std::ranges::find(names, std::string_view(in_[name].text()));
    if (at != names.end())
      v = static_cast<Enum>(at - names.begin());
    else
      in_[name].fail(fmt::format("must be one of {}", fmt::join(names, ", ")));
  }
  template <typename Enum, std::size_t N>
  void choice(const char* name, std::optional<Enum>& v, const std::array<std::string_view, N>& names) {
    if (!in_[name].present()) return;
    choice(name, v.emplace(), names);
  }
  template <typename Duration>
  void duration(const char* name, Duration& v, Duration low, Duration high) {
    v = in_[name].duration(low, high);
  }
  template <typename Duration>
  void duration(const char* name, std::optional<Duration>& v, Duration low, Duration high) {
    v = in_[name].optional([&](const JsonField& f) { return f.duration(low, high); });
  }
  void wall(const char* name, WallTime& v) { v = in_[name].wall(); }
  void ago(const char* name, MonoTime& v) { v = saved_at_ - in_[name].duration(MonoTime{-kMostUs}, MonoTime{kMostUs}); }
  void ago(const char* name, std::optional<MonoTime>& v) {
    if (in_[name].present()) ago(name, v.emplace());
  }
  void head(const char* name, std::optional<Head>& v) { v = in_[name].optional(read_head); }
  void failure(const char* name, std::optional<ProbeFailure>& v) { v = in_[name].optional(read_failure); }
  template <typename Body>
  void object(const char* name, Body body) {
    Loader inner(in_[name], saved_at_, exact);
    body(inner);
  }
  template <typename T, typename Body>
  void list(const char* name, std::vector<T>& v, std::size_t most, Body body) {
    const JsonField f = in_[name];
    const std::size_t count = f.size(most);
    // One by one, and none after an error: an empty object is much shorter than what it stands for.
    for (std::size_t i = 0; i < count && f.fine(); ++i) {
      Loader inner(f[i], saved_at_, exact);
      body(inner, v.emplace_back());
    }
  }
  template <typename T, std::size_t N, typename Body>
  void list(const char* name, std::array<T, N>& v, unsigned& count, Body body) {
    std::vector<T> found;
    list(name, found, N, body);
    std::ranges::copy(found, v.begin());
    count = static_cast<unsigned>(found.size());
  }
  template <typename T, typename Body>
  void maybe(const char* name, std::optional<T>& v, Body body) {
    if (in_[name].present()) object(name, [&](Loader& l) { body(l, v.emplace()); });
  }
  template <typename T, typename Body>
  void maybe_list(const char* name, std::vector<std::optional<T>>& v, Body body) {
    list(name, v, kMostTargets, [&](Loader& l, std::optional<T>& x) { l.maybe("row", x, body); });
  }
  void demand(bool holds, const char* name, const char* what) {
    if (!holds) in_[name].fail(what);
  }

 private:
  const JsonField in_;
  const MonoTime saved_at_;
};

/// A struct of fields: what a Loader fills, and what a Saver only reads.
template <typename A, typename T>
using FieldsOf = std::conditional_t<std::is_same_v<A, Saver>, const T, T>;

}  // namespace rpcw::store
