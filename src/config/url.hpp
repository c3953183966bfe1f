#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <string_view>

namespace rpcw::url {

/// The parts of an http or https URL that the program needs.
struct Url {
  /// "http" or "https", lower case.
  std::string scheme;
  /// Host name or address, without the brackets of IPv6.
  std::string host;
  /// 1..65535; the scheme's default when absent.
  std::uint16_t port = 0;
};

/// Errors are sentences for a person and never contain any part of the URL but its scheme.
std::expected<Url, std::string> parse(std::string_view text);

/// Whether a part of a host name or path looks like a key: 16 or more letters and digits without a dash between them,
/// of high variety, as no word is; or a UUID. Without regard to case.
bool looks_like_key(std::string_view part);

/// The text with "…" for each word (letters, digits, - and _) that looks like a key, for texts in which no key is
/// expected: a method, a JSON pointer. Names that are made of words stay, such as "getL1BatchBlockRange", and
/// quantities.
std::string without_keys(std::string_view text);

/// What of a URL's host may be shown.
enum class HostShown : std::uint8_t {
  kUnlessKey,  ///< all of it, unless one of its labels looks like a key
  kEnd,        ///< the last label
};

/// `host` as it may be shown: itself, or "…" and its last label ("…example"); "…" alone for a single label or address.
std::string shown_host(std::string_view host, HostShown what = HostShown::kUnlessKey);

/// `scheme://host[:port]/…`: user info, path and query cut off, as they may hold keys, and the host as `shown_host`
/// gives it. Never fails: what is not recognised as a URL becomes "…".
std::string redact(std::string_view text, HostShown what = HostShown::kUnlessKey);

/// Whether a host is of the own network: a private or link-local address, or a name under .svc, .local or .internal
/// (which .svc.cluster.local is too). A loopback address is not: it may be HAProxy's own way to a hosted provider.
bool is_own_network(std::string_view host);

/// The registrable domain by the usual rule of thumb (last two labels, three under the common second-level suffixes
/// such as co.uk); the host itself for addresses and single labels.
std::string registrable_domain(std::string_view host);

}  // namespace rpcw::url
