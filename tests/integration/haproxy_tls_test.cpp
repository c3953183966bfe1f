// TLS to a HAProxy that has a frontend with TLS before its own Unix socket: a `stats socket` accepts `ssl`, and 2.6
// speaks none all the same.
#include <doctest/doctest.h>

#include <chrono>
#include <string>

#include "authority.hpp"
#include "haproxy/client.hpp"
#include "haproxy_blocking.hpp"
#include "haproxy_process.hpp"

using namespace rpcw;
using namespace rpcw::haproxy;
using namespace rpcw::test;
using namespace std::chrono_literals;

namespace {

/// A HAProxy with one server, and a frontend with these words on its `bind` line that leads to its stats socket.
struct Server {
  explicit Server(const std::string& words)
      : process(
            "global\n  stats socket @DIR@/admin.sock level admin\n"
            "defaults\n  mode http\n  timeout client 5s\n  timeout server 5s\n  timeout connect 1s\n"
            "listen cli\n  mode tcp\n  bind 127.0.0.1:" +
            std::to_string(port) + " " + words +
            "\n  server self @DIR@/admin.sock\n"
            "backend rpc\n  balance roundrobin\n  server a 127.0.0.1:1 weight 100\n") {}

  std::uint16_t port = free_port();
  HaproxyProcess process;
};

struct Certificates {
  TemporaryFolder folder;
  Authority authority{folder};
};

bool works(Blocking client) {
  const auto outcomes = client.push({weight("rpc", "a", 33)});
  return outcomes[0].kind == Outcome::Kind::kDone && client.read().server("rpc", "a")->uweight == 33;
}

Failure failure(const Server& server, const std::string& host, const config::TlsFiles& files) {
  Blocking client(tcp_endpoint(host, server.port), 3s, files);
  auto out = client.failed_read();
  CHECK(contains(out.detail, "tcp:" + host + ":"));
  CHECK(client.took < 3s);
  return out;
}

}  // namespace

TEST_CASE("TLS: by name and by address, each as the certificate says") {
  Certificates c;
  const config::TlsFiles trust{.ca_file = c.authority.ca_file(), .cert_file = {}, .key_file = {}};
  const Server named("ssl crt " + c.authority.issue("localhost"));
  CHECK(works(Blocking(tcp_endpoint("localhost", named.port), 3s, trust)));
  const auto other_name = failure(named, "127.0.0.1", trust);
  CHECK(other_name.code == Error::kTls);
  CHECK(contains(other_name.detail, "is not for 127.0.0.1"));

  const Server numbered("ssl crt " + c.authority.issue("127.0.0.1"));
  CHECK(works(Blocking(tcp_endpoint("127.0.0.1", numbered.port), 3s, trust)));
  CHECK(contains(failure(numbered, "localhost", trust).detail, "is not for localhost"));
}

TEST_CASE("TLS: the server is told which name is wanted") {
  Certificates c;
  // strict-sni: no certificate, and so no handshake, for any other name.
  const Server server("ssl strict-sni crt " + c.authority.issue("localhost"));
  CHECK(works(Blocking(tcp_endpoint("localhost", server.port), 3s,
                       {.ca_file = c.authority.ca_file(), .cert_file = {}, .key_file = {}})));
}

TEST_CASE("TLS: a certificate that is not to be trusted") {
  Certificates c;
  const config::TlsFiles trust{.ca_file = c.authority.ca_file(), .cert_file = {}, .key_file = {}};
  SUBCASE("of another authority") {
    const Server server("ssl crt " + c.authority.issue("localhost", {.self_signed = true}));
    const auto f = failure(server, "localhost", trust);
    CHECK(f.code == Error::kTls);
    CHECK(contains(f.detail, "haproxy.ca_file must hold the CA that signed it"));
  }
  SUBCASE("expired") {
    const Server server("ssl crt " + c.authority.issue("localhost", {.expired = true}));
    const auto f = failure(server, "localhost", trust);
    CHECK(f.code == Error::kTls);
    CHECK(contains(f.detail, "expired"));
  }
  SUBCASE("unknown to the system's store, when only a client certificate is given") {
    const Server server("ssl crt " + c.authority.issue("localhost"));
    const auto own = c.authority.issue("us");
    const auto f = failure(server, "localhost", {.ca_file = {}, .cert_file = own, .key_file = own});
    CHECK(f.code == Error::kTls);
    CHECK(contains(f.detail, "its certificate is not accepted"));
  }
}

TEST_CASE("TLS: HAProxy wants a client certificate") {
  Certificates c;
  const auto ca = c.authority.ca_file();
  for (const char* version : {"ssl-max-ver TLSv1.2", ""}) {
    CAPTURE(version);
    const Server server("ssl crt " + c.authority.issue("localhost") + " ca-file " + ca + " verify required " + version);
    const auto own = c.authority.issue("us");
    CHECK(works(
        Blocking(tcp_endpoint("localhost", server.port), 3s, {.ca_file = ca, .cert_file = own, .key_file = own})));

    const auto none = failure(server, "localhost", {.ca_file = ca, .cert_file = {}, .key_file = {}});
    CHECK(none.code == Error::kTls);
    CHECK_MESSAGE(contains(none.detail, "give haproxy.cert_file and key_file"), none.detail);

    const auto foreign = c.authority.issue("us", {.self_signed = true});
    const auto refused = failure(server, "localhost", {.ca_file = ca, .cert_file = foreign, .key_file = foreign});
    CHECK(refused.code == Error::kTls);
    CHECK_MESSAGE(contains(refused.detail, "HAProxy does not accept the certificate of haproxy.cert_file"),
                  refused.detail);
  }
}

TEST_CASE("TLS: one side speaks it and the other does not") {
  Certificates c;
  const config::TlsFiles trust{.ca_file = c.authority.ca_file(), .cert_file = {}, .key_file = {}};
  const Server plain("");
  const auto no_tls = failure(plain, "localhost", trust);
  CHECK(no_tls.code == Error::kTls);
  CHECK_MESSAGE(contains(no_tls.detail, "`ssl crt FILE`"), no_tls.detail);

  const Server secure("ssl crt " + c.authority.issue("localhost"));
  const auto no_files = failure(secure, "localhost", {});
  CHECK_MESSAGE(contains(no_files.detail, "give haproxy.ca_file"), no_files.detail);
}

TEST_CASE("TLS: files that cannot be used, and sockets that need none") {
  Certificates c;
  const Server server("ssl crt " + c.authority.issue("localhost"));
  const auto f = failure(server, "localhost", {.ca_file = c.folder.file("none.pem"), .cert_file = {}, .key_file = {}});
  CHECK(f.code == Error::kTls);
  CHECK(contains(f.detail, "none.pem cannot be used as ca_file: No such file or directory"));
  CHECK(works(Blocking(unix_endpoint(server.process.admin_socket()), 3s,
                       {.ca_file = c.authority.ca_file(), .cert_file = {}, .key_file = {}})));
}

TEST_CASE("TLS: the time-out covers the handshake") {
  Certificates c;
  Server server("ssl crt " + c.authority.issue("localhost"));
  server.process.pause();
  Blocking client(tcp_endpoint("localhost", server.port), 200ms,
                  {.ca_file = c.authority.ca_file(), .cert_file = {}, .key_file = {}});
  const auto f = client.failed_read();
  CHECK(f.code == Error::kTimeout);
  CHECK(contains(f.detail, "no end of the TLS handshake within 200 ms"));
  CHECK(client.took < 2s);
  server.process.resume();
  CHECK(client.read({"rpc"}).backends.size() == 1);
}
