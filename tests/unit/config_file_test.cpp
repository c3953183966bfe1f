#include "agent/config_file.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "unit/folder.hpp"

using namespace rpcw;
using namespace std::chrono_literals;
namespace asio = boost::asio;

namespace {

void put(const std::string& path, std::string_view text) {
  std::ofstream(path) << text;
}

/// A file whose readings and takings are counted. Readings are slow, as on a slow disk.
struct Stage {
  Folder folder;
  std::string path = folder.path("config.toml");
  asio::io_context io{1};
  /// Keeps the loop open between two readings.
  asio::executor_work_guard<asio::io_context::executor_type> work{io.get_executor()};
  bool watched = false;
  unsigned begun = 0;
  std::atomic<unsigned> at_once = 0;
  std::atomic<unsigned> most_at_once = 0;
  std::vector<std::string> taken;
  std::optional<ConfigFile> file;

  Stage() {
    put(path, "one");
    file.emplace(
        io, path, ConfigFile::version_of(path),
        ConfigFile::Effects{.read = [this] { return read(); },
                            .begin = [this] { ++begun; },
                            .take = [this](std::string why, ConfigFile::Reading reading) -> asio::awaitable<void> {
                              CHECK(reading().has_value());
                              taken.push_back(std::move(why));
                              co_return;
                            },
                            .watched = [this] { return watched; }});
  }

  ConfigFile::Reading read() {
    most_at_once = std::max<unsigned>(most_at_once, ++at_once);
    std::this_thread::sleep_for(20ms);
    --at_once;
    return [] { return std::optional(config::Config{}); };
  }

  /// Until there are so many, or for ten seconds.
  void run_until_taken(std::size_t count) {
    const auto deadline = std::chrono::steady_clock::now() + 10s;
    while (taken.size() < count && std::chrono::steady_clock::now() < deadline) io.run_one_for(10ms);
    CHECK(taken.size() == count);
  }
};

}  // namespace

TEST_CASE("a version tells texts apart; a file that cannot be read has one, and a missing file has none") {
  const Folder folder;
  put(folder.path("a"), "one");
  put(folder.path("b"), "one");
  put(folder.path("c"), "two");
  std::filesystem::create_directory(folder.path("d"));
  CHECK(ConfigFile::version_of(folder.path("a")) == ConfigFile::version_of(folder.path("b")));
  CHECK(ConfigFile::version_of(folder.path("a")) != ConfigFile::version_of(folder.path("c")));
  CHECK(ConfigFile::version_of(folder.path("d")).has_value());
  CHECK_FALSE(ConfigFile::version_of(folder.path("e")).has_value());
}

TEST_CASE("a file that is asked for while it is being read is read once more, one reading at a time") {
  Stage s;
  s.file->read("first");
  while (s.at_once == 0) s.io.run_one_for(1ms);
  s.file->read("second");
  s.file->read("third");
  s.run_until_taken(2);
  CHECK(s.taken == std::vector<std::string>{"first", "third"});
  CHECK(s.begun == 1);
  CHECK(s.most_at_once == 1);
  s.file->read("later");
  s.run_until_taken(3);
  CHECK(s.begun == 2);
}

TEST_CASE("after stop nothing is taken, not even a reading that is under way") {
  Stage s;
  s.file->read("SIGHUP");
  while (s.at_once == 0) s.io.run_one_for(1ms);
  s.file->stop();
  s.file->read("again");
  while (s.io.run_one_for(200ms) > 0) {
  }
  CHECK(s.taken.empty());
}

TEST_CASE("a change is read where that is wanted, and a missing file is waited for") {
  Stage s;
  s.file->start();
  put(s.path, "two");
  const auto later = std::chrono::steady_clock::now() + 1500ms;
  while (std::chrono::steady_clock::now() < later) s.io.run_one_for(50ms);
  CHECK(s.taken.empty());
  s.watched = true;
  std::filesystem::remove(s.path);
  const auto next = std::chrono::steady_clock::now() + 1500ms;
  while (std::chrono::steady_clock::now() < next) s.io.run_one_for(50ms);
  CHECK(s.taken.empty());
  put(s.path, "three");
  s.run_until_taken(1);
  CHECK(s.taken == std::vector<std::string>{"watch_config"});
}
