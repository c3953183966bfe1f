#include "config/family.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>
#include <system_error>

#include "base/hex.hpp"

namespace rpcw {
namespace {

// A test compares these with the requests of rpc/family.
constexpr std::array<KnownFamily, 16> kFamilies{{
    {"evm", {.id_form = IdForm::kNumber}},
    {"solana", {.hash = false, .peers = false}},
    {"algorand", {.hash = false, .peers = false}},
    {"aptos", {.hash = false, .syncing = false, .peers = false, .id_form = IdForm::kNumber}},
    {"sui", {.syncing = false, .peers = false}},
    {"hedera", {.syncing = false, .peers = false, .id_form = IdForm::kHex}},
    {"near", {}},
    {"cometbft", {}},
    {"substrate", {.hash = false, .id_form = IdForm::kHash, .head_requests = 2}},
    {"stellar-rpc", {.hash = false, .syncing = false, .peers = false}},
    {"horizon", {.hash = false, .peers = false}},
    {"xrpl", {.id_form = IdForm::kNumber}},
    {"starknet", {.peers = false, .id_form = IdForm::kFelt}},
    {"bitcoin", {.id_form = IdForm::kHex}},
    {"tron", {.syncing = false, .id_form = IdForm::kHex}},
    {"beacon", {.id_form = IdForm::kHash}},
}};

/// Decimal, or hexadecimal after 0x, as EVM nodes tell it; empty: no number, or too large.
std::string number_text(std::string_view written) {
  const std::string_view digits = without_0x(written);
  std::int64_t number = 0;
  const auto [end, error] =
      std::from_chars(digits.data(), digits.data() + digits.size(), number, digits.size() == written.size() ? 10 : 16);
  if (error != std::errc{} || end != digits.data() + digits.size() || number < 1) return {};
  return fmt::format("{}", number);
}

}  // namespace

std::string canonical_identity(IdForm form, std::string_view written) {
  switch (form) {
    case IdForm::kText:
      break;
    case IdForm::kNumber:
      return number_text(written);
    case IdForm::kHex:
      return hex_text(written);
    case IdForm::kHash:
      return hash_text(written);
    case IdForm::kFelt:
      return felt_text(written);
  }
  return std::string(written);
}

std::string_view identity_text(IdForm form) {
  switch (form) {
    case IdForm::kText:
      break;
    case IdForm::kNumber:
      return "a number from 1 to 9223372036854775807, such as 1 or 0x1";
    case IdForm::kHex:
      return "hexadecimal digits: the hash of the network's first block";
    case IdForm::kHash:
      return "0x and 64 hexadecimal digits";
    case IdForm::kFelt:
      return "a hexadecimal number, such as \"0x534e5f4d41494e\"";
  }
  return "a network's name, such as \"noble-1\"";
}

std::span<const KnownFamily> known_families() {
  return kFamilies;
}

const KnownFamily* find_family(std::string_view name) {
  const auto at = std::ranges::find(kFamilies, name, &KnownFamily::name);
  return at == kFamilies.end() ? nullptr : &*at;
}

}  // namespace rpcw
