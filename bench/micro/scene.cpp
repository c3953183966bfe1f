#include "micro/scene.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <stdexcept>

#include "haproxy/replies.hpp"

namespace rpcw::bench {

using namespace std::chrono_literals;

namespace {

constexpr std::int64_t kBlockSeconds = 12;

// HAProxy 2.6.12 with HTTP/1 and HTTP/2 columns, which every row of a server has as well.
constexpr std::string_view kStatHeader =
    "# pxname,svname,qcur,qmax,scur,smax,slim,stot,bin,bout,dreq,dresp,ereq,econ,eresp,wretr,wredis,status,weight,act,"
    "bck,chkfail,chkdown,lastchg,downtime,qlimit,pid,iid,sid,throttle,lbtot,tracked,type,rate,rate_lim,rate_max,"
    "check_status,check_code,check_duration,hrsp_1xx,hrsp_2xx,hrsp_3xx,hrsp_4xx,hrsp_5xx,hrsp_other,hanafail,req_rate,"
    "req_rate_max,req_tot,cli_abrt,srv_abrt,comp_in,comp_out,comp_byp,comp_rsp,lastsess,last_chk,last_agt,qtime,ctime,"
    "rtime,ttime,agent_status,agent_code,agent_duration,check_desc,agent_desc,check_rise,check_fall,check_health,"
    "agent_rise,agent_fall,agent_health,addr,cookie,mode,algo,conn_rate,conn_rate_max,conn_tot,intercepted,dcon,dses,"
    "wrew,connect,reuse,cache_lookups,cache_hits,srv_icur,src_ilim,qtime_max,ctime_max,rtime_max,ttime_max,eint,"
    "idle_conn_cur,safe_conn_cur,used_conn_cur,need_conn_est,uweight,agg_server_status,agg_server_check_status,"
    "agg_check_status,-,ssl_sess,ssl_reused_sess,ssl_failed_handshake,h2_headers_rcvd,h2_data_rcvd,h2_settings_rcvd,"
    "h2_rst_stream_rcvd,h2_goaway_rcvd,h2_detected_conn_protocol_errors,h2_detected_strm_protocol_errors,"
    "h2_rst_stream_resp,h2_goaway_resp,h2_open_connections,h2_backend_open_streams,h2_total_connections,"
    "h2_backend_total_streams,h1_open_connections,h1_open_streams,h1_total_connections,h1_total_streams,h1_bytes_in,"
    "h1_bytes_out,h1_spliced_bytes_in,h1_spliced_bytes_out,\n";
constexpr std::string_view kStatServer =
    "rpc-backend,{0},0,2,{1},9,,{2},81922,409600,,0,,1,2,0,0,UP,100,1,0,0,0,3512,0,,1,3,{3},,{2},,2,4,,11,L7OK,200,21,"
    "0,"
    "{2},0,3,1,0,,,,{2},0,0,,,,,1,,,0,1,48,52,,,,Layer7 check "
    "passed,,2,3,4,,,,127.0.0.1:{4},,http,,,,,,,,0,{2},{2},,,2,,"
    "0,12,210,240,0,2,0,0,1,100,,,,-,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,1,1,{2},{2},81922,409600,0,0,\n";
constexpr std::string_view kStatBackend =
    "rpc-backend,BACKEND,0,4,3,40,200,90000,7000000,90000000,0,0,,1,2,0,0,UP,100,1,0,,0,3512,0,,1,3,0,,90000,,1,20,,90,"
    ",,,"
    "0,90000,0,3,1,0,,,,90000,0,0,0,0,0,0,1,,,0,1,48,52,,,,,,,,,,,,,,http,roundrobin,,,,,,,0,90000,90000,0,0,,,0,12,"
    "210,"
    "240,0,,,,,100,0,0,0,-,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,1,1,90000,90000,81922,409600,0,0,\n";

constexpr std::string_view kStateHeader =
    "1\n# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight srv_iweight "
    "srv_time_since_last_change srv_check_status srv_check_result srv_check_health srv_check_state srv_agent_state "
    "bk_f_forced_id srv_f_forced_id srv_fqdn srv_port srvrecord srv_use_ssl srv_check_port srv_check_addr "
    "srv_agent_addr srv_agent_port\n";

std::size_t port_of(std::size_t i) {
  return 20'000 + i % 40'000;
}

}  // namespace

std::string server_name(std::size_t i) {
  return fmt::format("rpc-{:05}", i);
}

config::Config backend_of(std::size_t servers) {
  config::Config out;
  config::Backend& b = out.backends.emplace_back();
  b.name = "rpc-backend";
  b.chain = *find_chain("ethereum");
  for (std::size_t i = 0; i < servers; ++i) {
    config::Server& s = b.servers.emplace_back();
    s.name = s.target.operator_name = server_name(i);
    s.target.url = fmt::format("http://127.0.0.1:{}/key/{}", port_of(i), i);
  }
  return out;
}

std::string show_stat(std::size_t servers) {
  std::string out(kStatHeader);
  for (std::size_t i = 0; i < servers; ++i)
    fmt::format_to(std::back_inserter(out), kStatServer, server_name(i), i % 7, 100 + i, i + 1, port_of(i));
  return out.append(kStatBackend);
}

std::string show_servers_state(std::size_t servers) {
  std::string out(kStateHeader);
  for (std::size_t i = 0; i < servers; ++i)
    fmt::format_to(std::back_inserter(out),
                   "3 rpc-backend {} {} 127.0.0.1 2 0 100 100 3512 15 3 4 6 0 0 0 - {} - 0 0 - - 0\n", i + 1,
                   server_name(i), port_of(i));
  return out;
}

haproxy::Instance instance_of(std::size_t servers) {
  haproxy::Instance out;
  out.version = "2.6.12-1+deb12u4";
  out.pid = 4242;
  out.uptime = 1h;
  auto read = haproxy::add_stat(show_stat(servers), out.backends);
  if (read) read = haproxy::add_servers_state(show_servers_state(servers), out.backends);
  if (!read) throw std::logic_error(read.error());
  return out;
}

Scene::Scene(std::size_t servers)
    : config(backend_of(servers)),
      state(config),
      now{WallTime{std::chrono::seconds{1'800'000'000}}, MonoTime{1'000'000'000}} {
  state.update_views(&static_cast<const haproxy::Instance&>(instance_of(servers)));
  constexpr int kRounds = 6;
  for (int round = 0; round < kRounds; ++round) {
    now.mono += config.probe.interval;
    now.wall += config.probe.interval;
    for (std::size_t i = 0; i < servers; ++i) {
      for (const Check& check : state.begin_probe(i, now.mono))
        state.observe(i, Answer{now, check, AnswerValue{0, check.kind == CheckKind::kIdentity ? "1" : ""}});
      state.observe(i, answer(i));
    }
    state.decide(now);
  }
}

HeadObservation Scene::answer(std::size_t server, unsigned fork) const {
  const auto number = now.wall.time_since_epoch() / std::chrono::seconds{kBlockSeconds};
  HeadObservation out;
  out.received = now;
  // Each has a pace of its own, and no two answers take the same time.
  const auto pace = static_cast<std::int64_t>(server * 7919 % 135'000);
  const auto noise = (now.mono / 1ms * 31 + static_cast<std::int64_t>(server)) % 3000;
  out.latency = std::chrono::microseconds{15'000 + pace + noise};
  out.head = Head{static_cast<std::uint64_t>(number), fmt::format("0x{:032x}{:032x}", number, fork),
                  WallTime{std::chrono::seconds{number * kBlockSeconds}}};
  return out;
}

void Scene::pass() {
  now.mono += 100ms;
  now.wall += 100ms;
  for (std::size_t k = 0; k < std::max<std::size_t>(size() / 50, 1); ++k) {
    next_ = (next_ + 1) % size();
    for (const Check& check : state.begin_probe(next_, now.mono))
      state.observe(next_, Answer{now, check, AnswerValue{0, check.kind == CheckKind::kIdentity ? "1" : ""}});
    state.observe(next_, answer(next_));
  }
}

std::vector<unsigned> Scene::held() const {
  std::vector<unsigned> out;
  for (const ServerDecision& s : state.decision(0).servers) out.push_back(s.weight);
  return out;
}

}  // namespace rpcw::bench
