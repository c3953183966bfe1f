#include <doctest/doctest.h>

#include <stdexcept>
#include <string>
#include <vector>

#include "rpc/http_client.hpp"

using namespace rpcw;
using rpc::HttpTarget;

namespace {

HttpTarget with(std::string url, config::Headers headers = {}) {
  config::Target t;
  t.url = std::move(url);
  t.headers = std::move(headers);
  return HttpTarget(t);
}

}  // namespace

TEST_CASE("a key is cut out wherever in the URL it stands") {
  CHECK(with("https://h.test/v2/KEY0123456").scrub("no app KEY0123456 here") == "no app ... here");
  CHECK(with("https://h.test/v2/KEY0123456").scrub("POST /v2/KEY0123456 failed") == "POST /v2/... failed");
  CHECK(with("https://h.test/rpc?apikey=KEY0123456&x=1").scrub("apikey=KEY0123456") == "...=...");
  CHECK(with("https://h.test/#KEY0123456").scrub("KEY0123456") == "...");
  CHECK(with("https://user:pa55word@h.test/").scrub("user pa55word, user:pa55word") == "... ..., ...");
  CHECK(with("https://h.test/a;KEY0123456/b").scrub("KEY0123456") == "...");
  // Short pieces are in every URL.
  CHECK(with("https://h.test/v1/rpc").scrub("v1 rpc") == "v1 rpc");
}

TEST_CASE("what looks like a key in a canary is cut out, its data is not") {
  config::Target t;
  t.url = "https://h.test/";
  const std::vector<config::Canary> canaries{
      {.method = "eth_call", .params_json = R"(["0x70a08231b6e1ab00aa19d3c5","latest","k3y0marked9secret7f2c"])"},
      {.method = "POST", .path = "/v2/p4th0marked9secret7f2c", .body = R"({"token":"b0dy0marked9secret7f2c"})"}};
  const HttpTarget target(t, canaries);
  CHECK(target.scrub("no k3y0marked9secret7f2c, p4th0marked9secret7f2c or b0dy0marked9secret7f2c") ==
        "no ..., ... or ...");
  CHECK(target.scrub("latest 0x70a08231b6e1ab00aa19d3c5 token") == "latest 0x70a08231b6e1ab00aa19d3c5 token");
}

TEST_CASE("a proxy's user and password are cut out, and keys in a family's requests") {
  HttpTarget t = with("https://h.test/");
  t.hide_user_info("http://us3rn4me:pa%2Fss99@proxy.test:3128/path");
  CHECK(t.scrub("us3rn4me pa/ss99 pa%2Fss99 proxy.test path") == "... ... ... proxy.test path");
  // base64 of us3rn4me:pa/ss99, as in Proxy-Authorization.
  CHECK(t.scrub("Basic dXMzcm40bWU6cGEvc3M5OQ==") == "Basic ...==");
  t.hide_user_info("http://proxy.test:3128");
  t.hide_keys("/status?key=f4mi1y0marked9secret7f2c&full=true");
  CHECK(t.scrub("status f4mi1y0marked9secret7f2c true") == "status ... true");
}

TEST_CASE("what a Basic header encodes is a secret, and each part of it is") {
  config::Target target;
  target.url = "https://h.test/";
  target.headers = {{"Authorization", "Basic dXNlcm5hbWU6c2VjcmV0UGFzczEyMw=="}};
  const HttpTarget t(target);
  CHECK(t.scrub("username:secretPass123 secretPass123 dXNlcm5hbWU6c2VjcmV0UGFzczEyMw==") == "... ... ...==");
  target.headers = {{"Authorization", "Basic !"}, {"X-Other", "Basic"}};
  CHECK(HttpTarget(target).scrub("words") == "words");
}

TEST_CASE("the host is no secret") {
  CHECK(with("https://h.test/KEY0123456").scrub("cannot connect to h.test") == "cannot connect to h.test");
}

TEST_CASE("a host that is not to be shown is a secret, and its labels are") {
  config::Target t;
  t.url = "https://KEY.mainnet.rpc.example/";
  t.redact_host = true;
  const HttpTarget hidden(t);
  CHECK(hidden.scrub("certificate does not match key.mainnet.rpc.example") == "certificate does not match ...");
  CHECK(hidden.scrub("no mainnet, rpc.example") == "no ..., rpc.example");
  const HttpTarget found = with("https://9f8e7d6c5b4a39281706.mainnet.rpc.example/");
  CHECK(found.scrub("key 9f8e7d6c5b4a39281706 of mainnet") == "key ... of mainnet");
  CHECK(found.scrub("no name matches 9f8e7d6c5b4a39281706.mainnet.rpc.example.") == "no name matches ....");
}

TEST_CASE("keys in any text of a canary are secrets") {
  config::Target target;
  target.url = "https://h.test/";
  std::vector<config::Canary> canaries(1);
  canaries[0].method = "9f8e7d6c5b4a39281706";
  canaries[0].expect = "/result/k3y9x7w2q8v4z1m6";
  canaries[0].equals = "A1B2c3D4e5F6g7H8";
  const HttpTarget t(target, canaries);
  CHECK(t.scrub("the method 9f8e7d6c5b4a39281706 does not exist") == "the method ... does not exist");
  CHECK(t.scrub("no k3y9x7w2q8v4z1m6") == "no ...");
  CHECK(t.scrub("A1B2c3D4e5F6g7H8") == "...");
}

TEST_CASE("values of headers are secrets, their names are not") {
  const HttpTarget t = with(
      "https://h.test/", {{"Authorization", "Bearer TOKEN-1234"}, {"X-Key", "abcd"}, {"Cookie", "sid=9f8e7d6c; a=b"}});
  CHECK(t.scrub("Authorization: Bearer TOKEN-1234") == "Authorization: ...");
  CHECK(t.scrub("token TOKEN-1234 is bad") == "token ... is bad");
  CHECK(t.scrub("X-Key: abcd") == "X-Key: ...");
  CHECK(t.scrub("session 9f8e7d6c") == "session ...");
}

TEST_CASE("in other spellings") {
  const HttpTarget t = with("https://user:p%40ssw0rd@h.test/a%2Fkey%2b123/KeyMixedCase?q=x+y/z=12");
  CHECK(t.scrub("a%2Fkey%2b123") == "...");
  CHECK(t.scrub("a%2fkey%2B123") == "...");
  CHECK(t.scrub("a/key+123") == "...");
  CHECK(t.scrub(R"(a\/key+123)") == "...");
  CHECK(t.scrub(R"(a\u002fkey\u002B123)") == "...");
  CHECK(t.scrub("%61%2f%6B%65%79+123") == "...");
  CHECK(t.scrub("keymixedcase KEYMIXEDCASE") == "... ...");
  CHECK(t.scrub("p@ssw0rd p%40ssw0rd") == "... ...");
  // As it goes over the wire: base64 of user:p@ssw0rd.
  CHECK(t.scrub("Basic dXNlcjpwQHNzdzByZA==") == "Basic ...==");
}

TEST_CASE("a key that was cut off, and what it begins with") {
  const HttpTarget t = with("https://h.test/KEY0123456789");
  CHECK(t.scrub("... at /KEY012345") == "... at /...");
  CHECK(t.scrub("project KEY012*** is over its limit") == "project ...*** is over its limit");
  CHECK(t.scrub("KEY01") == "KEY01");
}

TEST_CASE("keys that overlap or repeat") {
  const HttpTarget t = with("https://h.test/abcdWXYZ/WXYZ1234");
  CHECK(t.scrub("abcdWXYZ1234") == "...");
  CHECK(t.scrub("-abcdWXYZabcdWXYZ-") == "-......-");
  const HttpTarget inner = with("https://h.test/abcd/xxabcdxx");
  CHECK(inner.scrub("(xxabcdxx)(abcd)") == "(...)(...)");
}

TEST_CASE("what does not print, and what is too long") {
  const HttpTarget t = with("https://h.test/KEY0123456");
  CHECK(t.scrub(std::string_view("a\0b\x1b[31mc\r\n\x7f\xc3\xa9", 14)) == "a b [31mc   ??");
  CHECK(t.scrub(std::string(160, 'x')) == std::string(160, 'x'));
  CHECK(t.scrub(std::string(161, 'x')) == std::string(160, 'x') + "...");
  CHECK(t.scrub("").empty());
  // No part of a key at the cut, wherever it falls.
  for (std::size_t before = 140; before <= 165; ++before) {
    const std::string out = t.scrub(std::string(before, 'x') + "KEY0123456" + std::string(50, 'y'));
    CHECK(out.find('K') == std::string::npos);
    CHECK(out.size() <= 163);
  }
  // A key longer than the cut, many times.
  const std::string long_key(500, 'k');
  std::string text;
  for (int i = 0; i < 20; ++i) text += long_key + " ";
  const std::string out = with("https://h.test/" + long_key).scrub(text.substr(0, 9'600));
  CHECK(out.find('k') == std::string::npos);
}

TEST_CASE("a URL that is none is refused") {
  CHECK_THROWS_AS(with("ftp://h.test/"), std::invalid_argument);
  CHECK_THROWS_AS(with("KEY@h.test"), std::invalid_argument);
}
