#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <exception>
#include <filesystem>
#include <stdexcept>
#include <string>

#include "common/files.hpp"
#include "reaction/report.hpp"

using namespace rpcw::bench;

namespace {

constexpr int kInterrupted = 130;

struct Arguments {
  std::string out = "build/bench/reaction";
  bool full = false;
  std::uint64_t seed = 1;
  std::string weighter = RPC_WEIGHTER;
};

int run(const Arguments& arguments) {
  const unsigned repeats = arguments.full ? 32 : 8;
  const std::vector<unsigned> intervals =
      arguments.full ? std::vector<unsigned>{500, 1000, 2000, 5000, 10'000} : std::vector<unsigned>{1000, 5000};
  std::vector<CheckKind> checks;
  for (const unsigned interval : intervals)
    for (const Kind& kind : kinds()) checks.push_back({kind, interval});

  const std::filesystem::path out = arguments.out;
  std::filesystem::create_directories(out);
  ReactionResults results;
  auto reloads = measure_reloads(repeats, arguments.seed, arguments.weighter);
  if (!reloads) return kInterrupted;
  results.reloads_s = *std::move(reloads);
  auto reactions = measure_reactions(checks, repeats, arguments.seed, arguments.weighter);
  if (!reactions) return kInterrupted;
  results.reactions = *std::move(reactions);

  const Machine machine = this_machine();
  write(out / "results.md", to_markdown(results, machine));
  write(out / "results.json", to_json(results, machine));
  write(out / "cost.svg", cost_chart(results));
  fmt::print("{}\n", (out / "results.md").string());
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  Arguments arguments;
  CLI::App app("How soon rpc-weighter takes a faulty provider's weight, and what the probes for that cost");
  app.add_option("--out", arguments.out, "Folder for tables, JSON and charts")->capture_default_str()->take_last();
  app.add_flag("--full", arguments.full, "Five intervals instead of two, and four times the trials");
  app.add_option("--seed", arguments.seed)->capture_default_str();
  app.add_option("--weighter", arguments.weighter, "The program to be measured")->check(CLI::ExistingFile);
  CLI11_PARSE(app, argc, argv);
  try {
    return run(arguments);
  } catch (const std::exception& e) {
    fmt::print(stderr, "reaction-bench: {}\n", e.what());
    return 1;
  }
}
