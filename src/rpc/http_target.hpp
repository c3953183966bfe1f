#pragma once

#include <curl/curl.h>

#include <cstddef>
#include <memory>
#include <optional>
#include <string>

#include "config/url.hpp"
#include "rpc/http_client.hpp"
#include "rpc/scrubber.hpp"

namespace rpcw::rpc {

struct SlistDelete {
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};
using Slist = std::unique_ptr<curl_slist, SlistDelete>;

void append(Slist& list, const std::string& line);

struct HttpTarget::Impl {
  Impl(const config::Target& target, std::span<const config::Canary> canaries);

  std::string url;
  url::Url parts;
  /// The host as messages may have it.
  std::string shown_host;
  /// For CURLOPT_HTTPHEADER; nearly all targets have the same.
  [[nodiscard]] curl_slist* headers() const;

  /// The same with headers of a request; a name that the target has itself is the target's.
  [[nodiscard]] Slist headers_with(const config::Headers& more) const;
  /// `url` with `suffix` added to its path, and a query of the suffix to its query.
  [[nodiscard]] std::string url_of(std::string_view suffix) const;

  /// Targets of the same can share a connection.
  [[nodiscard]] std::string authority() const;

  Scrubber scrub;
  /// Which of the client's pools it uses, by a number that is taken with its first request.
  mutable std::optional<std::size_t> pool;

 private:
  config::Headers given_;
  /// nullptr: no headers of its own.
  Slist own_headers_;
};

}  // namespace rpcw::rpc
