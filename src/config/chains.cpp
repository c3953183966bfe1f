#include "config/chains.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "config/nearest.hpp"

namespace rpcw::config {
namespace {

using namespace std::chrono_literals;

constexpr milliseconds kLongestLimit = 24h;

std::vector<std::string_view> supported_families() {
  std::vector<std::string_view> out;
  for (std::size_t i = 0; i < family_names().size(); ++i)
    if (family_supported(static_cast<Family>(i))) out.push_back(family_names()[i]);
  return out;
}

std::string unsupported(Family family) {
  return fmt::format("the family {} is not supported yet; supported: {}", to_string(family),
                     fmt::join(supported_families(), ", "));
}

}  // namespace

const Chains::Own* Chains::find_own(std::string_view name) const {
  const auto at = std::ranges::find(own_, name, [](const Own& own) { return std::string_view(own.chain.name); });
  return at == own_.end() ? nullptr : &*at;
}

void Chains::read(Reader& r) {
  Own own;
  Chain& chain = own.chain;
  own.place = r.place();
  const auto note = [&](const Given& given) { own.valid = own.valid && given.state != Given::State::kInvalid; };

  const auto name = r.text("name");
  if (!name) {
    if (!r.has("name")) r.error(r.place(), "name", "missing; every [[chain]] needs a name");
    own.valid = false;
  } else {
    const bool good = !name->value.empty() && std::ranges::all_of(name->value, [](char c) {
      return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
    });
    chain.name = name->value;
    if (!good) {
      r.error(name->place, "name", fmt::format("{} is no chain's name; accepted: a-z 0-9 -", shown(name->value)));
    } else if (find_chain(chain.name) != nullptr) {
      r.error(name->place, "name",
              fmt::format("{} is a chain that is already known; its limits can be set in a backend, or choose "
                          "another name",
                          shown(chain.name)));
    } else if (const auto* twin = find_own(chain.name)) {
      r.error(name->place, "name",
              fmt::format("the chain {} is already defined on line {}", shown(chain.name), twin->place.line));
    }
    own.valid = own.valid && good;
  }

  std::size_t index = 0;
  const Given family = r.one_of("family", family_names(), index);
  note(family);
  if (family.absent()) {
    r.error(r.place(), "family", fmt::format("missing; accepted: {}", fmt::join(supported_families(), ", ")));
    own.valid = false;
  } else if (family.valid()) {
    chain.family = static_cast<Family>(index);
    if (!family_supported(chain.family)) {
      r.error(family.place, "family", unsupported(chain.family));
      own.valid = false;
    }
  }

  note(r.integer("chain_id", chain.chain_id, 1, std::numeric_limits<std::int64_t>::max()));
  const Given time = r.duration("block_time", chain.block_time, 1ms, 1h);
  note(time);
  if (time.absent()) {
    r.error(r.place(), "block_time", "missing; the nominal time between blocks, such as \"2s\"");
    own.valid = false;
  }
  if (!time.valid()) chain.block_time = 1s;
  chain.max_block_age = default_max_block_age(chain.block_time);
  note(r.duration_or_off("max_block_age", chain.max_block_age, 1s, kLongestLimit));
  chain.max_lag = default_max_lag(chain.max_block_age, chain.block_time);
  note(r.duration("max_lag", chain.max_lag, 1s, kLongestLimit));
  chain.fork_depth = default_fork_depth(chain.block_time);
  note(r.integer("fork_depth", chain.fork_depth, 1, 1000));

  if (!chain.name.empty() && find_own(chain.name) == nullptr) own_.push_back(std::move(own));
}

bool Chains::choose(Reader& r, Chain& out) const {
  const auto found = r.text("chain");
  if (!found) {
    if (!r.has("chain"))
      r.error(r.place(), "chain",
              "missing; a name that `rpc-weighter chains` lists, such as \"ethereum\", or that of a [[chain]]");
    return false;
  }
  if (const Own* own = find_own(found->value)) {
    out = own->chain;
    return own->valid;
  }
  if (const Chain* known = find_chain(found->value)) {
    out = *known;
    if (family_supported(known->family)) return true;
    std::string message = fmt::format("{}: {}", shown(found->value), unsupported(known->family));
    if (known->chain_id)
      message += fmt::format("; for its EVM endpoints define a [[chain]] with family = \"evm\" and chain_id = {}",
                             *known->chain_id);
    r.error(found->place, "chain", std::move(message));
    return false;
  }
  std::vector<std::string_view> names;
  for (const Own& own : own_)
    if (find_chain(own.chain.name) == nullptr) names.emplace_back(own.chain.name);
  for (const Chain& chain : known_chains()) names.emplace_back(chain.name);
  const auto near = nearest(found->value, names);
  r.error(found->place, "chain",
          fmt::format("{} is not known; {}`rpc-weighter chains` lists the names, and a [[chain]] defines one of your "
                      "own",
                      shown(found->value), near.empty() ? "" : did_you_mean(near) + " "));
  return false;
}

}  // namespace rpcw::config
