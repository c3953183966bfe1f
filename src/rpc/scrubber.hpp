#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "config/config.hpp"

namespace rpcw::rpc {

/// Makes what a provider or a library says fit to show: whatever of it may be a key is cut out.
class Scrubber {
 public:
  /// The secrets are user info, path segments and query of the URL, and the headers' values, each from four characters
  /// on: shorter pieces ("v1", "rpc") are in every URL, and cutting them out would make messages unreadable. A host
  /// that is not shown is one too, and so are its labels but the last, with `redact_host` all of them and else those
  /// that look like keys.
  /// Of `canaries` what looks like a key (see url::looks_like_key) is one too; hexadecimal data ("0x…") does not.
  explicit Scrubber(const config::Target& target, std::span<const config::Canary> canaries = {});

  /// User info of `url` is a secret from now on, as that of the target is. Nothing, when there is none.
  void add_user_info(std::string_view url);
  /// Of a header "Basic …" what it encodes is a secret from now on, and so is each part of it. Nothing for other
  /// headers.
  void add_basic(std::string_view header);
  /// What looks like a key in `text` is a secret from now on.
  void add_keys(std::string_view text);

  /// Secrets become "...", also where they are percent-encoded, JSON-escaped or in other case, or begin with six
  /// characters of one (a message cut off in the middle of a key). What does not print is replaced, and the text ends
  /// after 160 bytes.
  [[nodiscard]] std::string operator()(std::string_view text) const;

 private:
  void add(std::string_view secret);
  void add_host(const config::Target& target);
  void add_pieces(std::string_view text, std::string_view separators);

  /// In lower case.
  std::vector<std::string> secrets_;
};

}  // namespace rpcw::rpc
