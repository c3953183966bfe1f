#include <doctest/doctest.h>
#include <fmt/format.h>

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>

#include "cli/chains.hpp"
#include "rpc/family/registry.hpp"

using namespace rpcw;

namespace {

std::string file(const std::string& path) {
  std::ifstream in(path);
  return {std::istreambuf_iterator<char>(in), {}};
}

/// The page with what stands between the marks of that name replaced.
std::string with_part(const std::string& page, std::string_view name, const std::string& part) {
  const std::string begin = fmt::format("<!-- {}: made by unit-tests, do not edit -->\n", name);
  const std::string end = fmt::format("<!-- end of {} -->\n", name);
  const std::size_t from = page.find(begin);
  const std::size_t to = page.find(end);
  REQUIRE(from != std::string::npos);
  REQUIRE(to != std::string::npos);
  return page.substr(0, from + begin.size()) + "\n" + part + "\n" + page.substr(to);
}

}  // namespace

TEST_CASE("docs/chains.md is made from the tables of the program") {
  const std::string path = RPCW_DOCS "/chains.md";
  const std::string page = file(path);
  REQUIRE_FALSE(page.empty());
  const std::string made = with_part(with_part(page, "families", cli::families_page()), "chains", cli::chains_page());
  if (std::getenv("REMAKE_DOCS") != nullptr) std::ofstream(path) << made;
  // REMAKE_DOCS=1 unit-tests --test-case="docs*" makes it again.
  CHECK(made == file(path));
}

TEST_CASE("families: the configuration knows what each offers") {
  const auto families = rpc::family::all();
  REQUIRE(families.size() == known_families().size());
  for (std::size_t i = 0; i < families.size(); ++i) {
    CAPTURE(std::string(families[i]->name()));
    CHECK(families[i]->name() == known_families()[i].name);
    CHECK(families[i]->offers() == known_families()[i].offers);
  }
}

TEST_CASE("chains: a line of curl for each request") {
  CHECK(cli::curl_line({rpc::HttpRequest::Method::kGet, "/status", "", {}}) == "curl -sS \"$URL/status\"");
  CHECK(cli::curl_line({rpc::HttpRequest::Method::kPost, "", R"({"a":"it's"})", {}}) ==
        R"(curl -sS -H 'content-type: application/json' -d '{"a":"it'\''s"}' "$URL")");
  const std::string solana = cli::render_chain(*find_chain("solana"), cli::Format::kTable);
  CHECK(solana.find("getAccountInfo") != std::string::npos);
  CHECK(solana.find("not checked  hash, peers") != std::string::npos);
  const std::string list = cli::render_chains(cli::Format::kTable);
  CHECK(list.find("cometbft: CometBFT") < list.find("noble"));
}
