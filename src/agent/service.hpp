#pragma once

#include <expected>
#include <functional>
#include <memory>
#include <string>

#include "agent/config_file.hpp"
#include "config/config.hpp"

namespace rpcw {

/// An agent that runs until a signal ends it. It reads its configuration again when SIGHUP or a change of the file asks
/// for that, and goes on with what it knows. Uses standard error's log, and signals: there is one for each process.
class Service {
 public:
  struct Options {
    std::string config_file;
    /// Of the file that `config` was read from: see ConfigFile.
    ConfigFile::Version version;
    /// Where the state is kept; empty: nowhere.
    std::string state_file;
    /// Where the agent's doings are recorded; empty: nowhere.
    std::string record_file;
    bool dry_run = false;
    /// Reads the configuration file again: see ConfigFile.
    std::function<ConfigFile::Reading()> read;
  };

  /// From here on SIGTERM, SIGINT and SIGHUP wait for `run`.
  Service(Options options, config::Config config);
  ~Service();
  Service(const Service&) = delete;
  Service& operator=(const Service&) = delete;

  /// Precedes `run`. The error is a sentence.
  std::expected<void, std::string> open_ports();
  /// Until SIGTERM or SIGINT. Throws as Agent::run does.
  void run();

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace rpcw
