#include "integration/program_stage.hpp"

#include <doctest/doctest.h>
#include <fmt/format.h>
#include <rapidjson/pointer.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <fstream>
#include <numeric>
#include <sstream>

namespace rpcw::test {

Folder::Folder() {
  std::string pattern = (std::filesystem::temp_directory_path() / "rpcw-XXXXXX").string();
  if (mkdtemp(pattern.data()) == nullptr) throw std::system_error(errno, std::generic_category(), pattern);
  path_ = pattern;
}

Folder::~Folder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

std::string Folder::write(std::string_view name, std::string_view text) const {
  const std::string to = path(name);
  const std::string fresh = to + ".new";
  std::ofstream(fresh, std::ios::binary) << text;
  std::filesystem::permissions(fresh, std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
  std::filesystem::rename(fresh, to);
  return to;
}

// ---- secrets

std::string_view Secrets::found_in(std::string_view text) {
  // The last one is what Basic authentication makes of the first two.
  for (const std::string_view s :
       {kUser, kPassword, kPath, kQuery, kHeader, std::string_view{"VXNlcklzU2VjcmV0OlBhc3N3b3JkSXNTZWNyZXQ"}})
    if (text.find(s) != std::string_view::npos) return s;
  return {};
}

std::string Secrets::sentence() {
  return fmt::format("{1}: no such key {0} for {2}:{3} in /v2/{1}?key={0} with Bearer {4}", kQuery, kPath, kUser,
                     kPassword, kHeader);
}

// ---- the program

namespace {

Process::Setup with(std::vector<std::string> arguments, Process::Setup setup) {
  setup.arguments = std::move(arguments);
  setup.environment.insert(setup.environment.begin(), {"PATH=/usr/bin:/bin", "TZ=UTC"});
  return setup;
}

std::size_t occurrences(std::string_view text, std::string_view what) {
  std::size_t n = 0;
  for (std::size_t at = text.find(what); at != std::string_view::npos; at = text.find(what, at + what.size())) ++n;
  return n;
}

}  // namespace

std::string program_path() {
  const char* other = std::getenv("RPC_WEIGHTER");
  return other != nullptr ? other : RPC_WEIGHTER;
}

Program::Program(std::vector<std::string> arguments, Setup more)
    : Process(program_path(), with(std::move(arguments), std::move(more))) {}

Program::~Program() {
  CHECK(Secrets::found_in(out()) == "");
  CHECK(Secrets::found_in(err()) == "");
}

std::size_t Program::count(std::string_view text) const {
  return occurrences(err(), text);
}

bool Program::says(std::string_view text, std::size_t times, Clock::duration limit) const {
  const bool said = eventually([&] { return count(text) >= times; }, limit);
  if (!said) MESSAGE("not said: ", std::string(text), "\n", err());
  return said;
}

std::vector<std::string> Program::lines() const {
  std::vector<std::string> out;
  std::istringstream text(err());
  for (std::string line; std::getline(text, line);) out.push_back(line);
  return out;
}

std::optional<int> Program::stop(int number) {
  signal(number);
  return wait(3s);
}

Result run(std::vector<std::string> arguments, Process::Setup more) {
  const auto start = Clock::now();
  Program program(std::move(arguments), std::move(more));
  const std::optional<int> code = program.wait();
  CHECK_MESSAGE(code.has_value(), "it does not end");
  return {code.value_or(-1), program.out(), program.err(), Clock::now() - start};
}

rapidjson::Document json(std::string_view text) {
  rapidjson::Document out;
  out.Parse<rapidjson::kParseValidateEncodingFlag>(text.data(), text.size());
  REQUIRE_MESSAGE(!out.HasParseError(), std::string(text));
  return out;
}

const rapidjson::Value& at(const rapidjson::Value& document, std::string_view path) {
  const rapidjson::Value* found = rapidjson::Pointer(path.data(), path.size()).Get(document);
  REQUIRE_MESSAGE(found != nullptr, std::string(path));
  return *found;
}

std::string names(const rapidjson::Value& object) {
  std::string out;
  for (const auto& m : object.GetObject()) out += fmt::format("{}{}", out.empty() ? "" : " ", m.name.GetString());
  return out;
}

std::vector<std::vector<std::string>> csv(std::string_view text) {
  std::vector<std::vector<std::string>> lines(1, std::vector<std::string>(1));
  bool quoted = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    std::string& field = lines.back().back();
    if (quoted) {
      if (c != '"')
        field += c;
      else if (i + 1 < text.size() && text[i + 1] == '"')
        field += text[++i];
      else
        quoted = false;
    } else if (c == '"' && field.empty()) {
      quoted = true;
    } else if (c == ',') {
      lines.back().emplace_back();
    } else if (c == '\n') {
      lines.emplace_back(1);
    } else {
      field += c;
    }
  }
  CHECK_FALSE(quoted);
  if (lines.back() == std::vector<std::string>(1)) lines.pop_back();
  return lines;
}

// ---- HAProxy

std::string haproxy_cfg(std::string_view backends) {
  return fmt::format(R"(global
  stats socket @DIR@/admin.sock mode 600 level admin
  stats socket @DIR@/operator.sock mode 600 level operator
  hard-stop-after 1s
defaults
  mode http
  timeout connect 5s
  timeout client 5s
  timeout server 5s
{}
)",
                     backends);
}

std::string haproxy_cfg(const std::vector<sim::Provider*>& providers, const BackendCfg& cfg) {
  std::string out = cfg.defaults;
  if (cfg.frontend != 0)
    out += fmt::format("frontend clients\n  bind 127.0.0.1:{}\n  default_backend rpc\n", cfg.frontend);
  // Named, since the default is random from 3.3 on.
  out += fmt::format("backend rpc\n  balance {}\n", cfg.balance);
  for (const sim::Provider* p : providers) {
    const auto options = cfg.options.find(p->name());
    out += fmt::format("  server {} 127.0.0.1:{} {}\n", p->name(), p->port(),
                       options == cfg.options.end() ? std::string{} : options->second);
  }
  return haproxy_cfg(out + cfg.more);
}

std::pair<int, int> version_of(const HaproxyProcess& haproxy) {
  const std::string info = HaproxyProcess::check(haproxy.admin_socket(), "show info");
  std::pair<int, int> out;
  const std::size_t at = info.find("\nVersion: ");
  REQUIRE(at != std::string::npos);
  std::istringstream text(info.substr(at));
  std::string name;
  char dot = 0;
  text >> name >> out.first >> dot >> out.second;
  REQUIRE(text);
  return out;
}

Weights weights_of(const HaproxyProcess& haproxy, std::string_view backend) {
  // Version, header, then: be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight …
  Weights out;
  std::istringstream text(
      HaproxyProcess::check(haproxy.admin_socket(), fmt::format("show servers state {}", backend), 2s));
  for (std::string line; std::getline(text, line);) {
    std::istringstream fields(line);
    std::string name;
    std::string skip;
    unsigned weight = 0;
    if (line.starts_with('#')) continue;
    if (fields >> skip >> skip >> skip >> name >> skip >> skip >> skip >> weight) out[name] = weight;
  }
  return out;
}

unsigned sum(const Weights& weights) {
  return std::accumulate(weights.begin(), weights.end(), 0U, [](unsigned s, const auto& w) { return s + w.second; });
}

// ---- the stage

namespace {

std::vector<sim::Provider*> add_providers(sim::World& world, std::size_t n) {
  std::vector<sim::Provider*> out;
  for (std::size_t i = 0; i < n; ++i)
    out.push_back(&world.add(i < 26 ? std::string(1, static_cast<char>('a' + i)) : fmt::format("p{}", i)));
  return out;
}

BackendCfg same_options(const std::vector<sim::Provider*>& providers, std::string_view options) {
  BackendCfg out;
  for (const sim::Provider* p : providers) out.options[p->name()] = options;
  return out;
}

}  // namespace

Stage::Stage(std::size_t count, std::string_view server_options, bool master)
    : providers(add_providers(world, count)),
      haproxy(haproxy_cfg(providers, same_options(providers, server_options)), {.master = master}) {}

std::string Stage::server(const sim::Provider& provider, std::string_view more) {
  return fmt::format(R"(
  [[backend.server]]
  name = "{}"
  url = "http://{}:{}@127.0.0.1:{}/v2/{}?key={}"
  headers = {{ Authorization-Key = "Bearer {}" }}
  {}
)",
                     provider.name(), Secrets::kUser, Secrets::kPassword, provider.port(), Secrets::kPath,
                     Secrets::kQuery, Secrets::kHeader, more);
}

std::string Stage::tables(std::string_view endpoints, const Keys& keys) {
  return fmt::format(R"({}
[haproxy]
endpoints = [{}]
timeout = "{}"
watch_interval = "{}"{}
[probe]
interval = "{}"
fast_interval = "{}"
{}
[http]
listen = {}
{}
[log]
{}
[[chain]]
name = "simchain"
family = "evm"
chain_id = 1
block_time = "1s"
max_block_age = "60s"
max_lag = "30s"
)",
                     keys.top, endpoints, keys.haproxy_timeout, keys.watch_interval,
                     keys.haproxy.empty() ? "" : "\n" + keys.haproxy, keys.interval, keys.fast_interval, keys.probe,
                     keys.listen, keys.http, keys.log);
}

std::string Stage::toml(const Keys& keys) const {
  std::string out =
      tables(keys.endpoints.empty() ? fmt::format("\"unix:{}\"", haproxy.admin_socket()) : keys.endpoints, keys);
  out += fmt::format("[[backend]]\nname = \"rpc\"\nchain = \"simchain\"\n{}\n", keys.backend);
  out += fmt::format("eject_time = \"{}\"\nramp = \"0s\"\n", keys.eject_time);
  for (const sim::Provider* p : providers) out += server(*p);
  return out;
}

bool Stage::reaches(const Weights& wanted, Clock::duration limit) const {
  Weights last;
  const bool reached = eventually([&] { return (last = weights()) == wanted; }, limit);
  if (!reached)
    for (const auto& [name, weight] : last) MESSAGE(name, " has ", weight);
  return reached;
}

void Stage::break_provider(std::size_t i, sim::Fault fault) const {
  sim::Behaviour b;
  b.fault = fault;
  b.http_body =
      fmt::format(R"({{"jsonrpc":"2.0","id":1,"error":{{"code":-32000,"message":"{}"}}}})", Secrets::sentence());
  b.rpc_error_message = Secrets::sentence();
  b.redirect_to = fmt::format("http://{}:{}@127.0.0.1:1/{}", Secrets::kUser, Secrets::kPassword, Secrets::kPath);
  providers[i]->set(b);
}

bool Stage::goes_on(std::uint64_t requests) const {
  std::vector<std::uint64_t> before;
  for (const sim::Provider* p : providers) before.push_back(p->stats().requests);
  return eventually([&] {
    for (std::size_t i = 0; i < before.size(); ++i)
      if (providers[i]->stats().requests < before[i] + requests) return false;
    return true;
  });
}

std::uint64_t Stage::contacts() const {
  std::uint64_t n = 0;
  for (const sim::Provider* p : providers) n += p->stats().requests + p->stats().accepted;
  return n;
}

}  // namespace rpcw::test
