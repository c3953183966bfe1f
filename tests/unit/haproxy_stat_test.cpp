#include <doctest/doctest.h>

#include <random>
#include <string>
#include <vector>

#include "haproxy/replies.hpp"
#include "weighter/state/haproxy_view.hpp"
#include "weighter/state/topology.hpp"

using namespace rpcw::haproxy;

namespace {

// `show stat -1 6 -1` of 2.6.12, its h1 and h2 columns left out.
constexpr std::string_view kHeader =
    "# pxname,svname,qcur,qmax,scur,smax,slim,stot,bin,bout,dreq,dresp,ereq,econ,eresp,wretr,wredis,status,weight,act,"
    "bck,chkfail,chkdown,lastchg,downtime,qlimit,pid,iid,sid,throttle,lbtot,tracked,type,rate,rate_lim,rate_max,"
    "check_status,check_code,check_duration,hrsp_1xx,hrsp_2xx,hrsp_3xx,hrsp_4xx,hrsp_5xx,hrsp_other,hanafail,req_rate,"
    "req_rate_max,req_tot,cli_abrt,srv_abrt,comp_in,comp_out,comp_byp,comp_rsp,lastsess,last_chk,last_agt,qtime,ctime,"
    "rtime,ttime,agent_status,agent_code,agent_duration,check_desc,agent_desc,check_rise,check_fall,check_health,"
    "agent_rise,agent_fall,agent_health,addr,cookie,mode,algo,conn_rate,conn_rate_max,conn_tot,intercepted,dcon,dses,"
    "wrew,connect,reuse,cache_lookups,cache_hits,srv_icur,src_ilim,qtime_max,ctime_max,rtime_max,ttime_max,eint,"
    "idle_conn_cur,safe_conn_cur,used_conn_cur,need_conn_est,uweight,agg_server_status,agg_server_check_status,"
    "agg_check_status,-,\n";
constexpr std::string_view kRows =
    "rpc,a,0,0,3,0,,0,0,4711,,0,,1,2,0,0,no "
    "check,12,1,0,,,2,,,1,3,1,,90,,2,0,,0,,,,0,80,0,4,5,0,,,,0,0,0,,,,,-1,,,0,0,41,0,"
    ",,,,,,,,,,,127.0.0.1:1001,,http,,,,,,,,0,0,0,,,0,,0,0,0,0,0,0,0,0,0,24,,,,-,\n"
    "rpc,b,0,0,0,0,,0,0,0,,0,,0,0,0,0,DOWN,100,1,0,1,1,2,2,,1,3,2,,0,,2,0,,0,L4CON,,0,0,0,0,0,0,0,,,,0,0,0,,,,,-1,"
    "\"Connection refused, \"\"twice\"\"\",,0,0,0,0,,,,Layer4 connection "
    "problem,,2,3,0,,,,127.0.0.1:1002,,http,,,,,,,,0,0,0"
    ",,,0,,0,0,0,0,0,0,0,0,1,100,,,,-,\n"
    "rpc,c,0,0,0,0,,0,0,0,,0,,0,0,0,0,no "
    "check,100,0,1,,,2,,,1,3,3,,0,,2,0,,0,,,,0,0,0,0,0,0,,,,0,0,0,,,,,-1,,,0,0,0,0,,,"
    ",,,,,,,,,127.0.0.1:1003,,http,,,,,,,,0,0,0,,,0,,0,0,0,0,0,0,0,0,0,100,,,,-,\n"
    "rpc,BACKEND,0,0,0,0,998,0,0,0,0,0,,0,0,0,0,UP,12,1,1,,0,2,0,,1,3,0,,90,,1,0,,0,,,,0,0,0,0,0,0,,,,0,0,0,0,0,0,0,-1,"
    ",,"
    "0,0,0,0,,,,,,,,,,,,,,http,roundrobin,,,,,,,0,0,0,0,0,,,0,0,0,0,0,,,,,12,0,0,0,-,\n";

std::string stat() {
  return std::string(kHeader) + std::string(kRows);
}

/// A `show stat` of the columns that are required, so that a test shows what it is about.
constexpr std::string_view kSmall = "# pxname,svname,status,weight,act,bck,iid,type,uweight,\n";

std::string error_of(std::string_view text) {
  const auto result = parse_stat(text, [](const StatRow&) {});
  return result ? "" : result.error();
}

bool contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

}  // namespace

TEST_CASE("show stat: servers and their backend") {
  std::vector<BackendRow> backends;
  const auto result = add_stat(stat(), backends);
  REQUIRE_MESSAGE(result.has_value(), result.error());
  REQUIRE(backends.size() == 1);
  const auto& backend = backends[0];
  CHECK(backend.name == "rpc");
  CHECK(backend.iid == 3);
  CHECK(backend.algo == "roundrobin");
  CHECK(backend.status == "UP");
  CHECK(backend.counters.lbtot == 90);
  REQUIRE(backend.servers.size() == 3);

  const auto* a = backend.server("a");
  REQUIRE(a != nullptr);
  CHECK(a->backend == "rpc");
  CHECK(a->addr == "127.0.0.1:1001");
  CHECK(a->status == "no check");
  CHECK(a->uweight == 24);
  CHECK(a->weight == 12);
  CHECK(a->active);
  CHECK_FALSE(a->backup);
  CHECK(a->check_status.empty());
  CHECK(a->counters.econ == 1);
  CHECK(a->counters.eresp == 2);
  CHECK(a->counters.hrsp_2xx == 80);
  CHECK(a->counters.hrsp_4xx == 4);
  CHECK(a->counters.hrsp_5xx == 5);
  CHECK(a->counters.lbtot == 90);
  CHECK(a->counters.bout == 4711);
  CHECK(a->counters.rtime == 41);
  CHECK(a->counters.scur == 3);
  CHECK_FALSE(a->admin_state.has_value());
  CHECK_FALSE(a->forced_off());

  CHECK(backend.server("b")->status == "DOWN");
  CHECK(backend.server("b")->check_status == "L4CON");
  CHECK(backend.server("c")->backup);
  CHECK_FALSE(backend.server("c")->active);
  CHECK(backend.server("zz") == nullptr);
}

TEST_CASE("show stat: columns go by name, wherever they are") {
  const auto row = [](std::string_view text) {
    std::vector<BackendRow> backends;
    const auto result = add_stat(text, backends);
    REQUIRE_MESSAGE(result.has_value(), result.error());
    REQUIRE(backends.size() == 1);
    REQUIRE(backends[0].servers.size() == 1);
    return backends[0].servers[0];
  };
  const auto server = row("# new,uweight,type,iid,bck,act,weight,status,svname,pxname\n1,7,2,3,0,1,8,UP 1/3,s,b\n");
  CHECK(server.name == "s");
  CHECK(server.uweight == 7);
  CHECK(server.weight == 8);
  CHECK(server.status == "UP 1/3");
  CHECK_FALSE(server.counters.lbtot.has_value());
  CHECK_FALSE(server.counters.rtime.has_value());

  const auto empty = row("# pxname,svname,status,weight,act,bck,iid,type,uweight,lbtot,addr,\nb,s,UP,1,1,0,3,2,1,,,\n");
  CHECK_FALSE(empty.counters.lbtot.has_value());
  CHECK(empty.addr.empty());
}

TEST_CASE("show stat: quoted fields") {
  const auto statuses = [](std::string_view field) {
    std::vector<std::string> found;
    const auto result = parse_stat(std::string(kSmall) + "b,s," + std::string(field) + ",1,1,0,3,2,1,\n",
                                   [&](const StatRow& row) { found.emplace_back(row.status); });
    if (!result) found.assign(1, "error: " + result.error());
    return found.at(0);
  };
  CHECK(statuses("\"a,b\"") == "a,b");
  CHECK(statuses("\"\"\"a\"\"\"") == "\"a\"");
  CHECK(statuses("\"\"") == "");
  CHECK(statuses("a\"b") == "a\"b");
  CHECK(contains(statuses("\"a\"b"), "behind a quoted field"));
  CHECK(contains(statuses("\"a"), "does not end"));
  CHECK(contains(statuses("\"a\nb\""), "status: control characters"));
}

TEST_CASE("show stat: line ends and quotes in a field shift no row") {
  const std::string text =
      "# pxname,svname,last_chk,status,weight,act,bck,iid,type,uweight,agent_desc,\n"
      "b,s,\"404\nb,t,,UP,9,1,0,3,2,9,,\r\n\"\"x\"\"\",UP,1,1,0,3,2,1,\"\n\",\n"
      "b,t,,UP,2,1,0,3,2,2,,\n";
  std::vector<BackendRow> backends;
  const auto result = add_stat(text, backends);
  REQUIRE_MESSAGE(result.has_value(), result.error());
  REQUIRE(backends.size() == 1);
  REQUIRE(backends[0].servers.size() == 2);
  CHECK(backends[0].servers[0].name == "s");
  CHECK(backends[0].servers[0].uweight == 1);
  CHECK(backends[0].servers[1].name == "t");
  CHECK(backends[0].servers[1].uweight == 2);
  // In a name they are no server's.
  CHECK(contains(error_of(std::string(kSmall) + "b,\"s\nt\",UP,1,1,0,3,2,1,\n"), "svname: control characters"));
}

TEST_CASE("show stat: a frontend, a backend and a server of one name are three") {
  std::vector<BackendRow> backends;
  const auto result = add_stat(std::string(kSmall) +
                                   "rpc,FRONTEND,OPEN,,,,2,0,,\n"
                                   "rpc,rpc,UP,5,1,0,3,2,5,\n"
                                   "rpc,BACKEND,UP,7,1,0,3,1,7,\n"
                                   "rpc-2,rpc,UP,6,1,0,4,2,6,\n",
                               backends);
  REQUIRE_MESSAGE(result.has_value(), result.error());
  REQUIRE(backends.size() == 2);
  REQUIRE(backends[0].servers.size() == 1);
  CHECK(backends[0].iid == 3);
  CHECK(backends[0].server("rpc")->uweight == 5);
  CHECK(backends[1].server("rpc")->uweight == 6);
}

TEST_CASE("show stat: each status says whether the server is out of service, and by whose word") {
  rpcw::config::Backend file;
  file.name = "b";
  file.servers.emplace_back().name = "s";
  struct Case {
    std::string_view status;
    bool usable, down, disabled;
  };
  // As srv_hlt_st and stats_fill_sv_stats in HAProxy's stats.c write them; without `show servers state`.
  for (const Case& c : {Case{"UP", true, false, false},
                        {"UP 1/3", true, false, false},
                        {"no check", true, false, false},
                        {"DRAIN", true, false, false},
                        {"DRAIN 1/3", true, false, false},
                        {"DOWN", false, true, false},
                        {"DOWN 1/2", false, true, false},
                        {"DOWN (agent)", false, true, false},
                        {"NOLB", false, true, false},
                        {"NOLB 1/3", false, true, false},
                        {"MAINT", false, false, true},
                        {"MAINT (via b/s)", false, false, true},
                        {"MAINT (resolution)", false, false, true}}) {
    CAPTURE(c.status);
    Instance instance;
    REQUIRE(add_stat(std::string(kSmall) + "b,s," + std::string(c.status) + ",1,1,0,3,2,1,\n", instance.backends));
    CHECK(rpcw::usable(*instance.server("b", "s")) == c.usable);
    const rpcw::BackendView view = rpcw::view_of(file, instance);
    CHECK(view.servers[0]->down == c.down);
    CHECK(view.servers[0]->disabled == c.disabled);
  }
}

TEST_CASE("show stat: what is missing or broken is named") {
  const std::string small(kSmall);
  CHECK(contains(error_of("# pxname,svname,status,weight,act,bck,iid,type,\n"), "no column uweight"));
  CHECK(contains(error_of("# svname,\n"), "no column pxname"));
  CHECK(contains(error_of("Permission denied"), "no header"));
  CHECK(contains(error_of(""), "no header"));
  CHECK(contains(error_of(small + "b,s,UP,1,1,0,3,2\n"), "line 2: only 8 of 9 fields"));
  CHECK(contains(error_of(small + "b,s,UP,1,1,0,3,2,1,9,9,\n"), "line 2: more fields"));
  CHECK(contains(error_of(small + "b,s,UP,1,1,0,3,2,1,9\n"), "line 2: more fields"));
  CHECK(contains(error_of(small + "b,s,UP,1,1,0,3,2,1,\nb,s,UP,one,1,0,3,2,1,\n"), "line 3: column weight"));
  CHECK(contains(error_of(small + "b,s,UP,1,1,0,3,2,-1,\n"), "column uweight: not a whole number"));
  CHECK(contains(error_of(small + "b,s,UP,1,1,0,3,9,1,\n"), "column type"));
  CHECK(contains(error_of(small + "b,s,UP,1,1,0,3,,1,\n"), "column type"));
  CHECK(contains(error_of(small + "b,s,UP,99999999999999999999,1,0,3,2,1,\n"), "column weight"));
  CHECK(contains(error_of(small + "b,\x01\x02,UP,1,1,0,3,2,1,\n"), "control characters: \"??\""));
  CHECK(contains(error_of(small + "b,s,UP,1,1,0,3,2,12"), "line 2: it ends inside its last field"));
  CHECK(contains(error_of(small + "b,s,UP,1,1,0,3,2,1,\nb,t,UP,1,1,0,3,2,12"), "line 3: it ends inside"));
  CHECK(error_of(small).empty());
  CHECK(error_of(small + "b,s,UP,1,1,0,3,2,1,").empty());

  std::vector<BackendRow> backends;
  CHECK(contains(add_stat(small + "b,s,UP,1,1,0,3,2,,\n", backends).error(), "server b/s has no usable weight"));
  CHECK(contains(add_stat(small + "b,s,UP,1,1,0,3,2,257,\n", backends).error(), "no usable weight"));
  CHECK(contains(add_stat(small + ",s,UP,1,1,0,3,2,1,\n", backends).error(), "without a name"));
}

TEST_CASE("show stat and servers state: hostile bytes give an error or rows, never more") {
  const auto good = stat();
  const std::string state = "1\n# be_id be_name srv_name srv_admin_state\n3 rpc a 1\n";
  std::mt19937 random(11);  // NOLINT(bugprone-random-generator-seed): the same each time, on purpose
  for (int round = 0; round < 3000; ++round) {
    auto bad = round % 2 == 0 ? good : state;
    for (auto changes = 1 + random() % 4; changes > 0 && !bad.empty(); --changes) {
      const auto at = random() % bad.size();
      switch (random() % 4) {
        case 0:
          bad[at] = static_cast<char>(random() % 256);
          break;
        case 1:
          bad.resize(at + 1);
          break;
        case 2:
          bad.insert(at, 1, "\",\n\0#"[random() % 5]);
          break;
        default:
          bad.erase(at, 1 + random() % 40);
          break;
      }
    }
    std::vector<BackendRow> backends;
    (void)add_stat(bad, backends);
    (void)add_servers_state(bad, backends);
    (void)parse_info(bad);
  }
  std::string noise(5000, '\0');
  for (int round = 0; round < 200; ++round) {
    for (auto& c : noise) c = static_cast<char>(random() % 256);
    std::vector<BackendRow> backends;
    CHECK_FALSE(add_stat(noise, backends).has_value());
    CHECK_FALSE(add_servers_state(noise, backends).has_value());
    CHECK_FALSE(add_stat(std::string(kSmall) + noise, backends).has_value());
  }
}

TEST_CASE("show stat: frontends and sockets are left out, backends of one name stay one") {
  std::vector<BackendRow> backends;
  const auto result = add_stat(std::string(kSmall) +
                                   "f,FRONTEND,OPEN,,,,2,0,,\n"
                                   "b,s,UP,1,1,0,3,2,1,\n"
                                   "b,BACKEND,UP,1,1,0,3,1,1,\n"
                                   "st,sock,UP,,,,9,3,,\n"
                                   "empty,BACKEND,DOWN,0,0,0,4,1,0,\n",
                               backends);
  REQUIRE_MESSAGE(result.has_value(), result.error());
  REQUIRE(backends.size() == 2);
  CHECK(backends[0].name == "b");
  CHECK(backends[0].servers.size() == 1);
  CHECK(backends[1].name == "empty");
  CHECK(backends[1].server("s") == nullptr);
}

TEST_CASE("show stat: 10,000 servers") {
  std::string text(kHeader);
  const auto row = kRows.substr(0, kRows.find('\n') + 1).substr(6);
  for (int i = 0; i < 10000; ++i) text.append("rpc,srv").append(std::to_string(i)).append(",").append(row);
  std::vector<BackendRow> backends;
  const auto result = add_stat(text, backends);
  REQUIRE_MESSAGE(result.has_value(), result.error());
  REQUIRE(backends.at(0).servers.size() == 10000);
  CHECK(backends[0].server("srv9999")->uweight == 24);
}

TEST_CASE("show servers state fills in what show stat does not tell") {
  std::vector<BackendRow> backends;
  REQUIRE(add_stat(stat(), backends).has_value());
  const auto result = add_servers_state(
      "1\n# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight srv_iweight "
      "srv_time_since_last_change srv_check_status srv_check_result srv_check_health srv_check_state srv_agent_state "
      "bk_f_forced_id srv_f_forced_id srv_fqdn srv_port srvrecord srv_use_ssl srv_check_port srv_check_addr "
      "srv_agent_addr srv_agent_port\n"
      "3 rpc 1 a 127.0.0.1 2 0 12 100 2 1 0 2 0 0 0 0 rpc.example.org 1001 - 0 0 - - 0\n"
      "3 rpc 2 b 127.0.0.1 0 1 100 50 2 8 2 0 6 0 0 0 - 1002 - 0 0 - - 0\n"
      "3 rpc 3 c 127.0.0.1 2 8 100 100 2 1 0 2 0 0 0 0 - 1003 - 0 0 - - 0\n"
      "3 rpc 4 gone ::1 0 5 10 10 2 1 0 0 8 0 0 0 - 1004 - 0 0 - - 0\n"
      "4 other 1 a 127.0.0.1 2 0 100 100 2 1 0 2 0 0 0 0 - 1001 - 0 0 - - 0",
      backends);
  REQUIRE_MESSAGE(result.has_value(), result.error());
  CHECK(backends.size() == 1);
  CHECK(backends[0].server("a")->admin_state == 0U);
  CHECK(backends[0].server("a")->iweight == 100U);
  CHECK(backends[0].server("a")->fqdn == "rpc.example.org");
  CHECK_FALSE(backends[0].server("a")->forced_off());
  CHECK(backends[0].server("b")->forced_off());
  CHECK(backends[0].server("b")->iweight == 50U);
  CHECK(backends[0].server("b")->fqdn.empty());
  CHECK(backends[0].server("c")->forced_off());
}

TEST_CASE("show servers state: what is missing or broken is named") {
  const auto error = [](std::string_view text) {
    const auto result = parse_servers_state(text, [](const ServerState&) {});
    return result ? std::string() : result.error();
  };
  CHECK(contains(error("2\n# be_name\n"), "format \"2\""));
  CHECK(contains(error("1\nbe_name\n"), "no header"));
  CHECK(contains(error("1\n# be_name srv_name\n"), "no column srv_admin_state"));
  CHECK(contains(error("1\n# be_name srv_name srv_admin_state\nb s\n"), "line 3: no field srv_admin_state"));
  CHECK(contains(error("1\n# be_name srv_name srv_admin_state\nb s 0\nb s x\n"),
                 "line 4: srv_admin_state: not a number"));
  CHECK(error("1\n# be_name srv_name srv_admin_state\nb s 0\n").empty());
}

TEST_CASE("look-ups work with and without the index") {
  BackendRow backend{.name = "b"};
  for (int i = 0; i < 100; ++i) backend.servers.push_back({.backend = "b", .name = "s" + std::to_string(i)});
  CHECK(backend.server("s77") == &backend.servers[77]);
  backend.index();
  for (std::size_t i = 0; i < 100; ++i) CHECK(backend.server("s" + std::to_string(i)) == &backend.servers[i]);
  CHECK(backend.server("s100") == nullptr);
  CHECK(backend.double_names.empty());
  // Neither of two: a weight meant for one would reach the other.
  backend.servers[5].sid = 11;
  backend.servers.push_back({.backend = "b", .name = "s5", .sid = 12});
  backend.servers.push_back({.backend = "b", .name = "s5", .sid = 13});
  backend.index();
  CHECK(backend.server("s5") == nullptr);
  CHECK(backend.double_names == std::vector<std::string>{"s5"});
  CHECK(backend.ids_of("s5") == std::vector<unsigned>{11, 12, 13});

  const Instance instance{.backends = {backend}};
  CHECK(instance.backend("b") != nullptr);
  CHECK(instance.backend("c") == nullptr);
  CHECK(instance.server("b", "s3") != nullptr);
  CHECK(instance.server("c", "s3") == nullptr);
  CHECK(BackendRow{}.server("x") == nullptr);
}
