#include "base/open_files.hpp"

#include <fmt/format.h>
#include <sys/resource.h>

#include <cerrno>
#include <cstring>

namespace rpcw {

std::expected<void, std::string> ensure_open_files(std::size_t wanted) {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return {};
  if (limit.rlim_cur == RLIM_INFINITY || limit.rlim_cur >= wanted) return {};
  if (limit.rlim_max != RLIM_INFINITY && limit.rlim_max < wanted)
    return std::unexpected(
        fmt::format("{} open files are needed, but the hard limit is {}: raise it (ulimit -Hn, LimitNOFILE=), or lower "
                    "probe.max_in_flight or the number of providers",
                    wanted, limit.rlim_max));
  limit.rlim_cur = static_cast<rlim_t>(wanted);
  if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
    return std::unexpected(
        fmt::format("the limit on open files cannot be raised to {}: {}", wanted, std::strerror(errno)));
  return {};
}

}  // namespace rpcw
