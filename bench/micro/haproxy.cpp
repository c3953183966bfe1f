#include <algorithm>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "haproxy/protocol.hpp"
#include "haproxy/replies.hpp"
#include "micro/measure.hpp"
#include "micro/scene.hpp"

using namespace rpcw;
using namespace rpcw::bench;
using benchmark::DoNotOptimize;

namespace {

void must(const std::expected<void, std::string>& result) {
  if (!result) throw std::logic_error(result.error());
}

void show_stat_rows(benchmark::State& state) {
  const std::string reply = show_stat(static_cast<std::size_t>(state.range(0)));
  measure(state, state.range(0), [&] {
    std::vector<haproxy::BackendRow> rows;
    must(haproxy::add_stat(reply, rows));
    DoNotOptimize(rows.data());
  });
}

void servers_state_rows(benchmark::State& state) {
  const auto n = static_cast<std::size_t>(state.range(0));
  const std::string reply = show_servers_state(n);
  haproxy::Instance instance = instance_of(n);
  measure(state, state.range(0), [&] { must(haproxy::add_servers_state(reply, instance.backends)); });
}

/// As it comes from the socket: 16 kB at a time.
void cut_replies(benchmark::State& state) {
  constexpr std::size_t kPiece = 16'384;
  constexpr std::size_t kMost = std::size_t{64} << 20U;
  const std::string reply = show_stat(static_cast<std::size_t>(state.range(0))) + "\n";
  haproxy::ReplyReader reader(1, kMost);
  measure(state, state.range(0), [&] {
    reader.reset(1, kMost);
    for (std::string_view rest = reply; !rest.empty(); rest.remove_prefix(std::min(rest.size(), kPiece)))
      reader.feed(rest.substr(0, kPiece));
    DoNotOptimize(reader.reply(0));
  });
}

void set_weight_lines(benchmark::State& state) {
  const auto n = static_cast<std::size_t>(state.range(0));
  std::vector<std::string> names;
  for (std::size_t i = 0; i < n; ++i) names.push_back(server_name(i));
  measure(state, state.range(0), [&] {
    std::vector<std::string> commands;
    commands.reserve(n);
    for (const std::string& name : names) commands.push_back(haproxy::set_weight_command("rpc-backend", name, 128));
    DoNotOptimize(haproxy::pack(commands));
  });
}

void show_info(benchmark::State& state) {
  std::string reply =
      "Name: HAProxy\nVersion: 2.6.12-1+deb12u4\nRelease_date: 2026/10/17\nNbthread: 2\nNbproc: 1\nProcess_num: 1\n"
      "Pid: 4242\nUptime: 0d 1h00m12s\nUptime_sec: 3612\n";
  for (int i = 0; i < 70; ++i) reply += "Some_counter_that_is_not_wanted: 1234567\n";
  measure(state, 1, [&] { DoNotOptimize(haproxy::parse_info(reply)); });
}

BENCHMARK(show_stat_rows)->Name("haproxy/show stat")->Apply(sizes);
BENCHMARK(servers_state_rows)->Name("haproxy/show servers state")->Apply(sizes);
BENCHMARK(cut_replies)->Name("haproxy/reply from the socket")->Apply(sizes);
BENCHMARK(set_weight_lines)->Name("haproxy/set weight, lines of")->Apply(sizes);
BENCHMARK(show_info)->Name("haproxy/show info");

}  // namespace
