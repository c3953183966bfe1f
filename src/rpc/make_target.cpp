#include "rpc/make_target.hpp"

#include <array>
#include <cstdlib>

#include "config/own_family.hpp"

namespace rpcw::rpc {
namespace {

/// Where libcurl finds a proxy for http and https in the environment.
constexpr std::array kProxyVariables{"http_proxy", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"};

void hide(HttpTarget& target, const OwnFamily::Request& request) {
  target.hide_keys(request.path);
  target.hide_keys(request.body);
  for (const auto& [name, value] : request.headers) target.hide_keys(value);
}

}  // namespace

HttpTarget make_target(const config::Target& target, std::span<const config::Canary> canaries, const Chain& chain,
                       const config::Probe& settings) {
  HttpTarget out(target, canaries);
  out.hide_user_info(settings.proxy);
  if (settings.proxy == "environment")
    for (const char* name : kProxyVariables)
      if (const char* url = std::getenv(name); url != nullptr) out.hide_user_info(url);
  if (const OwnFamily* family = chain.own_family.get()) {
    hide(out, family->head);
    if (family->identity) hide(out, *family->identity);
    if (family->syncing) hide(out, *family->syncing);
    if (family->peers) hide(out, *family->peers);
    if (family->block) hide(out, *family->block);
  }
  return out;
}

}  // namespace rpcw::rpc
