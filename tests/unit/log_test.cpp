#include "observe/log.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <rapidjson/document.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <string>
#include <thread>

#include "observe/line_writer.hpp"

using namespace rpcw;

namespace {

/// What is written to standard error while it lives.
class StandardError {
 public:
  StandardError() : saved_(dup(STDERR_FILENO)), file_(memfd_create("stderr", MFD_CLOEXEC)) {
    dup2(file_, STDERR_FILENO);
  }
  ~StandardError() {
    log::flush(std::chrono::seconds(20));
    dup2(saved_, STDERR_FILENO);
    close(saved_);
    close(file_);
    log::configure({});
  }
  StandardError(const StandardError&) = delete;
  StandardError& operator=(const StandardError&) = delete;

  [[nodiscard]] std::string text() const {
    log::flush(std::chrono::seconds(20));
    std::string out(65536, '\0');
    out.resize(static_cast<std::size_t>(pread(file_, out.data(), out.size(), 0)));
    return out;
  }
  /// Of the one line that was written: all behind the time.
  [[nodiscard]] std::string line() const {
    std::string text = this->text();
    CHECK(std::string_view(text).find('\n') == text.size() - 1);
    text.pop_back();
    return text;
  }

 private:
  int saved_;
  int file_;
};

std::string text_line(std::string_view message, std::initializer_list<log::Field> fields = {}) {
  const StandardError captured;
  log::configure({});
  log::warn(message, fields);
  return captured.line().substr(std::string_view("2026-01-02T03:04:05.678Z ").size());
}

rapidjson::Document json_line(std::string_view message, std::initializer_list<log::Field> fields = {}) {
  const StandardError captured;
  log::configure({.json = true});
  log::warn(message, fields);
  rapidjson::Document out;
  out.Parse<rapidjson::kParseValidateEncodingFlag>(captured.line());
  REQUIRE_FALSE(out.HasParseError());
  return out;
}

}  // namespace

TEST_CASE("a text line is the message alone") {
  CHECK(text_line("rpc/a: healthy", {{"backend", "rpc"}, {"server", "a"}}) == "warning rpc/a: healthy");
  CHECK(text_line("{} is no format \\ \"here\"") == "warning {} is no format \\ \"here\"");
}

TEST_CASE("a text line stays one line and does nothing to a terminal") {
  CHECK(text_line("a\nb\r\tc\x1b[31m\x7f") == "warning a\\nb\\x0d\\x09c\\x1b[31m\\x7f");
  CHECK(text_line("grüße – 链 🙂") == "warning grüße – 链 🙂");
  CHECK(text_line("\xc2\x9b"
                  "31m") == "warning \\xc2\\x9b31m");  // CSI as one character
  CHECK(text_line("\xff\xc3(\xe2\x82") == "warning \\xff\\xc3(\\xe2\\x82");
  CHECK(text_line("\xc0\xaf \xed\xa0\x80 \xf4\x90\x80\x80") ==
        "warning \\xc0\\xaf \\xed\\xa0\\x80 \\xf4\\x90\\x80\\x80");
}

TEST_CASE("a JSON line has the message and the fields that are not empty") {
  const auto doc = json_line("it \"says\"\n more", {{"backend", "rpc"}, {"reason", ""}, {"server", "a\tb"}});
  CHECK(doc.MemberCount() == 6);
  CHECK(doc["event"] == "message");
  CHECK(doc["time"].GetStringLength() == std::string_view("2026-01-02T03:04:05.678Z").size());
  CHECK(doc["level"] == "warning");
  CHECK(doc["message"] == "it \"says\"\n more");
  CHECK(doc["backend"] == "rpc");
  CHECK(doc["server"] == "a\tb");
}

TEST_CASE("a JSON line has its event, its reasons, and numbers as numbers") {
  const StandardError captured;
  log::configure({.json = true});
  log::write(LogLine{config::LogLevel::kWarn,
                     "rpc/a: healthy -> ejected",
                     {{"server", "a"}, {"from_weight", "86"}, {"to_weight", "0"}, {"pid", "no number"}},
                     "state_changed",
                     {{Reason::kTimeout, "no \"answer\""}, {Reason::kBlind, "look here first"}}});
  rapidjson::Document doc;
  doc.Parse(captured.line());
  REQUIRE_FALSE(doc.HasParseError());
  CHECK(doc["event"] == "state_changed");
  CHECK(doc["from_weight"].GetInt() == 86);
  CHECK(doc["to_weight"].GetInt() == 0);
  CHECK(doc["pid"] == "no number");
  REQUIRE(doc["reasons"].Size() == 2);
  CHECK(doc["reasons"][0]["code"] == "timeout");
  CHECK(doc["reasons"][0]["detail"] == "no \"answer\"");
  CHECK(doc["reasons"][1]["code"] == "blind");
}

TEST_CASE("a JSON line is JSON whatever it quotes") {
  CHECK(json_line("\xff grüße \xe2\x82")["message"] == "\\xff grüße \\xe2\\x82");
  CHECK(json_line("x", {{"key", "\xf8"}})["key"] == "\\xf8");
}

TEST_CASE("levels below the chosen one are not written") {
  const StandardError captured;
  log::configure({.level = config::LogLevel::kWarn});
  log::info("no");
  log::error("yes");
  CHECK(captured.line().ends_with("Z error   yes"));
}

// ---- what takes no lines

namespace {

/// A pipe whose reader reads only when it is told.
struct Pipe {
  std::array<int, 2> ends{-1, -1};
  Pipe() { REQUIRE(pipe2(ends.data(), O_CLOEXEC) == 0); }
  ~Pipe() {
    close(ends[0]);
    if (ends[1] >= 0) close(ends[1]);
  }
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;

  /// Until `end` has been read.
  [[nodiscard]] std::string read_until(std::string_view end) const {
    std::string out;
    std::array<char, 4096> block{};
    while (out.find(end) == std::string::npos) {
      const ssize_t n = read(ends[0], block.data(), block.size());
      if (n <= 0) return out;
      out.append(block.data(), static_cast<std::size_t>(n));
    }
    return out;
  }
};

std::size_t lines_in(std::string_view text) {
  return static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n'));
}

}  // namespace

TEST_CASE("a pipe that is not read holds up nothing: whole lines are dropped, and counted") {
  const Pipe pipe;
  constexpr std::size_t kLines = 10'000;
  log::LineWriter writer(pipe.ends[1], 300'000);
  const std::string line(99, 'x');
  const auto begun = std::chrono::steady_clock::now();
  for (std::size_t i = 0; i < kLines; ++i) writer.push(line + "\n");
  writer.flush(std::chrono::milliseconds(300));
  CHECK(std::chrono::steady_clock::now() - begun < std::chrono::seconds(10));
  // The queue is still more than half full.
  CHECK(writer.take_dropped() == 0);

  std::thread reader([&] {
    std::array<char, 4096> block{};
    for (std::size_t left = 200'000; left > 0;) {
      const ssize_t n = read(pipe.ends[0], block.data(), std::min(block.size(), left));
      if (n <= 0) break;
      left -= static_cast<std::size_t>(n);
    }
  });
  reader.join();
  std::size_t dropped = 0;
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while ((dropped = writer.take_dropped()) == 0 && std::chrono::steady_clock::now() < deadline)
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  REQUIRE(dropped > 0);
  CHECK(writer.take_dropped() == 0);
  writer.push("end\n");
  const std::string rest = pipe.read_until("end\n");
  CHECK(lines_in(rest) - 1 + 2'000 + dropped == kLines);
  CHECK(rest.find(std::string(100, 'x')) == std::string::npos);
}

TEST_CASE("lines that cannot be written are dropped and counted, and the next that can be says so") {
  const StandardError captured;
  const int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
  const int works = dup(STDERR_FILENO);
  REQUIRE(full >= 0);
  dup2(full, STDERR_FILENO);
  log::configure({});
  log::info("one");
  log::flush(std::chrono::seconds(20));
  // Takes the count of the first with it, and brings it back.
  log::info("two");
  log::flush(std::chrono::seconds(20));
  close(STDERR_FILENO);
  log::info("three");
  log::flush(std::chrono::seconds(20));
  dup2(works, STDERR_FILENO);
  log::configure({.level = config::LogLevel::kError});
  log::error("four");
  const std::string text = captured.text();
  CHECK(text.find("error   log: 3 lines were lost, since standard error could not be written\n") != std::string::npos);
  CHECK(text.ends_with("error   four\n"));
  CHECK(lines_in(text) == 2);
  log::error("five");
  CHECK(lines_in(captured.text()) == 3);
  close(full);
  close(works);
}

TEST_CASE("a descriptor that another process has made non-blocking loses nothing to a slow reader") {
  const Pipe pipe;
  REQUIRE(fcntl(pipe.ends[1], F_SETFL, O_NONBLOCK) == 0);
  log::LineWriter writer(pipe.ends[1]);
  std::string line(100, 'x');
  line.back() = '\n';
  for (int i = 0; i < 5'000; ++i) writer.push(line);
  writer.push("end\n");
  CHECK(lines_in(pipe.read_until("end\n")) == 5'001);
  CHECK(writer.take_dropped() == 0);
}
