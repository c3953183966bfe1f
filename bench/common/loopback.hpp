#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace rpcw::bench {

/// Of the provider farm's `index`-th provider, [0, 65'000). Each has an address of its own, so that none reuses one
/// provider's connection for another.
inline std::string provider_url(std::size_t index, std::uint16_t port) {
  return "http://127.1." + std::to_string(index / 250) + "." + std::to_string(1 + index % 250) + ":" +
         std::to_string(port) + "/";
}

}  // namespace rpcw::bench
