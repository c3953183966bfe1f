#include "cli/ask_agent.hpp"

#include <curl/curl.h>
#include <fmt/format.h>

#include <memory>
#include <new>

#include "base/text.hpp"
#include "cli/load.hpp"
#include "config/tls_files.hpp"
#include "config/url.hpp"

namespace rpcw::cli {
namespace {

/// A report of ten thousand servers has about 10 MB.
constexpr std::size_t kMostBytes = std::size_t{64} << 20U;

std::size_t take(char* data, std::size_t size, std::size_t count, void* body) {
  auto& out = *static_cast<std::string*>(body);
  if (out.size() + size * count > kMostBytes) return 0;
  out.append(data, size * count);
  return size * count;
}

}  // namespace

AgentAddress agent_address(const config::Listen& at) {
  if (at.port == 0) return {"http://localhost", at.address};
  if (at.address == "0.0.0.0") return {fmt::format("http://127.0.0.1:{}", at.port)};
  if (at.address == "::") return {fmt::format("http://[::1]:{}", at.port)};
  return {fmt::format("http://{}:{}", url_host(at.address), at.port)};
}

std::string AgentAddress::shown() const {
  if (!socket.empty()) return "unix:" + socket;
  const auto parts = url::parse(url);
  if (!parts) return url::redact(url);
  return fmt::format("{}://{}:{}", parts->scheme, url_host(url::shown_host(parts->host)), parts->port);
}

std::expected<AgentAddress, std::string> agent_address(const AgentOptions& options) {
  if (!options.url.empty()) {
    if (options.url.starts_with("unix:")) return AgentAddress{"http://localhost", options.url.substr(5)};
    const auto parts = url::parse(options.url);
    if (!parts) return std::unexpected(fmt::format("--url: {}", parts.error()));
    std::string url = options.url;
    while (url.ends_with('/')) url.pop_back();
    return AgentAddress{url};
  }
  if (options.config_file.empty()) return agent_address(config::Http{}.listen.front());
  Options file;
  file.config_file = options.config_file;
  const Reading reading = read_config(file, Needs::kRules);
  if (!reading.config) return std::unexpected(fmt::format("{}", fmt::join(reading.errors, "\n")));
  if (reading.config->http.listen.empty())
    return std::unexpected(fmt::format("{}: http.listen is \"\": nothing is served", options.config_file));
  return agent_address(reading.config->http.listen.front());
}

std::expected<AgentReply, std::string> ask_agent(const AgentAddress& agent, std::string_view path,
                                                 std::chrono::milliseconds most) {
  const std::unique_ptr<CURL, void (*)(CURL*)> curl(curl_easy_init(), curl_easy_cleanup);
  if (curl == nullptr) throw std::bad_alloc();
  AgentReply out;
  const std::string url = agent.url + std::string(path);
  curl_easy_setopt(curl.get(), CURLOPT_URL, url.c_str());
  if (!agent.socket.empty()) curl_easy_setopt(curl.get(), CURLOPT_UNIX_SOCKET_PATH, agent.socket.c_str());
  // The agent is a neighbour, so a proxy of the environment does not lead to it.
  curl_easy_setopt(curl.get(), CURLOPT_NOPROXY, "*");
  curl_easy_setopt(curl.get(), CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(curl.get(), CURLOPT_NOSIGNAL, 1L);
  const curl_version_info_data* built = curl_version_info(CURLVERSION_NOW);
  const std::string ca = config::authorities_besides({built->cainfo != nullptr ? built->cainfo : built->capath});
  if (!ca.empty()) curl_easy_setopt(curl.get(), CURLOPT_CAINFO, ca.c_str());
  curl_easy_setopt(curl.get(), CURLOPT_TIMEOUT_MS, static_cast<long>(most.count()));
  curl_easy_setopt(curl.get(), CURLOPT_ACCEPT_ENCODING, "");
  curl_easy_setopt(curl.get(), CURLOPT_WRITEFUNCTION, &take);
  curl_easy_setopt(curl.get(), CURLOPT_WRITEDATA, static_cast<void*>(&out.body));
  const CURLcode code = curl_easy_perform(curl.get());
  if (code != CURLE_OK) return std::unexpected(fmt::format("{}: {}", agent.shown(), curl_easy_strerror(code)));
  curl_easy_getinfo(curl.get(), CURLINFO_RESPONSE_CODE, &out.status);
  return out;
}

std::string no_report(const AgentAddress& agent, const AgentReply& reply) {
  if (reply.status == 200)
    return fmt::format("{}: this is no rpc-weighter: it answers /api/v1/status, but not with a report", agent.shown());
  return fmt::format("{}: HTTP {}{}", agent.shown(), reply.status,
                     reply.status == 404 ? " for /api/v1/status: is this rpc-weighter?" : "");
}

}  // namespace rpcw::cli
