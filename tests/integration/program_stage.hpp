#pragma once

#include <fmt/format.h>
#include <rapidjson/document.h>

#include <csignal>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "integration/haproxy_process.hpp"
#include "integration/process.hpp"
#include "sim/sim.hpp"

/// What the tests of the program share: simulated providers, a HAProxy, a configuration full of secrets, and the
/// program itself, whose every word is searched for them.
namespace rpcw::test {

/// A folder of its own under the system's temporary one.
class Folder {
 public:
  Folder();
  ~Folder();
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;

  [[nodiscard]] std::string path(std::string_view name) const { return (path_ / name).string(); }
  /// Replaces the file in one step and returns its path. Only the owner may read it.
  std::string write(std::string_view name, std::string_view text) const;

 private:
  std::filesystem::path path_;
};

/// Pieces of the providers' URLs and headers. None may ever be shown.
struct Secrets {
  static constexpr std::string_view kUser = "UserIsSecret";
  static constexpr std::string_view kPassword = "PasswordIsSecret";
  static constexpr std::string_view kPath = "PathIsSecret";
  static constexpr std::string_view kQuery = "QueryIsSecret";
  static constexpr std::string_view kHeader = "HeaderIsSecret";
  /// The first of them that `text` holds, in any usual form; empty: none.
  static std::string_view found_in(std::string_view text);
  /// A sentence with all of them, for providers to say in their errors.
  static std::string sentence();
};

/// The program that is tested: $RPC_WEIGHTER, such as one built with AddressSanitizer; not set: this build's.
std::string program_path();

/// The program, started with arguments. At its end everything that it wrote is searched for secrets.
class Program : public Process {
 public:
  explicit Program(std::vector<std::string> arguments, Setup more = {});
  ~Program();

  /// Waits until a line with this text has been written to standard error `times` times.
  bool says(std::string_view text, std::size_t times = 1, Clock::duration limit = kPatience) const;
  [[nodiscard]] std::size_t count(std::string_view text) const;
  [[nodiscard]] std::vector<std::string> lines() const;
  /// The end of the program after `number`, which must come soon. Returns the exit code.
  std::optional<int> stop(int number = SIGTERM);
};

struct Result {
  int code = -1;
  std::string out;
  std::string err;
  Clock::duration took{};
};
/// Runs the program to its end.
Result run(std::vector<std::string> arguments, Process::Setup more = {});
/// Parses and fails the test if it is not one JSON document.
rapidjson::Document json(std::string_view text);
/// The member at a path such as "/backends/0/name"; fails the test if there is none.
const rapidjson::Value& at(const rapidjson::Value& document, std::string_view path);
/// The names of an object's members, in order, separated by spaces.
std::string names(const rapidjson::Value& object);
/// RFC 4180: lines of fields.
std::vector<std::vector<std::string>> csv(std::string_view text);

/// haproxy.cfg with these backends, a socket of level admin and one of level operator. No frontend: no traffic is
/// needed.
std::string haproxy_cfg(std::string_view backends);

using Weights = std::map<std::string, unsigned>;
unsigned sum(const Weights& weights);
/// By server, from `show servers state`; empty: HAProxy does not answer.
Weights weights_of(const HaproxyProcess& haproxy, std::string_view backend = "rpc");
/// The answer to one line of commands.
inline std::string check(const HaproxyProcess& haproxy, std::string_view commands) {
  return HaproxyProcess::check(haproxy.admin_socket(), commands);
}

/// For a haproxy.cfg whose backend `rpc` has providers as its servers.
struct BackendCfg {
  std::string balance = "roundrobin";
  /// By the server's name: what its line has besides.
  std::map<std::string, std::string> options{};
  /// Port of a frontend; 0: there is none.
  std::uint16_t frontend = 0;
  /// Further lines of the defaults.
  std::string defaults{};
  /// What follows the servers: more of them, or other sections.
  std::string more{};
};
std::string haproxy_cfg(const std::vector<sim::Provider*>& providers, const BackendCfg& cfg);

/// Such as 2 and 6.
std::pair<int, int> version_of(const HaproxyProcess& haproxy);

/// Providers a, b, c… that HAProxy's backend `rpc` has as servers, and a configuration for them.
class Stage {
 public:
  explicit Stage(std::size_t providers = 3, std::string_view server_options = "", bool master = false);

  Folder folder;
  sim::World world;
  /// In the order of the file.
  std::vector<sim::Provider*> providers;
  HaproxyProcess haproxy;

  /// Top-level tables with times that suit tests. `probe`, `log` and `haproxy` are further keys of
  /// these tables.
  struct Keys {
    std::string endpoints{};
    std::string top{};
    std::string probe = "timeout = \"5s\"";
    std::string log{};
    /// Of [http]: TOML.
    std::string listen = "\"\"";
    std::string http{};
    std::string backend = "strategy = \"equal\"";
    std::string haproxy_timeout = "5s";
    std::string haproxy{};
    std::string watch_interval = "100ms";
    std::string interval = "200ms";
    std::string fast_interval = "100ms";
    /// A return is tested in seconds, not in minutes.
    std::string eject_time = "0s";
  };
  /// The whole file. Every URL and header is full of secrets.
  [[nodiscard]] std::string toml(const Keys& keys) const;
  [[nodiscard]] std::string toml() const { return toml(Keys{}); }
  /// Written as config.toml; returns the path.
  std::string config(const Keys& keys) const { return folder.write("config.toml", toml(keys)); }
  std::string config() const { return config(Keys{}); }

  /// For another HAProxy than the stage's own.
  std::string config_for(const HaproxyProcess& other, Keys keys) const {
    keys.endpoints = fmt::format("\"unix:{}\"", other.admin_socket());
    return config(keys);
  }
  std::string config_for(const HaproxyProcess& other) const { return config_for(other, Keys{}); }

  [[nodiscard]] static std::string tables(std::string_view endpoints, const Keys& keys);
  [[nodiscard]] static std::string server(const sim::Provider& provider, std::string_view more = "");

  [[nodiscard]] Weights weights() const { return weights_of(haproxy); }
  /// Waits until HAProxy has these weights.
  [[nodiscard]] bool reaches(const Weights& wanted, Clock::duration limit = kPatience) const;
  void break_provider(std::size_t i, sim::Fault fault = sim::Fault::http_status) const;
  void mend_provider(std::size_t i) const { providers[i]->set({}); }
  /// Connections and requests that the providers have seen.
  [[nodiscard]] std::uint64_t contacts() const;
  /// Waits until each provider has had so many requests more: the program has gone on for a while.
  [[nodiscard]] bool goes_on(std::uint64_t requests) const;
};

}  // namespace rpcw::test
