// run: what it serves over HTTP, and clients that want to hold it up.
#include <doctest/doctest.h>
#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <filesystem>

#include "integration/http_get.hpp"
#include "integration/program_stage.hpp"

using namespace rpcw::test;

namespace {

const Weights kAll{{"a", 86}, {"b", 85}, {"c", 85}};
const Weights kWithoutB{{"a", 128}, {"b", 0}, {"c", 128}};

std::string listen_on(std::uint16_t port) {
  return fmt::format("\"127.0.0.1:{}\"", port);
}

bool answers(std::uint16_t port, std::string_view target, unsigned status) {
  return eventually([&] { return http_get(port, target).status == status; });
}

/// The value of a sample, or -1.
double sample(const std::string& metrics, std::string_view series) {
  const std::size_t at = metrics.find(fmt::format("\n{} ", series));
  return at == std::string::npos ? -1 : std::stod(metrics.substr(at + series.size() + 2));
}

}  // namespace

TEST_CASE("http: health, readiness and status of a running agent") {
  const Stage stage;
  const std::uint16_t port = free_port();
  Program program({"run", "--config", stage.config({.listen = listen_on(port)})});
  REQUIRE(answers(port, "/healthz", 200));
  CHECK(http_get(port, "/healthz").body == "ok\n");
  REQUIRE(answers(port, "/readyz", 200));
  CHECK(http_get(port, "/readyz").body == "ready\n");
  // Ready means that HAProxy has the weights.
  CHECK(stage.weights() == kAll);

  const HttpReply status = http_get(port, "/api/v1/status");
  CHECK(status.status == 200);
  CHECK(status.headers.at("content-type") == "application/json");
  CHECK(status.headers.at("x-content-type-options") == "nosniff");
  CHECK(status.headers.at("cache-control") == "no-store");
  CHECK(status.headers.at("referrer-policy") == "no-referrer");
  CHECK(status.headers.at("content-length") == std::to_string(status.body.size()));
  CHECK_FALSE(status.headers.contains("access-control-allow-origin"));
  CHECK(Secrets::found_in(status.body) == "");
  const auto doc = json(status.body);
  CHECK(at(doc, "/schema").GetInt() == 1);
  CHECK(at(doc, "/haproxy/0/reachable").GetBool());
  CHECK(at(doc, "/backends/0/name").GetString() == std::string("rpc"));
  CHECK(at(doc, "/backends/0/head/agreed_by").GetInt() == 3);
  for (const auto& server : at(doc, "/backends/0/servers").GetArray()) {
    CHECK(at(server, "/state").GetString() == std::string("healthy"));
    CHECK(at(server, "/weight").GetInt() == at(server, "/current_weight").GetInt());
  }

  CHECK(names(json(http_get(port, "/api/v1/status?backend=rpc").body)) == "schema time haproxy backends");
  CHECK(http_get(port, "/api/v1/status?backend=other").status == 404);
  CHECK(http_get(port, "/nothing").status == 404);
  CHECK(http_get(port, "/api/v1/decisions?limit=0").status == 400);

  const HttpReply head = http_get(port, "/api/v1/status", {}, "HEAD");
  CHECK(head.status == 200);
  CHECK(head.body.empty());
  CHECK(std::stoul(head.headers.at("content-length")) > 100);
  const HttpReply post = http_get(port, "/api/v1/status", {}, "POST");
  CHECK(post.status == 405);
  CHECK(post.headers.at("allow") == "GET, HEAD");
  CHECK(program.stop() == 0);
}

TEST_CASE("http: not ready, with the reason, until providers and HAProxy have answered") {
  Stage stage;
  for (sim::Provider* p : stage.providers) p->set({.fault = sim::Fault::hang});
  const std::uint16_t port = free_port();
  Program program({"run", "--config", stage.config({.listen = listen_on(port)})});
  REQUIRE(answers(port, "/healthz", 200));
  const HttpReply reply = http_get(port, "/readyz");
  CHECK(reply.status == 503);
  CHECK(reply.body.find("backend rpc: no decision yet") != std::string::npos);
  for (std::size_t i = 0; i < 3; ++i) stage.mend_provider(i);
  CHECK(answers(port, "/readyz", 200));
  CHECK(program.stop() == 0);
}

TEST_CASE("http: ready without a HAProxy that can be reached") {
  Stage stage;
  stage.haproxy.stop();
  const std::uint16_t port = free_port();
  Program program({"run", "--config", stage.config({.listen = listen_on(port)})});
  REQUIRE(answers(port, "/readyz", 200));
  const auto doc = json(http_get(port, "/api/v1/status").body);
  CHECK_FALSE(at(doc, "/haproxy/0/reachable").GetBool());
  CHECK(at(doc, "/haproxy/0/error").IsString());
  CHECK(at(doc, "/backends/0/servers/0/current_weight").IsNull());
  CHECK(program.stop() == 0);
}

TEST_CASE("http: a Host that is no address and no configured name is refused") {
  const Stage stage;
  const std::uint16_t port = free_port();
  Program program(
      {"run", "--config", stage.config({.listen = listen_on(port), .http = "hosts = [\"weighter.internal\"]"})});
  REQUIRE(answers(port, "/healthz", 200));
  for (const char* host : {"localhost", "localhost:1", "127.0.0.1", "[::1]:9404", "10.1.2.3", "Weighter.Internal:80"})
    CHECK_MESSAGE(http_get(port, "/healthz", {fmt::format("Host: {}", host)}).status == 200, host);
  for (const char* host : {"evil.example", "localhost.evil.example", "[evil]", "", "1.2.3.4.5", "weighter.internal.x"})
    CHECK_MESSAGE(http_get(port, "/healthz", {fmt::format("Host: {}", host)}).status == 421, host);
  CHECK(http_get(port, "/healthz", {"Host: localhost", "Host: evil.example"}).status == 400);
  {
    // HAProxy's health check.
    const RawConnection old(port);
    old.send("GET /healthz HTTP/1.0\r\n\r\n");
    CHECK(parse_reply(old.read_to_end()).status == 200);
    const RawConnection none(port);
    none.send("GET /healthz HTTP/1.1\r\nConnection: close\r\n\r\n");
    CHECK(parse_reply(none.read_to_end()).status == 400);
  }
  CHECK(program.stop() == 0);
}

TEST_CASE("http: heads, bodies and garbage that are no request we serve") {
  const Stage stage;
  const std::uint16_t port = free_port();
  Program program({"run", "--config", stage.config({.listen = listen_on(port)})});
  REQUIRE(answers(port, "/healthz", 200));
  CHECK(http_get(port, "/healthz", {fmt::format("X: {}", std::string(7000, 'x'))}).status == 200);
  CHECK(http_get(port, "/healthz", {fmt::format("X: {}", std::string(9000, 'x'))}).status == 431);
  CHECK(http_get(port, fmt::format("/{}", std::string(9000, 'x'))).status == 431);
  CHECK(http_get(port, "/healthz", {"Content-Length: 5"}).status == 400);
  CHECK(http_get(port, "http://localhost/healthz").status == 400);
  for (const std::string_view garbage :
       {"\x16\x03\x01\x02", "GET\r\n\r\n", "\r\n\r\n\r\n\r\n", "GET / HTTP/9.9\r\n\r\n"}) {
    const RawConnection connection(port);
    connection.send(garbage);
    connection.send(std::string(100, '\0') + "\r\n\r\n");
    CHECK(connection.is_closed());
  }
  {
    // Two requests at once on a connection that is kept.
    const RawConnection connection(port);
    const std::string request = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
    connection.send(request + request);
    const std::string first = connection.read_until("ok\n");
    CHECK(first.find("Connection: keep-alive") != std::string::npos);
    connection.send("GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    CHECK(connection.is_closed());
  }
  CHECK(answers(port, "/healthz", 200));
  CHECK(program.stop() == 0);
}

TEST_CASE("http: one request cannot hide another, a path leads nowhere else, and nothing is sent back") {
  const Stage stage;
  const std::uint16_t port = free_port();
  Program program({"run", "--config", stage.config({.listen = listen_on(port)})});
  REQUIRE(answers(port, "/healthz", 200));
  constexpr std::string_view kSecond = "GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n";

  // Where this server and a proxy before it could differ on the end of the first, nothing after it is read.
  for (const std::string_view framing :
       {"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n", "Transfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked, identity\r\n", "Transfer-Encoding: xchunked\r\n", "Content-Length: 4\r\n",
        "Content-Length: 0\r\nContent-Length: 4\r\n", "Content-Length: +4\r\n", "Content-Length: -1\r\n",
        "Content-Length: 18446744073709551616\r\n", "Content-Length : 4\r\n", "X\rY: 4\r\n"}) {
    CAPTURE(framing);
    for (const char* method : {"GET", "POST"}) {
      const RawConnection connection(port);
      connection.send(
          fmt::format("{} /healthz HTTP/1.1\r\nHost: localhost\r\n{}\r\n0\r\n\r\n{}", method, framing, kSecond));
      const std::string all = connection.read_to_end();
      const std::size_t first = all.find("HTTP/1.1 ");
      CHECK((all.empty() || all.starts_with("HTTP/1.1 4")));
      if (first != std::string::npos) CHECK(all.find("HTTP/1.1 ", first + 1) == std::string::npos);
    }
  }

  // The words of a request, also where they are decoded, are in no answer.
  for (const char* target : {"/zq7mark", "/../zq7mark", "/%2e%2e/%2e%2e/etc/passwd?zq7mark", "/api/v1/../../zq7mark",
                             "//zq7mark/", "/.%00zq7mark", "/%7a%71%37mark",
                             "/api/v1/status?backend=%3Cscript%3Ezq7mark", "/api/v1/history?backend=zq7mark%0d%0aX:1",
                             "/api/v1/decisions?limit=zq7mark", "/api/v1/decisions?backend=zq7mark",
                             "/metrics/../zq7mark", "/\\zq7mark", "/healthz/zq7mark", "/healthz%2f..%2fzq7mark"}) {
    CAPTURE(target);
    const RawConnection connection(port);
    connection.send(
        fmt::format("GET {} HTTP/1.1\r\nHost: localhost\r\nX: zq7mark\r\nConnection: close\r\n\r\n", target));
    const std::string all = connection.read_to_end();
    CHECK(all.starts_with("HTTP/1.1 4"));
    CHECK(all.find("zq7mark") == std::string::npos);
    CHECK(all.find("root:") == std::string::npos);
  }
  CHECK(http_get(port, "/healthz", {"Host: zq7mark.example"}).body.find("zq7mark") == std::string::npos);

  for (const char* target : {"/", "/metrics", "/healthz", "/api/v1/status", "/none"}) {
    CAPTURE(target);
    const HttpReply reply = http_get(port, target);
    REQUIRE(reply.headers.contains("x-content-type-options"));
    CHECK(reply.headers.at("x-content-type-options") == "nosniff");
    CHECK(reply.headers.at("cache-control") == "no-store");
    CHECK(reply.headers.at("referrer-policy") == "no-referrer");
    CHECK_FALSE(reply.headers.contains("access-control-allow-origin"));
    CHECK_FALSE(reply.headers.contains("server"));
  }
  const HttpReply page = http_get(port, "/");
  REQUIRE(page.headers.contains("content-security-policy"));
  CHECK(page.headers.at("content-security-policy").find("default-src 'none'") != std::string::npos);
  CHECK(page.headers.at("content-security-policy").find("frame-ancestors 'none'") != std::string::npos);
  CHECK(program.stop() == 0);
}

TEST_CASE("http: a port in use ends the start with 4, and makes a reload be refused") {
  const Stage stage;
  const std::uint16_t port = free_port();
  Program first({"run", "--config", stage.config({.listen = listen_on(port)})});
  REQUIRE(answers(port, "/healthz", 200));

  const std::string other = stage.folder.write("other.toml", stage.toml({.listen = listen_on(port)}));
  const Result second = run({"run", "--config", other});
  CHECK(second.code == 4);
  CHECK(second.err.find(fmt::format("http.listen 127.0.0.1:{}: Address already in use", port)) != std::string::npos);
  CHECK(second.err.find("ss -ltnp") != std::string::npos);

  const std::uint16_t free = free_port();
  stage.folder.write("other.toml", stage.toml({.listen = listen_on(free)}));
  Program third({"run", "--config", other});
  REQUIRE(answers(free, "/healthz", 200));
  stage.folder.write("other.toml", stage.toml({.listen = fmt::format("[{}, {}]", listen_on(free), listen_on(port))}));
  third.signal(SIGHUP);
  CHECK(third.says("asks for a port that cannot be used"));
  CHECK(http_get(free, "/healthz").status == 200);
  CHECK(http_get(free, "/metrics").body.find("rpc_weighter_config_last_reload_successful 0\n") != std::string::npos);
  CHECK(first.stop() == 0);
  third.signal(SIGHUP);
  CHECK(answers(port, "/healthz", 200));
  CHECK(http_get(free, "/metrics").body.find("rpc_weighter_config_last_reload_successful 1\n") != std::string::npos);
  CHECK(third.stop() == 0);
}

TEST_CASE("http: a file that is no socket stays, and run says what has the name") {
  const Stage stage;
  const std::string file = stage.folder.write("http.sock", "kept");
  std::string path = file;
  SUBCASE("a file") {}
  SUBCASE("a link to a file") {
    path = stage.folder.path("link.sock");
    std::filesystem::create_symlink(file, path);
  }
  SUBCASE("a folder") {
    path = stage.folder.path("folder.sock");
    std::filesystem::create_directory(path);
  }
  const Result r = run({"run", "--config", stage.config({.listen = fmt::format("\"unix:{}\"", path)})});
  CHECK(r.code == 4);
  CHECK(r.err.find(fmt::format("http.listen unix:{}: a file that is no socket has this name; choose another name, or "
                               "remove it",
                               path)) != std::string::npos);
  CHECK(r.err.find("ss -lxp") == std::string::npos);
  CHECK(std::filesystem::exists(file));
}

TEST_CASE("http: connections outlive a reload, and addresses come and go with the file") {
  const Stage stage;
  const std::uint16_t port = free_port();
  const std::string socket = stage.folder.path("http.sock");
  Program program({"run", "--config", stage.config({.listen = listen_on(port)})});
  REQUIRE(answers(port, "/readyz", 200));
  const RawConnection kept(port);
  const std::string request = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
  kept.send(request);
  REQUIRE(kept.read_until("ok\n").find("200 OK") != std::string::npos);

  stage.config({.listen = fmt::format("[{}, \"unix:{}\"]", listen_on(port), socket)});
  program.signal(SIGHUP);
  REQUIRE(program.says("was read again"));
  kept.send(request);
  CHECK(kept.read_until("ok\n").find("200 OK") != std::string::npos);
  const auto over_socket = [&] {
    const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_un at{};
    at.sun_family = AF_UNIX;
    socket.copy(at.sun_path, sizeof at.sun_path - 1);
    std::string out;
    const std::string line = "GET /healthz HTTP/1.0\r\n\r\n";
    if (::connect(fd, reinterpret_cast<const sockaddr*>(&at), sizeof at) == 0 &&
        ::send(fd, line.data(), line.size(), MSG_NOSIGNAL) > 0) {
      std::array<char, 4096> piece{};
      for (ssize_t n = 0; (n = ::recv(fd, piece.data(), piece.size(), 0)) > 0;)
        out.append(piece.data(), static_cast<std::size_t>(n));
    }
    ::close(fd);
    return out;
  };
  CHECK(over_socket().find("200 OK") != std::string::npos);
  // Still ready: the servers stayed.
  CHECK(http_get(port, "/readyz").status == 200);

  stage.config({.listen = listen_on(port)});
  program.signal(SIGHUP);
  REQUIRE(program.says("was read again", 2));
  CHECK(over_socket().empty());
  CHECK(::access(socket.c_str(), F_OK) != 0);
  CHECK(program.stop() == 0);
}

TEST_CASE("http: decisions, history and events say what has happened") {
  const Stage stage;
  const std::uint16_t port = free_port();
  Program program({"run", "--config", stage.config({.listen = listen_on(port)})});
  REQUIRE(answers(port, "/readyz", 200));
  const RawConnection events(port);
  events.send("GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n");
  const std::string opening = events.read_until("\n\n\r\n");
  CHECK(opening.find("Content-Type: text/event-stream") != std::string::npos);
  CHECK(opening.find("event: status\ndata: {\"schema\":1") != std::string::npos);

  stage.break_provider(1);
  REQUIRE(stage.reaches(kWithoutB));
  const std::string told = events.read_until("\"to_state\":\"ejected\"");
  CHECK(told.find("event: decision\ndata: {\"time\":\"") != std::string::npos);
  CHECK(told.find("\"server\":\"b\"") != std::string::npos);
  CHECK(Secrets::found_in(told) == "");

  const auto doc = json(http_get(port, "/api/v1/decisions?server=b&limit=1").body);
  REQUIRE(at(doc, "/decisions").Size() == 1);
  CHECK(names(at(doc, "/decisions/0")) == "time backend server from_state to_state from_weight to_weight reasons");
  CHECK(at(doc, "/decisions/0/to_state").GetString() == std::string("ejected"));
  CHECK(at(doc, "/decisions/0/to_weight").GetInt() == 0);
  CHECK(at(doc, "/decisions/0/reasons/0/code").GetString() == std::string("http_status"));
  CHECK(at(json(http_get(port, "/api/v1/decisions").body), "/decisions").Size() > 3);

  const HttpReply history = http_get(port, "/api/v1/history");
  CHECK(history.headers.at("content-type") == "application/json");
  const auto hour = json(history.body);
  CHECK(at(hour, "/step_ms").GetInt() == 10000);
  CHECK(names(at(hour, "/backends/0/servers/1")) == "name weight latency_ms lag_ms state");
  CHECK(http_get(port, "/api/v1/history?backend=other").status == 404);
  CHECK(program.stop() == 0);
}

TEST_CASE("http: at most 16 listen to events, and places are free again when they leave") {
  const Stage stage(1);
  const std::uint16_t port = free_port();
  Program program({"run", "--config", stage.config({.listen = listen_on(port)})});
  REQUIRE(answers(port, "/healthz", 200));
  {
    std::vector<RawConnection> listeners;
    for (int i = 0; i < 16; ++i) {
      listeners.emplace_back(port).send("GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n");
      REQUIRE(listeners.back().read_until("event: status").find("200 OK") != std::string::npos);
    }
    CHECK(http_get(port, "/api/v1/events").status == 503);
  }
  CHECK(eventually([&] {
    const RawConnection one(port);
    one.send("GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n");
    return one.read_until("\r\n\r\n").find("200 OK") != std::string::npos;
  }));
  CHECK(program.stop() == 0);
}

TEST_CASE("http: the 65th connection gets 503, and slow heads are closed") {
  const Stage stage(1);
  const std::uint16_t port = free_port();
  Program program({"run", "--config", stage.config({.listen = listen_on(port)})});
  REQUIRE(answers(port, "/healthz", 200));
  {
    std::vector<RawConnection> slow;
    for (int i = 0; i < 64; ++i) slow.emplace_back(port).send("GET /heal");
    CHECK(eventually([&] { return http_get(port, "/healthz").status == 503; }));
    // None of them sends the rest.
    for (const RawConnection& connection : slow) CHECK(connection.is_closed());
  }
  CHECK(answers(port, "/healthz", 200));
  CHECK(program.stop() == 0);
}

TEST_CASE("http: a thousand connections, garbage and readers that take nothing hold up no probe and no push") {
  const Stage stage;
  const std::uint16_t port = free_port();
  Program program({"run", "--config", stage.config({.listen = listen_on(port)})});
  REQUIRE(answers(port, "/readyz", 200));
  REQUIRE(stage.reaches(kAll));
  {
    std::vector<RawConnection> crowd;
    for (int i = 0; i < 1000; ++i) {
      RawConnection& one = crowd.emplace_back(port);
      switch (i % 4) {
        case 0:
          one.send("\xff\xfe garbage\r\n\r\n");
          break;
        case 1:
          one.send("GET /api/v1/sta");
          break;
        case 2:
          for (int n = 0; n < 50; ++n) one.send("GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n");
          break;
        default:
          one.send("GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n");
      }
    }
    CHECK(stage.goes_on(5));
    stage.break_provider(1);
    CHECK(stage.reaches(kWithoutB));
  }
  HttpReply metrics;
  REQUIRE(eventually([&] { return (metrics = http_get(port, "/metrics")).status == 200; }));
  const auto bucket = [&](std::string_view le) {
    return sample(metrics.body, fmt::format("rpc_weighter_loop_lag_seconds_bucket{{le=\"{}\"}}", le));
  };
  MESSAGE("the loop was late by more than 10 ms ", bucket("+Inf") - bucket("0.01"), " times of ", bucket("+Inf"));
  CHECK(bucket("+Inf") > 0);
  // How quick a busy machine is does not count here; a loop that waits for a client would be late by seconds.
  CHECK(bucket("1.0") == bucket("+Inf"));
  CHECK(program.stop() == 0);
}
