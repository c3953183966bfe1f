#pragma once

#include <vector>

#include "config/chains.hpp"
#include "config/context.hpp"

namespace rpcw::config {

/// Reads the [[backend]] tables one after the other.
class Backends {
 public:
  /// `agent`: HAProxy's agent-check is answered.
  Backends(const Context& context, const Chains& chains, bool agent)
      : context_(context), chains_(chains), agent_(agent) {}

  [[nodiscard]] Backend read(Reader& r);
  /// After the last one: gives those that follow another backend its servers and limits.
  void join(Reader& root, std::vector<Backend>& backends) const;

 private:
  struct Follower {
    /// As they were read.
    std::size_t index = 0;
    std::string path;
    Place place;
    std::vector<Place> server_places;
  };

  void read_drive(Reader& r, Backend& out) const;
  void read_limits(Reader& r, Backend& out);
  static void refuse_limits(Reader& r, const std::string& follows);
  std::size_t read_servers(Reader& r, Backend& out);
  void read_reference(Reader& r, Backend& out) const;
  static void read_canary(Reader& r, Backend& out);
  void warn_of_unsent_headers(Reader& r, const Backend& backend) const;
  void warn_of_shared_operators(Reader& r, const Backend& backend) const;
  void warn_of_unused_rates(Reader& r, const Backend& backend) const;

  const Context& context_;
  const Chains& chains_;
  const bool agent_;
  Seen names_;
  std::vector<Follower> followers_;
  std::size_t count_ = 0;
  /// Of the servers of the backend that is being read.
  std::vector<Place> server_places_;
};

}  // namespace rpcw::config
