#include "sim/families.hpp"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <ctime>
#include <functional>

namespace sim {
namespace detail {
namespace {

using std::chrono::duration_cast;
using std::chrono::seconds;

/// What an answer is made from.
struct Ask {
  const View& view;
  const Request& request;
  /// Of a JSON-RPC call; else empty.
  std::string_view method;

  [[nodiscard]] std::string_view path() const { return request.target.substr(0, request.target.find('?')); }
  [[nodiscard]] bool mentions(std::string_view text) const {
    return request.target.find(text) != std::string_view::npos || request.body.find(text) != std::string_view::npos;
  }
  /// The first number behind `mark` in target or body.
  [[nodiscard]] std::uint64_t number_after(std::string_view mark) const {
    for (const std::string_view text : {request.target, request.body}) {
      const std::size_t at = text.find(mark);
      if (at == std::string_view::npos) continue;
      const std::string_view rest = text.substr(at + mark.size());
      std::uint64_t out = 0;
      if (std::from_chars(rest.data(), rest.data() + rest.size(), out).ec == std::errc{}) return out;
    }
    return 0;
  }
};

WallTime time_of(const View& view, std::uint64_t height) {
  return std::min(view.chain.time_of(height), view.now) + seconds{view.behaviour.timestamp_offset_s};
}

std::int64_t ms_of(const View& view, std::uint64_t height) {
  return time_of(view, height).time_since_epoch().count();
}

std::string iso(const View& view, std::uint64_t height) {
  const std::int64_t ms = ms_of(view, height);
  const std::time_t whole = ms / 1000;
  return fmt::format("{:%Y-%m-%dT%H:%M:%S}.{:03}341781Z", fmt::gmtime(whole), ms % 1000);
}

/// Digits of base 58 that stand for 32 bytes, and differ where the first 42 digits of `hex` do.
std::string base58(std::string_view hex) {
  // With this first digit, a number of 43 has as many bytes whatever follows.
  std::string out = "e" + std::string(hex.substr(2, 42));
  std::ranges::replace(out, '0', 'z');
  return out;
}

std::string upper(std::string_view hex) {
  std::string out(hex.substr(2));
  std::ranges::transform(out, out.begin(), [](char c) { return c >= 'a' && c <= 'f' ? static_cast<char>(c - 32) : c; });
  return out;
}

std::string plain(std::string_view hex) {
  return std::string(hex.substr(2));
}

std::string felt(std::string_view hex) {
  hex.remove_prefix(2);
  hex.remove_prefix(std::min(hex.find_first_not_of('0'), hex.size() - 1));
  return "0x" + std::string(hex);
}

std::string genesis(std::uint64_t chain_id) {
  return block_hash(chain_id, 0);
}

std::string little_endian(std::int64_t value) {
  std::string out = "0x";
  for (int i = 0; i < 8; ++i) out += fmt::format("{:02x}", static_cast<std::uint64_t>(value) >> (8 * i) & 0xff);
  return out;
}

Told rpc(std::string_view result) {
  return {200, fmt::format(R"({{"jsonrpc":"2.0","id":1,"result":{}}})", result)};
}

Told rpc_fault(std::int64_t code, std::string_view message, unsigned status = 200) {
  return {status, error_body("1", code, message)};
}

/// Solana's clock account in base64: slot, start of the epoch, epoch, leader schedule's epoch and time, of eight bytes
/// each, the lowest first.
std::string clock_account(std::uint64_t slot, std::uint64_t time) {
  constexpr std::string_view kDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string bytes;
  for (std::uint64_t part : {slot, std::uint64_t{1}, std::uint64_t{999}, std::uint64_t{1000}, time})
    for (int i = 0; i < 8; ++i, part >>= 8U) bytes += static_cast<char>(part & 0xFFU);
  bytes.append(2, '\0');
  std::string out;
  for (std::size_t i = 0; i + 2 < bytes.size(); i += 3) {
    unsigned three = 0;
    for (std::size_t k = i; k < i + 3; ++k) three = three << 8U | static_cast<unsigned char>(bytes[k]);
    for (int shift = 18; shift >= 0; shift -= 6) out += kDigits[three >> static_cast<unsigned>(shift) & 0x3FU];
  }
  // 40 bytes leave two without content.
  out.replace(out.size() - 2, 2, "==");
  return out;
}

Told solana(const Ask& a) {
  const View& v = a.view;
  const std::uint64_t head = v.head();
  if (a.method == "getAccountInfo")
    return rpc(fmt::format(R"({{"context":{{"apiVersion":"4.2.3","slot":{0}}},"value":{{"data":["{1}","base64"],)"
                           R"("executable":false,"lamports":1169280,"owner":"Sysvar1111111111111111111111111111111",)"
                           R"("space":40}}}})",
                           head, clock_account(head, static_cast<std::uint64_t>(ms_of(v, head) / 1000))));
  if (a.method == "getGenesisHash") return rpc('"' + base58(genesis(v.chain_id())) + '"');
  if (a.method == "getHealth") {
    if (!v.behaviour.syncing) return rpc("\"ok\"");
    return {200, fmt::format(R"({{"jsonrpc":"2.0","id":1,"error":{{"code":-32005,"message":"Node is behind by {0} )"
                             R"(slots","data":{{"numSlotsBehind":{0}}}}}}})",
                             v.behaviour.syncing_blocks)};
  }
  if (a.method == "getBlock") {
    const std::uint64_t slot = a.number_after("\"params\":[");
    if (slot > head) return rpc_fault(-32004, fmt::format("Block not available for slot {}", slot));
    return rpc(fmt::format(R"({{"blockHeight":{},"blockTime":{},"blockhash":"{}","parentSlot":{}}})", slot,
                           ms_of(v, slot) / 1000, base58(v.hash(slot)), slot - 1));
  }
  return rpc_fault(-32601, "Method not found");
}

Told algorand(const Ask& a) {
  const View& v = a.view;
  const std::uint64_t head = v.head();
  if (a.path() == "/v2/status")
    return {200, fmt::format(R"({{"last-round":{},"time-since-last-round":{},"catchup-time":{},"catchpoint":"",)"
                             R"("last-version":"v","next-version-supported":true,)"
                             R"("stopped-at-unsupported-round":false}})",
                             head, std::max<std::int64_t>((v.now - time_of(v, head)).count(), 0) * 1'000'000,
                             v.behaviour.syncing ? 5'000'000 : 0)};
  if (a.path() == "/v2/transactions/params")
    return {200, fmt::format(R"({{"genesis-id":"sim-{}","last-round":{},"min-fee":1000}})", v.chain_id(), head)};
  if (a.path().starts_with("/v2/blocks/")) {
    const std::uint64_t round = a.number_after("/v2/blocks/");
    if (round <= head) return {200, fmt::format(R"({{"blockHash":"{}"}})", base58(v.hash(round)))};
  }
  return {404, R"({"message":"not found"})"};
}

Told aptos(const Ask& a) {
  const View& v = a.view;
  const std::uint64_t head = v.head();
  if (a.path().find("/blocks/by_height/") != std::string_view::npos) {
    const std::uint64_t height = a.number_after("/by_height/");
    if (height > head) return {404, R"({"message":"Block not found","error_code":"block_not_found"})"};
    return {200, fmt::format(R"({{"block_height":"{}","block_hash":"{}","block_timestamp":"{}","transactions":null}})",
                             height, v.hash(height), ms_of(v, height) * 1000)};
  }
  return {200, fmt::format(R"({{"chain_id":{},"epoch":"16042","ledger_version":"5123456789",)"
                           R"("ledger_timestamp":"{}","node_role":"full_node","block_height":"{}"}})",
                           v.chain_id(), ms_of(v, head) * 1000, head)};
}

Told sui(const Ask& a) {
  const View& v = a.view;
  if (a.mentions("chainIdentifier"))
    return {200, fmt::format(R"({{"data":{{"chainIdentifier":"{}"}}}})", base58(genesis(v.chain_id())))};
  if (!a.mentions("checkpoint")) return {200, R"({"data":null,"errors":[{"message":"no query"}]})"};
  const std::uint64_t head = v.head();
  const std::uint64_t number = a.mentions("sequenceNumber: ") ? a.number_after("sequenceNumber: ") : head;
  if (number > head) return {200, R"({"data":{"checkpoint":null}})"};
  return {200, fmt::format(R"({{"data":{{"checkpoint":{{"sequenceNumber":{},"digest":"{}","timestamp":"{}"}}}}}})",
                           number, base58(v.hash(number)), iso(v, number))};
}

Told hedera(const Ask& a) {
  const View& v = a.view;
  const std::uint64_t head = v.head();
  const auto block = [&](std::uint64_t number) {
    const std::int64_t ms = ms_of(v, number);
    const std::string hash = number == 0 ? genesis(v.chain_id()) : v.hash(number);
    return fmt::format(R"({{"number":{},"hash":"{}{}","timestamp":{{"from":"{}.000216373","to":"{}.{:03}213373"}}}})",
                       number, hash, hash.substr(2, 32), ms / 1000 - 2, ms / 1000, ms % 1000);
  };
  if (a.path() == "/api/v1/blocks") return {200, fmt::format(R"({{"blocks":[{}]}})", block(head))};
  const std::uint64_t number = a.number_after("/api/v1/blocks/");
  if (number > head || !a.path().starts_with("/api/v1/blocks/"))
    return {404, R"({"_status":{"messages":[{"message":"Not found"}]}})"};
  return {200, block(number)};
}

Told near(const Ask& a) {
  const View& v = a.view;
  const std::uint64_t head = v.head();
  if (a.method == "status")
    return rpc(fmt::format(R"({{"chain_id":"sim-{}","genesis_hash":"{}","sync_info":{{"latest_block_hash":"{}",)"
                           R"("latest_block_height":{},"latest_block_time":"{}","syncing":{}}},"validators":[]}})",
                           v.chain_id(), base58(genesis(v.chain_id())), base58(v.hash(head)), head, iso(v, head),
                           v.behaviour.syncing));
  if (a.method == "network_info")
    return rpc(fmt::format(R"({{"active_peers":[],"num_active_peers":{}}})", v.behaviour.peers));
  if (a.method == "block") {
    const std::uint64_t height = a.number_after("\"block_id\":");
    if (height <= head)
      return rpc(fmt::format(R"({{"author":"a.near","chunks":[],"header":{{"height":{},"hash":"{}"}}}})", height,
                             base58(v.hash(height))));
    return {200, R"({"jsonrpc":"2.0","id":1,"error":{"name":"HANDLER_ERROR","cause":{"name":"UNKNOWN_BLOCK"},)"
                 R"("code":-32000,"message":"Server error"}})"};
  }
  return {200, R"({"jsonrpc":"2.0","id":1,"error":{"name":"REQUEST_VALIDATION_ERROR","cause":)"
               R"({"name":"METHOD_NOT_FOUND"},"code":-32601,"message":"Method not found"}})"};
}

Told cometbft(const Ask& a) {
  const View& v = a.view;
  const std::uint64_t head = v.head();
  const auto result = [](const std::string& text) {
    return Told{200, fmt::format(R"({{"jsonrpc":"2.0","id":-1,"result":{}}})", text)};
  };
  if (a.path() == "/status")
    return result(fmt::format(R"({{"node_info":{{"network":"sim-{}"}},"sync_info":{{"latest_block_hash":"{}",)"
                              R"("latest_block_height":"{}","latest_block_time":"{}","catching_up":{}}}}})",
                              v.chain_id(), upper(v.hash(head)), head, iso(v, head), v.behaviour.syncing));
  if (a.path() == "/net_info")
    return result(fmt::format(R"({{"listening":true,"n_peers":"{}","peers":[]}})", v.behaviour.peers));
  if (a.path() == "/blockchain") {
    const std::uint64_t height = a.number_after("minHeight=");
    if (height > head) return {500, R"({"jsonrpc":"2.0","id":-1,"error":{"code":-32603,"message":"Internal error"}})"};
    return result(fmt::format(R"({{"last_height":"{}","block_metas":[{{"block_id":{{"hash":"{}"}},)"
                              R"("header":{{"height":"{}"}}}}]}})",
                              head, upper(v.hash(height)), height));
  }
  if (!a.method.empty()) return rpc_fault(-32601, "Method not found");
  return {404, "404 page not found"};
}

Told substrate(const Ask& a) {
  const View& v = a.view;
  const std::uint64_t head = v.head();
  if (a.method == "chain_getHeader")
    return rpc(fmt::format(R"({{"parentHash":"{}","number":"{:#x}","digest":{{"logs":[]}}}})", v.hash(head - 1), head));
  if (a.method == "state_getStorage") return rpc('"' + little_endian(ms_of(v, head)) + '"');
  if (a.method == "system_health")
    return rpc(
        fmt::format(R"({{"peers":{},"isSyncing":{},"shouldHavePeers":true}})", v.behaviour.peers, v.behaviour.syncing));
  if (a.method == "chain_getBlockHash") {
    const std::uint64_t height = a.number_after("\"params\":[");
    if (height > head) return rpc("null");
    return rpc('"' + (height == 0 ? genesis(v.chain_id()) : v.hash(height)) + '"');
  }
  return rpc_fault(-32601, "Method not found");
}

std::string passphrase(std::uint64_t chain_id) {
  return fmt::format("Sim Network ; {}", chain_id);
}

Told stellar_rpc(const Ask& a) {
  const View& v = a.view;
  const std::uint64_t head = v.head();
  if (a.method == "getHealth")
    return rpc(fmt::format(R"({{"status":"healthy","latestLedger":{},"latestLedgerCloseTime":"{}"}})", head,
                           ms_of(v, head) / 1000));
  if (a.method == "getNetwork") return rpc(fmt::format(R"({{"passphrase":"{}"}})", passphrase(v.chain_id())));
  if (a.method == "getLedgers") {
    const std::uint64_t number = a.number_after("\"startLedger\":");
    if (number > head) return rpc_fault(-32600, "start ledger must be within the range");
    return rpc(fmt::format(R"({{"ledgers":[{{"hash":"{}","sequence":{}}}],"latestLedger":{}}})", plain(v.hash(number)),
                           number, head));
  }
  return rpc_fault(-32601, fmt::format("no such method \"{}\"", a.method));
}

Told horizon(const Ask& a) {
  const View& v = a.view;
  const std::uint64_t head = v.head();
  if (a.path() == "/")
    return {200,
            fmt::format(R"({{"horizon_version":"28.0.0","history_latest_ledger":{},)"
                        R"("history_latest_ledger_closed_at":"{}","core_latest_ledger":{},"network_passphrase":"{}"}})",
                        head, iso(v, head), head + (v.behaviour.syncing ? v.behaviour.syncing_blocks : 0),
                        passphrase(v.chain_id()))};
  const std::uint64_t number = a.number_after("/ledgers/");
  if (a.path().starts_with("/ledgers/") && number <= head)
    return {200, fmt::format(R"({{"hash":"{}","sequence":{}}})", plain(v.hash(number)), number)};
  return {404, R"({"type":"https://stellar.org/horizon-errors/not_found","title":"Resource Missing","status":404})"};
}

Told xrpl(const Ask& a) {
  const View& v = a.view;
  const std::uint64_t head = v.head();
  constexpr std::int64_t kEpoch = 946'684'800;
  if (a.method == "ledger") {
    const std::uint64_t number = a.mentions("validated") ? head : a.number_after("\"ledger_index\":");
    if (number > head)
      return {200, R"({"result":{"error":"lgrNotFound","error_message":"ledgerNotFound","status":"error"}})"};
    return {200, fmt::format(R"({{"result":{{"ledger_hash":"{0}","ledger_index":{1},"validated":true,"ledger":)"
                             R"({{"close_time":{2},"ledger_index":"{1}"}},"status":"success"}}}})",
                             upper(v.hash(number)), number, ms_of(v, number) / 1000 - kEpoch)};
  }
  if (a.method == "server_info")
    return {200, fmt::format(R"({{"result":{{"info":{{"network_id":{},"peers":{},"server_state":"{}"}},)"
                             R"("status":"success"}}}})",
                             v.chain_id(), v.behaviour.peers, v.behaviour.syncing ? "syncing" : "full")};
  return {200, R"({"result":{"error":"unknownCmd","error_message":"Unknown method.","status":"error"}})"};
}

Told starknet(const Ask& a) {
  const View& v = a.view;
  const std::uint64_t head = v.head();
  if (a.method == "starknet_chainId") return rpc(fmt::format("\"{:#x}\"", v.chain_id()));
  if (a.method == "starknet_syncing") {
    if (!v.behaviour.syncing) return rpc("false");
    return rpc(fmt::format(R"({{"starting_block_num":0,"current_block_num":{},"highest_block_num":{}}})", head,
                           head + v.behaviour.syncing_blocks));
  }
  if (a.method == "starknet_getBlockWithTxHashes") {
    const std::uint64_t number = a.mentions("latest") ? head : a.number_after("\"block_number\":");
    if (number > head) return rpc_fault(24, "Block not found");
    return rpc(fmt::format(R"({{"status":"ACCEPTED_ON_L2","block_hash":"{}","block_number":{},"timestamp":{},)"
                           R"("transactions":[]}})",
                           felt(v.hash(number)), number, ms_of(v, number) / 1000));
  }
  return rpc_fault(-32601, "Method not found");
}

Told bitcoin(const Ask& a) {
  const View& v = a.view;
  const std::uint64_t head = v.head();
  const auto result = [](const std::string& text) {
    return Told{200, fmt::format(R"({{"result":{},"error":null,"id":1}})", text)};
  };
  if (a.method == "getblockchaininfo")
    return result(fmt::format(R"({{"chain":"main","blocks":{},"headers":{},"bestblockhash":"{}","time":{},)"
                              R"("initialblockdownload":{}}})",
                              head, head + (v.behaviour.syncing ? v.behaviour.syncing_blocks : 0), plain(v.hash(head)),
                              ms_of(v, head) / 1000, v.behaviour.syncing));
  if (a.method == "getconnectioncount") return result(fmt::format("{}", v.behaviour.peers));
  if (a.method == "getblockhash") {
    const std::uint64_t height = a.number_after("\"params\":[");
    if (height > head)
      return {500, R"({"result":null,"error":{"code":-8,"message":"Block height out of range"},"id":1})"};
    return result('"' + plain(height == 0 ? genesis(v.chain_id()) : v.hash(height)) + '"');
  }
  return {404, R"({"result":null,"error":{"code":-32601,"message":"Method not found"},"id":1})"};
}

Told tron(const Ask& a) {
  const View& v = a.view;
  const std::uint64_t head = v.head();
  if (a.path() == "/wallet/getblock") {
    const bool asked = a.mentions("id_or_num");
    const std::uint64_t number = asked ? a.number_after("\"id_or_num\":\"") : head;
    if (number > head) return {200, "{}"};
    const std::string hash = asked && number == 0 ? genesis(v.chain_id()) : v.hash(number);
    return {200, fmt::format(R"({{"blockID":"{}","block_header":{{"raw_data":{{"number":{},"timestamp":{}}}}}}})",
                             plain(hash), number, ms_of(v, number))};
  }
  if (a.path() == "/wallet/getnodeinfo")
    return {200, fmt::format(R"({{"activeConnectCount":3,"currentConnectCount":{}}})", v.behaviour.peers)};
  return {404, R"({"Error":"this API is unavailable due to config"})"};
}

Told beacon(const Ask& a) {
  const View& v = a.view;
  const std::uint64_t head = v.head();
  if (a.path() == "/eth/v1/beacon/headers/head")
    return {200,
            fmt::format(R"({{"execution_optimistic":false,"finalized":false,"data":{{"root":"{}","canonical":true,)"
                        R"("header":{{"message":{{"slot":"{}","proposer_index":"1"}}}}}}}})",
                        v.hash(head), head)};
  if (a.path() == "/eth/v1/beacon/genesis")
    return {200,
            fmt::format(R"({{"data":{{"genesis_time":"0","genesis_validators_root":"{}"}}}})", genesis(v.chain_id()))};
  if (a.path() == "/eth/v1/node/syncing")
    return {200, fmt::format(R"({{"data":{{"head_slot":"{}","sync_distance":"{}","is_syncing":{},)"
                             R"("is_optimistic":false,"el_offline":false}}}})",
                             head, v.behaviour.syncing ? v.behaviour.syncing_blocks : 0, v.behaviour.syncing)};
  if (a.path() == "/eth/v1/node/peer_count")
    return {200, fmt::format(R"({{"data":{{"disconnected":"786","connected":"{}"}}}})", v.behaviour.peers)};
  if (a.path().starts_with("/eth/v1/beacon/blocks/")) {
    const std::uint64_t slot = a.number_after("/eth/v1/beacon/blocks/");
    if (slot <= head) return {200, fmt::format(R"({{"data":{{"root":"{}"}}}})", v.hash(slot))};
  }
  return {404, R"({"code":404,"message":"not found"})"};
}

struct Row {
  std::string_view family;
  Told (*answer)(const Ask&);
  std::string (*identity)(std::uint64_t chain_id);
  /// In the family's own way.
  Told limited;
  Told fault;
  /// A request for something that the node does not offer.
  Told unsupported;
};

std::string named(std::uint64_t id) {
  return fmt::format("sim-{}", id);
}
std::string decimal(std::uint64_t id) {
  return fmt::format("{}", id);
}
std::string in_base58(std::uint64_t id) {
  return base58(genesis(id));
}
std::string in_hex(std::uint64_t id) {
  return plain(genesis(id));
}

const std::vector<Row>& rows() {
  const Told no_method = rpc_fault(-32601, "Method not found");
  const Told internal = rpc_fault(-32603, "internal error");
  const Told text_429{429, "too many requests"};
  const Told not_found{404, "404 page not found"};
  static const std::vector<Row> out{
      {"solana", &solana, &in_base58, rpc_fault(429, "slow down"), internal, no_method},
      {"algorand", &algorand, &named, text_429, {500, R"({"message":"internal error"})"}, not_found},
      {"aptos",
       &aptos,
       &decimal,
       text_429,
       {503, R"({"message":"too old","error_code":"health_check_failed"})"},
       not_found},
      {"sui",
       &sui,
       &in_base58,
       text_429,
       {200, R"({"data":null,"errors":[{"message":"Request timed out"}]})"},
       not_found},
      {"hedera",
       &hedera,
       [](std::uint64_t id) { return genesis(id).substr(2) + genesis(id).substr(2, 32); },
       text_429,
       {400, R"({"_status":{"messages":[{"message":"Invalid parameter: limit"}]}})"},
       not_found},
      {"near", &near, &named, text_429, internal, no_method},
      {"cometbft",
       &cometbft,
       &named,
       text_429,
       {500, R"({"jsonrpc":"2.0","id":-1,"error":{"code":-32603,"message":"Internal error","data":"no node"}})"},
       not_found},
      {"substrate", &substrate, &genesis, rpc_fault(-32999, "RPC rate limit exceeded"), internal,
       rpc_fault(-32604, "method is unsafe")},
      {"stellar-rpc",
       &stellar_rpc,
       &passphrase,
       {503, ""},
       rpc_fault(-32603, "latency (45s) since last known ledger closed is too high (>30s)"),
       no_method},
      {"horizon",
       &horizon,
       &passphrase,
       {429, R"({"type":"rate_limit_exceeded","title":"Rate Limit Exceeded","status":429})"},
       {503, R"({"type":"stale_history","title":"Historical DB Is Too Stale","status":503})"},
       not_found},
      {"xrpl",
       &xrpl,
       &decimal,
       {503, "Server is overloaded"},
       {200, R"({"result":{"error":"noNetwork","error_message":"Not synced to the network.","status":"error"}})"},
       {200, R"({"result":{"error":"unknownCmd","error_message":"Unknown method.","status":"error"}})"}},
      {"starknet", &starknet, [](std::uint64_t id) { return fmt::format("{:#x}", id); }, text_429,
       rpc_fault(32, "There are no blocks"), no_method},
      {"bitcoin",
       &bitcoin,
       &in_hex,
       {503, "Work queue depth exceeded"},
       {500, R"({"result":null,"error":{"code":-28,"message":"Loading block index"},"id":1})"},
       {404, R"({"result":null,"error":{"code":-32601,"message":"Method not found"},"id":1})"}},
      {"tron",
       &tron,
       &in_hex,
       {200, R"({"Error":"class java.lang.IllegalAccessException : lack of computing resources"})"},
       {200, R"({"Error":"class java.lang.NullPointerException : null"})"},
       {404, R"({"Error":"this API is unavailable due to config"})"}},
      {"beacon",
       &beacon,
       &genesis,
       text_429,
       {503, R"({"code":503,"message":"Beacon node is currently syncing"})"},
       {405, R"({"code":405,"message":"method not allowed"})"}},
  };
  return out;
}

const Row* find(std::string_view family) {
  const auto at = std::ranges::find(rows(), family, &Row::family);
  return at == rows().end() ? nullptr : &*at;
}

/// Every value of a JSON text that is a string or a number becomes true.
std::string with_wrong_types(std::string_view json) {
  std::string out;
  bool value = false;
  for (std::size_t i = 0; i < json.size();) {
    const char c = json[i];
    if (c == '"') {
      const std::size_t end = json.find('"', i + 1);
      out += value ? std::string_view("true") : json.substr(i, end - i + 1);
      value = false;
      i = end + 1;
    } else if (value && (c == '-' || (c >= '0' && c <= '9'))) {
      i = std::min(json.find_first_not_of("-.0123456789", i), json.size());
      out += "true";
      value = false;
    } else {
      value = c == ':' || (value && (c == '[' || c == ' '));
      out += c;
      ++i;
    }
  }
  return out;
}

}  // namespace

Told tell(const View& view, const Request& request, const Calls& calls, Outcome outcome) {
  const Row& row = *find(view.behaviour.family);
  const std::string_view method = calls.calls.empty() ? std::string_view{} : calls.calls.front().method;
  const Ask ask{view, request, method};
  switch (outcome) {
    case Outcome::limited:
      return row.limited;
    case Outcome::rpc_error:
      return row.fault;
    case Outcome::null_result:
      return {200, "null"};
    case Outcome::other_id:
    case Outcome::good:
    case Outcome::wrong_type:
      break;
  }
  const bool unsupported = std::ranges::any_of(view.behaviour.unsupported_methods, [&](const std::string& name) {
    return name == method || name == ask.path();
  });
  if (unsupported) return row.unsupported;
  Told out = row.answer(ask);
  if (outcome == Outcome::wrong_type) out.body = with_wrong_types(out.body);
  return out;
}

}  // namespace detail

std::vector<std::string_view> families() {
  std::vector<std::string_view> out{"evm"};
  for (const detail::Row& row : detail::rows()) out.push_back(row.family);
  return out;
}

std::string identity(std::string_view family, std::uint64_t chain_id) {
  const detail::Row* row = detail::find(family);
  return row == nullptr ? detail::decimal(chain_id) : row->identity(chain_id);
}

}  // namespace sim
