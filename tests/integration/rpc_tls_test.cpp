#include <doctest/doctest.h>
#include <fmt/format.h>
#include <sys/socket.h>

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <string_view>

#include "haproxy_process.hpp"
#include "rpc_stage.hpp"
#include "sim/sim.hpp"

using namespace rpcw;
using namespace rpcw::test;

namespace {

Resolver::Addresses here(const std::string&) {
  return std::vector<std::string>{"127.0.0.1"};
}

/// HAProxy in front of a simulated provider, each frontend with a certificate or a demand of its own.
struct Terminator {
  struct Ports {
    std::uint16_t h2 = free_port();
    std::uint16_t h1 = free_port();
    std::uint16_t plain = free_port();
    std::uint16_t self_signed = free_port();
    std::uint16_t expired = free_port();
    std::uint16_t other_name = free_port();
    std::uint16_t client = free_port();
  };

  sim::World world;
  sim::Provider& provider = world.add("provider");
  sim::Provider& healthy = world.add("healthy");
  TemporaryFolder folder;
  Authority authority{folder};
  std::string good = authority.issue("provider.test");
  Ports ports;
  HaproxyProcess haproxy{configuration()};

  std::string configuration() {
    std::string out = R"(
global
  stats socket @DIR@/admin.sock level admin
  ssl-default-bind-options ssl-min-ver TLSv1.2
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
)";
    const auto frontend = [&](std::string_view name, std::uint16_t port, const std::string& options,
                              std::string_view rule = "") {
      out += fmt::format("frontend {}\n  bind 127.0.0.1:{} {}\n{}  default_backend sim\n", name, port, options, rule);
    };
    const auto with = [](const std::string& pem) { return "ssl crt " + pem; };
    frontend("h2", ports.h2, with(good) + " alpn h2,http/1.1",
             "  http-request deny deny_status 403 unless { req.ver 2.0 }\n");
    frontend("h1", ports.h1, with(good) + " alpn http/1.1",
             "  http-request deny deny_status 403 unless { req.ver 1.1 }\n");
    frontend("plain", ports.plain, "");
    frontend("self-signed", ports.self_signed, with(authority.issue("provider.test", {.self_signed = true})));
    frontend("expired", ports.expired, with(authority.issue("provider.test", {.expired = true})));
    frontend("other-name", ports.other_name, with(authority.issue("other.test")));
    frontend("client", ports.client, fmt::format("{} ca-file {} verify required", with(good), authority.ca_file()));
    out += fmt::format("backend sim\n  server s 127.0.0.1:{}\n", provider.port());
    return out;
  }

  static std::string url(std::uint16_t port, std::string_view scheme = "https") {
    return fmt::format("{}://provider.test:{}/a-key-of-ours", scheme, port);
  }

  config::Probe trusting() const {
    config::Probe out = settings();
    out.timeout = 2s;
    out.tls.ca_file = authority.ca_file();
    return out;
  }
};

ProbeFailure failure(const HeadObservation& o) {
  REQUIRE_FALSE(o.head.has_value());
  CHECK(o.head.error().detail.find("a-key-of-ours") == std::string::npos);
  return o.head.error();
}

}  // namespace

TEST_CASE("HTTP/2 where it is offered, HTTP/1.1 elsewhere, and the connection is kept") {
  Terminator t;
  for (const std::uint16_t port : {t.ports.h2, t.ports.h1}) {
    Relay relay(port);
    Stage stage({target(Terminator::url(relay.port()))}, t.trusting(), here);
    for (int i = 0; i < 20; ++i) {
      const HeadObservation o = stage.head();
      if (!o.head) FAIL(o.head.error().detail);
    }
    CHECK(relay.accepted() == 1);
  }
}

TEST_CASE("authorities are read before the first request, and not again") {
  Terminator t;
  const TemporaryFolder folder;
  config::Probe probe = t.trusting();
  probe.tls.ca_file = folder.file("ca.pem");
  std::filesystem::copy_file(t.authority.ca_file(), probe.tls.ca_file);
  Stage stage({target(Terminator::url(t.ports.h2))}, probe, here);
  std::filesystem::remove(probe.tls.ca_file);
  CHECK(stage.head().head.has_value());
}

TEST_CASE("a TLS connection that was forgotten on its way costs one probe") {
  Terminator t;
  for (const std::uint16_t port : {t.ports.h2, t.ports.h1}) {
    CAPTURE(port == t.ports.h2);
    Relay relay(port);
    config::Probe probe = t.trusting();
    Stage stage({target(Terminator::url(relay.port()))}, probe, here);
    REQUIRE(stage.head().head.has_value());
    relay.forget();
    CHECK(failure(stage.head()).code == Reason::kTimeout);
    CHECK(stage.head().head.has_value());
    CHECK(relay.accepted() == 2);
  }
}

namespace {

/// A provider that speaks HTTP/2 frame by frame, after HAProxy has taken TLS off. Its first connection ends by a
/// GOAWAY; those after it answer well.
struct GoingAway {
  enum class When : std::uint8_t { kBeforeAnswer, kInAnswer, kInAnswerForGood };

  static constexpr std::uint8_t kData = 0;
  static constexpr std::uint8_t kHeaders = 1;
  static constexpr std::uint8_t kSettings = 4;
  static constexpr std::uint8_t kGoAway = 7;
  static constexpr std::uint8_t kEndStream = 1;
  static constexpr std::uint8_t kAck = 1;
  static constexpr std::uint8_t kEndHeaders = 4;

  static std::string number(std::uint32_t value) {
    std::string out;
    for (const unsigned shift : {24U, 16U, 8U, 0U}) out += static_cast<char>(value >> shift & 0xFFU);
    return out;
  }
  static std::string frame(std::uint8_t type, std::uint8_t flags, std::uint32_t stream, std::string_view payload) {
    std::string out = number(static_cast<std::uint32_t>(payload.size())).substr(1);
    out += static_cast<char>(type);
    out += static_cast<char>(flags);
    return out + number(stream) + std::string(payload);
  }
  /// `last`: the newest stream that is still answered. `error`: 0 none, 2 internal error.
  static std::string go_away(std::uint32_t last, std::uint32_t error) {
    return frame(kGoAway, 0, 0, number(last) + number(error));
  }

  /// Reads so many bytes; empty: the peer is gone.
  static std::string read(const Wire& wire, std::size_t size) {
    std::string out(size, '\0');
    std::size_t have = 0;
    while (have < size) {
      const ssize_t n = ::recv(wire.fd(), out.data() + have, size - have, 0);
      if (n <= 0) return {};
      have += static_cast<std::size_t>(n);
    }
    return out;
  }

  void serve(Wire& wire) {
    const bool first = connections++ == 0;
    constexpr std::size_t kPreface = 24;
    if (read(wire, kPreface).empty() || !wire.send(frame(kSettings, 0, 0, ""))) return;
    for (std::string head; !(head = read(wire, 9)).empty();) {
      const auto byte = [&](std::size_t i) { return static_cast<std::uint32_t>(static_cast<unsigned char>(head[i])); };
      const std::size_t length = byte(0) << 16U | byte(1) << 8U | byte(2);
      if (length > 0 && read(wire, length).empty()) return;
      const std::uint32_t type = byte(3);
      const std::uint32_t flags = byte(4);
      const std::uint32_t stream = byte(5) << 24U | byte(6) << 16U | byte(7) << 8U | byte(8);
      if (type == kSettings && (flags & kAck) == 0) wire.send(frame(kSettings, kAck, 0, ""));
      // The end of a request: of its body, or of its head without one.
      if ((type == kData || type == kHeaders) && (flags & kEndStream) != 0 && !answer(wire, stream, first)) return;
    }
  }

  /// False: the connection ends.
  [[nodiscard]] bool answer(Wire& wire, std::uint32_t stream, bool first) const {
    const std::string body = head_answer();
    const std::string_view half = std::string_view(body).substr(0, body.size() / 2);
    const std::string_view rest = std::string_view(body).substr(half.size());
    if (first && when == When::kBeforeAnswer) {
      wire.send(go_away(0, 0));
      return false;
    }
    // 0x88: the status 200, from HPACK's own table.
    wire.send(frame(kHeaders, kEndHeaders, stream, "\x88") + frame(kData, 0, stream, half));
    if (first && when == When::kInAnswerForGood) {
      wire.send(go_away(stream, 2));
      return false;
    }
    if (first) wire.send(go_away(stream, 0));
    wire.send(frame(kData, kEndStream, stream, rest));
    // The client ends it: to close a socket with unread bytes would reset it, and the answer might be lost.
    return true;
  }

  const When when;
  std::atomic<unsigned> connections = 0;
  ByteServer server{[this](Wire& wire) { serve(wire); }};
};

}  // namespace

TEST_CASE("a GOAWAY of HTTP/2 costs no answer that comes, and no later probe") {
  using When = GoingAway::When;
  const TemporaryFolder folder;
  Authority authority(folder);
  sim::World world;
  sim::Provider& healthy = world.add("healthy");
  for (const When when : {When::kBeforeAnswer, When::kInAnswer, When::kInAnswerForGood}) {
    CAPTURE(static_cast<int>(when));
    GoingAway provider{.when = when};
    const std::uint16_t port = free_port();
    const HaproxyProcess haproxy(fmt::format(R"(global
  stats socket @DIR@/admin.sock level admin
defaults
  mode tcp
  timeout connect 5s
  timeout client 60s
  timeout server 60s
listen h2
  bind 127.0.0.1:{} ssl crt {} alpn h2
  server s 127.0.0.1:{}
)",
                                             port, authority.issue("provider.test"), provider.server.port()));
    config::Probe probe = settings();
    probe.timeout = 10s;
    probe.tls.ca_file = authority.ca_file();
    Stage stage({target(Terminator::url(port)), target(healthy.url())}, probe, here);
    const Stage::Pair pair = stage.head_beside_healthy();
    CHECK(undisturbed(pair.witness));
    CHECK(pair.took < probe.timeout);
    if (when == When::kInAnswer) {
      CHECK(pair.subject.head.has_value());
    } else if (when == When::kInAnswerForGood || !pair.subject.head) {
      // libcurl may repeat by itself what was not answered at all. Whether it sees the GOAWAY or only the connection's
      // end is a matter of what arrives first.
      const ProbeFailure f = failure(pair.subject);
      INFO(f.detail);
      CHECK((f.code == Reason::kBadAnswer || f.code == Reason::kConnectFailed));
    }
    CHECK(stage.head().head.has_value());
    CHECK(stage.head().head.has_value());
    CHECK(provider.connections == 2);
  }
}

TEST_CASE("two providers behind one HTTP/2 name do not hold up each other") {
  Terminator t;
  t.provider.set({.fault = sim::Fault::hang, .fault_methods = {"eth_chainId"}});
  Stage stage({target(Terminator::url(t.ports.h2)), target(Terminator::url(t.ports.h2))}, t.trusting(), here);
  CHECK(stage.head(1).head.has_value());
  CHECK_FALSE(stage.check({CheckKind::kIdentity}, 0).value.has_value());
  CHECK(stage.head(1).head.has_value());
}

TEST_CASE("a certificate that is not good enough") {
  Terminator t;
  struct Case {
    std::string name;
    std::uint16_t port;
    const char* words;
  };
  for (const Case& c : {Case{"self-signed", t.ports.self_signed, "self-signed certificate"},
                        Case{"expired", t.ports.expired, "certificate has expired"},
                        Case{"another name", t.ports.other_name, "provider.test"}}) {
    CAPTURE(c.name);
    Stage stage({target(Terminator::url(c.port)), target(t.healthy.url())}, t.trusting(), here);
    const Stage::Pair pair = stage.head_beside_healthy();
    const ProbeFailure f = failure(pair.subject);
    INFO(f.detail);
    CHECK(f.code == Reason::kTlsFailed);
    CHECK(f.detail.find(c.words) != std::string::npos);
    CHECK(undisturbed(pair.witness));
  }
}

TEST_CASE("without the CA file our own authority is a stranger, with it the system's are") {
  Terminator t;
  config::Probe probe = t.trusting();
  probe.tls.ca_file.clear();
  const ProbeFailure f = failure(Stage({target(Terminator::url(t.ports.h1))}, probe, here).head());
  CHECK(f.code == Reason::kTlsFailed);
}

TEST_CASE("TLS and plain HTTP mixed up") {
  Terminator t;
  SUBCASE("TLS to a port that speaks plain HTTP") {
    Stage stage({target(Terminator::url(t.ports.plain))}, t.trusting(), here);
    const ProbeFailure f = failure(stage.head());
    CHECK(f.code == Reason::kTlsFailed);
    CHECK(f.detail == fmt::format("provider.test:{} does not speak TLS", t.ports.plain));
  }
  SUBCASE("plain HTTP to a port that speaks TLS") {
    Stage stage({target(Terminator::url(t.ports.h1, "http"))}, t.trusting(), here);
    const ProbeFailure f = failure(stage.head());
    INFO(f.detail);
    CHECK((f.code == Reason::kConnectFailed || f.code == Reason::kBadAnswer || f.code == Reason::kHttpStatus));
  }
  SUBCASE("a port that accepts and leaves the handshake unanswered") {
    t.provider.set({.fault = sim::Fault::accept_silent});
    config::Probe probe = t.trusting();
    probe.timeout = 500ms;
    Stage stage({target(Terminator::url(t.provider.port())), target(t.healthy.url())}, probe, here);
    const Stage::Pair pair = stage.head_beside_healthy();
    const ProbeFailure f = failure(pair.subject);
    CHECK(f.code == Reason::kTimeout);
    // Newer libcurls do not tell that a connection stands before TLS does.
    CHECK((f.detail == "no TLS session within 500 ms" || f.detail == "no connection with TLS within 500 ms"));
    CHECK(undisturbed(pair.witness));
  }
  SUBCASE("a handshake that is cut off") {
    ByteServer server([](Wire& wire) { wire.reset(); });
    Stage stage({target(Terminator::url(server.port()))}, t.trusting(), here);
    const ProbeFailure f = failure(stage.head());
    // The reset may come before the connection is seen to stand.
    CHECK((f.code == Reason::kTlsFailed || f.code == Reason::kConnectFailed));
    CHECK_FALSE(f.detail.empty());
  }
}

TEST_CASE("client certificates") {
  Terminator t;
  config::Probe probe = t.trusting();
  CHECK_FALSE(Stage({target(Terminator::url(t.ports.client))}, probe, here).head().head.has_value());
  // One file with certificate and key, and two.
  probe.tls.cert_file = t.authority.issue("us.test");
  CHECK(Stage({target(Terminator::url(t.ports.client))}, probe, here).head().head.has_value());
  probe.tls.key_file = probe.tls.cert_file;
  CHECK(Stage({target(Terminator::url(t.ports.client))}, probe, here).head().head.has_value());
}

TEST_CASE("TLS files that cannot be used are found out at the start") {
  const TemporaryFolder folder;
  Authority authority(folder);
  boost::asio::io_context io{1};
  const auto fault = [&](config::TlsFiles files) -> std::string {
    config::Probe probe = settings();
    probe.tls = std::move(files);
    try {
      const rpc::HttpClient client(io, probe, 1);
    } catch (const std::runtime_error& e) {
      return e.what();
    }
    return {};
  };
  const std::string good = authority.issue("us.test");
  const std::string other = authority.issue("other.test");
  const std::string garbage = folder.write("garbage.pem", "not a certificate\n");
  CHECK(fault({authority.ca_file(), good, good}).empty());
  CHECK(fault({folder.file("absent.pem"), "", ""}).find("absent.pem cannot be used as ca_file: No such file") !=
        std::string::npos);
  CHECK(fault({garbage, "", ""}).find("garbage.pem cannot be used as ca_file") != std::string::npos);
  CHECK(fault({"", garbage, good}).find("cert_file") != std::string::npos);
  CHECK(fault({"", good, garbage}).find("key_file") != std::string::npos);
  CHECK(fault({"", good, other}).find("it is not the key of the certificate in cert_file") != std::string::npos);
  // Encrypted: there is no terminal to ask for the pass phrase.
  const std::string locked = folder.write("locked.pem", R"(-----BEGIN ENCRYPTED PRIVATE KEY-----
MIHsMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAcBAgAAAAAAAAAAAICCAAw
DAYIKoZIhvcNAgkFADAdBglghkgBZQMEASoEEAAAAAAAAAAAAAAAAAAAAAAEgZAA
AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA
-----END ENCRYPTED PRIVATE KEY-----
)");
  CHECK(fault({"", good, locked}).find("key_file") != std::string::npos);
}
