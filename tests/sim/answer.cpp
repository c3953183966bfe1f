#include "sim/answer.hpp"

#include <fmt/format.h>
#include <rapidjson/stringbuffer.h>
#include <rapidjson/writer.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <iterator>

namespace sim {
namespace {

/// splitmix64's finaliser: far from cryptography, but all that fake hashes need.
std::uint64_t mix(std::uint64_t x) {
  x += 0x9e3779b97f4a7c15;
  x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
  x = (x ^ x >> 27) * 0x94d049bb133111eb;
  return x ^ x >> 31;
}

std::string hex32(std::uint64_t seed) {
  return fmt::format("0x{:016x}{:016x}{:016x}{:016x}", mix(seed), mix(seed + 1), mix(seed + 2), mix(seed + 3));
}

std::uint64_t seed_of(std::uint64_t chain_id, std::uint64_t height, std::uint64_t fork) {
  return mix(mix(mix(chain_id) ^ height) ^ fork);
}

std::uint64_t seed_of(std::string_view text) {
  std::uint64_t seed = 0xcbf29ce484222325;
  for (const char c : text) seed = (seed ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  return mix(seed);
}

}  // namespace

std::string block_hash(std::uint64_t chain_id, std::uint64_t height, std::uint64_t fork) {
  return hex32(seed_of(chain_id, height, fork));
}

namespace detail {
namespace {

constexpr std::string_view kNoHash = "0x0000000000000000000000000000000000000000000000000000000000000000";
/// Keccak-256 of the RLP of an empty list: what geth shows for a block without uncles.
constexpr std::string_view kNoUncles = "0x1dcc4de8dec75d7aab85b567b6ccd41ad312451b948a7413f0a142fd40d49347";

std::string json(const rapidjson::Value& value) {
  rapidjson::StringBuffer out;
  rapidjson::Writer writer(out);
  value.Accept(writer);
  return {out.GetString(), out.GetSize()};
}

std::string json(std::string_view text) {
  rapidjson::StringBuffer out;
  rapidjson::Writer writer(out);
  writer.String(text.data(), static_cast<rapidjson::SizeType>(text.size()));
  return {out.GetString(), out.GetSize()};
}

Calls::Call to_call(const rapidjson::Value& value) {
  Calls::Call call;
  if (!value.IsObject()) {
    call.id = "null";
    return call;
  }
  if (const auto id = value.FindMember("id"); id != value.MemberEnd()) call.id = json(id->value);
  if (const auto method = value.FindMember("method"); method != value.MemberEnd() && method->value.IsString()) {
    call.method = {method->value.GetString(), method->value.GetStringLength()};
  } else if (call.id.empty()) {
    call.id = "null";
  }
  if (const auto params = value.FindMember("params"); params != value.MemberEnd()) call.params = &params->value;
  return call;
}

std::string result_body(std::string_view id, std::string_view result) {
  return fmt::format(R"({{"jsonrpc":"2.0","id":{},"result":{}}})", id, result);
}

/// A block, with everything that geth shows of one since the Merge. In a `wrong` one the fields that are read have the
/// wrong JSON types.
std::string block(const View& view, std::uint64_t height, bool full, bool wrong) {
  const Behaviour& b = view.behaviour;
  std::int64_t timestamp = std::chrono::duration_cast<std::chrono::seconds>(
                               std::min(view.chain.time_of(height), view.now).time_since_epoch())
                               .count();
  timestamp = std::max<std::int64_t>(timestamp + b.timestamp_offset_s, 0);

  const std::string hash = view.hash(height);
  std::string out;
  out.reserve(1700 + b.tx_count * (full ? 420 : 70));
  const auto to = std::back_inserter(out);
  fmt::format_to(to,
                 R"({{"baseFeePerGas":"0x{:x}","blobGasUsed":"0x0","difficulty":"0x0","excessBlobGas":"0x0",)"
                 R"("extraData":"0x","gasLimit":"0x2255100","gasUsed":"0x{:x}",)",
                 1'000'000'000 + height % 1'000'000'000, 21000 * b.tx_count);
  if (wrong) {
    fmt::format_to(to, R"("hash":true,"number":[{}],"parentHash":{{}},"timestamp":{},)", height, timestamp);
  } else {
    fmt::format_to(to, R"("hash":"{}","number":"0x{:x}","parentHash":"{}","timestamp":"0x{:x}",)", hash, height,
                   height == 0 ? std::string(kNoHash) : view.hash(height - 1), timestamp);
  }
  const std::uint64_t seed = seed_of(hash);
  fmt::format_to(to,
                 R"("logsBloom":"0x{:0512}","miner":"0x{:040x}","mixHash":"{}","nonce":"0x0000000000000000",)"
                 R"("parentBeaconBlockRoot":"{}","receiptsRoot":"{}","sha3Uncles":"{}","size":"0x{:x}",)"
                 R"("stateRoot":"{}","transactionsRoot":"{}","transactions":[)",
                 0, seed, hex32(seed + 4), hex32(seed + 8), hex32(seed + 12), kNoUncles, 600 + 110 * b.tx_count,
                 hex32(seed + 16), hex32(seed + 20));
  for (std::uint64_t i = 0; i < b.tx_count; ++i) {
    if (i > 0) out += ',';
    const std::string tx = hex32(seed + 100 + 4 * i);
    if (full) {
      fmt::format_to(to,
                     R"({{"blockHash":"{}","blockNumber":"0x{:x}","from":"0x{:040x}","gas":"0x5208",)"
                     R"("gasPrice":"0x3b9aca00","hash":"{}","input":"0x","nonce":"0x{:x}","to":"0x{:040x}",)"
                     R"("transactionIndex":"0x{:x}","type":"0x0","value":"0x1"}})",
                     hash, height, mix(seed + i), tx, i, mix(seed - i), i);
    } else {
      fmt::format_to(to, R"("{}")", tx);
    }
  }
  out += R"(],"uncles":[],"withdrawals":[]})";
  return out;
}

std::optional<std::uint64_t> quantity(std::string_view text) {
  if (!text.starts_with("0x") || text.size() < 3) return std::nullopt;
  std::uint64_t value = 0;
  const auto [end, ec] = std::from_chars(text.data() + 2, text.data() + text.size(), value, 16);
  if (ec != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::string answer_block(const View& view, const Calls::Call& call, bool wrong) {
  const rapidjson::Value* const params = call.params;
  if (params == nullptr || !params->IsArray() || params->Empty() || !(*params)[0].IsString()) {
    return error_body(call.id, -32602, "missing value for required argument 0");
  }
  const std::string_view tag((*params)[0].GetString(), (*params)[0].GetStringLength());
  const bool full = params->Size() > 1 && (*params)[1].IsBool() && (*params)[1].GetBool();
  const std::uint64_t head = view.head();
  std::uint64_t height = 0;
  if (tag == "latest" || tag == "pending") {
    height = head;
  } else if (tag == "safe" || tag == "finalized") {
    // One and two epochs, as on Ethereum.
    height = head - std::min<std::uint64_t>(head, tag == "safe" ? 32 : 64);
  } else if (tag != "earliest") {
    const auto given = quantity(tag);
    if (!given) return error_body(call.id, -32602, "invalid argument 0: hex string expected");
    if (*given > head) return result_body(call.id, "null");
    height = *given;
  }
  return result_body(call.id, block(view, height, full, wrong));
}

/// The result of every other method as JSON text; nullopt: no such method.
std::optional<std::string> result_of(const View& view, std::string_view method) {
  if (method == "eth_blockNumber") return fmt::format(R"("0x{:x}")", view.head());
  if (method == "eth_chainId") return fmt::format(R"("0x{:x}")", view.chain_id());
  if (method == "net_version") return fmt::format(R"("{}")", view.chain_id());
  if (method == "net_peerCount") return fmt::format(R"("0x{:x}")", view.behaviour.peers);
  if (method == "eth_syncing") {
    if (!view.behaviour.syncing) return "false";
    return fmt::format(R"({{"startingBlock":"0x0","currentBlock":"0x{:x}","highestBlock":"0x{:x}"}})", view.head(),
                       view.head() + view.behaviour.syncing_blocks);
  }
  if (method == "eth_getBlockByHash") return "null";
  if (method.starts_with("eth_")) return '"' + hex32(seed_of(method)) + '"';
  return std::nullopt;
}

}  // namespace

Calls::Calls(std::string_view body) {
  // Iterative: a deeply nested request must not be able to exhaust the stack.
  document.Parse<rapidjson::kParseIterativeFlag>(body.data(), body.size());
  is_json = !document.HasParseError();
  if (!is_json) return;
  batch = document.IsArray();
  if (batch) {
    for (const auto& value : document.GetArray()) calls.push_back(to_call(value));
  } else {
    calls.push_back(to_call(document));
  }
}

std::uint64_t View::head() const {
  const std::uint64_t shared = shared_head();
  return shared - std::min(shared, behaviour.lag_blocks) + behaviour.ahead_blocks;
}

std::string View::hash(std::uint64_t height) const {
  const bool forked = behaviour.fork_from && height >= *behaviour.fork_from;
  return block_hash(chain_id(), height, forked ? behaviour.fork_id : 0);
}

std::string error_body(std::string_view id, std::int64_t code, std::string_view message) {
  return fmt::format(R"({{"jsonrpc":"2.0","id":{},"error":{{"code":{},"message":{}}}}})", id, code, json(message));
}

std::string answer_call(const View& view, const Calls::Call& call, Outcome outcome) {
  if (call.id.empty()) return {};
  if (call.method.empty()) return error_body(call.id, -32600, "invalid request");
  const Behaviour& b = view.behaviour;
  switch (outcome) {
    case Outcome::rpc_error:
      return error_body(call.id, b.rpc_error_code, b.rpc_error_message);
    case Outcome::limited:
      return error_body(call.id, -32005, "limit exceeded");
    case Outcome::null_result:
      return result_body(call.id, "null");
    case Outcome::other_id: {
      Calls::Call other = call;
      other.id = "987654321";
      return answer_call(view, other, Outcome::good);
    }
    case Outcome::good:
    case Outcome::wrong_type:
      break;
  }
  const bool wrong = outcome == Outcome::wrong_type;
  const bool supported = std::ranges::find(b.unsupported_methods, call.method) == b.unsupported_methods.end();
  if (supported && call.method == "eth_getBlockByNumber") return answer_block(view, call, wrong);
  const auto result = supported ? result_of(view, call.method) : std::nullopt;
  if (!result) {
    return error_body(call.id, -32601, fmt::format("the method {} does not exist/is not available", call.method));
  }
  return result_body(call.id, wrong ? '[' + *result + ']' : *result);
}

}  // namespace detail
}  // namespace sim
