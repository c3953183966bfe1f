#include <cerrno>
#include <cstdio>
#include <cstring>
#include <deque>
#include <fstream>
#include <vector>

#include "cli/cli.hpp"
#include "cli/load.hpp"
#include "cli/print.hpp"
#include "cli/render_replay.hpp"

namespace rpcw::cli {
namespace {

std::string render(const replay::Result& replayed, Format format) {
  switch (format) {
    case Format::kTable:
      return render_replay_table(replayed, table_style());
    case Format::kJson:
      return render_replay_json(replayed);
    case Format::kCsv:
      return render_replay_csv(replayed);
  }
  return {};
}

}  // namespace

int command_replay(const Options& options) {
  // No provider is asked, so no key is needed: a recording can be replayed by people without one.
  const auto config = load_config(options, Needs::kRules);
  if (!config) return config.error();

  std::deque<std::ifstream> files;
  std::vector<replay::Source> sources;
  for (const std::string& name : options.recordings) {
    std::ifstream& file = files.emplace_back(name, std::ios::binary);
    if (!file) {
      std::fprintf(stderr, "%s: cannot be read: %s\n", name.c_str(), std::strerror(errno));
      return kOwnError;
    }
    sources.push_back({name, file});
  }
  const auto replayed = replay::run(sources, *config);
  if (!replayed) {
    std::fprintf(stderr, "%s\n", replayed.error().what.c_str());
    return replayed.error().kind == replay::Error::Kind::kMisfit ? kUsage : kOwnError;
  }
  print(render(*replayed, options.format));
  // Programs that read the output should not miss them.
  if (options.format == Format::kCsv)
    for (const std::string& n : replayed->notes) std::fprintf(stderr, "note: %s\n", n.c_str());
  return kDone;
}

}  // namespace rpcw::cli
