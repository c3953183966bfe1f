// discover: servers from HAProxy's own list, at the start and while they come and go; and the command of that name.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>

#include "integration/authority.hpp"
#include "integration/name_server.hpp"
#include "integration/program_stage.hpp"

using namespace rpcw::test;

namespace {

constexpr std::string_view kQuick = "strategy = \"equal\"\neject_time = \"0s\"\nramp = \"0s\"\n";

std::string server_line(const sim::Provider& p, std::string_view name = {}, std::string_view options = "") {
  return fmt::format("  server {} 127.0.0.1:{} {}\n", name.empty() ? p.name() : name, p.port(), options);
}

void add_server(const HaproxyProcess& haproxy, const sim::Provider& p, std::string_view name) {
  check(haproxy, fmt::format("experimental-mode on; add server rpc/{} 127.0.0.1:{} weight 1", name, p.port()));
  check(haproxy, fmt::format("enable server rpc/{}", name));
}

/// Providers a, b, c; a HAProxy that has some of them; a configuration that names none.
struct Discovering {
  Folder folder;
  sim::World world;
  std::vector<sim::Provider*> providers{&world.add("a"), &world.add("b"), &world.add("c")};
  sim::Provider& extra = world.add("d");
  HaproxyProcess haproxy;

  explicit Discovering(std::string_view more = "", bool master = false)
      : haproxy(haproxy_cfg(backend(more)), {.master = master}) {}

  [[nodiscard]] std::string backend(std::string_view more = "") const {
    std::string out = "backend rpc\n  balance roundrobin\n";
    for (const sim::Provider* p : providers) out += server_line(*p);
    return out + std::string(more) + "\n";
  }
  [[nodiscard]] std::string toml(std::string_view more = "", std::string endpoints = "", Stage::Keys keys = {}) const {
    if (endpoints.empty()) endpoints = fmt::format("\"unix:{}\"", haproxy.admin_socket());
    return Stage::tables(endpoints, keys) +
           fmt::format(
               "[[backend]]\nname = \"rpc\"\nchain = \"simchain\"\ndiscover = \"http://{{addr}}/v2/{}?key={}\"\n{}{}\n",
               Secrets::kPath, Secrets::kQuery, kQuick, more);
  }
  [[nodiscard]] std::string config(std::string_view more = "") const { return folder.write("config.toml", toml(more)); }

  [[nodiscard]] Weights weights() const { return weights_of(haproxy); }
  [[nodiscard]] bool reaches(const Weights& wanted) const {
    Weights last;
    const bool reached = eventually([&] { return (last = weights()) == wanted; });
    if (!reached)
      for (const auto& [name, weight] : last) MESSAGE(name, " has ", weight);
    return reached;
  }
  void add(const sim::Provider& p, std::string_view name) const { add_server(haproxy, p, name); }
  void remove(std::string_view name) const {
    check(haproxy, fmt::format("set server rpc/{} state maint", name));
    CHECK(eventually([&] {
      check(haproxy, fmt::format("experimental-mode on; del server rpc/{}", name));
      return !weights().contains(std::string(name));
    }));
  }
  void fail(std::size_t i) const {
    sim::Behaviour b;
    b.fault = sim::Fault::http_status;
    providers[i]->set(b);
  }
};

const Weights kThree{{"a", 86}, {"b", 85}, {"c", 85}};
const Weights kFour{{"a", 64}, {"b", 64}, {"c", 64}, {"d", 64}};

bool asked(const sim::Provider& provider, std::uint64_t more) {
  const std::uint64_t before = provider.stats().requests;
  return eventually([&] { return provider.stats().requests >= before + more; });
}

}  // namespace

TEST_CASE("discover: once takes the servers that HAProxy has, slots without an address aside") {
  const Discovering d("  server-template slot 1-3 0.0.0.0:0 disabled\n");
  const Result once = run({"once", "--config", d.config(), "--format", "json"});
  CHECK(once.code == 0);
  CHECK(once.err == "");
  const Weights weights = d.weights();
  CHECK(weights.at("a") == 86);
  CHECK(weights.at("c") == 85);
  CHECK(weights.at("slot1") == 1);
  const auto report = json(once.out);
  CHECK(at(report, "/backends/0/servers").Size() == 3);
  CHECK(at(report, "/backends/0/notes").Size() == 0);
  const Result check = run({"check", "--online", "--config", d.config()});
  CHECK(check.code == 0);
}

TEST_CASE("discover: the file's words on single servers count, and one that is nowhere is told") {
  const Discovering d("  server ux @DIR@/admin.sock\n");
  const std::string own = fmt::format(
      "[[backend.server]]\nname = \"a\"\npreference = 2.0\n"
      "[[backend.server]]\nname = \"ux\"\nurl = \"http://127.0.0.1:{}/\"\n",
      d.extra.port());
  const Result good = run({"once", "--config", d.config(own)});
  CHECK(good.code == 0);
  CHECK(d.weights() == Weights{{"a", 103}, {"b", 51}, {"c", 51}, {"ux", 51}});
  const Result bad = run({"once", "--config", d.config("[[backend.server]]\nname = \"nowhere\"\npreference = 2.0\n")});
  CHECK(bad.code == 3);
  CHECK(bad.out.find("HAProxy's backend rpc has no server nowhere") != std::string::npos);
  CHECK(bad.err.find("server ux is left out: it is a Unix socket") != std::string::npos);
}

TEST_CASE("discover: without HAProxy once ends in 3, scores in 1, and both say what is missing") {
  Discovering d;
  d.haproxy.stop();
  const Result once = run({"once", "--config", d.config()});
  CHECK(once.code == 3);
  CHECK(once.out.find("no HAProxy could be asked for its list of servers") != std::string::npos);
  const Result scores = run({"scores", "--config", d.config()});
  CHECK(scores.code == 1);
  CHECK(scores.out.find("no HAProxy could be asked for its list of servers") != std::string::npos);
  // No endpoint at all can never work.
  const Result none = run({"scores", "--config",
                           d.folder.write("none.toml",
                                          "[[backend]]\nname = \"rpc\"\n"
                                          "chain = \"ethereum\"\n"
                                          "discover = \"http://{addr}/\"\n")});
  CHECK(none.code == 2);
  CHECK(none.err.find("haproxy.endpoints is needed") != std::string::npos);
}

TEST_CASE("discover: a socket that hides the addresses is named as the cause") {
  const Discovering d;
  const std::string user = d.haproxy.path("user.sock");
  HaproxyProcess other(
      fmt::format("global\n  stats socket @DIR@/admin.sock level admin\n  stats socket {} level user\n"
                  "defaults\n  mode http\n  timeout connect 1s\n  timeout client 1s\n  timeout server 1s\n{}",
                  user, d.backend()));
  const Result scores =
      run({"scores", "--config", d.folder.write("config.toml", d.toml("", fmt::format("\"unix:{}\"", user)))});
  CHECK(scores.code == 1);
  CHECK(scores.err.find("level admin") != std::string::npos);
  CHECK(run({"discover", "--haproxy", "unix:" + user}).code == 3);
}

TEST_CASE("discover: run waits for HAProxy at the start") {
  Discovering d;
  d.haproxy.stop();
  Program program({"run", "--config", d.config()});
  CHECK(program.says("HAProxy cannot be used"));
  CHECK(program.says("waiting for HAProxy's list of servers"));
  SUBCASE("and goes on") {
    d.haproxy.restart();
    CHECK(d.reaches(kThree));
  }
  SUBCASE("and stops when asked") {}
  SUBCASE("and reads the file again") {
    program.signal(SIGHUP);
    CHECK(program.says("was read again"));
    d.haproxy.restart();
    CHECK(d.reaches(kThree));
  }
  CHECK(program.stop() == 0);
  CHECK(program.count("waiting for HAProxy's list") == 1);
}

TEST_CASE("discover: a server that is added is managed, one that is deleted is not probed, and the others go on") {
  const Discovering d;
  Program program({"run", "--config", d.config()});
  REQUIRE(d.reaches(kThree));
  d.fail(1);
  REQUIRE(d.reaches({{"a", 128}, {"b", 0}, {"c", 128}}));
  const std::uint64_t connections = d.providers[0]->stats().accepted;

  d.add(d.extra, "d");
  CHECK(program.says("rpc: HAProxy has 4 servers to probe, 1 new: d"));
  CHECK(d.reaches({{"a", 86}, {"b", 0}, {"c", 85}, {"d", 85}}));
  // It came from nothing, and what was ejected stayed so.
  CHECK(program.says("rpc/d: unknown -> healthy, weight 0 -> "));
  CHECK(program.count("rpc/b: ejected ->") == 0);
  CHECK(program.says("unknown ->", 4));
  CHECK(program.count("unknown ->") == 4);

  d.remove("d");
  CHECK(program.says("rpc: HAProxy has 3 servers to probe, 1 gone: d"));
  CHECK(d.reaches({{"a", 128}, {"b", 0}, {"c", 128}}));
  d.extra.reset_stats();
  CHECK(asked(*d.providers[0], 5));
  CHECK(d.extra.stats().requests == 0);
  d.providers[1]->set({});
  CHECK(d.reaches({{"a", 86}, {"b", 85}, {"c", 85}}));
  // No server was connected to anew for all that.
  CHECK(d.providers[0]->stats().accepted == connections);
  CHECK(program.says("HAProxy unix:"));
  CHECK(program.count("HAProxy unix:") == 1);
  CHECK(program.stop() == 0);
}

TEST_CASE("discover: a slot of a server-template that gets an address is a server, and another one with another") {
  const Discovering d("  server-template slot 1-2 0.0.0.0:0 disabled\n");
  Program program({"run", "--config", d.config()});
  REQUIRE(d.reaches({{"a", 86}, {"b", 85}, {"c", 85}, {"slot1", 1}, {"slot2", 1}}));
  check(d.haproxy, fmt::format("set server rpc/slot2 addr 127.0.0.1 port {}", d.extra.port()));
  check(d.haproxy, "set server rpc/slot2 state ready");
  CHECK(d.reaches({{"a", 64}, {"b", 64}, {"c", 64}, {"slot1", 1}, {"slot2", 64}}));

  check(d.haproxy, fmt::format("set server rpc/slot2 addr 127.0.0.1 port {}", d.providers[0]->port()));
  CHECK(program.says("1 new: slot2, 1 gone: slot2"));
  // A request that was under way may still arrive.
  CHECK(asked(*d.providers[1], d.providers[1]->stats().requests + 3));
  d.extra.reset_stats();
  CHECK(asked(*d.providers[1], d.providers[1]->stats().requests + 5));
  CHECK(d.extra.stats().requests == 0);
  CHECK(program.stop() == 0);
}

TEST_CASE("discover: slots that DNS fills and empties") {
  NameServer names;
  const Discovering d(
      fmt::format("  server-template slot 1-2 _rpc._tcp.test resolvers ours resolve-prefer ipv4 "
                  "resolve-opts allow-dup-ip,ignore-weight init-addr none check inter 100ms\n"
                  "resolvers ours\n  nameserver n 127.0.0.1:{}\n  timeout resolve 200ms\n"
                  "  timeout retry 200ms\n  hold valid 200ms\n  hold obsolete 200ms\n  hold nx 200ms\n",
                  names.port()));
  Program program({"run", "--config", d.config()});
  const auto without_slots = [&](const Weights& wanted) {
    return eventually([&] {
      Weights w = d.weights();
      std::erase_if(w, [](const auto& one) { return one.first.starts_with("slot"); });
      return w == wanted;
    });
  };
  REQUIRE(without_slots(kThree));
  names.set({d.extra.port()});
  CHECK(program.says("rpc: HAProxy has 4 servers to probe, 1 new: slot"));
  CHECK(without_slots({{"a", 64}, {"b", 64}, {"c", 64}}));
  CHECK(eventually([&] {
    const Weights w = d.weights();
    return w.at("slot1") == 64 || w.at("slot2") == 64;
  }));
  names.set({});
  CHECK(program.says("rpc: HAProxy has 3 servers to probe, 1 gone: slot"));
  CHECK(without_slots(kThree));
  CHECK(program.stop() == 0);
}

TEST_CASE("discover: over TLS, to all addresses of a name") {
  const Discovering d;
  const TemporaryFolder folder;
  Authority authority(folder);
  const std::uint16_t port = free_port();
  const HaproxyProcess remote(haproxy_cfg(
      d.backend(fmt::format("listen cli\n  mode tcp\n  bind 127.0.0.1:{0} ssl crt {1}\n  bind [::1]:{0} ssl crt {1}\n"
                            "  server self @DIR@/admin.sock\n",
                            port, authority.issue("localhost")))));
  const std::string endpoint = fmt::format("\"dns:localhost:{}\"", port);
  const std::string trust = fmt::format("ca_file = \"{}\"", authority.ca_file());
  CHECK(run({"once", "--config", d.folder.write("config.toml", d.toml("", endpoint))}).code == 3);
  Program program({"run", "--config", d.folder.write("config.toml", d.toml("", endpoint, {.haproxy = trust}))});
  REQUIRE(eventually([&] { return weights_of(remote) == kThree; }));
  add_server(remote, d.extra, "d");
  CHECK(eventually([&] { return weights_of(remote) == kFour; }));
  CHECK(program.stop() == 0);
}

TEST_CASE("discover: a server that was ejected, deleted and added again is still out") {
  const Discovering d;
  std::string toml = d.toml();
  toml.replace(toml.find("eject_time = \"0s\""), 17, "eject_time = \"10m\"");
  Program program({"run", "--config", d.folder.write("config.toml", toml)});
  REQUIRE(d.reaches(kThree));
  d.fail(1);
  REQUIRE(d.reaches({{"a", 128}, {"b", 0}, {"c", 128}}));
  d.remove("b");
  REQUIRE(program.says("1 gone: b"));
  d.providers[1]->set({});
  d.add(*d.providers[1], "b");
  REQUIRE(program.says("1 new: b"));
  CHECK(program.says("rpc/b: unknown -> ejected, weight 0 (warming_up: "));
  CHECK(asked(*d.providers[1], 5));
  CHECK(d.weights() == Weights{{"a", 128}, {"b", 0}, {"c", 128}});
  CHECK(program.stop() == 0);
}

TEST_CASE("discover: a recording replays to the same weights, also where servers came and went") {
  const Discovering d;
  const std::string recording = d.folder.path("recording");
  {
    Program program({"run", "--config", d.config(), "--record", recording});
    REQUIRE(d.reaches(kThree));
    d.add(d.extra, "d");
    REQUIRE(d.reaches(kFour));
    d.fail(1);
    REQUIRE(d.reaches({{"a", 86}, {"b", 0}, {"c", 85}, {"d", 85}}));
    // Time counts from one decision to the next.
    CHECK(asked(*d.providers[0], 5));
    d.remove("d");
    REQUIRE(d.reaches({{"a", 128}, {"b", 0}, {"c", 128}}));
    // None of those before.
    for (const char* name : {"a", "b", "c"}) d.remove(name);
    d.add(d.extra, "e");
    REQUIRE(d.reaches({{"e", 256}}));
    CHECK(program.stop() == 0);
  }
  std::string elsewhere = d.toml();
  elsewhere.replace(elsewhere.find("http://"), elsewhere.find(Secrets::kPath) - elsewhere.find("http://"),
                    "http://{addr}/${NOT_SET_ANYWHERE}/");
  const Result same = run({"replay", "--config", d.folder.write("elsewhere.toml", elsewhere), recording});
  CHECK(same.code == 0);
  CHECK(same.err == "");
  CHECK(same.out.find("same weights in all ") != std::string::npos);
  CHECK_MESSAGE(same.out.find("same schedule in all ") != std::string::npos, same.out);
  CHECK(same.out.find("left out") == std::string::npos);
  CHECK(same.out.find("HAProxy's list had other servers") != std::string::npos);
  const auto doc = json(run({"replay", "--config", d.config(), recording, "--format", "json"}).out);
  CHECK(at(doc, "/decisions").GetUint64() > 5);
  CHECK(at(doc, "/servers").Size() == 5);
  CHECK(at(doc, "/servers/1/server").GetString() == std::string("b"));
  CHECK(at(doc, "/servers/1/recorded_out_ms").GetInt64() > 0);
}

TEST_CASE("discover: maintenance is no absence") {
  const Discovering d;
  Program program({"run", "--config", d.config()});
  REQUIRE(d.reaches(kThree));
  check(d.haproxy, "set server rpc/b state maint");
  CHECK(d.reaches({{"a", 128}, {"b", 85}, {"c", 128}}));
  check(d.haproxy, "set server rpc/b state ready");
  CHECK(d.reaches(kThree));
  CHECK(program.count("to probe") == 0);
  CHECK(program.stop() == 0);
}

TEST_CASE("discover: a reload with another list") {
  Discovering d("", true);
  Program program({"run", "--config", d.config()});
  REQUIRE(d.reaches(kThree));
  d.haproxy.configure(haproxy_cfg("backend rpc\n  balance roundrobin\n" + server_line(*d.providers[2]) +
                                  server_line(d.extra) + server_line(*d.providers[0])));
  d.haproxy.reload();
  CHECK(d.reaches({{"c", 86}, {"d", 85}, {"a", 85}}));
  CHECK(program.says("1 new: d, 1 gone: b"));

  // None of those before: nothing is sent until the new ones have had their chance.
  d.haproxy.configure(haproxy_cfg("backend rpc\n  balance roundrobin\n" + server_line(*d.providers[0], "x") +
                                  server_line(*d.providers[1], "y")));
  d.haproxy.reload();
  CHECK(d.reaches({{"x", 128}, {"y", 128}}));
  CHECK(program.stop() == 0);
}

TEST_CASE("discover: a new server that hangs delays no decision, and one that comes and goes neither") {
  const Discovering d;
  Program program({"run", "--config", d.folder.write("config.toml", d.toml("", "", {.probe = "timeout = \"20s\""}))});
  REQUIRE(d.reaches(kThree));
  sim::Behaviour hang;
  hang.fault = sim::Fault::hang;
  d.extra.set(hang);
  for (unsigned i = 1; i <= 3; ++i) {
    d.add(d.extra, "d");
    REQUIRE(program.says("1 new: d", i));
    d.fail(1);
    CHECK(d.reaches({{"a", 128}, {"b", 0}, {"c", 128}, {"d", 0}}));
    d.providers[1]->set({});
    CHECK(d.reaches({{"a", 86}, {"b", 85}, {"c", 85}, {"d", 0}}));
    d.remove("d");
    REQUIRE(program.says("1 gone: d", i));
  }
  CHECK(d.reaches(kThree));
  CHECK(program.stop() == 0);
}

TEST_CASE("discover: several HAProxys: each server is managed where it is, and a lost HAProxy takes none with it") {
  Discovering d;
  HaproxyProcess second(
      haproxy_cfg("backend rpc\n  balance roundrobin\n" + server_line(*d.providers[0]) + server_line(d.extra)));
  Program program(
      {"run", "--config",
       d.folder.write("config.toml", d.toml("", fmt::format("\"unix:{}\", \"unix:{}\"", d.haproxy.admin_socket(),
                                                            second.admin_socket())))});
  CHECK(d.reaches({{"a", 64}, {"b", 64}, {"c", 64}}));
  CHECK(eventually([&] { return weights_of(second) == Weights{{"a", 64}, {"d", 64}}; }));
  CHECK(program.count("has no server") == 0);
  d.haproxy.stop();
  CHECK(program.says("HAProxy cannot be used"));
  d.haproxy.restart();
  CHECK(d.reaches({{"a", 64}, {"b", 64}, {"c", 64}}));
  CHECK(program.count("to probe") == 0);
  CHECK(program.stop() == 0);
}

TEST_CASE("discover: SIGHUP and a state keep what is known") {
  const Discovering d;
  const std::string state = d.folder.path("state.json");
  {
    Program program({"run", "--config", d.config(), "--state", state});
    REQUIRE(d.reaches(kThree));
    d.fail(1);
    REQUIRE(d.reaches({{"a", 128}, {"b", 0}, {"c", 128}}));
    program.signal(SIGHUP);
    CHECK(program.says("was read again"));
    CHECK(asked(*d.providers[1], 3));
    CHECK(program.says("unknown ->", 3));
    CHECK(program.count("unknown ->") == 3);
    CHECK(program.count("to probe") == 0);
    CHECK(program.stop() == 0);
  }
  Program program({"run", "--config", d.config(), "--state", state});
  CHECK(asked(*d.providers[1], 3));
  CHECK_MESSAGE(program.count("unknown ->") == 0, program.err());
  CHECK(program.stop() == 0);
}

TEST_CASE("discover: through HAProxy's own ports, as in examples/haproxy.cfg") {
  sim::World world;
  const Folder folder;
  std::string front = "backend rpc\n  balance roundrobin\n";
  std::string behind;
  for (const char* name : {"a", "b"}) {
    const auto& provider = world.add(name);
    const auto port = free_port();
    front += fmt::format("  server {} 127.0.0.1:{} weight 100 track to-{}/{}\n", name, port, name, name);
    behind += fmt::format(
        "frontend {0}\n  bind 127.0.0.1:{1}\n  http-request set-header Host {0}.example\n"
        "  http-request set-pathq \"/v2/{2}\"\n  default_backend to-{0}\n"
        "backend to-{0}\n  server {0} 127.0.0.1:{3} check inter 100ms\n",
        name, port, Secrets::kPath, provider.port());
  }
  const HaproxyProcess haproxy(haproxy_cfg(front + behind));
  const Result printed = run({"discover", "--probe", "--haproxy", "unix:" + haproxy.admin_socket()});
  REQUIRE(printed.code == 0);
  CHECK(printed.out.find("backend to-a: it has one server only") != std::string::npos);
  const Result once = run({"once", "--config", folder.write("made.toml", printed.out)});
  CHECK(once.code == 0);
  CHECK(sum(weights_of(haproxy)) == 256);

  // A provider that is gone is HAProxy's 503, and HAProxy has it DOWN.
  world.find("b")->update([](sim::Behaviour& b) { b.fault = sim::Fault::refuse; });
  const Result without = run({"once", "--config", folder.path("made.toml"), "--format", "csv"});
  CHECK(without.code == 0);
  CHECK(weights_of(haproxy) == Weights{{"a", 256}, {"b", 0}});
  CHECK(without.out.find("http_status") != std::string::npos);
}

TEST_CASE("discover: what the command prints, check accepts and once works with") {
  sim::World world;
  const auto& a = world.add("a");
  const auto& b = world.add("b");
  const Folder folder;
  const std::string two = server_line(a) + server_line(b);
  const std::vector<std::string> backends{
      "backend rpc\n  balance roundrobin\n" + two,
      "backend rpc\n  balance leastconn\n" + two +
          "  server-template t 1-4 0.0.0.0:0 disabled\n  server ux @DIR@/x.sock\n",
      "backend rpc\n  balance random\n" + server_line(a) + server_line(b, "b", "backup") + "backend tcp\n  mode tcp\n" +
          two + "backend static\n  balance static-rr\n" + two + "backend empty\n  balance roundrobin\n",
  };
  for (const std::string& text : backends) {
    CAPTURE(text);
    const HaproxyProcess haproxy(haproxy_cfg(text));
    const std::string endpoint = "unix:" + haproxy.admin_socket();
    const Result printed = run({"discover", "--haproxy", endpoint, "--probe"});
    REQUIRE(printed.code == 0);
    CHECK(printed.err == "");
    const std::string file = folder.write("made.toml", printed.out);
    const Result check = run({"check", "--config", file});
    CHECK(check.code == 0);
    CHECK(check.err == "");
    const Result once = run({"once", "--config", file});
    CHECK(once.code == 0);
    CHECK(weights_of(haproxy).at("a") > 100);
    CHECK(run({"discover", "--haproxy", endpoint, "--backend", "nowhere"}).code == 3);
  }
  CHECK(run({"discover", "--haproxy", "unix:" + folder.path("nobody.sock")}).code == 3);
  CHECK(run({"discover", "--haproxy", "nonsense"}).code == 2);
  CHECK(run({"discover"}).code == 2);
  const HaproxyProcess none(haproxy_cfg("backend empty\n  balance roundrobin\n"));
  const Result nothing = run({"discover", "--haproxy", "unix:" + none.admin_socket()});
  CHECK(nothing.code == 1);
  CHECK(nothing.out.find("backend empty: it has no servers") != std::string::npos);
}

TEST_CASE("discover: a backend in mode tcp is asked what it speaks, and managed") {
  sim::World world;
  const auto& a = world.add("a");
  auto& b = world.add("b");
  const Folder folder;
  const HaproxyProcess haproxy(
      haproxy_cfg("backend tcp\n  mode tcp\n  balance roundrobin\n" + server_line(a) + server_line(b)));
  const std::string endpoint = "unix:" + haproxy.admin_socket();
  const Result silent = run({"discover", "--haproxy", endpoint});
  CHECK(silent.code == 1);
  CHECK(silent.out.find("backend tcp: ") != std::string::npos);
  CHECK(silent.out.find("--probe") != std::string::npos);
  const Result asked = run({"discover", "--haproxy", endpoint, "--probe"});
  REQUIRE(asked.code == 0);
  CHECK(asked.out.find("evm 1, as 2 servers said") != std::string::npos);
  const std::string file = folder.write("made.toml", asked.out);
  CHECK(run({"once", "--config", file}).code == 0);
  CHECK(weights_of(haproxy, "tcp") == Weights{{"a", 128}, {"b", 128}});
  b.set({.fault = sim::Fault::http_status});
  CHECK(run({"once", "--config", file}).code == 0);
  CHECK(weights_of(haproxy, "tcp") == Weights{{"a", 256}, {"b", 0}});
}

TEST_CASE("discover: the command warns of stats sockets that others may open") {
  sim::World world;
  const Folder folder;
  const std::string open = folder.path("open.sock");
  const std::uint16_t port = free_port();
  const HaproxyProcess haproxy(haproxy_cfg(
      fmt::format("backend rpc\n  balance roundrobin\n{}{}"
                  "global\n  stats socket {} mode 666 level admin\n  stats socket {} mode 666 level user\n"
                  "  stats socket *:{} level admin\n",
                  server_line(world.add("a")), server_line(world.add("b")), open, folder.path("user.sock"), port)));
  const Result printed = run({"discover", "--haproxy", "unix:" + haproxy.admin_socket()});
  CHECK(printed.code == 0);
  CHECK(printed.err ==
        fmt::format("warning: every user of this machine may open {} (mode 666) and take servers out; `mode 660 group "
                    "haproxy` on its line keeps others away\n"
                    "warning: ipv4@0.0.0.0:{} is open to all that reach it, who may take servers out: a stats socket "
                    "has no password; bind it to 127.0.0.1, or see docs/haproxy.md for TLS before it\n",
                    open, port));
}

TEST_CASE("discover: of many servers that take over from a few, one line tells") {
  Discovering d;
  const auto slow = [](sim::Provider& p, double ms) { p.update([&](sim::Behaviour& b) { b.latency_ms = ms; }); };
  slow(*d.providers[0], 20);
  slow(*d.providers[1], 400);
  std::string backend = "backend rpc\n  balance roundrobin\n";
  for (int i = 0; i < 4; ++i) backend += server_line(*d.providers[0], fmt::format("a{}", i));
  for (int i = 0; i < 70; ++i) backend += server_line(*d.providers[1], fmt::format("b{}", i));
  const HaproxyProcess haproxy(haproxy_cfg(backend));
  std::string toml = d.toml("", fmt::format("\"unix:{}\"", haproxy.admin_socket()), {.interval = "1s"});
  toml.replace(toml.find("\"equal\""), 7, "\"adaptive\"");
  Program program({"run", "--config", d.folder.write("config.toml", toml)});
  const auto weight = [&](const char* server) { return weights_of(haproxy)[server]; };
  REQUIRE(eventually([&] { return weight("a0") > 200 && weight("b69") < 128; }));
  CHECK(program.says("unknown -> healthy", 74));
  CHECK(program.count("unknown -> healthy") == 74);
  d.fail(0);
  CHECK(program.says("rpc/a3: degraded -> ejected"));
  REQUIRE(eventually([&] { return weight("b69") > 200; }));
  CHECK(program.says("servers have another weight and the same state"));
  CHECK(program.count("servers have another weight and the same state") == 1);
  CHECK(program.stop() == 0);
}
