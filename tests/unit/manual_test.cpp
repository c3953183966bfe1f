// rpc-weighter.toml(5) is made from docs/configuration.md, and the page's keys are those that the reader knows.
// REMAKE_MANUAL=1 writes it.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <set>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "config/load.hpp"

using namespace rpcw;

namespace {

const std::string kSource = RPCW_SOURCE;

std::vector<std::string> lines_of(const std::string& path) {
  std::ifstream in(path);
  std::vector<std::string> out;
  for (std::string line; std::getline(in, line);) out.push_back(line);
  REQUIRE(out.size() > 10);
  return out;
}

/// Markdown of one line as roff: `code` is bold, a link is its text.
std::string inline_text(std::string_view markdown) {
  std::string out;
  bool code = false;
  for (std::size_t i = 0; i < markdown.size(); ++i) {
    const char c = markdown[i];
    if (c == '`') {
      out += (code = !code) ? "\\fB" : "\\fR";
    } else if (c == '\\' && !code && i + 1 < markdown.size() && markdown[i + 1] == '|') {
      continue;
    } else if (c == '\\') {
      out += "\\e";
    } else if (c == '-') {
      out += "\\-";
    } else if (!code && markdown.substr(i).starts_with("**")) {
      ++i;
    } else if (const std::size_t end = markdown.find("](", i);
               !code && c == '[' && end != std::string_view::npos && markdown.find(']', i) == end) {
      out += inline_text(markdown.substr(i + 1, end - i - 1));
      i = markdown.find(')', end);
    } else {
      out += c;
    }
  }
  if (out.starts_with('.') || out.starts_with('\'')) out.insert(0, "\\&");
  return out;
}

std::vector<std::string> cells_of(std::string_view row) {
  std::vector<std::string> out;
  std::string cell;
  for (std::size_t i = 1; i < row.size(); ++i) {
    if (row[i] == '|' && row[i - 1] != '\\') {
      const std::size_t begin = cell.find_first_not_of(' ');
      out.push_back(begin == std::string::npos ? "" : cell.substr(begin, cell.find_last_not_of(' ') - begin + 1));
      cell.clear();
    } else {
      cell += row[i];
    }
  }
  return out;
}

std::string page_of(const std::vector<std::string>& markdown) {
  std::string out =
      ".\\\" Made from docs/configuration.md: REMAKE_MANUAL=1 unit\\-tests \\-\\-test\\-case=\"manual*\"\n"
      ".TH RPC\\-WEIGHTER.TOML 5 \"\" \"rpc\\-weighter\" \"File Formats\"\n"
      ".SH NAME\nrpc\\-weighter.toml \\- configuration of rpc\\-weighter(1)\n.SH DESCRIPTION\n";
  std::vector<std::string> head;
  bool fence = false;
  bool paragraph = false;
  for (std::size_t i = 1; i < markdown.size(); ++i) {
    const std::string& line = markdown[i];
    if (line.starts_with("```")) {
      out += (fence = !fence) ? ".PP\n.nf\n" : ".fi\n";
      continue;
    }
    if (fence || line.starts_with("    ")) {
      if (!fence && !markdown[i - 1].starts_with("    ")) out += ".PP\n.nf\n";
      std::string code;
      for (const char c : line) code += c == '\\' ? "\\e" : c == '-' ? "\\-" : std::string(1, c);
      out += (code.starts_with('.') || code.starts_with('\'') ? "\\&" : "") + code + "\n";
      if (!fence && (i + 1 == markdown.size() || !markdown[i + 1].starts_with("    "))) out += ".fi\n";
      continue;
    }
    if (line.empty()) {
      head.clear();
      paragraph = false;
    } else if (line.starts_with("### ")) {
      out += ".SS " + inline_text(line.substr(4)) + "\n";
    } else if (line.starts_with("## ")) {
      out += ".SH " + inline_text(line.substr(3)) + "\n";
    } else if (line.starts_with("|---")) {
      continue;
    } else if (line.starts_with("|")) {
      const std::vector<std::string> cells = cells_of(line);
      if (head.empty()) {
        head = cells;
        continue;
      }
      out += ".TP\n" + inline_text(cells[0]) + "\n";
      std::string text;
      for (std::size_t c = 1; c < cells.size(); ++c) {
        if (cells[c].empty()) continue;
        const bool named = c + 1 < cells.size() && c < head.size() && !head[c].empty();
        text += fmt::format("{}{}{}", text.empty() ? "" : " ", named ? head[c] + ": " : "", cells[c]);
        if (c + 1 < cells.size()) text += ".";
      }
      out += inline_text(text) + "\n";
    } else if (line.starts_with("- ")) {
      out += ".IP \\(bu 2\n" + inline_text(line.substr(2)) + "\n";
      paragraph = true;
    } else {
      if (!paragraph) out += ".PP\n";
      paragraph = true;
      const std::size_t begin = line.find_first_not_of(' ');
      out += inline_text(line.substr(begin)) + "\n";
    }
  }
  return out + ".SH SEE ALSO\n.BR rpc\\-weighter (1)\n";
}

/// Files of which one must know the key: each ends in the table that `section` of the page is about.
std::vector<std::string> files_with(const std::string& section) {
  const std::string backend = "[[backend]]\nname = \"b\"\nchain = \"ethereum\"\n";
  const std::string server = "[[backend.server]]\nname = \"s\"\nurl = \"http://a.test/\"\n";
  if (section == "Top level") return {""};
  if (section == "`[[backend]]`") return {backend};
  if (section == "`[[backend.server]]`") return {backend + "[[backend.server]]\n"};
  if (section == "`[[backend.reference]]`") return {backend + server + "[[backend.reference]]\n"};
  if (section == "`[[backend.canary]]`") return {backend + server + "[[backend.canary]]\n"};
  if (section != "`[[family]]`") return {section.substr(1, section.size() - 2) + "\n"};
  // Its second list is of the keys of its tables, some of which only one of them has.
  std::vector<std::string> out{"[[family]]\nname = \"own\"\n", "[[family]]\n"};
  for (const char* check : {"head", "identity", "syncing", "peers", "block"})
    out.push_back(fmt::format("[[family]]\nname = \"own\"\n[family.{}]\n", check));
  return out;
}

}  // namespace

TEST_CASE("manual: rpc-weighter.toml(5) is current") {
  const std::string page = page_of(lines_of(kSource + "/docs/configuration.md"));
  const std::string path = kSource + "/share/man/rpc-weighter.toml.5";
  if (std::getenv("REMAKE_MANUAL") != nullptr) std::ofstream(path) << page;
  std::string there;
  for (const std::string& line : lines_of(path)) there += line + "\n";
  CHECK(there == page);
}

TEST_CASE("manual: each key of the page is one that the reader knows") {
  std::string section;
  bool keys = false;
  std::size_t count = 0;
  for (const std::string& line : lines_of(kSource + "/docs/configuration.md")) {
    if (line.starts_with("#")) section = line.substr(line.find(' ') + 1);
    if (line.starts_with("| key |")) keys = true;
    if (line.empty()) keys = false;
    if (!keys || !line.starts_with("| `")) continue;
    const std::string cell = cells_of(line)[0];
    for (std::size_t at = 0; (at = cell.find('`', at)) != std::string::npos;) {
      const std::size_t end = cell.find('`', at + 1);
      const std::string key = cell.substr(at + 1, end - at - 1);
      at = end + 1;
      CAPTURE(section);
      CAPTURE(key);
      const auto knows = [&](const std::string& file) {
        const auto loaded = config::parse(file + key + " = 1979-05-27\n", "t", {});
        REQUIRE_FALSE(loaded);
        return std::ranges::none_of(loaded.error(), [](const config::Diagnostic& d) {
          return d.message.find("unknown key") != std::string::npos;
        });
      };
      // A table's name is no key of its own.
      if (!key.starts_with('[')) CHECK(std::ranges::any_of(files_with(section), knows));
      ++count;
    }
  }
  CHECK(count > 50);
}
