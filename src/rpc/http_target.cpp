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

Slist header_lines(const config::Headers& headers) {
  Slist out;
  // The last one: libcurl would wait a second for a "100 Continue" before a large body.
  constexpr std::array<std::pair<const char*, const char*>, 3> kOurs{
      {{"Content-Type", " application/json"}, {"Accept", " application/json"}, {"Expect", ""}}};
  for (const auto& [name, value] : kOurs) {
    const bool given = std::ranges::any_of(
        headers, [name](const auto& header) { return strcasecmp(header.first.c_str(), name) == 0; });
    if (!given) append(out, fmt::format("{}:{}", name, value));
  }
  for (const auto& [name, value] : headers)
    append(out, value.empty() ? name + ";" : fmt::format("{}: {}", name, value));
  return out;
}

}  // namespace

HttpTarget::Impl::Impl(const config::Target& target, std::span<const config::Canary> canaries)
    : url(target.url), shown_host(config::shown_host(target)), scrub(target, canaries), given_(target.headers) {
  auto found = url::parse(target.url);
  if (!found) throw std::invalid_argument("HttpTarget: " + found.error());
  parts = std::move(*found);
  if (!target.headers.empty()) own_headers_ = header_lines(given_);
}

curl_slist* HttpTarget::Impl::headers() const {
  static const Slist kCommon = header_lines({});
  return own_headers_ ? own_headers_.get() : kCommon.get();
}

Slist HttpTarget::Impl::headers_with(const config::Headers& more) const {
  config::Headers all = given_;
  for (const auto& header : more) {
    const bool given = std::ranges::any_of(
        given_, [&](const auto& own) { return strcasecmp(own.first.c_str(), header.first.c_str()) == 0; });
    if (!given) all.push_back(header);
  }
  return header_lines(all);
}

std::string HttpTarget::Impl::url_of(std::string_view suffix) const {
  std::string_view base = url;
  base = base.substr(0, base.find('#'));
  const std::size_t mark = std::min(base.find('?'), base.size());
  std::string_view query = base.substr(mark);
  std::string out(base.substr(0, mark));
  if (suffix.starts_with('/') && out.ends_with('/')) out.pop_back();
  out += suffix;
  if (query.size() > 1) {
    query.remove_prefix(1);
    out += suffix.find('?') == std::string_view::npos ? '?' : '&';
    out += query;
  }
  return out;
}

std::string HttpTarget::Impl::authority() const {
  return fmt::format("{}://{}:{}", parts.scheme, parts.host, parts.port);
}

HttpTarget::HttpTarget(const config::Target& target, std::span<const config::Canary> canaries)
    : impl_(std::make_unique<Impl>(target, canaries)) {}
HttpTarget::~HttpTarget() = default;
HttpTarget::HttpTarget(HttpTarget&&) noexcept = default;
HttpTarget& HttpTarget::operator=(HttpTarget&&) noexcept = default;

std::string HttpTarget::scrub(std::string_view text) const {
  return impl_->scrub(text);
}

void HttpTarget::hide_user_info(std::string_view url) {
  impl_->scrub.add_user_info(url);
}

void HttpTarget::hide_keys(std::string_view text) {
  impl_->scrub.add_keys(text);
}

}  // namespace rpcw::rpc
