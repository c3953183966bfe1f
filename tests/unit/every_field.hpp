#pragma once

#include <fmt/format.h>

#include <boost/pfr.hpp>
#include <cstddef>
#include <string>
#include <type_traits>
#include <vector>

#include "base/time.hpp"

/// Fills and compares values field by field, whatever fields their types have: a test that uses both fails when a field
/// is added and forgotten elsewhere.
namespace rpcw::every_field {

template <typename T>
struct Kind : std::integral_constant<int, std::is_aggregate_v<T> ? 1 : 0> {};
template <typename T, std::size_t N>
struct Kind<std::array<T, N>> : std::integral_constant<int, 2> {};
template <typename T>
struct Kind<std::vector<T>> : std::integral_constant<int, 2> {};
template <typename T>
struct Kind<std::optional<T>> : std::integral_constant<int, 3> {};
template <typename R, typename P>
struct Kind<std::chrono::duration<R, P>> : std::integral_constant<int, 4> {};
template <>
struct Kind<WallTime> : std::integral_constant<int, 5> {};
template <>
struct Kind<std::string> : std::integral_constant<int, 6> {};

/// Gives each field a value of its own that is not its default: integers and instants count up from 1, reals lie
/// between 0.25 and 0.6, vectors have 2 elements, flags are set and enumerators are the second ones.
class Filler {
 public:
  template <typename T>
  void fill(T& v) {
    ++next_;
    if constexpr (std::is_same_v<T, bool>) {
      v = true;
    } else if constexpr (std::is_enum_v<T>) {
      v = static_cast<T>(1);
    } else if constexpr (std::is_integral_v<T>) {
      v = static_cast<T>(next_);
    } else if constexpr (std::is_floating_point_v<T>) {
      v = 0.25 + 1.0 / (next_ + 3);
    } else if constexpr (Kind<T>::value == 4) {
      v = T{next_};
    } else if constexpr (Kind<T>::value == 5) {
      v = T{milliseconds{next_}};
    } else if constexpr (Kind<T>::value == 6) {
      v = fmt::format("text {}", next_);
    } else if constexpr (Kind<T>::value == 3) {
      fill(v.emplace());
    } else if constexpr (Kind<T>::value == 2) {
      if constexpr (requires { v.resize(2); }) v.resize(2);
      for (auto& x : v) fill(x);
    } else {
      boost::pfr::for_each_field(v, [this](auto& field) { this->fill(field); });
    }
  }

 private:
  int next_ = 0;
};

/// Adds the paths of fields that differ to `out`, each as the fields' numbers, such as "3.0[1]".
template <typename T>
void differences(const T& a, const T& b, const std::string& path, std::vector<std::string>& out) {
  if constexpr (Kind<T>::value == 2) {
    if (a.size() != b.size()) {
      out.push_back(path + " (size)");
      return;
    }
    for (std::size_t i = 0; i < a.size(); ++i) {
      // A copy only where an element is none that can be referred to, as in a vector<bool>.
      const typename T::value_type& x = a[i];
      const typename T::value_type& y = b[i];
      differences(x, y, fmt::format("{}[{}]", path, i), out);
    }
  } else if constexpr (Kind<T>::value == 3) {
    if (a.has_value() != b.has_value())
      out.push_back(path + " (presence)");
    else if (a)
      differences(*a, *b, path, out);
  } else if constexpr (Kind<T>::value == 1) {
    boost::pfr::for_each_field(a, [&](const auto& field, auto i) {
      differences(field, boost::pfr::get<decltype(i)::value>(b), fmt::format("{}.{}", path, i.value), out);
    });
  } else {
    if (!(a == b)) out.push_back(path);
  }
}

template <typename T>
std::vector<std::string> differences(const T& a, const T& b) {
  std::vector<std::string> out;
  differences(a, b, "", out);
  return out;
}

}  // namespace rpcw::every_field
