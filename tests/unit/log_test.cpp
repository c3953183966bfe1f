#include "observe/log.hpp"

#include <doctest/doctest.h>
#include <rapidjson/document.h>
#include <sys/mman.h>
#include <unistd.h>

#include <string>

using namespace rpcw;

namespace {

/// What is written to standard error while it lives.
class StandardError {
 public:
  StandardError() : saved_(dup(STDERR_FILENO)), file_(memfd_create("stderr", MFD_CLOEXEC)) {
    dup2(file_, STDERR_FILENO);
  }
  ~StandardError() {
    dup2(saved_, STDERR_FILENO);
    close(saved_);
    close(file_);
    log::configure({});
  }
  StandardError(const StandardError&) = delete;
  StandardError& operator=(const StandardError&) = delete;

  /// Of the one line that was written: all behind the time.
  [[nodiscard]] std::string line() const {
    std::string text(65536, '\0');
    text.resize(static_cast<std::size_t>(pread(file_, text.data(), text.size(), 0)));
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
  CHECK(doc.MemberCount() == 5);
  CHECK(doc["time"].GetStringLength() == std::string_view("2026-01-02T03:04:05.678Z").size());
  CHECK(doc["level"] == "warning");
  CHECK(doc["message"] == "it \"says\"\n more");
  CHECK(doc["backend"] == "rpc");
  CHECK(doc["server"] == "a\tb");
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
