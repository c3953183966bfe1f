// What a read tells of the worker that gave it, and how soon a failed one is tried again.
#include <doctest/doctest.h>

#include "weighter/plan/back_off.hpp"
#include "weighter/state/topology.hpp"

using namespace rpcw;
using namespace rpcw::haproxy;
using namespace std::chrono_literals;

namespace {

Instance worker(std::int64_t pid, std::chrono::seconds uptime, std::uint64_t requests = 100) {
  Instance out{.version = "3.0.0", .pid = pid, .uptime = uptime};
  BackendRow& backend = out.backends.emplace_back();
  backend.name = "rpc";
  ServerRow& server = backend.servers.emplace_back();
  server.name = "a";
  server.counters.lbtot = requests;
  return out;
}

config::Endpoint endpoint(config::Endpoint::Kind kind, std::string address, std::string resolved = {}) {
  config::Endpoint out;
  out.kind = kind;
  out.address = std::move(address);
  out.resolved = std::move(resolved);
  return out;
}

}  // namespace

TEST_CASE("a new worker is told by its pid or its uptime") {
  CHECK(worker_between(worker(1, 100s), worker(1, 101s), 1s) == Worker::kSame);
  CHECK(worker_between(worker(1, 100s), worker(2, 101s), 1s) == Worker::kNew);
  CHECK(worker_between(worker(1, 100s), worker(1, 0s), 1s) == Worker::kNew);
  CHECK(worker_between(worker(1, 3s), worker(1, 2s), 1s) == Worker::kNew);
}

TEST_CASE("a worker that may have started since the last read proves nothing") {
  // It was 2 s old, and is so again a second later.
  CHECK(worker_between(worker(1, 2s), worker(1, 2s), 2500ms) == Worker::kUnsure);
  CHECK(worker_between(worker(1, 0s), worker(1, 1s), 1s) == Worker::kUnsure);
  CHECK(worker_between(worker(1, 0s), worker(1, 2s), 1900ms) == Worker::kSame);
  // Counters from a file may be any.
  CHECK(worker_between(worker(1, 0s, 100), worker(1, 1s, 1'000'000), 1s) == Worker::kUnsure);
  CHECK(worker_between(worker(1, 0s, 100), worker(1, 1s, 3), 1s) == Worker::kNew);
}

TEST_CASE("counters that an operator has cleared are no restart") {
  CHECK(worker_between(worker(1, 100s, 100), worker(1, 101s, 0), 1s) == Worker::kSame);
}

TEST_CASE("a local HAProxy that refuses is tried every watch interval") {
  using Kind = config::Endpoint::Kind;
  for (const auto& local :
       {endpoint(Kind::kUnix, "/run/a"), endpoint(Kind::kMaster, "/run/a"), endpoint(Kind::kTcp, "127.0.0.2"),
        endpoint(Kind::kTcp, "::1"), endpoint(Kind::kTcp, "localhost"), endpoint(Kind::kDns, "self", "127.0.0.1")})
    for (const Error error : {Error::kConnect, Error::kPermission, Error::kClosedEarly})
      CHECK(next_back_off(local, error, 4000ms, 1000ms) == 1000ms);
}

TEST_CASE("whatever else fails is tried ever less often, up to 5 s") {
  using Kind = config::Endpoint::Kind;
  const auto local = endpoint(Kind::kUnix, "/run/a");
  CHECK(next_back_off(local, Error::kTimeout, 0ms, 1000ms) == 1000ms);
  CHECK(next_back_off(local, Error::kTimeout, 1000ms, 1000ms) == 2000ms);
  CHECK(next_back_off(local, Error::kTimeout, 4000ms, 1000ms) == 5000ms);
  CHECK(next_back_off(local, Error::kTimeout, 4000ms, 60'000ms) == 60'000ms);
  CHECK(next_back_off(endpoint(Kind::kTcp, "10.0.0.1"), Error::kConnect, 1000ms, 1000ms) == 2000ms);
  CHECK(next_back_off(endpoint(Kind::kTcp, "haproxy.example"), Error::kConnect, 1000ms, 1000ms) == 2000ms);
}
