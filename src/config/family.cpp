#include "config/family.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>
#include <system_error>
#include <vector>

#include "base/hex.hpp"

namespace rpcw {
namespace {

/// Whether base58 text stands for 32 bytes.
bool is_base58_hash(std::string_view text) {
  constexpr std::string_view kDigits = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
  constexpr std::size_t kLongest = 44;
  if (text.size() > kLongest) return false;
  // Each leading 1 is a zero byte; the others are the digits of a number.
  const std::size_t zeros = std::min(text.find_first_not_of('1'), text.size());
  std::vector<unsigned> bytes;
  for (const char c : text) {
    std::size_t carry = kDigits.find(c);
    if (carry == std::string_view::npos) return false;
    for (unsigned& byte : bytes) {
      carry += std::size_t{58} * byte;
      byte = carry & 0xFFU;
      carry >>= 8U;
    }
    if (carry > 0) bytes.push_back(static_cast<unsigned>(carry));
  }
  return zeros + bytes.size() == 32;
}

bool is_digest(std::string_view text) {
  constexpr std::size_t kFirstBytes = 8;
  return is_base58_hash(text) || (text.size() == kFirstBytes && is_hex(text));
}

template <std::size_t digits>
bool has_hex_digits(std::string_view text) {
  return without_0x(text).size() == digits && is_hex(without_0x(text));
}

bool is_felt(std::string_view text) {
  // Below 2^251 + 17 * 2^192 + 1.
  constexpr std::size_t kMostDigits = 63;
  const std::string felt = felt_text(text);
  return !felt.empty() && felt.size() - 2 <= kMostDigits;
}

/// `network-id`, a dash and a version.
bool is_genesis_id(std::string_view text) {
  return text.find('-') != std::string_view::npos;
}

bool is_cometbft_id(std::string_view text) {
  constexpr std::size_t kLongest = 50;  // MaxChainIDLen of cometbft/types/genesis.go
  return text.size() <= kLongest;
}

// A test compares these with the requests of rpc/family.
constexpr std::array<KnownFamily, 16> kFamilies{{
    {"evm", {.id_form = IdForm::kNumber}},
    {"solana",
     {.hash = false, .peers = false},
     {.expected = "the hash of the first block in base58, such as \"5eykt4UsFv8P8NJdTREpY1vzqKqZKvdpKuc147dw2N9d\"",
      .possible = is_base58_hash}},
    {"algorand",
     {.hash = false, .peers = false},
     {.expected = "the genesis id, such as \"mainnet-v1.0\"", .possible = is_genesis_id}},
    {"aptos",
     {.hash = false, .syncing = false, .peers = false, .id_form = IdForm::kNumber},
     {.expected = "a number from 1 to 255, such as 1", .largest = 255}},
    {"sui",
     {.syncing = false, .peers = false},
     {.expected = "the digest of the first checkpoint in base58, such as "
                  "\"4btiuiMPvEENsttpZC7CZ53DruC3MAgfznDbASZ7DR6S\", or its first eight hexadecimal digits",
      .possible = is_digest}},
    {"hedera",
     {.syncing = false, .peers = false, .id_form = IdForm::kHex},
     {.expected = "the 96 hexadecimal digits of the hash of block 0, such as \"0x420fffe6…\"",
      .possible = has_hex_digits<96>}},
    {"near", {}, {.expected = "the network's name, such as \"mainnet\"", .takes_integer = true}},
    {"cometbft",
     {},
     {.expected = "the network's name of at most 50 characters, such as \"cosmoshub-4\"",
      .possible = is_cometbft_id,
      .takes_integer = true}},
    {"substrate", {.hash = false, .id_form = IdForm::kHash, .head_requests = 2}},
    {"stellar-rpc",
     {.hash = false, .syncing = false, .peers = false},
     {.expected = "the network's passphrase, such as \"Public Global Stellar Network ; September 2015\"",
      .takes_integer = true,
      .one_word = false}},
    {"horizon",
     {.hash = false, .peers = false},
     {.expected = "the network's passphrase, such as \"Public Global Stellar Network ; September 2015\"",
      .takes_integer = true,
      .one_word = false}},
    {"xrpl",
     {.id_form = IdForm::kNumber},
     {.expected = "a number from 1 to 4294967295, such as 21337", .largest = 4'294'967'295}},
    {"starknet", {.peers = false, .id_form = IdForm::kFelt}, {.possible = is_felt}},
    {"bitcoin",
     {.id_form = IdForm::kHex},
     {.expected = "the 64 hexadecimal digits of the hash of block 0, such as \"00000000…ce26f\"",
      .possible = has_hex_digits<64>}},
    {"tron",
     {.syncing = false, .id_form = IdForm::kHex},
     {.expected = "the 64 hexadecimal digits of the hash of block 0, such as \"00000000…53dc\"",
      .possible = has_hex_digits<64>}},
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
