#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cstddef>
#include <functional>
#include <optional>
#include <string>

#include "base/off_loop.hpp"
#include "config/config.hpp"

namespace rpcw {

/// The configuration file of an agent that runs: reads it again when that is asked for, and when the file has changed.
/// One reading at a time, on a thread of its own: on a disk that hangs, one thread does.
class ConfigFile {
 public:
  /// What was read. Called once, on the loop: logs what is wrong, and returns the configuration; nullopt: it is of no
  /// use.
  using Reading = std::move_only_function<std::optional<config::Config>()>;
  struct Effects {
    /// Reads the file. Called on another thread, which may outlive this object.
    std::function<Reading()> read;
    /// A reading begins, or a row of them.
    std::function<void()> begin;
    /// Takes what was read, and `why` it was. The next reading waits for it.
    std::function<boost::asio::awaitable<void>(std::string why, Reading)> take;
    /// Whether a change of the file is a reason to read it.
    std::function<bool()> watched;
  };

  /// Tells one text of the file from another. A file that cannot be read has a version too, by its error, so that the
  /// error is logged; nullopt: there is no file, as between the two steps of replacing it.
  using Version = std::optional<std::size_t>;
  static Version version_of(const std::string& path);

  /// `known`: the version that the agent has begun with.
  ConfigFile(boost::asio::io_context& io, std::string path, Version known, Effects effects);

  /// Begins to look for changes.
  void start();
  /// Reads the file, once more if it is being read.
  void read(std::string why);
  /// Nothing is read or taken from now on.
  void stop() { stopped_ = true; }

 private:
  boost::asio::awaitable<void> read_again();
  boost::asio::awaitable<void> watch();

  boost::asio::io_context& io_;
  const std::string path_;
  const Effects effects_;
  /// Of the text that was read last.
  Version known_;
  /// Why the file is to be read, or read again; empty: it is not.
  std::string again_;
  bool reading_ = false;
  bool stopped_ = false;
  boost::asio::steady_timer timer_;
  OffLoop off_loop_;
};

}  // namespace rpcw
