// Faults of the real parts around the program: a certificate that changes and expires, a HAProxy that is reloaded again
// and again under load, and one whose command line is taken by others.
#include <doctest/doctest.h>
#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <vector>

#include "integration/authority.hpp"
#include "integration/http_get.hpp"
#include "integration/load.hpp"
#include "integration/program_stage.hpp"

using namespace rpcw::test;

namespace {

const Weights kThirds{{"a", 86}, {"b", 85}, {"c", 85}};
const Weights kWithoutA{{"a", 0}, {"b", 128}, {"c", 128}};

std::string listen_on(std::uint16_t port) {
  return fmt::format("\"127.0.0.1:{}\"", port);
}

/// Whether the metrics have this line.
bool counts(std::uint16_t port, std::string_view line) {
  return http_get(port, "/metrics").body.find(fmt::format("\n{}\n", line)) != std::string::npos;
}

std::size_t open_files(const Program& program) {
  std::size_t out = 0;
  for ([[maybe_unused]] const auto& entry :
       std::filesystem::directory_iterator(fmt::format("/proc/{}/fd", program.pid())))
    ++out;
  return out;
}

/// Reloads, one a second: $RPCW_RELOADS, or 15 without it.
unsigned reloads_wanted() {
  const char* const text = std::getenv("RPCW_RELOADS");
  if (text == nullptr) return 15;
  unsigned out = 0;
  const char* const end = text + std::strlen(text);
  const auto [rest, error] = std::from_chars(text, end, out);
  REQUIRE_MESSAGE((error == std::errc() && rest == end && out > 0), "RPCW_RELOADS is a number from 1");
  return out;
}

/// Connections to a Unix socket that stay open and say nothing: `most` of them, or fewer when its queue is full.
class Idlers {
 public:
  Idlers(const std::string& path, std::size_t most) {
    sockaddr_un at{};
    at.sun_family = AF_UNIX;
    path.copy(at.sun_path, sizeof at.sun_path - 1);
    for (std::size_t i = 0; i < most; ++i) {
      const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
      REQUIRE(fd >= 0);
      fds_.push_back(fd);
      if (::connect(fd, reinterpret_cast<const sockaddr*>(&at), sizeof at) != 0) {
        REQUIRE(errno == EAGAIN);
        break;
      }
    }
  }
  ~Idlers() {
    for (const int fd : fds_) ::close(fd);
  }
  Idlers(const Idlers&) = delete;
  Idlers& operator=(const Idlers&) = delete;

 private:
  std::vector<int> fds_;
};

/// A HAProxy that speaks TLS for a provider, with a certificate that can be replaced.
class TlsFront {
 public:
  /// `certificate`: a file with certificate and key.
  TlsFront(std::uint16_t provider, const std::string& certificate)
      : provider_(provider), haproxy_(configuration(certificate), {.master = true}) {}
  [[nodiscard]] std::string url() const { return fmt::format("https://127.0.0.1:{}/", port_); }
  void replace_by(const std::string& certificate) {
    haproxy_.configure(configuration(certificate));
    haproxy_.reload();
  }

 private:
  [[nodiscard]] std::string configuration(const std::string& certificate) const {
    return haproxy_cfg(
        fmt::format("listen tls\n  bind 127.0.0.1:{} ssl crt {} alpn h2,http/1.1\n  server s 127.0.0.1:{}\n", port_,
                    certificate, provider_));
  }

  std::uint16_t provider_;
  std::uint16_t port_ = free_port();
  HaproxyProcess haproxy_;
};

}  // namespace

TEST_CASE("a provider's certificate that expires, changes and is of another name") {
  const Stage stage;
  const TemporaryFolder folder;
  Authority authority(folder);
  TlsFront front(stage.providers[0]->port(), authority.issue("127.0.0.1"));
  std::string config = stage.toml({.probe = fmt::format("timeout = \"5s\"\nca_file = \"{}\"", authority.ca_file())});
  // The first server's URL, which is the only one of that port.
  const std::string plain = fmt::format("127.0.0.1:{}/", stage.providers[0]->port());
  const std::size_t at = config.find(plain);
  REQUIRE(at != std::string::npos);
  const std::size_t begin = config.rfind('"', at) + 1;
  config.replace(begin, config.find('"', at) - begin, front.url());
  Program program({"run", "--config", stage.folder.write("config.toml", config)});
  REQUIRE(stage.reaches(kThirds));

  struct Case {
    std::string certificate;
    const char* cause;
  };
  const std::vector<Case> cases{{authority.issue("127.0.0.1", {.expired = true}), "certificate has expired"},
                                {authority.issue("other.test"), "127.0.0.1"},
                                {authority.issue("127.0.0.1", {.self_signed = true}), "self-signed certificate"}};
  for (const Case& bad : cases) {
    CAPTURE(bad.cause);
    front.replace_by(bad.certificate);
    CHECK(stage.reaches(kWithoutA));
    CHECK(program.says(bad.cause));
    // Another key and serial number, the same name.
    front.replace_by(authority.issue("127.0.0.1"));
    CHECK(stage.reaches(kThirds));
  }
  CHECK(program.stop() == 0);
}

TEST_CASE("a HAProxy that is reloaded each second under load gets its weights back each time") {
  const unsigned reloads = reloads_wanted();
  constexpr unsigned kRequestsPerSecond = 100;
  const Stage stage;
  const std::uint16_t clients = free_port();
  const std::uint16_t port = free_port();
  HaproxyProcess haproxy(haproxy_cfg(stage.providers, {.frontend = clients}), {.master = true});
  Program program({"run", "--config", stage.config_for(haproxy, {.listen = listen_on(port)})});
  const auto reaches = [&](const Weights& wanted) { return eventually([&] { return weights_of(haproxy) == wanted; }); };
  REQUIRE(reaches(kThirds));
  const Load load(clients, kRequestsPerSecond);
  const std::size_t files = open_files(program);
  for (unsigned i = 0; i < reloads; ++i) {
    const auto next = Clock::now() + 1s;
    if (i % 2 == 0)
      stage.break_provider(0);
    else
      stage.mend_provider(0);
    haproxy.reload();
    CHECK(reaches(i % 2 == 0 ? kWithoutA : kThirds));
    std::this_thread::sleep_until(next);
  }
  stage.mend_provider(0);
  CHECK(reaches(kThirds));
  const std::uint64_t answers = load.with_status(200);
  CHECK(eventually([&] { return load.with_status(200) > answers + 10; }));
  // HAProxy answers 503 by itself when no server has a weight.
  const Load::Counts all = load.counts();
  CHECK(all.find({"", 503}) == all.end());
  CHECK(counts(port, fmt::format("rpc_weighter_haproxy_reloads_total{{endpoint=\"unix:{}\"}} {}",
                                 haproxy.admin_socket(), reloads)));
  CHECK(eventually([&] { return open_files(program) <= files + 8; }));
  CHECK(http_get(port, "/healthz").status == 200);
  CHECK(program.stop() == 0);
}

TEST_CASE("a HAProxy whose command line is taken by others is named, and served as soon as it is free") {
  // HAProxy serves four at a time, and those that wait come before the agent.
  std::size_t idle = 0;
  SUBCASE("connecting works, and then nothing comes") {
    idle = 6;
  }
  SUBCASE("not even connecting works") {
    idle = 10'000;
  }
  const Stage stage;
  const std::uint16_t port = free_port();
  const HaproxyProcess haproxy(
      haproxy_cfg(stage.providers, {.more = "global\n  stats timeout 10m\n  stats maxconn 4\n"}));
  Program program(
      {"run", "--config", stage.config_for(haproxy, {.listen = listen_on(port), .haproxy_timeout = "500ms"})});
  REQUIRE(eventually([&] { return weights_of(haproxy) == kThirds; }));
  {
    const Idlers idlers(haproxy.admin_socket(), idle);
    stage.break_provider(0);
    CHECK(eventually([&] {
      return counts(port, fmt::format("rpc_weighter_haproxy_up{{endpoint=\"unix:{}\"}} 0", haproxy.admin_socket()));
    }));
    CHECK(program.says("HAProxy cannot be used: "));
    // It goes on judging, and answers.
    CHECK(eventually([&] {
      const auto report = json(http_get(port, "/api/v1/status").body);
      return at(report, "/backends/0/servers/0/state").GetString() == std::string("ejected");
    }));
    CHECK(http_get(port, "/healthz").status == 200);
  }
  CHECK(eventually([&] { return weights_of(haproxy) == kWithoutA; }));
  stage.mend_provider(0);
  CHECK(eventually([&] { return weights_of(haproxy) == kThirds; }));
  CHECK(program.stop() == 0);
}
