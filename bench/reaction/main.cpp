#include <fmt/format.h>

#include <exception>
#include <filesystem>
#include <stdexcept>
#include <string>

#include "common/command_line.hpp"
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
  CommandLine line("reaction-bench",
                   "How soon rpc-weighter takes a faulty provider's weight, and what the probes for that cost");
  line.folder(arguments.out, "Folder for tables, JSON and charts");
  line.flag("--full", arguments.full, "Five intervals instead of two, and four times the trials");
  line.number("--seed", arguments.seed, "The first one");
  line.weighter(arguments.weighter);
  return line.run(argc, argv, [&] { return run(arguments); });
}
