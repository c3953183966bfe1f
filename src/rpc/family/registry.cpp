#include "rpc/family/registry.hpp"

#include <algorithm>
#include <array>
#include <stdexcept>
#include <string>
#include <vector>

#include "rpc/family/own.hpp"
#include "rpc/family/specs.hpp"

namespace rpcw::rpc::family {
namespace {

constexpr std::array kSpecs{&evm,       &solana,      &algorand, &aptos, &sui,      &hedera,  &near, &cometbft,
                            &substrate, &stellar_rpc, &horizon,  &xrpl,  &starknet, &bitcoin, &tron, &beacon};

}  // namespace

std::span<const std::unique_ptr<const Family>> all() {
  static const std::vector<std::unique_ptr<const Family>> families = [] {
    std::vector<std::unique_ptr<const Family>> out;
    for (const auto make : kSpecs) out.push_back(std::make_unique<const Family>(make()));
    return out;
  }();
  return families;
}

const Family* find(std::string_view name) {
  const auto families = all();
  const auto at = std::ranges::find(families, name, [](const auto& family) { return family->name(); });
  return at == families.end() ? nullptr : at->get();
}

std::shared_ptr<const Family> of(const Chain& chain) {
  if (chain.own_family) return make_own(chain.own_family);
  const Family* known = find(chain.family);
  if (known == nullptr) throw std::invalid_argument("no chain family " + chain.family);
  // Families live as long as the program.
  return {std::shared_ptr<const void>(), known};
}

}  // namespace rpcw::rpc::family
