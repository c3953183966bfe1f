#pragma once

#include <cstdint>
#include <expected>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "rpc/json_pick.hpp"

/// What a chain family is made of: data that Family carries out. Pointers are RFC 6901; an empty pointer means that
/// there is no such value, unless it says otherwise.
namespace rpcw::rpc::family {

/// How a value is written.
enum class Coding : std::uint8_t {
  // Numbers.
  kInteger,  ///< 0x-hex text, decimal text or a JSON number
  kHex,      ///< hex text, with or without 0x
  // Times.
  kSeconds,  ///< an integer since 1970, as the next four
  kMilliseconds,
  kMicroseconds,
  kNanoseconds,
  kMinerSeconds,       ///< kSeconds, set by miners up to two hours ahead: never later than the answer came
  kDottedSeconds,      ///< text "seconds.nanoseconds"
  kRippleSeconds,      ///< an integer in seconds since 2000
  kMedianSeconds,      ///< kSeconds, of the sixth newest block: five block times earlier than the newest
  kClockSysvar,        ///< Solana's clock account in base64, which holds it in seconds
  kRfc3339,            ///< text, 0 to 9 digits of a second's fraction
  kScaleMilliseconds,  ///< 0x-hex of a little-endian 64-bit integer
  kNanosecondsAgo,     ///< how long before the answer it was
  kSlots,              ///< the chain's genesis time plus so many block times
  // Texts.
  kText,      ///< as it is
  kIdNumber,  ///< a number, as decimal text
  kAnyId,     ///< a text as it is, or a number as decimal text
  kHexText,   ///< any number of hex digits, with or without 0x; without it, in lower case
  kHash32,    ///< 0x and 64 hex digits; in lower case
  kFelt,      ///< 0x-hex without leading zeros; compared as a number
  kDigest58,  ///< base58, or its first four bytes as eight hex digits; as the chain's identity is written
};

/// Where a value stands and how it is written.
struct Value {
  std::string_view pointer{};
  Coding coding = Coding::kInteger;
  /// Which of the head's requests brings it.
  std::uint8_t request = 0;
  /// Without it the head is good all the same. Times only.
  bool optional = false;
};

/// One HTTP request. `{height}` stands for the height asked for in decimal, `{height:hex}` for it as 0x-hex.
struct Ask {
  std::string_view body{};
  std::string_view path{};
  /// A body is posted, and without one it is a GET; true: a POST all the same.
  bool post = false;
  /// Instead of the family's place of an error; empty: that one.
  std::string_view error{};
  /// nullptr: none.
  const std::vector<std::pair<std::string, std::string>>* headers = nullptr;
};

/// A value of the head's answer without which the server must not serve.
struct Must {
  std::string_view pointer;
  /// JSON text of a number, "true", "false", or a string.
  std::string_view is;
  /// It may be missing.
  bool optional = false;
};

struct HeadAsk {
  /// Asked at once.
  std::vector<Ask> asks{};
  /// Which of them the head's latency is of.
  std::uint8_t timed = 0;
  /// All of these stand below it; when it is missing or null there is no head.
  std::string_view root{};
  Value number{};
  Value hash{};
  /// Of the block before, written as `hash` is, and in the same answer; a head without it is good.
  Value parent{};
  Value time{};
  /// In place of `time` where that is missing, in the same answer.
  Value other_time{};
  std::vector<Must> must{};
};

struct IdentityAsk {
  Ask ask{};
  Value value{};
  /// The identity where the value is missing; empty: then there is none.
  std::string_view otherwise{};
};

/// From the values at `reads`, in their order, to the number of blocks that the node lacks; absent: it is no answer.
using Gap = std::optional<std::uint64_t> (*)(std::span<const Picked* const> values);

struct SyncingAsk {
  Ask ask{};
  std::vector<std::string_view> reads{};
  Gap gap = nullptr;
  /// For messages: what the answer should have been.
  std::string_view expected = "the state of synchronisation";
  /// An error of this code says that the node is behind; the first of `reads` tells by how much.
  std::string_view behind_code{};
};

struct PeersAsk {
  Ask ask{};
  std::string_view pointer{};
};

struct BlockAsk {
  Ask ask{};
  /// When it is missing or null there is no such block.
  std::string_view root{};
  Value hash{};
  /// Of the block that came; must be the one asked for.
  Value number{};
};

/// An HTTP status by which a node limits our rate, if the body has these words (in lower case); empty: if there is no
/// body. A proxy before the node has the same status for a node that is not there.
struct LimitPage {
  int status = 0;
  std::string_view words;
};

/// How answers say that something is wrong.
struct Errors {
  /// Present and not null: the answer is an error.
  std::string_view error = "/error";
  std::string_view code = "/error/code";
  std::string_view message = "/error/message";
  /// In its place where it is missing; empty: nothing is.
  std::string_view other_message{};
  /// Codes and, in lower case, parts of messages that mean "too many requests", and those that look like it and do not.
  std::vector<std::string_view> limit_codes{};
  std::vector<std::string_view> limit_words{};
  std::vector<std::string_view> no_limit_words{};
  /// For that besides the statuses 429 and 402.
  std::vector<LimitPage> limit_pages{};
  /// Codes for a method that is not offered.
  std::vector<std::string_view> unsupported_codes{};
};

/// How a request for a canary is made.
enum class Calls : std::uint8_t { kJsonRpc, kXrpl, kRest };

struct Spec {
  std::string_view name;
  /// For documentation and lists.
  std::string_view title;
  Calls calls = Calls::kJsonRpc;
  Errors errors{};
  HeadAsk head{};
  std::optional<IdentityAsk> identity{};
  std::optional<SyncingAsk> syncing{};
  std::optional<PeersAsk> peers{};
  std::optional<BlockAsk> block{};
  /// Answers have the request's id, 1, at this pointer; empty: they have none.
  std::string_view id{};
  /// Some nodes leave out this object around a good answer, and /error around a bad one; empty: none does.
  std::string_view envelope{};
  /// The head and checks that need no argument go as one JSON-RPC 2.0 batch where many are due.
  bool batches = false;
};

}  // namespace rpcw::rpc::family
