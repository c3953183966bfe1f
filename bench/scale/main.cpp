#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "common/command_line.hpp"
#include "common/files.hpp"
#include "common/signals.hpp"
#include "scale/report.hpp"

using namespace rpcw::bench;

namespace {

struct Arguments {
  std::string out = "build/bench/scale";
  bool full = false;
  std::vector<std::size_t> providers;
  std::string weighter = RPC_WEIGHTER;
};

unsigned runs(std::size_t providers, bool full) {
  const unsigned some = providers <= 1000 ? 15 : 2;
  return full ? 3 * some : some;
}

/// Empty: there is none.
std::string on_path(std::string_view program) {
  const char* path = std::getenv("PATH");
  std::istringstream folders(path == nullptr ? "" : path);
  for (std::string folder; std::getline(folders, folder, ':');)
    if (std::string at = fmt::format("{}/{}", folder, program); ::access(at.c_str(), X_OK) == 0) return at;
  return {};
}

int run(const Arguments& arguments) {
  const Programs programs{.weighter = arguments.weighter,
                          .farm = PROVIDER_FARM,
                          .floor = CURL_FLOOR,
                          .spend = SPEND,
                          .node = on_path("node"),
                          .script = SCRIPT};
  const std::filesystem::path out = arguments.out;
  std::filesystem::create_directories(out);
  note_signals();
  ScaleResults results;
  results.starts = measure_starts(programs, arguments.full ? 45 : 10);
  if (!results.starts) return kInterrupted;
  results.idle = measure_idle(programs, arguments.full ? 120 : 15);
  if (!results.idle) return kInterrupted;
  std::vector<std::size_t> providers = arguments.providers;
  if (providers.empty()) providers = {10, 100, 1000, 10'000};
  for (const std::size_t n : providers) {
    auto passes = measure_passes(programs, n, runs(n, arguments.full));
    if (!passes) return kInterrupted;
    results.passes.push_back(*std::move(passes));
  }
  const Machine machine = this_machine();
  write(out / "results.md", to_markdown(results, machine));
  write(out / "results.json", to_json(results, machine));
  write(out / "ratios.svg", ratio_chart(results));
  fmt::print("{}\n", (out / "results.md").string());
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  Arguments arguments;
  CommandLine line("scale-bench",
                   "What a pass over many providers costs beside a bare libcurl loop, and what an idle agent does");
  line.folder(arguments.out, "Folder for tables, JSON and charts");
  line.flag("--full", arguments.full, "Three times the runs, and two minutes of the idle agent");
  line.numbers("--providers", arguments.providers, "Passes over so many, 1 to 60,000; repeatable", 1, 60'000);
  line.weighter(arguments.weighter);
  return line.run(argc, argv, [&] { return run(arguments); });
}
