// run: /metrics against the report, through faults and reloads.
#include <doctest/doctest.h>
#include <fmt/format.h>
#include <zlib.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <map>
#include <set>
#include <sstream>

#include "integration/http_get.hpp"
#include "integration/program_stage.hpp"

using namespace rpcw::test;

namespace {

const Weights kAll{{"a", 86}, {"b", 85}, {"c", 85}};
const Weights kWithoutB{{"a", 128}, {"b", 0}, {"c", 128}};

std::string listen_on(std::uint16_t port) {
  return fmt::format("\"127.0.0.1:{}\"", port);
}

/// Series with their labels as they are written, and their values.
using Samples = std::map<std::string, double>;

Samples samples_of(const std::string& text) {
  Samples out;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    if (line.empty() || line.starts_with('#')) continue;
    const std::size_t space = line.rfind(' ');
    CHECK_MESSAGE(out.emplace(line.substr(0, space), std::stod(line.substr(space + 1))).second, line);
  }
  return out;
}

Samples scrape(std::uint16_t port) {
  const HttpReply reply = http_get(port, "/metrics");
  CHECK(reply.status == 200);
  CHECK(Secrets::found_in(reply.body) == "");
  return samples_of(reply.body);
}

double value(const Samples& samples, const std::string& series) {
  const auto at = samples.find("rpc_weighter_" + series);
  CHECK_MESSAGE(at != samples.end(), series);
  return at == samples.end() ? -1 : at->second;
}

double of(const Samples& samples, std::string_view name, std::string_view server, std::string_view more = "") {
  return value(samples, fmt::format("{}{{backend=\"rpc\",server=\"{}\"{}}}", name, server, more));
}

bool has(const Samples& samples, std::string_view server) {
  return std::ranges::any_of(samples, [&](const auto& entry) {
    return entry.first.find(fmt::format("server=\"{}\"", server)) != std::string::npos;
  });
}

std::string inflated(std::string_view packed) {
  z_stream z{};
  REQUIRE(inflateInit2(&z, MAX_WBITS + 16) == Z_OK);
  std::string in(packed);
  z.next_in = reinterpret_cast<Bytef*>(in.data());
  z.avail_in = static_cast<uInt>(in.size());
  std::string out;
  std::array<char, 65536> piece{};
  int result = Z_OK;
  while (result == Z_OK) {
    z.next_out = reinterpret_cast<Bytef*>(piece.data());
    z.avail_out = static_cast<uInt>(piece.size());
    result = inflate(&z, Z_NO_FLUSH);
    out.append(piece.data(), piece.size() - z.avail_out);
  }
  inflateEnd(&z);
  CHECK(result == Z_STREAM_END);
  return out;
}

}  // namespace

TEST_CASE("metrics: what the report says, before and after a fault") {
  const Stage stage;
  const std::uint16_t port = free_port();
  Program program({"run", "--config",
                   stage.config({.probe = "timeout = \"5s\"\nbudget = \"86400000/day\"", .listen = listen_on(port)})});
  REQUIRE(eventually([&] { return http_get(port, "/readyz").status == 200; }));
  const Samples before = scrape(port);
  CHECK(value(before, "backend_servers{backend=\"rpc\",state=\"healthy\"}") == 3);
  CHECK(of(before, "server_weight", "a") == 86);
  CHECK(of(before, "server_probe_interval_seconds", "a") == 0.2);
  CHECK(of(before, "server_probe_budget_requests_per_second", "a") == 1000);
  CHECK(of(before, "server_share_ratio", "a") == doctest::Approx(86.0 / 256));
  CHECK(of(before, "server_state", "b", ",state=\"healthy\"") == 1);
  CHECK(of(before, "server_state", "b", ",state=\"ejected\"") == 0);
  CHECK(value(before, "backend_fallback{backend=\"rpc\"}") == 0);
  CHECK(value(before, "backend_head_agreed_by{backend=\"rpc\"}") == 3);
  const std::string endpoint = fmt::format("endpoint=\"unix:{}\"", stage.haproxy.admin_socket());
  CHECK(value(before, fmt::format("haproxy_up{{{}}}", endpoint)) == 1);
  CHECK(value(before, fmt::format("haproxy_commands_total{{{},result=\"confirmed\"}}", endpoint)) == 3);
  CHECK(value(before, fmt::format("haproxy_commands_total{{{},result=\"refused\"}}", endpoint)) == 0);
  CHECK(value(before, fmt::format("haproxy_exchange_duration_seconds_count{{{},kind=\"set\"}}", endpoint)) >= 1);
  CHECK(of(before, "probe_requests_total", "a", ",question=\"identity\"") >= 1);
  CHECK(of(before, "probe_requests_total", "a", ",question=\"head\"") >= 1);
  CHECK(of(before, "probes_total", "a", ",result=\"ok\"") >= 1);
  // Before the first event: increase() does not see a series' first value.
  CHECK(of(before, "probes_total", "b", ",result=\"http_status\"") == 0);
  CHECK(of(before, "ejections_total", "b", ",reason=\"http_status\"") == 0);
  CHECK(of(before, "probes_total", "a", ",result=\"ok\"") == of(before, "probe_duration_seconds_count", "a"));
  CHECK(before.at("process_open_fds") > 3);
  CHECK(before.at("process_resident_memory_bytes") > 1e6);
  CHECK(before.at("process_start_time_seconds") > 1.6e9);

  stage.break_provider(1);
  REQUIRE(stage.reaches(kWithoutB));
  Samples after;
  REQUIRE(eventually([&] {
    after = scrape(port);
    return of(after, "server_state", "b", ",state=\"ejected\"") == 1;
  }));
  CHECK(of(after, "server_reason", "b", ",reason=\"http_status\"") == 1);
  CHECK(of(after, "probes_total", "b", ",result=\"http_status\"") >= 2);
  CHECK(of(after, "ejections_total", "b", ",reason=\"http_status\"") == 1);
  CHECK(of(after, "weight_changes_total", "b") > of(before, "weight_changes_total", "b"));
  CHECK(value(after, "backend_servers{backend=\"rpc\",state=\"ejected\"}") == 1);
  CHECK(value(after, "decision_duration_seconds_count") > 0);

  // Settled: each number stands in both documents.
  const auto report = json(http_get(port, "/api/v1/status").body);
  const Samples now = scrape(port);
  for (const auto& server : at(report, "/backends/0/servers").GetArray()) {
    const std::string name = at(server, "/name").GetString();
    CHECK(of(now, "server_weight", name) == at(server, "/weight").GetDouble());
    CHECK(of(now, "server_state", name, fmt::format(",state=\"{}\"", at(server, "/state").GetString())) == 1);
    for (const auto& reason : at(server, "/reasons").GetArray())
      CHECK(of(now, "server_reason", name, fmt::format(",reason=\"{}\"", at(reason, "/code").GetString())) == 1);
  }
  CHECK(program.stop() == 0);
}

TEST_CASE("metrics: counters survive a reload, series of servers that are gone do not") {
  Stage stage;
  const std::uint16_t port = free_port();
  Program program({"run", "--config", stage.config({.listen = listen_on(port)})});
  REQUIRE(stage.reaches(kAll));
  stage.break_provider(0);
  REQUIRE(eventually([&] { return of(scrape(port), "ejections_total", "a", ",reason=\"http_status\"") == 1; }));
  const Samples before = scrape(port);
  CHECK(has(before, "c"));

  stage.providers.pop_back();
  stage.config({.listen = listen_on(port)});
  program.signal(SIGHUP);
  REQUIRE(eventually([&] { return !has(scrape(port), "c"); }));
  const Samples after = scrape(port);
  for (const auto& [series, count] : before) {
    if (series.find("_total{") == std::string::npos || series.find("server=\"c\"") != std::string::npos) continue;
    CAPTURE(series);
    REQUIRE(after.contains(series));
    CHECK(after.at(series) >= count);
  }
  CHECK(value(after, "config_reloads_total{result=\"success\"}") == 1);
  CHECK(value(after, "config_last_reload_successful") == 1);

  stage.folder.write("config.toml", "nonsense");
  program.signal(SIGHUP);
  CHECK(eventually([&] { return value(scrape(port), "config_reloads_total{result=\"failure\"}") == 1; }));
  CHECK(value(scrape(port), "config_last_reload_successful") == 0);
  CHECK(program.stop() == 0);
}

TEST_CASE("metrics: repairs, reloads and lost HAProxys are counted") {
  Stage stage(3, "", true);
  const std::uint16_t port = free_port();
  Program program({"run", "--config", stage.config({.listen = listen_on(port)})});
  REQUIRE(stage.reaches(kAll));
  const std::string endpoint = fmt::format("endpoint=\"unix:{}\"", stage.haproxy.admin_socket());
  const auto count = [&](std::string_view name, std::string_view more = "") {
    return value(scrape(port), fmt::format("{}{{{}{}}}", name, endpoint, more));
  };
  CHECK(count("haproxy_repairs_total", ",backend=\"rpc\"") == 0);
  // Of a worker that has only just started it is not known whether it is the same one.
  CHECK(eventually([&] {
    check(stage.haproxy, "set weight rpc/a 3");
    static_cast<void>(stage.reaches(kAll));
    return count("haproxy_repairs_total", ",backend=\"rpc\"") >= 1;
  }));
  CHECK(count("haproxy_reloads_total") == 0);
  stage.haproxy.reload();
  CHECK(eventually([&] { return count("haproxy_reloads_total") == 1; }));
  CHECK(stage.reaches(kAll));
  stage.haproxy.stop();
  CHECK(eventually([&] { return count("haproxy_up") == 0; }));
  CHECK(program.stop() == 0);
}

TEST_CASE("metrics: compressed and as OpenMetrics where the scraper asks for it") {
  const Stage stage;
  const std::uint16_t port = free_port();
  Program program({"run", "--config", stage.config({.listen = listen_on(port)})});
  REQUIRE(stage.reaches(kAll));
  const HttpReply plain = http_get(port, "/metrics");
  CHECK(plain.headers.at("content-type") == "text/plain; version=0.0.4; charset=utf-8");
  CHECK_FALSE(plain.headers.contains("content-encoding"));

  const HttpReply packed = http_get(port, "/metrics", {"Accept-Encoding: gzip;q=1.0, identity;q=0.5"});
  CHECK(packed.headers.at("content-encoding") == "gzip");
  CHECK(packed.body.size() * 3 < plain.body.size());
  const auto names_in = [](const std::string& text) {
    std::set<std::string> out;
    for (const auto& [series, count] : samples_of(text)) out.insert(series.substr(0, series.find('{')));
    return out;
  };
  CHECK(names_in(inflated(packed.body)) == names_in(plain.body));
  CHECK_FALSE(http_get(port, "/metrics", {"Accept-Encoding: gzip;q=0"}).headers.contains("content-encoding"));
  CHECK(json(inflated(http_get(port, "/api/v1/status", {"Accept-Encoding: gzip"}).body)).IsObject());

  const HttpReply open = http_get(port, "/metrics", {"Accept: application/openmetrics-text; version=1.0.0"});
  CHECK(open.headers.at("content-type") == "application/openmetrics-text; version=1.0.0; charset=utf-8");
  CHECK(open.body.ends_with("# EOF\n"));
  CHECK(open.body.find("# TYPE rpc_weighter_probes counter\n") != std::string::npos);
  CHECK(names_in(open.body) == names_in(plain.body));
  CHECK(program.stop() == 0);
}

TEST_CASE("metrics: promtool has nothing to say about them") {
  const Stage stage;
  const std::uint16_t port = free_port();
  Program program({"run", "--config", stage.config({.listen = listen_on(port)})});
  REQUIRE(stage.reaches(kAll));
  stage.break_provider(1);
  REQUIRE(stage.reaches(kWithoutB));
  const std::string file = stage.folder.write("metrics.txt", http_get(port, "/metrics").body);
  Process promtool("/bin/sh", {.arguments = {"-c", fmt::format("exec promtool check metrics <{}", file)},
                               .environment = {"PATH=/usr/local/bin:/usr/bin:/bin"}});
  CHECK(promtool.wait() == 0);
  CHECK(promtool.out() == "");
  CHECK(promtool.err() == "");
  CHECK(program.stop() == 0);
}
