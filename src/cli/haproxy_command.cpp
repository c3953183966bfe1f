#include "cli/haproxy_command.hpp"

#include <fmt/format.h>

#include <boost/asio/co_spawn.hpp>
#include <cstdio>

#include "base/wait_group.hpp"
#include "haproxy/protocol.hpp"

namespace rpcw::cli {

namespace asio = boost::asio;

std::expected<Place, std::string> place_of(const std::string& text, bool backend_alone) {
  // Names of HAProxy hold no "/".
  const std::size_t slash = text.find('/');
  Place out{text.substr(0, slash), slash == std::string::npos ? "" : text.substr(slash + 1)};
  const bool good = haproxy::valid_name(out.backend) &&
                    (slash == std::string::npos ? backend_alone : haproxy::valid_name(out.server));
  if (good) return out;
  return std::unexpected(fmt::format("\"{}\": expected BACKEND/SERVER, as in haproxy.cfg", haproxy::presentable(text)));
}

void complain(std::string_view text) {
  std::fprintf(stderr, "%s\n", std::string(text).c_str());
}

ExitCode in_loop(const std::function<asio::awaitable<ExitCode>(asio::io_context&)>& work) {
  asio::io_context io(1);
  ExitCode out = kOwnError;
  asio::co_spawn(
      io,
      [&]() -> asio::awaitable<void> {
        out = co_await work(io);
        // A look-up that hangs may be left in the loop.
        io.stop();
      },
      rethrow);
  io.run();
  return out;
}

}  // namespace rpcw::cli
