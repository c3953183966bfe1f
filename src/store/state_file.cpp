#include "store/state_file.hpp"

#include <fmt/format.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <algorithm>
#include <array>
#include <iterator>
#include <random>
#include <utility>

#include "base/text.hpp"
#include "store/file.hpp"
#include "store/state_codec.hpp"
#include "weighter/judge/judge.hpp"

namespace rpcw::store {
namespace {

std::string new_salt() {
  std::random_device random;
  std::string out;
  for (int i = 0; i < 4; ++i) out += fmt::format("{:08x}", random());
  return out;
}

Keyer keyer(const std::string& salt) {
  return [&salt](std::string_view name, std::string_view secret) {
    return fmt::format("{}{}{}", name, name.empty() ? "" : " ", fingerprint(salt, secret));
  };
}

}  // namespace

std::string fingerprint(std::string_view salt, std::string_view text) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned size = 0;
  if (HMAC(EVP_sha256(), salt.data(), static_cast<int>(salt.size()),
           reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest.data(), &size) == nullptr)
    return {};
  return fmt::format("{:02x}{:02x}", digest[0], digest[1]);
}

StateFile::StateFile(std::string path) : path_(std::move(path)), salt_(new_salt()) {}

std::optional<std::string> StateFile::load(SystemState& state, Now now) {
  const auto ignored = [this](std::string_view why, std::string_view then) {
    return fmt::format("state file {}: {}; {}", path_, why, then);
  };
  constexpr std::string_view kAnew = "it is not used, every server's history starts anew";
  auto text = read_file(path_, kMostStateBytes);
  if (!text) return ignored(text.error(), kAnew);
  if (!*text) return std::nullopt;
  // A path of --state that was meant for another option must not cost that file.
  const std::string_view begin = std::string_view(**text).substr(0, kStateBegin.size());
  foreign_ = !kStateBegin.starts_with(begin);
  if (foreign_) return ignored("is no state file of rpc-weighter", "it is left alone, and nothing is kept");
  auto stored = decode(**text, now);
  if (!stored) return ignored(stored.error(), fmt::format("{}, and the file is replaced", kAnew));
  salt_ = stored->salt;
  const milliseconds age = now.wall - stored->saved;
  if (age > kOldestState)
    return ignored(fmt::format("was saved {} ago, at most {} is of use", span_text(age), span_text(kOldestState)),
                   kAnew);
  for (BackendSnapshot& b : stored->backends) stored->left_out.push_back({stored->saved, std::move(b)});
  const auto here = state.backend_names();
  std::vector<BackendSnapshot> known;
  std::vector<LeftOut> others;
  for (LeftOut& b : stored->left_out) {
    // From the future, as after the clock was set back: it must not stay until then.
    b.saved = std::min(b.saved, now.wall);
    const milliseconds slept = now.wall - b.saved;
    if (slept > kOldestState) continue;
    if (std::ranges::find(here, b.backend.name) == here.end()) {
      others.push_back(std::move(b));
      continue;
    }
    const bool clock_behind = b.backend.history.clock.behind;
    for (std::vector<TargetHistory>* targets : {&b.backend.history.servers, &b.backend.history.references})
      for (TargetHistory& t : *targets) t = awoken(std::move(t), slept, now, clock_behind);
    known.push_back(std::move(b.backend));
  }
  left_out_ = std::make_shared<const std::vector<LeftOut>>(std::move(others));
  state.adopt(std::move(known), keyer(salt_));
  if (-age > kClockSlack)
    return ignored(fmt::format("was saved {} in the future, so this machine's clock was or is wrong", span_text(-age)),
                   "it is used as if saved just now");
  return std::nullopt;
}

std::string StateFile::text(const SystemState& state, Now now) const {
  const std::vector<BackendSnapshot> backends = state.snapshot(keyer(salt_));
  std::vector<LeftOut> others;
  if (left_out_)
    std::ranges::copy_if(*left_out_, std::back_inserter(others), [&](const LeftOut& b) {
      return now.wall - b.saved <= kOldestState &&
             std::ranges::find(backends, b.backend.name, &BackendSnapshot::name) == backends.end();
    });
  std::string out = encode(salt_, backends, now, others);
  // What this process knows comes first.
  return out.size() <= kMostStateBytes || others.empty() ? out : encode(salt_, backends, now);
}

std::expected<void, std::string> StateFile::write(const std::string& text) const {
  const auto failed = [this](std::string_view why) {
    return std::unexpected(fmt::format("state file {}: {}", path_, why));
  };
  if (foreign_) return failed("is no state file of rpc-weighter, and is left alone");
  if (text.size() > kMostStateBytes) return failed(fmt::format("would be longer than {} bytes", kMostStateBytes));
  if (auto done = replace_file(path_, text); !done) return failed(done.error());
  return {};
}

}  // namespace rpcw::store
