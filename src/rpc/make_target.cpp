#include "rpc/make_target.hpp"

#include "config/own_family.hpp"

namespace rpcw::rpc {
namespace {

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
