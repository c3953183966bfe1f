#include "observe/render.hpp"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <sstream>

using namespace rpcw;
using namespace std::chrono_literals;

namespace {

ServerReport server(std::string name, State state, unsigned weight, unsigned was) {
  ServerReport out;
  out.name = std::move(name);
  out.url = "https://example.org/…";
  out.current_weight = was;
  out.admin_state = "ready";
  out.decision.state = state;
  out.decision.weight = weight;
  return out;
}

void answered(ServerReport& s, std::chrono::microseconds latency, std::uint64_t block, milliseconds age,
              std::uint64_t lag, double score) {
  s.decision.latency = latency;
  s.decision.head = Head{block, "0xab", {}};
  s.decision.head_age = age;
  s.decision.lag_blocks = lag;
  s.decision.score = score;
}

/// Every state, and a server with two reasons.
Report sample() {
  Report out;
  out.time = WallTime{std::chrono::milliseconds{1'767'323'045'678}};
  out.haproxy.push_back({"unix:/run/haproxy/admin.sock", true, "2.6.12", 123, {}, 4});
  BackendReport& b = out.backends.emplace_back();
  b.name = "rpc-backend";
  b.chain = "ethereum";
  b.strategy = "inverse-latency";
  b.algorithm = "roundrobin";
  b.head = AgreedHead{19'000'123, 3};
  b.healthy = 2;
  b.notes.push_back({"unmanaged", "server spare holds 100 of 356"});
  b.servers.push_back(server("quicknode", State::kHealthy, 201, 100));
  answered(b.servers.back(), 4200us, 19'000'123, 3100ms, 0, 1.00032);
  b.servers.push_back(server("alchemy", State::kDegraded, 55, 100));
  answered(b.servers.back(), 87'400us, 19'000'121, 27'100ms, 2, 0.0078);
  b.servers.back().decision.reasons = {{Reason::kRateLimited, "HTTP 429, error -32005: limit exceeded"}};
  b.servers.back().decision.inputs.rate_limit_factor = 0.25;
  b.servers.push_back(server("own-node", State::kEjected, 0, 100));
  answered(b.servers.back(), 1234ms, 18'999'000, 4h, 1123, 0);
  b.servers.back().decision.reasons = {{Reason::kBlockTooOld, "block 18999000 is 4 h old, limit 150 s"},
                                       {Reason::kBlockLag, "1123 blocks (3 h) behind 19000123, limit 30 s"}};
  b.servers.push_back(server("ankr", State::kDisabled, 100, 100));
  b.servers.back().admin_state = "maint";
  answered(b.servers.back(), 51ms, 19'000'123, 3s, 0, 0.02);
  b.servers.push_back(server("fresh", State::kUnknown, 0, 1));
  return out;
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> out;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) out.push_back(line);
  return out;
}

/// Without colours.
std::string plain(std::string text) {
  for (std::size_t at = text.find('\x1b'); at != std::string::npos; at = text.find('\x1b'))
    text.erase(at, text.find('m', at) - at + 1);
  return text;
}

std::size_t columns(std::string_view line) {
  return static_cast<std::size_t>(std::ranges::count_if(line, [](char c) { return (c & 0xC0) != 0x80; }));
}

std::string table(const Report& report, unsigned width, bool utf8 = true, bool colour = false) {
  return observe::render_table(report, {width, utf8, colour});
}

}  // namespace

TEST_CASE("no line is wider than asked, whatever there is to show") {
  Report report = sample();
  BackendReport& b = report.backends[0];
  SUBCASE("as it is") {}
  SUBCASE("long names") {
    for (ServerReport& s : b.servers) s.name = "a-very-long-server-name-of-one-vendor-in-frankfurt-" + s.name;
    b.name = std::string(50, 'b');
  }
  SUBCASE("one server") {
    b.servers.resize(1);
  }
  SUBCASE("no server") {
    b.servers.clear();
  }
  SUBCASE("seventy servers") {
    for (int i = 0; i < 70; ++i) b.servers.push_back(server(fmt::format("server-{}", i), State::kHealthy, 3, 4));
  }
  SUBCASE("no HAProxy") {
    report.haproxy.clear();
    b.algorithm.clear();
    for (ServerReport& s : b.servers) s.current_weight.reset();
  }
  SUBCASE("fallback, notes and endpoints in trouble") {
    b.fallback = config::Fallback::kKeep;
    b.notes.push_back(
        {"no_quorum", "two operators are more than max_lag apart and no third one can tell who is right"});
    report.haproxy.push_back({"tcp:haproxy-2.example.org:9999",
                              false,
                              "",
                              0,
                              {"tcp:haproxy-2.example.org:9999: cannot connect: Connection refused; is HAProxy running "
                               "there, with a `stats socket ipv4@ADDRESS:PORT level admin` line?"},
                              0});
  }
  SUBCASE("a word without end") {
    b.servers[1].decision.reasons[0].detail = std::string(300, 'x');
  }
  SUBCASE("the largest numbers") {
    for (ServerReport& s : b.servers)
      answered(s, std::chrono::hours{100}, 18'446'744'073'709'551'615U, 24h * 365 * 50, 18'446'744'073'709'551'615U,
               1.23456e-200);
  }
  for (const unsigned width : {60U, 61U, 79U, 80U, 100U, 119U, 120U, 160U, 240U}) {
    for (const bool utf8 : {true, false}) {
      CAPTURE(width);
      CAPTURE(utf8);
      const std::string text = table(report, width, utf8);
      CHECK(text.ends_with("\n"));
      for (const std::string& line : lines_of(text)) {
        CAPTURE(line);
        CHECK(columns(line) <= width);
        CHECK_FALSE(line.ends_with(' '));
        if (!utf8) CHECK(std::ranges::all_of(line, [](char c) { return c >= 0x20 && c < 0x7F; }));
      }
      const std::string coloured = table(report, width, utf8, true);
      CHECK(coloured != text);
      CHECK(plain(coloured) == text);
    }
  }
}

TEST_CASE("a fallback that ends with a question has no full stop behind it") {
  Report report = sample();
  report.backends[0].fallback = config::Fallback::kEqual;
  CHECK(table(report, 160).find("is `chain` right") == std::string::npos);
  for (ServerReport& s : report.backends[0].servers) {
    s.decision.state = State::kEjected;
    s.decision.reasons = {{Reason::kWrongChain, "chain id 56, expected 1"}};
  }
  const std::string text = table(report, 240);
  CAPTURE(text);
  CHECK(text.find("is `chain` right?\n") != std::string::npos);
}

TEST_CASE("numbers stand under each other") {
  const auto lines = lines_of(table(sample(), 160));
  const auto header = std::ranges::find_if(lines, [](const std::string& l) { return l.starts_with("  SERVER"); });
  REQUIRE(header != lines.end());
  const std::size_t weight = header->find("WEIGHT") + 6;
  const std::size_t was = header->find("WAS") + 3;
  for (std::size_t i = 0; i < 5; ++i) {
    const ServerReport s = sample().backends[0].servers[i];
    const std::string& row =
        *std::ranges::find_if(lines, [&](const std::string& l) { return l.starts_with("  " + s.name); });
    CHECK(row.substr(0, weight).ends_with(fmt::format(" {}", s.decision.weight)));
    CHECK(row.substr(0, was).ends_with(fmt::format(" {}", *s.current_weight)));
  }
}

TEST_CASE("shortened names still differ where they did at either end") {
  Report report = sample();
  report.backends[0].servers[0].name = "quicknode-with-a-very-long-name-in-a-region-far-away-1";
  report.backends[0].servers[1].name = "quicknode-with-a-very-long-name-in-a-region-far-away-2";
  const std::string text = table(report, 80, false);
  CHECK(text.find("quickn") != std::string::npos);
  CHECK(text.find("-away-1 ") != std::string::npos);
  CHECK(text.find("-away-2 ") != std::string::npos);
}

TEST_CASE("CSV quotes what needs it") {
  Report report = sample();
  report.backends[0].name = "a,b";
  report.backends[0].servers[0].name = "say \"hi\"";
  const auto lines = lines_of(observe::render_csv(report));
  REQUIRE(lines.size() == 6);
  CHECK(lines[1].starts_with("\"a,b\",\"say \"\"hi\"\"\",healthy,,4.2,19000123,3100,0,1.00032,201,100,ready,"));
  CHECK(lines[3].starts_with("\"a,b\",own-node,ejected,block_too_old block_lag,1234,"));
  CHECK(lines[5].starts_with("\"a,b\",fresh,unknown,,,,,,0,0,1,ready,"));
}

TEST_CASE("a table of 60 columns: narrow: the block is left out, the heading has it") {
  CHECK(table(sample(), 60, true) == R"(rpc-backend
  ethereum · inverse-latency · roundrobin · head 19000123 ·
  2 of 5 healthy
  SERVER     STATE     WEIGHT  WAS  SHARE  LATENCY   LAG
  quicknode  healthy      201  100    79%   4.2 ms     0
  alchemy    degraded      55  100    21%    87 ms     2
    └ limits our rate: HTTP 429, error -32005: limit
        exceeded (rate_limited, score × 0.25)
  own-node   ejected        0  100     0%    1.2 s  1123
    └ block 18999000 is 4 h old, limit 150 s (block_too_old)
      1123 blocks (3 h) behind 19000123, limit 30 s
        (block_lag)
  ankr       disabled     100  100      –    51 ms     0
    └ taken out in HAProxy (maint)
  fresh      unknown        0    1     0%        –     –
  Note: not in the file: server spare holds 100 of 356
  (unmanaged)

HAProxy unix:/run/haproxy/admin.sock: 2.6.12, pid 123, 4
weights set
)");
}

TEST_CASE("a table of 80 columns: the usual terminal, without UTF-8") {
  CHECK(table(sample(), 80, false) == R"(rpc-backend
  ethereum, inverse-latency, roundrobin, head 19000123, 2 of 5 healthy
  SERVER     STATE     WEIGHT  WAS  SHARE  LATENCY     BLOCK   LAG    AGE
  quicknode  healthy      201  100    79%   4.2 ms  19000123     0  3.1 s
  alchemy    degraded      55  100    21%    87 ms  19000121     2   27 s
    \ limits our rate: HTTP 429, error -32005: limit exceeded (rate_limited,
        score x 0.25)
  own-node   ejected        0  100     0%    1.2 s  18999000  1123    4 h
    \ block 18999000 is 4 h old, limit 150 s (block_too_old)
      1123 blocks (3 h) behind 19000123, limit 30 s (block_lag)
  ankr       disabled     100  100      -    51 ms  19000123     0    3 s
    \ taken out in HAProxy (maint)
  fresh      unknown        0    1     0%        -         -     -      -
  Note: not in the file: server spare holds 100 of 356 (unmanaged)

HAProxy unix:/run/haproxy/admin.sock: 2.6.12, pid 123, 4 weights set
)");
}

TEST_CASE("a table of 120 columns: wide: bars and scores") {
  CHECK(table(sample(), 120, true) ==
        R"(rpc-backend  ethereum · inverse-latency · roundrobin · head 19000123 · 2 of 5 healthy
  SERVER     STATE     WEIGHT  WAS  SHARE            LATENCY     BLOCK   LAG    AGE   SCORE
  quicknode  healthy      201  100    79%  ███████▉   4.2 ms  19000123     0  3.1 s       1
  alchemy    degraded      55  100    21%  ██▏         87 ms  19000121     2   27 s  0.0078
    └ limits our rate: HTTP 429, error -32005: limit exceeded (rate_limited, score × 0.25)
  own-node   ejected        0  100     0%              1.2 s  18999000  1123    4 h       –
    └ block 18999000 is 4 h old, limit 150 s (block_too_old)
      1123 blocks (3 h) behind 19000123, limit 30 s (block_lag)
  ankr       disabled     100  100      –              51 ms  19000123     0    3 s    0.02
    └ taken out in HAProxy (maint)
  fresh      unknown        0    1     0%                  –         –     –      –       –
  Note: not in the file: server spare holds 100 of 356 (unmanaged)

HAProxy unix:/run/haproxy/admin.sock: 2.6.12, pid 123, 4 weights set
)");
}

TEST_CASE("a table of 160 columns: wider: reasons beside") {
  CHECK(table(sample(), 160, true) ==
        R"(rpc-backend  ethereum · inverse-latency · roundrobin · head 19000123 · 2 of 5 healthy
  SERVER     STATE     WEIGHT  WAS  SHARE            LATENCY     BLOCK   LAG    AGE   SCORE  WHY
  quicknode  healthy      201  100    79%  ███████▉   4.2 ms  19000123     0  3.1 s       1
  alchemy    degraded      55  100    21%  ██▏         87 ms  19000121     2   27 s  0.0078  limits our rate: HTTP 429, error -32005: limit exceeded
                                                                                               (rate_limited, score × 0.25)
  own-node   ejected        0  100     0%              1.2 s  18999000  1123    4 h       –  block 18999000 is 4 h old, limit 150 s (block_too_old)
                                                                                             1123 blocks (3 h) behind 19000123, limit 30 s (block_lag)
  ankr       disabled     100  100      –              51 ms  19000123     0    3 s    0.02  taken out in HAProxy (maint)
  fresh      unknown        0    1     0%                  –         –     –      –       –
  Note: not in the file: server spare holds 100 of 356 (unmanaged)

HAProxy unix:/run/haproxy/admin.sock: 2.6.12, pid 123, 4 weights set
)");
}

TEST_CASE("colours: the state, the reasons and the heading") {
  const std::string text = table(sample(), 80, true, true);
  CHECK(text.find("\x1b[1mrpc-backend\x1b[0m") != std::string::npos);
  CHECK(text.find("\x1b[32mhealthy \x1b[0m") != std::string::npos);
  CHECK(text.find("\x1b[33mdegraded\x1b[0m") != std::string::npos);
  CHECK(text.find("\x1b[31mejected \x1b[0m") != std::string::npos);
  CHECK(text.find("\x1b[2mdisabled\x1b[0m") != std::string::npos);
  CHECK(text.find("\x1b[31mblock 18999000 is ") != std::string::npos);
}

TEST_CASE("a table says what a score is made of, which servers wait, and which a limit holds") {
  Report report = sample();
  report.haproxy.clear();
  BackendReport& b = report.backends[0];
  b.strategy = "adaptive";
  b.notes.clear();
  b.servers.resize(3);
  b.healthy = 3;
  ServerDecision& first = b.servers[0].decision;
  first.inputs.limited_by = "max_share";
  ServerDecision& lagging = b.servers[1].decision;
  lagging.inputs = {};
  lagging.inputs.freshness = 0.375;
  lagging.inputs.error_rate = 0.05;
  lagging.inputs.limited_by = "growth";
  lagging.reasons = {{Reason::kBlockLag, "2 blocks (24 s) behind 19000123, limit 30 s"}};
  ServerDecision& spare = b.servers[2].decision;
  spare = first;
  spare.inputs = {};
  spare.weight = 256;
  for (ServerReport& s : b.servers) s.backup = &s == &b.servers[2];
  CHECK(table(report, 80) == R"(rpc-backend  ethereum · adaptive · roundrobin · head 19000123 · 3 of 3 healthy
  SERVER     STATE     ROLE    WEIGHT  WAS  SHARE  LATENCY     BLOCK  LAG    AGE
  quicknode  healthy              201  100    79%   4.2 ms  19000123    0  3.1 s
    └ max_share keeps its share down
  alchemy    degraded              55  100    21%    87 ms  19000121    2   27 s
    └ 2 blocks (24 s) behind 19000123, limit 30 s (block_lag, score × 0.38)
      recent failures: an error rate of 5.0 % (score × 0.5)
      its share is still growing
  own-node   healthy   backup     256  100      –   4.2 ms  19000123    0  3.1 s

)");
}

TEST_CASE("a table of a backend whose backup servers have the traffic") {
  Report report = sample();
  report.haproxy.clear();
  BackendReport& b = report.backends[0];
  b.notes.clear();
  b.servers.erase(b.servers.begin(), b.servers.begin() + 2);
  b.servers[1].decision.state = State::kHealthy;
  b.servers[1].decision.weight = 256;
  b.servers[1].backup = true;
  b.servers.resize(2);
  b.healthy = 1;
  CHECK(table(report, 80) == R"(rpc-backend
  ethereum · inverse-latency · roundrobin · head 19000123 · 1 of 2 healthy
  No active server is healthy: the backup servers have the traffic.
  SERVER    STATE    ROLE    WEIGHT  WAS  SHARE  LATENCY     BLOCK   LAG  AGE
  own-node  ejected               0  100     0%    1.2 s  18999000  1123  4 h
    └ block 18999000 is 4 h old, limit 150 s (block_too_old)
      1123 blocks (3 h) behind 19000123, limit 30 s (block_lag)
  ankr      healthy  backup     256  100   100%    51 ms  19000123     0  3 s

)");
}

TEST_CASE("SHARE counts the servers that the file does not name, and backup servers wait for them too") {
  Report report = sample();
  report.haproxy.clear();
  BackendReport& b = report.backends[0];
  b.unmanaged_weight = 64;
  b.servers.resize(3);
  b.servers[0].decision.weight = 192;
  b.servers[1] = b.servers[0];
  b.servers[1].name = "spare";
  b.servers[1].backup = true;
  b.servers[1].decision.weight = 256;
  CHECK(table(report, 80).find("  quicknode  healthy             192  100    75%") != std::string::npos);
  CHECK(table(report, 80).find("  spare      healthy  backup     256  100      –") != std::string::npos);
  b.servers[0].decision.weight = 0;
  const std::string text = table(report, 80);
  CHECK(text.find("those not in it have the traffic.") != std::string::npos);
  CHECK(text.find("the backup servers have") == std::string::npos);
  CHECK(text.find("  quicknode  healthy               0  100     0%") != std::string::npos);
  CHECK(text.find("  spare      healthy  backup     256  100      –") != std::string::npos);
}

TEST_CASE("references stand below the servers, with what speaks against them, and in the JSON as servers do") {
  Report report = sample();
  report.haproxy.clear();
  BackendReport& b = report.backends[0];
  b.servers.resize(1);
  b.healthy = 1;
  b.notes.clear();
  CHECK(observe::render_json(report).find("references") == std::string::npos);
  ReferenceReport& late = b.references.emplace_back();
  late.name = "publicnode.com";
  late.url = "https://publicnode.com/…";
  late.lag = 24s;
  late.verdict = {.reasons = {{Reason::kTimeout, "no answer within 2 s"}},
                  .head = Head{19'000'121, "0xab", {}},
                  .head_age = 27s,
                  .lag_blocks = 2,
                  .latency = 30ms};
  b.references.emplace_back().name = "reference 2";
  CHECK(table(report, 80) == R"(rpc-backend
  ethereum · inverse-latency · roundrobin · head 19000123 · 1 of 1 healthy
  SERVER     STATE    WEIGHT  WAS  SHARE  LATENCY     BLOCK  LAG    AGE
  quicknode  healthy     201  100   100%   4.2 ms  19000123    0  3.1 s
  Reference publicnode.com: block 19000121, 2 behind; no answer within 2 s
  (timeout)
  Reference reference 2: no block yet

)");
  const std::string json = observe::render_json(report);
  CHECK(json.find(R"("references":[{"name":"publicnode.com","url":"https://publicnode.com/…","reasons":[{"code":)"
                  R"("timeout","detail":"no answer within 2 s"}],"latency_ms":30,"block":{"number":19000121,)"
                  R"("hash":"0xab","age_ms":27000,"lag":2,"lag_ms":24000}},)"
                  R"({"name":"reference 2","url":"","reasons":[],"latency_ms":null,"block":null}])") !=
        std::string::npos);
}

TEST_CASE("a table of a leader and those that stand by") {
  Report report = sample();
  report.haproxy.clear();
  BackendReport& b = report.backends[0];
  b.strategy = "leader";
  b.notes.clear();
  b.servers.resize(2);
  b.servers[0].decision.weight = 0;
  b.servers[0].decision.reasons = {{Reason::kStandby, "alchemy leads"}};
  b.servers[1].decision.weight = 256;
  b.servers[1].decision.reasons.clear();
  b.servers[1].decision.state = State::kHealthy;
  CHECK(table(report, 160) ==
        R"(rpc-backend  ethereum · leader alchemy · roundrobin · head 19000123 · 2 of 2 healthy
  SERVER     STATE    ROLE     WEIGHT  WAS  SHARE              LATENCY     BLOCK  LAG    AGE   SCORE
  quicknode  healthy  standby       0  100     0%               4.2 ms  19000123    0  3.1 s       1
  alchemy    healthy  leader      256  100   100%  ██████████    87 ms  19000121    2   27 s  0.0078

)");
}
