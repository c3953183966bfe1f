#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "config/family.hpp"
#include "config/reader.hpp"

/// A chain family of the file's own: [[family]].
namespace rpcw {

/// Pointers are RFC 6901; an empty one: there is no such value.
struct OwnFamily {
  enum class Number : std::uint8_t { kAny, kHex };
  enum class Time : std::uint8_t { kSeconds, kMilliseconds, kMicroseconds, kNanoseconds, kRfc3339, kSlots };

  /// One request and how its answer says that something is wrong.
  struct Request {
    bool post = false;
    /// Added to the path of a server's URL; {height} stands for the height asked for.
    std::string path;
    std::string body;
    std::vector<std::pair<std::string, std::string>> headers;
    /// Present and not null: a failure.
    std::string error;
  };
  struct Head : Request {
    std::string height;
    Number height_encoding = Number::kAny;
    std::string time;
    Time time_encoding = Time::kSeconds;
    std::string hash;
  };
  struct Identity : Request {
    std::string id;
  };
  /// At least one of both.
  struct Syncing : Request {
    /// True: it is behind.
    std::string syncing;
    /// How many blocks it is behind.
    std::string behind;
  };
  struct Peers : Request {
    std::string peers;
  };
  struct Block : Request {
    std::string hash;
    std::string height;
  };

  std::string name;
  Head head;
  std::optional<Identity> identity;
  std::optional<Syncing> syncing;
  std::optional<Peers> peers;
  std::optional<Block> block;
  /// Parts of errors' messages that mean "too many requests", in lower case.
  std::vector<std::string> rate_limited;

  [[nodiscard]] Offers offers() const;
};

namespace config {

/// The families of a file's own, and the choice among them and the known ones.
class Families {
 public:
  /// Reads one [[family]].
  void read(Reader& r);
  /// All names, known ones first.
  [[nodiscard]] std::vector<std::string_view> names() const;
  /// nullptr: it is a known one, or none at all.
  [[nodiscard]] std::shared_ptr<const OwnFamily> find(std::string_view name) const;

 private:
  struct Own {
    std::shared_ptr<const OwnFamily> family;
    Place place;
  };
  std::vector<Own> own_;
};

}  // namespace config
}  // namespace rpcw
