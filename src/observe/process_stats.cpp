#include "observe/process_stats.hpp"

#include <sys/resource.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <limits>
#include <sstream>
#include <string>
#include <system_error>

namespace rpcw::observe {
namespace {

double seconds_of(const timeval& t) {
  return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6;
}

std::string text_of(const char* path) {
  std::ifstream in(path);
  return {std::istreambuf_iterator<char>(in), {}};
}

/// Never changes, so it is read once.
double start_seconds() {
  const std::string stat = text_of("/proc/self/stat");
  // The second field is the program's name in brackets, and may hold spaces.
  const std::size_t name_end = stat.rfind(')');
  if (name_end == std::string::npos) return 0;
  std::istringstream fields(stat.substr(name_end + 1));
  constexpr int kBefore = 19;  // proc(5): starttime is field 22, state is field 3
  std::string skipped;
  for (int i = 0; i < kBefore; ++i) fields >> skipped;
  double ticks = 0;
  fields >> ticks;
  std::istringstream lines(text_of("/proc/stat"));
  for (std::string word; lines >> word;)
    if (word == "btime") {
      double boot = 0;
      lines >> boot;
      return boot + ticks / static_cast<double>(sysconf(_SC_CLK_TCK));
    }
  return 0;
}

}  // namespace

ProcessStats process_stats() {
  ProcessStats out;
  rusage usage{};
  if (getrusage(RUSAGE_SELF, &usage) == 0) out.cpu_seconds = seconds_of(usage.ru_utime) + seconds_of(usage.ru_stime);
  std::istringstream statm(text_of("/proc/self/statm"));
  double pages = 0;
  statm >> pages >> pages;
  out.resident_bytes = pages * static_cast<double>(sysconf(_SC_PAGESIZE));
  std::error_code ec;
  for (auto at = std::filesystem::directory_iterator("/proc/self/fd", ec);
       !ec && at != std::filesystem::directory_iterator(); at.increment(ec))
    ++out.open_fds;
  // The folder itself was one of them.
  if (out.open_fds > 0) --out.open_fds;
  rlimit files{};
  if (getrlimit(RLIMIT_NOFILE, &files) == 0)
    out.max_fds =
        files.rlim_cur == RLIM_INFINITY ? std::numeric_limits<double>::infinity() : static_cast<double>(files.rlim_cur);
  static const double kStart = start_seconds();
  out.start_seconds = kStart;
  return out;
}

}  // namespace rpcw::observe
