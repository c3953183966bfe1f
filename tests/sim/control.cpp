#include <fmt/format.h>
#include <rapidjson/document.h>
#include <rapidjson/error/en.h>
#include <rapidjson/stringbuffer.h>
#include <rapidjson/writer.h>

#include <optional>
#include <stdexcept>

#include "sim/world.hpp"

namespace sim::detail {
namespace {

struct Reply {
  unsigned status = 200;
  std::string body;
};

std::string json_string(std::string_view text) {
  rapidjson::StringBuffer out;
  rapidjson::Writer writer(out);
  writer.String(text.data(), static_cast<rapidjson::SizeType>(text.size()));
  return {out.GetString(), out.GetSize()};
}

Reply error(unsigned status, std::string_view message) {
  return {status, fmt::format(R"({{"error":{}}})", json_string(message))};
}

std::string to_json(const Stats& stats) {
  std::string methods;
  for (const auto& [method, count] : stats.by_method) {
    methods += fmt::format("{}{}:{}", methods.empty() ? "" : ",", json_string(method), count);
  }
  return fmt::format(
      R"({{"requests":{},"good":{},"faulty":{},"limited":{},"accepted":{},"open":{},"by_method":{{{}}}}})",
      stats.requests, stats.good, stats.faulty, stats.limited, stats.accepted, stats.open, methods);
}

std::string to_json(const Provider& provider) {
  return fmt::format(R"({{"port":{},"url":"{}","behaviour":{},"stats":{}}})", provider.port(), provider.url(),
                     sim::to_json(provider.behaviour()), to_json(provider.stats()));
}

std::string to_json(const Chain& chain) {
  return fmt::format(R"({{"chain_id":{},"head":{},"block_time_ms":{},"halted":{}}})", chain.id(), chain.head(),
                     chain.block_time().count(), chain.halted());
}

class Control final : public Server {
 public:
  Control(asio::io_context& io, std::uint16_t port, WorldState& world) : Server(io, port, nullptr), world_(world) {}

 protected:
  Answer answer(const Request& request) override {
    const Reply reply = route(request);
    Answer out;
    out.bytes = http_answer(reply.status, "application/json", "", reply.body + '\n', request.keep_alive);
    if (!request.keep_alive) out.ending = Answer::Ending::close;
    return out;
  }

 private:
  Reply route(const Request& request) {
    const bool get = request.method == "GET";
    if (!get && request.method != "POST") return error(405, "GET and POST only");
    constexpr std::string_view kProvider = "/providers/";
    if (request.target.starts_with(kProvider)) {
      Provider* const provider = world_.find(request.target.substr(kProvider.size()));
      if (provider == nullptr) return error(404, "no such provider");
      if (get) return {.body = to_json(*provider)};
      return change({provider}, request.body);
    }
    if (request.target == "/providers") {
      if (!get) return change(world_.all(), request.body);
      std::string list;
      for (const Provider* const provider : world_.all()) {
        list += fmt::format(R"({}"{}":{})", list.empty() ? "" : ",", provider->name(), to_json(*provider));
      }
      return {.body = '{' + list + '}'};
    }
    if (request.target == "/chain") return get ? Reply{.body = to_json(*world_.chain)} : change_chain(request.body);
    if (request.target == "/reset" && !get) {
      world_.reset();
      return {.body = "{}"};
    }
    return error(404, "no such path; there are /providers, /providers/NAME, /chain and POST /reset");
  }

  Reply change(const std::vector<Provider*>& providers, std::string_view json) {
    // A value may be good or bad whatever it is merged into, so the first provider's verdict holds for all.
    for (Provider* const provider : providers) {
      auto merged = merge(provider->behaviour(), json);
      if (!merged) return error(400, merged.error());
      provider->set(*std::move(merged));
    }
    return {.body = providers.size() == 1 ? to_json(*providers.front()) : "{}"};
  }

  Reply change_chain(std::string_view json) {
    rapidjson::Document document;
    document.Parse<rapidjson::kParseIterativeFlag>(json.data(), json.size());
    if (document.HasParseError()) {
      return error(400, fmt::format("not JSON: {}", rapidjson::GetParseError_En(document.GetParseError())));
    }
    if (!document.IsObject()) return error(400, "a JSON object is expected");
    std::optional<bool> halted;
    std::optional<milliseconds> block_time;
    for (const auto& member : document.GetObject()) {
      const std::string_view key(member.name.GetString(), member.name.GetStringLength());
      if (key == "halted") {
        if (!member.value.IsBool()) return error(400, "halted must be true or false");
        halted = member.value.GetBool();
      } else if (key == "block_time_ms") {
        if (!member.value.IsUint() || member.value.GetUint() == 0 || member.value.GetUint() > 86'400'000) {
          return error(400, "block_time_ms must be between 1 and a day");
        }
        block_time = milliseconds(member.value.GetUint());
      } else {
        return error(400, fmt::format("unknown key \"{}\"", key));
      }
    }
    if (block_time) world_.chain->set_block_time(*block_time);
    if (halted) world_.chain->halt(*halted);
    return {.body = to_json(*world_.chain)};
  }

  /// Outlives this: it stops the server before it goes.
  WorldState& world_;
};

}  // namespace

std::shared_ptr<Server> make_control(asio::io_context& io, std::uint16_t port, WorldState& world) {
  return std::make_shared<Control>(io, port, world);
}

}  // namespace sim::detail
