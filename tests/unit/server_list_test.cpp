#include "weighter/plan/server_list.hpp"

#include <doctest/doctest.h>

using namespace rpcw;

namespace {

struct Row {
  const char* name;
  const char* addr;
  const char* status = "UP";
  unsigned admin_state = 0;
};

haproxy::Instance instance_of(std::initializer_list<Row> rows, const char* algo = "roundrobin") {
  haproxy::Instance out;
  haproxy::BackendRow& b = out.backends.emplace_back();
  b.name = "rpc";
  b.algo = algo;
  for (const Row& row : rows) {
    haproxy::ServerRow& s = b.servers.emplace_back();
    s.backend = "rpc";
    s.name = row.name;
    s.addr = row.addr;
    s.status = row.status;
    s.admin_state = row.admin_state;
  }
  b.index();
  return out;
}

config::Config file_of(const char* discover = "http://{addr}/") {
  config::Config out;
  config::Backend& b = out.backends.emplace_back();
  b.name = "rpc";
  b.discover = discover;
  return out;
}

void name(config::Config& file, const char* server, const char* url, double preference = 1.0) {
  file.backends[0].servers.push_back({server, {url, {}, std::string("op-") + server, true}, preference});
}

Expansion expand(const config::Config& file, std::initializer_list<const haproxy::Instance*> lists) {
  return with_servers(file, server_lists_of(file, std::vector<const haproxy::Instance*>(lists)));
}

/// "name url" of each.
std::vector<std::string> servers(const Expansion& e) {
  std::vector<std::string> out;
  for (const config::Server& s : e.config.backends[0].servers) out.push_back(s.name + " " + s.target.url);
  return out;
}

using Texts = std::vector<std::string>;

}  // namespace

TEST_CASE("server list: servers with an address become targets, in HAProxy's order") {
  const auto list = instance_of({{"b", "10.0.0.2:8545"},
                                 {"a", "[2001:db8::1]:8546"},
                                 {"slot1", ""},
                                 {"slot2", "0.0.0.0:0", "MAINT", 5},
                                 {"slot3", "[::]:80"},
                                 {"gone", "10.0.0.9:1", "MAINT", haproxy::kUnresolvedMaint},
                                 {"gone2", "10.0.0.9:2", "MAINT (resolution)"},
                                 {"off", "10.0.0.3:8545", "MAINT", haproxy::kForcedMaint}});
  const auto e = expand(file_of(), {&list});
  CHECK(servers(e) == Texts{"b http://10.0.0.2:8545/", "a http://[2001:db8::1]:8546/", "off http://10.0.0.3:8545/"});
  CHECK(e.remarks.empty());  // slots without an address are no news
  const config::Server& first = e.config.backends[0].servers[0];
  CHECK_FALSE(first.named);
  CHECK(first.target.operator_name == "b");
  CHECK_FALSE(first.target.operator_given);
}

TEST_CASE("server list: every placeholder, any number of times") {
  const ServerLists::Server v4{"n1", "10.0.0.2:8545"};
  CHECK(fill_template("http://{host}:9/{server}/{backend}?p={port}&a={addr}&{addr}{", "rpc", v4) ==
        "http://10.0.0.2:9/n1/rpc?p=8545&a=10.0.0.2:8545&10.0.0.2:8545{");
  CHECK(fill_template("http://{host}/{port}", "rpc", {"n", "[::1]:7"}) == "http://[::1]/7");
  // Of no port, or of no address, only what needs it makes nothing.
  CHECK(fill_template("http://{host}:9/", "rpc", {"n", "10.0.0.1:0"}) == "http://10.0.0.1:9/");
  CHECK(fill_template("http://{addr}/", "rpc", {"n", "10.0.0.1:0"}).empty());
  CHECK(fill_template("http://h:{port}/", "rpc", {"n", "10.0.0.1:0"}).empty());
  CHECK(fill_template("http://{host}/", "rpc", {"n", "unix"}).empty());
  CHECK(fill_template("http://{server}.nodes/", "rpc", {"n", "unix"}) == "http://n.nodes/");
}

TEST_CASE("server list: what cannot be probed is left out with its reason, and without a secret") {
  const auto list = instance_of({{"ux", "unix"}, {"np", "10.0.0.1:0"}, {"ok", "10.0.0.2:1"}});
  const auto e = expand(file_of("http://{addr}/SECRET"), {&list});
  CHECK(servers(e) == Texts{"ok http://10.0.0.2:1/SECRET"});
  REQUIRE(e.remarks.size() == 2);
  CHECK(e.remarks[0].starts_with("backend rpc: server ux is left out: it is a Unix socket;"));
  CHECK(e.remarks[1].starts_with("backend rpc: server np is left out: it has no port of its own;"));

  const auto odd = instance_of({{"a:b", "10.0.0.1:1"}});
  const auto bad = expand(file_of("http://u:SECRET@{server}/SECRET"), {&odd});
  CHECK(servers(bad).empty());
  REQUIRE(bad.remarks.size() == 1);
  CHECK(bad.remarks[0].find("makes no URL of it") != std::string::npos);
  CHECK(bad.remarks[0].find("SECRET") == std::string::npos);
}

TEST_CASE("server list: addresses that the socket's level hides are told") {
  const auto list = instance_of({{"a", ""}, {"b", ""}}, "");
  const auto e = expand(file_of(), {&list});
  CHECK(servers(e).empty());
  REQUIRE(e.remarks.size() == 1);
  CHECK(e.remarks[0].find("level admin") != std::string::npos);
}

TEST_CASE("server list: the file's words on a server go before the template") {
  config::Config file = file_of();
  name(file, "a", "", 2.0);
  name(file, "ux", "http://10.9.9.9:1/");
  name(file, "late", "http://late.example/");
  name(file, "nowhere", "");
  name(file, "slot", "");
  const auto list = instance_of({{"a", "10.0.0.1:1"}, {"b", "10.0.0.2:1"}, {"ux", "unix"}, {"slot", ""}});
  const auto e = expand(file, {&list});
  CHECK(servers(e) ==
        Texts{"a http://10.0.0.1:1/", "b http://10.0.0.2:1/", "ux http://10.9.9.9:1/", "late http://late.example/"});
  const auto& all = e.config.backends[0].servers;
  CHECK(all[0].preference == 2.0);
  CHECK(all[0].target.operator_name == "op-a");
  CHECK(all[0].named);
  CHECK_FALSE(all[1].named);
  CHECK(e.config.backends[0].absent == Texts{"nowhere"});
  CHECK(e.remarks.empty());
}

TEST_CASE("server list: nothing is said to be absent while no HAProxy is known") {
  config::Config file = file_of();
  name(file, "a", "");
  name(file, "b", "http://b.example/");
  const auto e = expand(file, {nullptr});
  CHECK(servers(e) == Texts{"b http://b.example/"});
  CHECK(e.config.backends[0].absent.empty());
}

TEST_CASE("server list: several HAProxys: the servers of all, and the first decides on an address") {
  const auto one = instance_of({{"a", "10.0.0.1:1"}, {"b", ""}, {"c", "10.0.0.3:1"}});
  const auto two = instance_of({{"d", "10.0.0.4:1"}, {"c", "10.0.0.33:1"}, {"b", "10.0.0.2:1"}, {"a", "10.0.0.1:1"}});
  const auto e = expand(file_of(), {nullptr, &one, &two});
  CHECK(servers(e) ==
        Texts{"a http://10.0.0.1:1/", "b http://10.0.0.2:1/", "c http://10.0.0.3:1/", "d http://10.0.0.4:1/"});
  REQUIRE(e.remarks.size() == 1);
  CHECK(e.remarks[0].find("server c is 10.0.0.3:1 in one HAProxy and 10.0.0.33:1 in another") != std::string::npos);
  // Numbers that change all the time make no other server_list.
  auto again = one;
  again.backends[0].servers[0].uweight = 99;
  const config::Config file = file_of();
  CHECK(server_lists_of(file, std::vector<const haproxy::Instance*>{&one}) ==
        server_lists_of(file, std::vector<const haproxy::Instance*>{&again}));
}

TEST_CASE("server list: backends without discover are left as they are") {
  config::Config file = file_of("");
  name(file, "a", "http://a.example/");
  const auto list = instance_of({{"a", "10.0.0.1:1"}, {"b", "10.0.0.2:1"}});
  CHECK_FALSE(discovers(file));
  CHECK(servers(expand(file, {&list})) == Texts{"a http://a.example/"});
  CHECK(discovers(file_of()));
}

TEST_CASE("server list: HAProxy's list does not decide where headers go, unless the file says so") {
  const auto list = instance_of({{"a", "10.0.0.2:8545"}, {"b", "10.0.0.3:80@evil.example:80"}});
  const auto with_headers = [&](const char* discover, bool to_discovered) {
    config::Config file = file_of(discover);
    file.backends[0].headers_to_discovered = to_discovered;
    for (const char* server : {"a", "b"}) {
      name(file, server, "");
      file.backends[0].servers.back().target.headers = {{"Authorization", "Bearer SECRET"}};
    }
    name(file, "own", "http://own.example/");
    file.backends[0].servers.back().target.headers = {{"Authorization", "Bearer SECRET"}};
    const Expansion expansion = expand(file, {&list});
    std::string out;
    for (const config::Server& s : expansion.config.backends[0].servers)
      if (!s.target.headers.empty()) out += s.name + " ";
    return out;
  };
  CHECK(with_headers("http://{addr}/", false) == "own ");
  CHECK(with_headers("http://{host}:8545/", false) == "own ");
  CHECK(with_headers("http://gate.example/{server}", false) == "a b own ");
  // What HAProxy has makes another host of it.
  CHECK(with_headers("http://gate.example:{addr}/", false) == "own ");
  CHECK(with_headers("http://{addr}/", true) == "a b own ");
}
