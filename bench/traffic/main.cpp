#include <fmt/format.h>
#include <sys/resource.h>

#include <algorithm>
#include <exception>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <vector>

#include "common/command_line.hpp"
#include "common/files.hpp"
#include "traffic/arena.hpp"
#include "traffic/chart.hpp"
#include "traffic/computed.hpp"
#include "traffic/report.hpp"

using namespace rpcw::bench;

namespace {

constexpr int kInterrupted = 130;

struct Arguments {
  std::string out = "build/bench/traffic";
  bool full = false;
  std::vector<std::string> scenarios;
  std::vector<std::string> contestants;
  std::uint64_t seeds = 0;
  std::uint64_t seed = 1;
  std::string weighter = RPC_WEIGHTER;
  bool computed = false;
};

void allow_many_descriptors() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

/// Those of `all` that are named, or else those that `otherwise` takes. Throws for a name that is none.
template <class Item, class Predicate>
std::vector<Item> chosen(const std::vector<Item>& all, const std::vector<std::string>& names, Predicate otherwise) {
  for (const std::string& name : names)
    if (std::ranges::find(all, name, &Item::name) == all.end())
      throw std::invalid_argument("there is none of the name " + name);
  std::vector<Item> out;
  std::ranges::copy_if(all, std::back_inserter(out), [&](const Item& item) {
    return names.empty() ? otherwise(item) : std::ranges::find(names, item.name) != names.end();
  });
  return out;
}

void write_logs(const std::filesystem::path& folder, const Run& run) {
  for (const Lane& lane : run.lanes) {
    if (lane.log.empty()) continue;
    std::string name = fmt::format("{}-{}-{}.log", run.scenario.name, run.seed, lane.contestant);
    std::ranges::replace(name, ' ', '-');
    write(folder / name, lane.log);
  }
}

void tell(const Score& s) {
  fmt::print(stderr, "  {:<20} {:6.2f} % bad   median {:4.0f} ms   99 % {:5.0f} ms\n", s.contestant, s.bad_percent(),
             s.median_ms.value_or(0), s.p99_ms.value_or(0));
}

void tell(const Run& run) {
  for (const Lane& lane : run.lanes) tell(score_of(lane, run.scenario));
}

void tell(const Summary& summary) {
  fmt::print(stderr, "{}, {} seeds, computed\n", summary.scenario.name, summary.runs.size());
  for (const Score& s : summary.scores) tell(s);
}

int run(const Arguments& arguments) {
  const std::filesystem::path out = arguments.out;
  const auto who = chosen(contestants(), arguments.contestants,
                          [&](const Contestant& c) { return !arguments.computed || can_be_computed(c); });
  const auto what = chosen(scenarios(), arguments.scenarios, [&](const Scenario& s) {
    if (arguments.computed) return s.form != Form::kAlone;
    return s.form == Form::kShort || (arguments.full && s.form != Form::kComputed);
  });
  std::filesystem::create_directories(out / "logs");

  std::vector<Summary> summaries;
  for (const Scenario& scenario : what) {
    const std::uint64_t by_form = arguments.full && scenario.form != Form::kAlone ? 3 : 1;
    const std::uint64_t seeds = arguments.seeds != 0 ? arguments.seeds : arguments.computed ? 40 : by_form;
    std::vector<Run> runs;
    for (std::uint64_t i = 0; i < seeds; ++i) {
      if (arguments.computed) {
        write_logs(out / "logs", runs.emplace_back(compute_scenario(scenario, who, arguments.seed + i)));
        continue;
      }
      fmt::print(stderr, "{}, seed {} ({:.0f} s)\n", scenario.name, arguments.seed + i, scenario.seconds);
      auto result = run_scenario(scenario, who, {.seed = arguments.seed + i, .weighter = arguments.weighter});
      if (!result) return kInterrupted;
      tell(*result);
      write_logs(out / "logs", *result);
      runs.push_back(*std::move(result));
    }
    const Summary& summary = summaries.emplace_back(summarize(std::move(runs)));
    if (arguments.computed) tell(summary);
    write(out / (scenario.name + "-bars.svg"), bars(summary));
    write(out / (scenario.name + "-timeline.svg"), timeline(summary));
    write(out / (scenario.name + "-shares.svg"), shares(summary));
    // After each scenario, so that a run that is ended early leaves what it has.
    const Machine machine = this_machine();
    write(out / "results.json", to_json(summaries, machine));
    write(out / "results.md", to_markdown(summaries, machine, "."));
  }
  fmt::print("{}\n", (out / "results.md").string());
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  Arguments arguments;
  CommandLine line("traffic-bench",
                   "What clients get through HAProxy while providers fail, with rpc-weighter and without");
  line.folder(arguments.out, "Folder for tables, JSON, charts and logs");
  line.flag("--full", arguments.full, "All scenarios with three seeds, and each fault alone");
  line.texts("--scenario", arguments.scenarios, "Only this one; repeatable");
  line.texts("--contestant", arguments.contestants, "Only this one; repeatable");
  line.number("--seeds", arguments.seeds, "Runs of each scenario; 0: as many as fit it");
  line.number("--seed", arguments.seed, "The first one");
  line.flag("--computed", arguments.computed,
            "No HAProxy and no clock: the rules in a model, over many seeds (default 40) within seconds");
  line.weighter(arguments.weighter);
  return line.run(argc, argv, [&] {
    allow_many_descriptors();
    return run(arguments);
  });
}
