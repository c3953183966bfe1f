#include "config/chains.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

#include "config/nearest.hpp"
#include "config/quantity.hpp"

namespace rpcw::config {
namespace {

using namespace std::chrono_literals;

constexpr milliseconds kLongestLimit = 24h;

/// Of a [[family]], or of a chain whose family is not known.
constexpr IdRule kAnyId{.takes_integer = true, .one_word = false};

const IdRule& id_rule_of(std::string_view family) {
  const KnownFamily* known = find_family(family);
  return known != nullptr ? known->id : kAnyId;
}

/// `chain_id`: a number, or a text; as the family's answers are compared. `family`: empty where it is not known.
Given read_identity(Reader& r, std::string_view family, IdForm form, std::string& out) {
  const Node* node = r.any("chain_id");
  if (node == nullptr) return {.place = r.place()};
  const IdRule& rule = id_rule_of(family);
  const std::string_view expected = rule.expected.empty() ? identity_text(form) : rule.expected;
  const auto refuse = [&](std::string message) {
    r.error(node->place, "chain_id", std::move(message));
    return Given{.state = Given::State::kInvalid, .place = node->place};
  };
  const bool text = node->kind == Node::Kind::kString;
  if (!text && (form == IdForm::kNumber || (rule.takes_integer && node->kind == Node::Kind::kInteger))) {
    std::uint64_t id = 0;
    const Given given = r.integer("chain_id", id, 1, rule.largest);
    if (given.valid()) out = fmt::format("{}", id);
    return given;
  }
  if (!text) return refuse(fmt::format("found {}; expected {} in quotation marks", kind_name(node->kind), expected));
  const bool printable = !node->text.empty() && std::ranges::all_of(node->text, [](char c) {
    return static_cast<unsigned char>(c) >= 0x20 && static_cast<unsigned char>(c) != 0x7f;
  });
  std::string id = printable ? canonical_identity(form, node->text) : std::string{};
  std::uint64_t number = 0;
  if (form == IdForm::kNumber) std::from_chars(id.data(), id.data() + id.size(), number);
  if (id.empty() || number > rule.largest || (rule.possible != nullptr && !rule.possible(id)))
    return refuse(fmt::format("{} is no id of a network{}; expected {}", shown(node->text),
                              family.empty() ? "" : fmt::format(" of the family {}", family), expected));
  if (rule.one_word && id.find(' ') != std::string::npos)
    r.warning(node->place, "chain_id",
              fmt::format("{} has a space, which no public network of the family {} has in its id; expected {}",
                          shown(node->text), family, expected));
  out = std::move(id);
  return {.state = Given::State::kValid, .place = node->place};
}

}  // namespace

void warn_of_idle_lag(Reader& r, const Chain& chain, const Given& age, const Given& lag) {
  // Without times in its heads an age is only how long the head stands still.
  if (!chain.max_block_age || !chain.offers.time || chain.max_lag < *chain.max_block_age) return;
  const std::string lag_text = duration_text(chain.max_lag);
  const std::string age_text = duration_text(*chain.max_block_age);
  if (lag.valid())
    r.warning(lag.place, "max_lag",
              fmt::format("{} is never reached: blocks that far behind are older than max_block_age, {}, and too old",
                          lag_text, age_text));
  else if (age.valid())
    r.warning(age.place, "max_block_age",
              fmt::format("{} is not longer than max_lag, {}, which is never reached then: blocks that far behind are "
                          "too old",
                          age_text, lag_text));
}

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
  const std::vector<std::string_view> families = families_.names();
  const Given family = r.one_of("family", families, index);
  note(family);
  if (family.absent()) {
    r.error(r.place(), "family", fmt::format("missing; accepted: {}", fmt::join(families, ", ")));
    own.valid = false;
  } else if (family.valid()) {
    chain.family = families[index];
    chain.own_family = families_.find(chain.family);
    const KnownFamily* known = find_family(chain.family);
    chain.offers = known != nullptr ? known->offers : chain.own_family->offers();
  }

  note(read_identity(r, family.valid() ? chain.family : "", chain.offers.id_form, chain.identity));
  const Given time = r.duration("block_time", chain.block_time, 1ms, 1h);
  note(time);
  if (time.absent()) {
    r.error(r.place(), "block_time", "missing; the nominal time between blocks, such as \"2s\"");
    own.valid = false;
  }
  if (!time.valid()) chain.block_time = 1s;
  chain.max_block_age = default_max_block_age(chain.block_time);
  const Given age = r.duration_or_off("max_block_age", chain.max_block_age, 1s, kLongestLimit);
  note(age);
  chain.max_lag = default_max_lag(chain.max_block_age, chain.block_time);
  const Given lag = r.duration("max_lag", chain.max_lag, 1s, kLongestLimit);
  note(lag);
  warn_of_idle_lag(r, chain, age, lag);
  chain.fork_depth = default_fork_depth(chain.block_time);
  note(r.integer("fork_depth", chain.fork_depth, 1, 1000));
  // 2100: no chain begins later.
  std::uint64_t genesis = 0;
  const Given slot_zero = r.integer("genesis_time", genesis, 1, 4'102'444'800);
  note(slot_zero);
  if (slot_zero.valid()) chain.genesis = WallTime{std::chrono::seconds{genesis}};

  if (!chain.name.empty() && find_own(chain.name) == nullptr) own_.push_back(std::move(own));
}

namespace {

/// What people call a chain, where the nearest name would be another one's or none.
std::string_view known_as(std::string_view name) {
  constexpr std::array<std::pair<std::string_view, std::string_view>, 10> kNames{{
      {"mainnet", "ethereum"},
      {"eth", "ethereum"},
      {"eth-mainnet", "ethereum"},
      {"bsc", "bnb-smart-chain"},
      {"bnb", "bnb-smart-chain"},
      {"avax", "avalanche-c-chain"},
      {"arb", "arbitrum-one"},
      {"arbitrum", "arbitrum-one"},
      {"matic", "polygon-pos"},
      {"btc", "bitcoin"},
  }};
  const auto at = std::ranges::find(kNames, name, [](const auto& pair) { return pair.first; });
  return at != kNames.end() ? at->second : std::string_view{};
}

}  // namespace

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
    return true;
  }
  std::vector<std::string_view> names;
  for (const Own& own : own_)
    if (find_chain(own.chain.name) == nullptr) names.emplace_back(own.chain.name);
  for (const Chain& chain : known_chains()) names.emplace_back(chain.name);
  auto near = nearest(found->value, names);
  if (const std::string_view name = known_as(found->value); !name.empty()) near = {name};
  r.error(found->place, "chain",
          fmt::format("{} is not known; {}`rpc-weighter chains` lists the names, and a [[chain]] defines one of your "
                      "own",
                      shown(found->value), near.empty() ? "" : did_you_mean(near) + " "));
  return false;
}

}  // namespace rpcw::config
