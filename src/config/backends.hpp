#pragma once

#include <vector>

#include "config/chains.hpp"
#include "config/context.hpp"

namespace rpcw::config {

/// Reads the [[backend]] tables one after the other.
class Backends {
 public:
  Backends(const Context& context, const Chains& chains) : context_(context), chains_(chains) {}

  [[nodiscard]] Backend read(Reader& r);

 private:
  std::size_t read_servers(Reader& r, Backend& out);
  void read_reference(Reader& r, Backend& out) const;
  static void read_canary(Reader& r, Backend& out);
  void warn_of_unsent_headers(Reader& r, const Backend& backend) const;
  void warn_of_shared_operators(Reader& r, const Backend& backend) const;

  const Context& context_;
  const Chains& chains_;
  Seen names_;
  /// Of the servers of the backend that is being read.
  std::vector<Place> server_places_;
};

}  // namespace rpcw::config
