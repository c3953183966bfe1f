#include "rpc/http_target.hpp"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <strings.h>

#include <algorithm>
#include <array>
#include <new>
#include <stdexcept>
#include <string_view>
#include <utility>

namespace rpcw::rpc {

void append(Slist& list, const std::string& line) {
  curl_slist* longer = curl_slist_append(list.get(), line.c_str());
  if (longer == nullptr) throw std::bad_alloc();
  static_cast<void>(list.release());
  list.reset(longer);
}

namespace {

Slist header_lines(const config::Target& target) {
  Slist out;
  // The last one: libcurl would wait a second for a "100 Continue" before a large body.
  constexpr std::array<std::pair<const char*, const char*>, 3> kOurs{
      {{"Content-Type", " application/json"}, {"Accept", " application/json"}, {"Expect", ""}}};
  for (const auto& [name, value] : kOurs) {
    const bool given = std::ranges::any_of(
        target.headers, [name = name](const auto& header) { return strcasecmp(header.first.c_str(), name) == 0; });
    if (!given) append(out, fmt::format("{}:{}", name, value));
  }
  for (const auto& [name, value] : target.headers)
    append(out, value.empty() ? name + ";" : fmt::format("{}: {}", name, value));
  return out;
}

}  // namespace

HttpTarget::Impl::Impl(const config::Target& target)
    : url(target.url), shown_host(config::shown_host(target)), scrub(target) {
  auto found = url::parse(target.url);
  if (!found) throw std::invalid_argument("HttpTarget: " + found.error());
  parts = std::move(*found);
  if (!target.headers.empty()) own_headers_ = header_lines(target);
}

curl_slist* HttpTarget::Impl::headers() const {
  static const Slist kCommon = header_lines({});
  return own_headers_ ? own_headers_.get() : kCommon.get();
}

std::string HttpTarget::Impl::authority() const {
  return fmt::format("{}://{}:{}", parts.scheme, parts.host, parts.port);
}

HttpTarget::HttpTarget(const config::Target& target) : impl_(std::make_unique<Impl>(target)) {}
HttpTarget::~HttpTarget() = default;
HttpTarget::HttpTarget(HttpTarget&&) noexcept = default;
HttpTarget& HttpTarget::operator=(HttpTarget&&) noexcept = default;

std::string HttpTarget::scrub(std::string_view text) const {
  return impl_->scrub(text);
}

}  // namespace rpcw::rpc
