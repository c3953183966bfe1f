#include <algorithm>
#include <string>
#include <vector>

#include "fuzz/targets.hpp"
#include "haproxy/protocol.hpp"
#include "haproxy/replies.hpp"
#include "weighter/state/haproxy_view.hpp"

namespace rpcw::fuzz {
namespace {

using haproxy::ReplyReader;

constexpr std::size_t kPlenty = 1U << 20U;

std::vector<std::string> replies_of(std::string_view bytes, std::size_t expected, std::size_t piece, std::size_t most) {
  ReplyReader reader(expected, most);
  while (!bytes.empty() && reader.state() == ReplyReader::State::kMore) {
    const std::string_view part = bytes.substr(0, piece);
    reader.feed(part);
    bytes.remove_prefix(part.size());
  }
  must(reader.count() <= expected, "no more replies than were asked for");
  std::vector<std::string> out;
  for (std::size_t i = 0; i < reader.count(); ++i) out.emplace_back(reader.reply(i));
  if (reader.state() != ReplyReader::State::kFinished) out.emplace_back(reader.rest());
  return out;
}

void printable(std::string_view text) {
  must(text.size() <= 200 + std::string_view("…").size(), "a foreign text is shown in 200 bytes");
  must(std::ranges::all_of(text, [](char c) { return c >= ' ' && c != '\x7f'; }) ||
           text.find("…") != std::string_view::npos,
       "a foreign text is shown without control characters");
}

}  // namespace

/// The first byte says how many replies are expected and how the bytes come; the rest is what HAProxy sends.
void haproxy(std::string_view bytes) {
  if (bytes.empty()) return;
  const auto how = static_cast<unsigned char>(bytes.front());
  bytes.remove_prefix(1);
  const std::size_t expected = 1 + how % 7U;
  const std::size_t piece = 1 + how / 7U;
  const auto at_once = replies_of(bytes, expected, bytes.size() + 1, kPlenty);
  must(replies_of(bytes, expected, piece, kPlenty) == at_once, "replies do not depend on how their bytes come");
  replies_of(bytes, expected, piece, 1 + how * 4U);

  std::vector<rpcw::haproxy::BackendRow> rows;
  std::vector<std::string> texts = at_once;
  texts.emplace_back(bytes);
  for (const std::string& text : texts) {
    printable(rpcw::haproxy::presentable(text));
    const rpcw::haproxy::Verdict verdict = rpcw::haproxy::classify_set_weight(text);
    must(verdict.done() == verdict.words.empty(), "a refusal has words, a confirmation none");
    rpcw::haproxy::line_too_big(text);
    (void)rpcw::haproxy::parse_info(text);
    rpcw::haproxy::parse_worker(text);
    rpcw::haproxy::parse_tables(text);
    if (auto read = rpcw::haproxy::add_stat(text, rows); !read) must(!read.error().empty(), "an error says why");
    if (auto read = rpcw::haproxy::add_servers_state(text, rows); !read)
      must(!read.error().empty(), "an error says why");
  }
  for (rpcw::haproxy::BackendRow& row : rows) {
    row.index();
    for (const rpcw::haproxy::ServerRow& server : row.servers) {
      must(server.uweight <= 256, "weights are at most 256");
      const rpcw::haproxy::ServerRow* found = row.server(server.name);
      must(found == nullptr || found->name == server.name, "a server is found by its name");
    }
  }
}

}  // namespace rpcw::fuzz
