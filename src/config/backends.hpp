#pragma once

#include <vector>

#include "config/chains.hpp"
#include "config/context.hpp"

namespace rpcw::config {

/// Reads the [[backend]] tables one after the other.
class Backends {
 public:
  /// `agent`: HAProxy's agent-check is answered. `probe_timeout`: [probe]'s.
  Backends(const Context& context, const Chains& chains, bool agent, milliseconds probe_timeout)
      : context_(context), chains_(chains), agent_(agent), probe_timeout_(probe_timeout) {}

  [[nodiscard]] Backend read(Reader& r);
  /// After the last one: gives those that follow another backend its servers and limits.
  void join(Reader& root, std::vector<Backend>& backends) const;

 private:
  /// A key that belongs to the backend that is followed; told where there is such a backend.
  struct Foreign {
    Place place;
    std::string path;
    std::string message;
  };

  struct Follower {
    /// As they were read.
    std::size_t index = 0;
    /// `follows` is a text.
    bool given = false;
    std::string path;
    Place place;
    std::vector<Place> server_places;
    std::vector<Foreign> foreign;
  };

  void read_drive(Reader& r, Backend& out) const;
  void read_limits(Reader& r, Backend& out);
  void note_foreign_limits(Reader& r, const std::string& follows);
  static void warn_of_strategy(Reader& r, const Backend& backend, const Given& scale, const Given& max_share,
                               const Given& switch_back);
  std::size_t read_servers(Reader& r, Backend& out);
  void read_reference(Reader& r, Backend& out) const;
  static void read_canary(Reader& r, Backend& out);
  void warn_of_unsent_headers(Reader& r, const Backend& backend) const;
  void warn_of_shared_operators(Reader& r, const Backend& backend) const;
  void warn_of_unused_rates(Reader& r, const Backend& backend) const;

  const Context& context_;
  const Chains& chains_;
  const bool agent_;
  const milliseconds probe_timeout_;
  Seen names_;
  std::vector<Follower> followers_;
  std::size_t count_ = 0;
  /// Of the servers of the backend that is being read.
  std::vector<Place> server_places_;
  /// Of that backend, if it follows another one.
  std::vector<Foreign> foreign_;
};

}  // namespace rpcw::config
