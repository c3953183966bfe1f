#include <fmt/format.h>

#include <string>

#include "micro/measure.hpp"
#include "rpc/family/registry.hpp"
#include "rpc/http_client.hpp"

using namespace rpcw;
using namespace rpcw::bench;
using benchmark::DoNotOptimize;

namespace {

const rpc::HttpTarget& target() {
  static const rpc::HttpTarget out({"https://eth.example/v3/0123456789abcdef0123456789abcdef", {}, "example", false});
  return out;
}

const rpc::family::Family& evm() {
  return *rpc::family::find("evm");
}

rpc::HttpAnswer answer(const std::string& body, long status = 200) {
  return {status, body, {}, {}};
}

/// A block as geth writes it, with so many transactions' hashes.
std::string block(int transactions) {
  std::string hashes;
  for (int i = 0; i < transactions; ++i) hashes += fmt::format(R"({}"0x{:064x}")", i == 0 ? "" : ",", i * 7919 + 1);
  return fmt::format(
      R"({{"jsonrpc":"2.0","id":1,"result":{{"baseFeePerGas":"0x2540be400","difficulty":"0x0","extraData":"0x6265",)"
      R"("gasLimit":"0x2255100","gasUsed":"0x10a2b3c","hash":"0x{0:064x}","logsBloom":"0x{1:0512x}",)"
      R"("miner":"0x{1:040x}","mixHash":"0x{0:064x}","nonce":"0x0000000000000000","number":"0x16b0a2c",)"
      R"("parentHash":"0x{0:064x}","receiptsRoot":"0x{0:064x}","sha3Uncles":"0x{0:064x}","size":"0x1a2b3",)"
      R"("stateRoot":"0x{0:064x}","timestamp":"0x6b49d200","transactions":[{2}],"transactionsRoot":"0x{0:064x}",)"
      R"("uncles":[],"withdrawals":[],"withdrawalsRoot":"0x{0:064x}"}}}})",
      0x1234567890abcdefU, 0xfedcba98U, hashes);
}

void head(benchmark::State& state, const std::string& body, long status) {
  state.SetLabel(fmt::format("{} bytes", body.size()));
  measure(state, 1, [&] {
    const rpc::family::Outcome reply(evm().read_head(0, answer(body, status)));
    DoNotOptimize(evm().head(std::span(&reply, 1), {target()}));
  });
}

void other(benchmark::State& state, const Check& check, const std::string& body) {
  state.SetLabel(fmt::format("{} bytes", body.size()));
  measure(state, 1, [&] { DoNotOptimize(evm().answer(check, evm().read(check.kind, answer(body)), {target()})); });
}

std::string result(std::string_view value) {
  return fmt::format(R"({{"jsonrpc":"2.0","id":1,"result":{}}})", value);
}

BENCHMARK_CAPTURE(head, block_empty, block(0), 200)->Name("rpc/head, block without transactions");
BENCHMARK_CAPTURE(head, block_200, block(200), 200)->Name("rpc/head, block of 200 transactions");
BENCHMARK_CAPTURE(head, block_5000, block(5000), 200)->Name("rpc/head, block of 5000 transactions");
BENCHMARK_CAPTURE(head, rpc_error,
                  std::string(R"({"jsonrpc":"2.0","id":1,"error":{"code":-32000,"message":"header not found"}})"), 200)
    ->Name("rpc/head, error");
BENCHMARK_CAPTURE(head, rate_limit,
                  std::string(R"({"jsonrpc":"2.0","id":1,"error":{"code":-32005,"message":"daily request count )"
                              R"(exceeded, request rate limited"}})"),
                  429)
    ->Name("rpc/head, rate limit");
BENCHMARK_CAPTURE(head, page,
                  "<!DOCTYPE html><html><head><title>502</title></head><body>" + std::string(4000, ' ') + "</html>",
                  200)
    ->Name("rpc/head, a web page");
BENCHMARK_CAPTURE(head, cut_off, block(200).substr(0, 12'000), 200)->Name("rpc/head, cut off");
BENCHMARK_CAPTURE(head, nested, std::string(100'000, '['), 200)->Name("rpc/head, nested without end");
BENCHMARK_CAPTURE(other, identity, Check{CheckKind::kIdentity}, result(R"("0x1")"))->Name("rpc/chain id");
BENCHMARK_CAPTURE(other, up_to_date, Check{CheckKind::kSyncing}, result("false"))->Name("rpc/not syncing");
BENCHMARK_CAPTURE(other, syncing, Check{CheckKind::kSyncing},
                  result(R"({"startingBlock":"0x0","currentBlock":"0x16b0000","highestBlock":"0x16b0a2c"})"))
    ->Name("rpc/syncing");
BENCHMARK_CAPTURE(other, peers, Check{CheckKind::kPeers}, result(R"("0x32")"))->Name("rpc/peers");
BENCHMARK_CAPTURE(other, block_hash, Check(CheckKind::kBlock, 0x16b0a2c), block(200))
    ->Name("rpc/hash of a block of 200 transactions");
BENCHMARK_CAPTURE(other, canary, Check{CheckKind::kCanary}, result("\"0x" + std::string(64'000, 'a') + "\""))
    ->Name("rpc/canary of 64 kB");

}  // namespace
