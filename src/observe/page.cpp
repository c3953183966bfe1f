#include "observe/page.hpp"

#include <fmt/format.h>
#include <openssl/evp.h>

#include <array>
#include <string>
#include <string_view>

#include "observe/page_text.hpp"

namespace rpcw::observe {
namespace {

/// 'sha256-…' of what stands between the first `open` and `close`.
std::string source_hash(std::string_view page, std::string_view open, std::string_view close) {
  const std::size_t begin = page.find(open) + open.size();
  const std::string_view inside = page.substr(begin, page.find(close, begin) - begin);
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned length = 0;
  EVP_Digest(inside.data(), inside.size(), digest.data(), &length, EVP_sha256(), nullptr);
  std::array<unsigned char, 2 * EVP_MAX_MD_SIZE> text{};
  const int written = EVP_EncodeBlock(text.data(), digest.data(), static_cast<int>(length));
  return fmt::format("'sha256-{}'",
                     std::string_view(reinterpret_cast<const char*>(text.data()), static_cast<std::size_t>(written)));
}

}  // namespace

HttpAnswer status_page() {
  static const std::string kPolicy = fmt::format(
      "default-src 'none'; script-src {}; style-src {}; img-src data:; connect-src 'self'; base-uri 'none'; "
      "form-action 'none'; frame-ancestors 'none'",
      source_hash(kPageText, "<script>", "</script>"), source_hash(kPageText, "<style>", "</style>"));
  return {.content_type = "text/html; charset=utf-8",
          .body = std::string(kPageText),
          .compress = true,
          .headers = {{"Content-Security-Policy", kPolicy}}};
}

}  // namespace rpcw::observe
