#include "common/machine.hpp"

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <sys/utsname.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <memory>
#include <thread>

namespace rpcw::bench {
namespace {

/// First line of what a command prints; empty if there is none.
std::string first_line(const std::string& command) {
  const std::unique_ptr<FILE, int (*)(FILE*)> pipe(popen(command.c_str(), "r"), pclose);
  std::array<char, 256> line{};
  if (!pipe || std::fgets(line.data(), line.size(), pipe.get()) == nullptr) return {};
  std::string out = line.data();
  while (!out.empty() && out.back() == '\n') out.pop_back();
  return out;
}

std::string processor_name() {
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);)
    if (line.starts_with("model name")) return line.substr(line.find(": ") + 2);
  return "unknown";
}

}  // namespace

Machine this_machine() {
  Machine out;
  out.date = fmt::format("{:%Y-%m-%d}", fmt::gmtime(std::time(nullptr)));
  out.processor = processor_name();
  out.cores = std::thread::hardware_concurrency();
  utsname system{};
  if (uname(&system) == 0) out.kernel = fmt::format("{} {}", system.sysname, system.release);
  const char* haproxy = std::getenv("HAPROXY");  // NOLINT(concurrency-mt-unsafe)
  out.haproxy = first_line(fmt::format("PATH=$PATH:/usr/sbin; '{}' -v", haproxy == nullptr ? "haproxy" : haproxy));
  return out;
}

std::string Machine::sentence() const {
  return fmt::format("Run on {}: {}, {} cores, {}; {}.", date, processor, cores, kernel, haproxy);
}

}  // namespace rpcw::bench
