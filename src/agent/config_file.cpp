#include "agent/config_file.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <utility>

#include "base/read_file.hpp"
#include "base/time.hpp"
#include "base/wait_group.hpp"
#include "config/document.hpp"

namespace rpcw {

namespace asio = boost::asio;

namespace {

/// Not by inotify: a Kubernetes ConfigMap changes by a link that is swapped two folders away.
constexpr milliseconds kLookEvery{1000};

}  // namespace

ConfigFile::Version ConfigFile::version_of(const std::string& path) {
  const auto text = read_regular_file(path, config::kMostTextBytes);
  if (!text) return std::hash<std::string>{}(text.error());
  return *text ? std::optional(std::hash<std::string>{}(**text)) : std::nullopt;
}

ConfigFile::ConfigFile(asio::io_context& io, std::string path, Version known, Effects effects)
    : io_(io),
      path_(std::move(path)),
      effects_(std::move(effects)),
      known_(known),
      timer_(io),
      off_loop_(io.get_executor()) {}

void ConfigFile::start() {
  asio::co_spawn(io_, watch(), rethrow);
}

void ConfigFile::read(std::string why) {
  if (stopped_) return;
  again_ = std::move(why);
  if (!std::exchange(reading_, true)) asio::co_spawn(io_, read_again(), rethrow);
}

asio::awaitable<void> ConfigFile::read_again() {
  effects_.begin();
  while (!again_.empty() && !stopped_) {
    std::string why = std::exchange(again_, {});
    auto work = [path = path_, read = effects_.read] {
      // Before the reading: a change between them is read again.
      const Version version = version_of(path);
      return std::pair(version, read());
    };
    auto found = co_await off_loop_.run(std::move(work));
    known_ = found.first;
    if (!stopped_) co_await effects_.take(std::move(why), std::move(found.second));
  }
  reading_ = false;
}

asio::awaitable<void> ConfigFile::watch() {
  for (;;) {
    timer_.expires_after(kLookEvery);
    const auto [ec] = co_await timer_.async_wait(asio::as_tuple(asio::use_awaitable));
    if (ec) co_return;
    if (!effects_.watched() || reading_) continue;
    auto work = [path = path_] { return version_of(path); };
    const Version found = co_await off_loop_.run(std::move(work));
    // A file that is missing is just being replaced.
    if (found && found != known_) read("watch_config");
  }
}

}  // namespace rpcw
