#include "cli/open_sockets.hpp"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <optional>

#include "base/text.hpp"

namespace rpcw::cli {
namespace {

std::optional<std::string> open_file(const std::string& path) {
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0 || (status.st_mode & S_IWOTH) == 0) return std::nullopt;
  return fmt::format(
      "every user of this machine may open {} (mode {:o}) and take servers out; `mode 660 group haproxy` on its line "
      "keeps others away",
      path, status.st_mode & 0777U);
}

std::string open_address(std::string_view address) {
  return fmt::format(
      "{} is open to all that reach it, who may take servers out: a stats socket has no password; bind it to 127.0.0.1, "
      "or see docs/haproxy.md for TLS before it",
      address);
}

/// The next word of `line`, which it is taken from.
std::string_view take_word(std::string_view& line) {
  const std::size_t end = std::min(line.find(' '), line.size());
  const std::string_view word = line.substr(0, end);
  line.remove_prefix(std::min(end + 1, line.size()));
  return word;
}

}  // namespace

std::vector<std::string> open_sockets(std::string_view reply) {
  constexpr std::string_view kUnix = "unix@";
  std::vector<std::string> out;
  while (!reply.empty()) {
    const std::size_t end = std::min(reply.find('\n'), reply.size());
    std::string_view line = reply.substr(0, end);
    reply.remove_prefix(std::min(end + 1, reply.size()));
    const std::string_view address = take_word(line);
    if (take_word(line) != "admin") continue;
    if (address.starts_with(kUnix)) {
      if (auto open = open_file(std::string(address.substr(kUnix.size())))) out.push_back(*std::move(open));
    } else if (address.starts_with("ipv4@") || address.starts_with("ipv6@")) {
      const std::string_view place = address.substr(5);
      if (!is_loopback(place.substr(0, place.rfind(':')))) out.push_back(open_address(address));
    }
  }
  return out;
}

std::vector<std::string> open_endpoint(const config::Endpoint& endpoint, bool tls) {
  if (endpoint.port == 0) {
    auto open = open_file(endpoint.address);
    return open ? std::vector{*std::move(open)} : std::vector<std::string>{};
  }
  if (tls || is_loopback(endpoint.address)) return {};
  return {open_address(endpoint.text)};
}

}  // namespace rpcw::cli
