#pragma once

#include <curl/curl.h>

#include <cstdint>
#include <string_view>

#include "rpc/http_target.hpp"
#include "weighter/state/observation.hpp"

namespace rpcw::rpc {

/// What is known of a transfer that libcurl has ended with an error.
struct FailedTransfer {
  CURL* easy = nullptr;
  CURLcode code = CURLE_OK;
  /// libcurl's own words; may be empty.
  std::string_view words;
  const HttpTarget::Impl& target;
  milliseconds timeout{};
  /// Whether the connection was to the configured proxy.
  bool by_proxy = false;
  /// We ended the transfer, as the answer was longer than `max_bytes`.
  bool too_large = false;
  std::uint64_t max_bytes = 0;
  /// Why the system gave no socket, an errno; 0: it did.
  int no_socket = 0;
};

/// The reason and a sentence, free of secrets.
ProbeFailure explain(const FailedTransfer& failed);

}  // namespace rpcw::rpc
