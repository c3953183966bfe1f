#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "micro/measure.hpp"
#include "micro/scene.hpp"
#include "observe/metrics.hpp"
#include "observe/render.hpp"
#include "store/state_codec.hpp"

using namespace rpcw;
using namespace rpcw::bench;
using benchmark::DoNotOptimize;

namespace {

Report report_of(std::size_t servers) {
  const Scene scene(servers);
  const haproxy::Instance instance = instance_of(servers);
  return make_report(scene.state, scene.now, &instance);
}

void reporting(benchmark::State& state) {
  const Scene scene(static_cast<std::size_t>(state.range(0)));
  const haproxy::Instance instance = instance_of(scene.size());
  measure(state, state.range(0), [&] { DoNotOptimize(make_report(scene.state, scene.now, &instance)); });
}

template <typename Render>
void rendering(benchmark::State& state, Render render) {
  const Report report = report_of(static_cast<std::size_t>(state.range(0)));
  measure(state, state.range(0), [&] { DoNotOptimize(render(report)); });
}

/// Takes the pieces and throws them away, as a client that is always ready does.
class Discard final : public observe::BodyWriter {
 public:
  boost::asio::awaitable<bool> next() override { return flush(); }
  boost::asio::awaitable<bool> flush() override {
    text.clear();
    co_return true;
  }
};

void scraping(benchmark::State& state) {
  const auto report = std::make_shared<const Report>(report_of(static_cast<std::size_t>(state.range(0))));
  const auto metrics = std::make_shared<observe::Metrics>(WallTime{});
  boost::asio::io_context io(1);
  measure(state, state.range(0), [&] {
    Discard out;
    boost::asio::co_spawn(io, observe::Metrics::write(metrics, report, false, out), boost::asio::detached);
    io.restart();
    io.run();
  });
}

std::string key(std::string_view name, std::string_view) {
  return std::string(name);
}

constexpr std::string_view kSalt = "0123456789abcdef0123456789abcdef";

void saving(benchmark::State& state) {
  const Scene scene(static_cast<std::size_t>(state.range(0)));
  measure(state, state.range(0), [&] { DoNotOptimize(store::encode(kSalt, scene.state.snapshot(key), scene.now)); });
}

void loading(benchmark::State& state) {
  const Scene scene(static_cast<std::size_t>(state.range(0)));
  const std::string text = store::encode(kSalt, scene.state.snapshot(key), scene.now);
  measure(state, state.range(0), [&] { DoNotOptimize(store::decode(text, scene.now)); });
}

BENCHMARK(reporting)->Name("observe/report")->Apply(sizes);
BENCHMARK_CAPTURE(rendering, json, observe::render_json)->Name("observe/JSON")->Apply(sizes);
BENCHMARK_CAPTURE(rendering, csv, observe::render_csv)->Name("observe/CSV")->Apply(sizes);
BENCHMARK_CAPTURE(rendering, table, [](const Report& r) { return observe::render_table(r, {}); })
    ->Name("observe/table")
    ->Apply(sizes);
BENCHMARK(scraping)->Name("observe/metrics")->Apply(sizes);
BENCHMARK(saving)->Name("store/save the state")->Apply(sizes);
BENCHMARK(loading)->Name("store/load the state")->Apply(sizes);

}  // namespace
