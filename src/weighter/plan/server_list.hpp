#pragma once

#include <span>
#include <string>
#include <vector>

#include "config/config.hpp"
#include "weighter/state/topology.hpp"

/// `discover`: from the servers that HAProxys have to a configuration that names them. Pure.
namespace rpcw {

/// Whether any backend takes its servers from HAProxy.
bool discovers(const config::Config& config);

/// How many files a program may have open that serves this configuration: sockets of the probes' connections and of
/// HAProxy's, and what any process has open. Of `discover`, only servers that are there count.
std::size_t open_files_for(const config::Config& config);

/// The servers that HAProxys have, by backend.
struct ServerLists {
  struct Server {
    std::string name;
    /// "ip:port", an IPv6 address in brackets, port 0 for the client's own; "unix" for a Unix socket. Empty: none, as a
    /// free slot of a server-template, or a name that does not resolve.
    std::string addr;

    friend bool operator==(const Server&, const Server&) = default;
  };
  struct Backend {
    /// Some HAProxy has it.
    bool found = false;
    /// False: every socket that was asked is below level operator, which shows no addresses.
    bool shown = false;
    /// In HAProxy's order.
    std::vector<Server> servers{};

    friend bool operator==(const Backend&, const Backend&) = default;
  };
  /// One for each of the file; those without `discover` are not looked up.
  std::vector<Backend> backends{};
  /// Servers that have another address in another HAProxy, each a sentence.
  std::vector<std::string> disputes{};

  friend bool operator==(const ServerLists&, const ServerLists&) = default;
};

/// The servers that any of the lists has. Of one that several have, the first list with an address decides on the
/// address. nullptr among the lists: nothing is known of that HAProxy.
ServerLists server_lists_of(const config::Config& file, std::span<const haproxy::Instance* const> lists);

struct Expansion {
  /// As the file's, with concrete servers: in HAProxy's order, then those that the file names with a URL and that no
  /// list has. Every server has a URL.
  config::Config config;
  /// What was left out, and why, each a sentence without secrets. Servers without an address are no news.
  std::vector<std::string> remarks{};
};

/// The file with the servers of `lists`. What the file says of a server of the same name goes before the template.
Expansion with_servers(const config::Config& file, const ServerLists& lists);

/// The template with its placeholders filled in; empty: it needs what `server` does not have. An IPv6 {host} has
/// brackets.
std::string fill_template(const std::string& text, const std::string& backend, const ServerLists::Server& server);

}  // namespace rpcw
