#include <doctest/doctest.h>

#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include "haproxy/protocol.hpp"
#include "haproxy/replies.hpp"

using namespace rpcw::haproxy;

namespace {

std::vector<std::string> replies_of(const ReplyReader& reader) {
  std::vector<std::string> replies;
  for (std::size_t i = 0; i < reader.count(); ++i) replies.emplace_back(reader.reply(i));
  return replies;
}

// As 2.6.12 answered `set weight` of: a good one, an unknown server, an unknown backend, 300, a static algorithm.
constexpr std::string_view kAnswers =
    "\n"
    "No such server.\n\n"
    "No such backend.\n\n"
    "Absolute weight can only be between 0 and 256 inclusive.\n\n"
    "Backend is using a static LB algorithm and only accepts weights '0%' and '100%'.\n\n";

}  // namespace

TEST_CASE("commands that free bound clients") {
  using Kind = ReleaseCommand::Kind;
  CHECK(release_command({Kind::kShutdownSessions, "rpc", "a", 0}) == "shutdown sessions server rpc/a");
  CHECK(release_command({Kind::kClearStick, "rpc", "a", 11}) == "clear table rpc data.server_id eq 11");
  CHECK_THROWS_AS(release_command({Kind::kClearStick, "rpc", "a", 0}), std::invalid_argument);
  CHECK_THROWS_AS(release_command({Kind::kShutdownSessions, "rpc;x", "a", 1}), std::invalid_argument);
  CHECK(parse_tables("# table: rpc, type: ip, size:1024, used:1\n# table: other.1, type: string, size:1, used:0\n") ==
        std::vector<std::string>{"rpc", "other.1"});
  CHECK(parse_tables("Permission denied\n").empty());
}

TEST_CASE("the newest worker is found in the master's list") {
  CHECK(parse_worker("#<PID>          <type>          <reloads>       <uptime>        <version>      \n"
                     "5904            master          1               0d00h00m05s     2.6.12\n"
                     "# workers\n5940            worker          0               0d00h00m02s     2.6.12\n"
                     "# old workers\n5910            worker          1               0d00h00m04s     2.6.12\n"
                     "# programs\n") == 5940);
  CHECK_FALSE(parse_worker("# workers\n# old workers\n5910 worker 1 0d00h00m04s 2.6.12\n").has_value());
  CHECK_FALSE(parse_worker("").has_value());
  CHECK_FALSE(parse_worker("# workers\nworker").has_value());
}

TEST_CASE("commands are joined by semicolons into lines that fit") {
  const std::vector<std::string> commands{"aaaa", "bbbb", "cccc"};
  SUBCASE("all in one") {
    const auto lines = pack(commands);
    REQUIRE(lines.size() == 1);
    CHECK(lines[0].text == "aaaa;bbbb;cccc\n");
    CHECK(lines[0].replies == 3);
  }
  SUBCASE("the limit counts the line end") {
    const auto lines = pack(commands, 10);
    REQUIRE(lines.size() == 2);
    CHECK(lines[0].text == "aaaa;bbbb\n");
    CHECK(lines[0].replies == 2);
    CHECK(lines[1].text == "cccc\n");
    CHECK(lines[1].replies == 1);
    CHECK(pack(commands, 9).size() == 3);
  }
  SUBCASE("the master's prefix stands before each command") {
    CHECK(pack(commands, 100, "@1 ").at(0).text == "@1 aaaa;@1 bbbb;@1 cccc\n");
    CHECK(pack(commands, 15, "@1 ").size() == 3);
    CHECK(pack(commands, 16, "@1 ").size() == 2);
  }
  SUBCASE("nothing") {
    CHECK(pack({}).empty());
  }
  SUBCASE("10,000 weights") {
    std::vector<std::string> many;
    for (int i = 0; i < 10000; ++i) many.push_back(set_weight_command("rpc", "s" + std::to_string(i), 12));
    std::size_t replies = 0;
    for (const auto& line : pack(many)) {
      CHECK(line.text.size() <= kMaxLine);
      replies += line.replies;
    }
    CHECK(replies == 10000);
  }
}

TEST_CASE("what is not one command is a programming error") {
  for (const std::string command : {"", "a\nb", "a;b", "a\r", "a\n"}) {
    const std::vector<std::string> commands{command};
    CHECK_THROWS_AS(pack(commands), std::invalid_argument);
  }
  const std::vector<std::string> nul{std::string("a\0b", 3)};
  CHECK_THROWS_AS(pack(nul), std::invalid_argument);
  const std::vector<std::string> fits{std::string(kMaxLine - 1, 'x')};
  CHECK(pack(fits).size() == 1);
  CHECK_THROWS_AS(pack(fits, kMaxLine, "@1 "), std::invalid_argument);
}

TEST_CASE("set weight commands") {
  CHECK(set_weight_command("rpc", "a", 0) == "set weight rpc/a 0");
  CHECK(set_weight_command("rpc", "a", 256) == "set weight rpc/a 256");
  CHECK(set_weight_percent_command("rpc", "a", 100) == "set weight rpc/a 100%");
  CHECK_THROWS_AS(set_weight_command("rpc", "a", 257), std::invalid_argument);
  CHECK_THROWS_AS(set_weight_percent_command("rpc", "a", 101), std::invalid_argument);
  CHECK_THROWS_AS(set_weight_command("rpc", "a;shutdown", 1), std::invalid_argument);
  CHECK_THROWS_AS(set_weight_command("", "a", 1), std::invalid_argument);
  CHECK(valid_name("rpc-Backend_1.x:y"));
  for (const auto* name : {"", "a b", "a/b", "a;b", "a\n", "a\\", "\xc3\xa9"}) CHECK_FALSE(valid_name(name));
  CHECK_FALSE(valid_name(std::string(1001, 'a')));
}

TEST_CASE("replies are counted by their empty lines") {
  ReplyReader reader(5, 4096);
  CHECK(reader.feed(kAnswers) == ReplyReader::State::kFinished);
  CHECK(replies_of(reader) ==
        std::vector<std::string>{"", "No such server.", "No such backend.",
                                 "Absolute weight can only be between 0 and 256 inclusive.",
                                 "Backend is using a static LB algorithm and only accepts weights '0%' and '100%'."});
  CHECK(reader.rest().empty());
}

TEST_CASE("a reply of many lines keeps its inner line ends") {
  ReplyReader reader(2, 4096);
  reader.feed("1\n# be_id\n3 rpc\n\n\n");
  REQUIRE(reader.finished());
  CHECK(reader.reply(0) == "1\n# be_id\n3 rpc");
  CHECK(reader.reply(1).empty());
}

TEST_CASE("what is not complete is told apart") {
  ReplyReader reader(2, 4096);
  CHECK(reader.feed("\nCan't find the target PID matching the prefix '@9'\n") == ReplyReader::State::kMore);
  CHECK(reader.count() == 1);
  CHECK(reader.rest() == "Can't find the target PID matching the prefix '@9'\n");
  CHECK(reader.feed("\nextra") == ReplyReader::State::kFinished);
  CHECK(reader.rest() == "extra");
}

TEST_CASE("the prefix of `severity-output` is taken off every line, and nothing else is") {
  ReplyReader reader(7, 4096);
  reader.feed(
      "\n[3]: No such server.\n\n[err]: No such backend.\n\n[6]: admin\n\n[info]: two\n[6]: lines\n\n"
      "[4]: \n\n[::1]:80, [x]: [3]: [9\n\n");
  REQUIRE(reader.finished());
  CHECK(replies_of(reader) == std::vector<std::string>{"", "No such server.", "No such backend.", "admin", "two\nlines",
                                                       "[4]: ", "[::1]:80, [x]: [3]: [9"});
  CHECK(classify_set_weight(reader.reply(1)).refusal == Refusal::kNoSuchServer);
  CHECK_FALSE(classify_set_weight(reader.reply(5)).done());

  SUBCASE("of what is not complete too") {
    reader.reset(2, 4096);
    reader.feed("\n[3]: The command line is too big for the buffer size\n");
    CHECK(line_too_big(reader.rest()));
  }
  SUBCASE("a peer that sends prefixes only meets the limit of bytes") {
    reader.reset(1, 60);
    std::string stream;
    for (int i = 0; i < 100; ++i) stream += "[3]: a\n";
    CHECK(reader.feed(stream) == ReplyReader::State::kTooLarge);
  }
}

TEST_CASE("a reader is bounded, and usable again afterwards") {
  ReplyReader reader(1, 10);
  CHECK(reader.feed("123456789") == ReplyReader::State::kMore);
  CHECK(reader.feed("0123") == ReplyReader::State::kTooLarge);
  CHECK(reader.rest() == "1234567890");
  CHECK(reader.feed("\n\n") == ReplyReader::State::kTooLarge);

  reader.reset(1, 4);
  CHECK(reader.feed("ab\n\n") == ReplyReader::State::kFinished);
  CHECK(reader.reply(0) == "ab");
  reader.reset(0, 4);
  CHECK(reader.finished());

  SUBCASE("memory of a larger exchange does not widen the limit") {
    reader.reset(1, 1000);
    reader.feed(std::string(999, 'x'));
    reader.reset(1, 4);
    CHECK(reader.prepare(100).size() == 4);
    CHECK(reader.feed("abcdefgh\n\n") == ReplyReader::State::kTooLarge);
  }
}

TEST_CASE("any chunking gives the same replies") {
  std::string stream;
  std::vector<std::string> expected;
  for (int i = 0; i < 40; ++i) {
    stream += kAnswers;
    stream += "12 (initial 100)\n\n# a,b,\nx,y,\n\n[3]: No such server.\n\n[info]: a\n[6]: b\n\n";
  }
  const std::size_t count = 40 * 9;
  ReplyReader whole(count, stream.size());
  REQUIRE(whole.feed(stream) == ReplyReader::State::kFinished);
  expected = replies_of(whole);

  for (std::size_t size = 1; size < 200; size += size < 20 ? 1 : 13) {
    ReplyReader reader(count, stream.size());
    for (std::size_t at = 0; at < stream.size(); at += size) reader.feed(std::string_view(stream).substr(at, size));
    CHECK(reader.finished());
    CHECK(replies_of(reader) == expected);
  }
  std::mt19937 random(7);  // NOLINT(bugprone-random-generator-seed): the same each time, on purpose
  for (int round = 0; round < 200; ++round) {
    ReplyReader reader(count, stream.size());
    for (std::size_t at = 0; at < stream.size();) {
      const auto room = reader.prepare(1 + random() % 300);
      const auto size = std::min({room.size(), stream.size() - at, std::size_t{1 + random() % 300}});
      std::copy_n(stream.data() + at, size, room.data());
      reader.commit(size);
      at += size;
    }
    CHECK(replies_of(reader) == expected);
  }
}

TEST_CASE("answers to set weight") {
  struct Case {
    std::string_view reply;
    Refusal refusal;
  };
  for (const auto& one : {
           Case{"", Refusal::kNone},
           Case{"No such backend.", Refusal::kNoSuchBackend},
           Case{"No such server.", Refusal::kNoSuchServer},
           Case{"Backend is using a static LB algorithm and only accepts weights '0%' and '100%'.",
                Refusal::kStaticAlgorithm},
           Case{"Permission denied", Refusal::kPermissionDenied},
           Case{"Absolute weight can only be between 0 and 256 inclusive.", Refusal::kBadWeight},
           Case{"Relative weight must be positive.", Refusal::kBadWeight},
           Case{"Empty weight string empty or preceded by garbage", Refusal::kBadWeight},
           Case{"Trailing garbage in weight string", Refusal::kBadWeight},
           Case{"Require <weight> or <weight%>.", Refusal::kBadWeight},
           Case{"Proxy is disabled.", Refusal::kDisabled},
           Case{"Unknown command: 'set', but maybe one of the following ones is a better match:", Refusal::kOther},
           Case{"Require 'backend/server'.", Refusal::kOther},
           Case{" \t ", Refusal::kOther},
           Case{"HTTP/1.1 400 Bad Request", Refusal::kOther},
       }) {
    CAPTURE(one.reply);
    const auto verdict = classify_set_weight(one.reply);
    CHECK(verdict.refusal == one.refusal);
    CHECK(verdict.done() == one.reply.empty());
    CHECK(verdict.words.empty() == one.reply.empty());
  }
  CHECK(classify_set_weight("No such server.\n").words == "No such server.");
}

TEST_CASE("a line that 3.4 finds too long is recognised") {
  CHECK(
      line_too_big("The command line is too big for the buffer size. Please change 'tune.bufsize' in the configuration "
                   "to use a bigger command.\n"));
  CHECK_FALSE(line_too_big("No such server."));
}

TEST_CASE("foreign words are made presentable") {
  CHECK(presentable("  two\nlines\r\n") == "two lines");
  CHECK(presentable("bell\a escape\x1b[31m \xff") == "bell? escape?[31m ?");
  CHECK(presentable(" \n").empty());
  const auto cut = presentable(std::string(5000, 'x'));
  CHECK(cut.size() == 200);
  CHECK(cut.ends_with("..."));
}

TEST_CASE("show info") {
  const auto info = parse_info(
      "Name: HAProxy\nVersion: 2.6.12-1+deb12u4\nRelease_date: 2026/10/17\nNbthread: 2\nPid: 4792\n"
      "Uptime: 0d 0h02m43s\nUptime_sec: 163\nnode: vm\ndescription: \n");
  REQUIRE(info.has_value());
  CHECK(info->version == "2.6.12-1+deb12u4");
  CHECK(info->pid == 4792);
  CHECK(info->uptime == std::chrono::seconds(163));

  CHECK(parse_info("Version: 3.4.0\nPid: 1\n").error().find("lacks Uptime_sec;") != std::string::npos);
  CHECK(parse_info("").error().find("lacks Version, Pid, Uptime_sec") != std::string::npos);
  CHECK(parse_info("Version: 3.4.0\nPid: -4\nUptime_sec: 9\n").error().find("lacks Pid;") != std::string::npos);
  CHECK(
      parse_info("Version: 3.4.0\nPid: 4x\nUptime_sec: 99999999999999999999\n").error().find("lacks Pid, Uptime_sec") !=
      std::string::npos);
}
