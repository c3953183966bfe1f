#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include <exception>
#include <filesystem>
#include <iterator>
#include <stdexcept>
#include <string>
#include <vector>

#include "common/command_line.hpp"
#include "common/files.hpp"
#include "common/machine.hpp"

using namespace rpcw::bench;

namespace {

struct Arguments {
  std::string out = "build/bench/micro";
  bool full = false;
  std::string only = ".";
};

/// 1.23 ms and the like, of ns.
std::string time_text(double ns) {
  if (ns < 1e3) return fmt::format("{:.0f} ns", ns);
  if (ns < 1e6) return fmt::format("{:.3g} µs", ns / 1e3);
  if (ns < 1e9) return fmt::format("{:.3g} ms", ns / 1e6);
  return fmt::format("{:.3g} s", ns / 1e9);
}

std::string count_text(double count) {
  constexpr double kRounding = 0.005;  // a buffer that grew once, over all iterations
  if (count < kRounding) return "0";
  return count >= 100 ? fmt::format("{:.0f}", count) : fmt::format("{:.2g}", count);
}

/// Empty: it has a result. Google Benchmark 1.8 says it otherwise than 1.7.
template <class Run>
std::string why_skipped(const Run& run) {
  if constexpr (requires { run.error_occurred; })
    return run.error_occurred ? run.error_message : "";
  else
    return run.skipped != decltype(run.skipped){} ? run.skip_message : "";
}

/// Shows each result as it comes, and keeps the rows of the table.
class Table : public benchmark::ConsoleReporter {
 public:
  Table() : ConsoleReporter(OO_None) {}

  void ReportRuns(const std::vector<Run>& runs) override {
    ConsoleReporter::ReportRuns(runs);
    for (const Run& run : runs) {
      if (const std::string why = why_skipped(run); !why.empty())
        throw std::runtime_error(run.benchmark_name() + ": " + why);
      if (run.report_big_o || run.report_rms) continue;
      const double items = run.counters.at("items");
      const double made = run.counters.at("allocations");
      const double ns = run.GetAdjustedCPUTime() / benchmark::GetTimeUnitMultiplier(run.time_unit) * 1e9;
      const bool larger = name_ == run.run_name.function_name;
      rows_.push_back(fmt::format("| {} | {} | {} | {} | {} | {} | {} |", larger ? "" : run.run_name.function_name,
                                  run.report_label.empty() ? fmt::format("{:.0f}", items) : run.report_label,
                                  time_text(ns), larger ? fmt::format("× {:.0f}", ns / ns_) : "", time_text(ns / items),
                                  count_text(made), count_text(made / items)));
      name_ = run.run_name.function_name;
      ns_ = ns;
    }
  }

  std::string markdown(const Machine& machine) const {
    std::string out = fmt::format("Run on {}: {}, {} cores, {}. Processor time.\n\n", machine.date, machine.processor,
                                  machine.cores, machine.kernel);
    out += "| what | n | time | growth | for each | allocations | for each |\n|---|---|---|---|---|---|---|\n";
    for (const std::string& row : rows_) out += row + "\n";
    return out;
  }

 private:
  /// Of the row before: the next size of the same is compared with it.
  std::string name_;
  double ns_ = 0;
  std::vector<std::string> rows_;
};

int run(const Arguments& arguments, char* program) {
  const std::filesystem::path out = arguments.out;
  std::filesystem::create_directories(out);
  std::vector<std::string> options{program, "--benchmark_filter=" + arguments.only,
                                   fmt::format("--benchmark_min_time={}", arguments.full ? 0.5 : 0.05),
                                   "--benchmark_out_format=json", "--benchmark_out=" + (out / "results.json").string()};
  std::vector<char*> texts;
  for (std::string& o : options) texts.push_back(o.data());
  int count = static_cast<int>(texts.size());
  benchmark::Initialize(&count, texts.data());
  Table table;
  if (benchmark::RunSpecifiedBenchmarks(&table) == 0)
    throw std::runtime_error("no benchmark has a name like " + arguments.only);
  write(out / "results.md", table.markdown(this_machine()));
  fmt::print("{}\n", (out / "results.md").string());
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  Arguments arguments;
  CommandLine line("micro-bench",
                   "Time and allocations of the parts that do no I/O, for backends of 10 to 10,000 servers");
  line.folder(arguments.out, "Folder for the table and the JSON");
  line.flag("--full", arguments.full, "Half a second for each figure instead of a twentieth");
  line.text("--only", arguments.only, "Regular expression of names, such as \"weighter/.*\"");
  return line.run(argc, argv, [&] { return run(arguments, argv[0]); });
}
