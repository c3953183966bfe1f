#include "config/url.hpp"

#include <curl/curl.h>
#include <doctest/doctest.h>

#include <memory>
#include <string>

namespace rpcw::url {
namespace {

struct Good {
  const char* text;
  const char* scheme;
  const char* host;
  std::uint16_t port;
  const char* redacted;
};

const Good kGood[] = {
    {"http://example.org", "http", "example.org", 80, "http://example.org/…"},
    {"https://example.org", "https", "example.org", 443, "https://example.org/…"},
    {"HTTPS://Example.ORG/Path", "https", "example.org", 443, "https://example.org/…"},
    {"https://example.org:8443/v2/SECRET", "https", "example.org", 8443, "https://example.org:8443/…"},
    {"https://example.org?key=SECRET", "https", "example.org", 443, "https://example.org/…"},
    {"https://example.org#SECRET", "https", "example.org", 443, "https://example.org/…"},
    {"https://SECRET@example.org/", "https", "example.org", 443, "https://example.org/…"},
    {"https://user:SECRET@example.org:1/", "https", "example.org", 1, "https://example.org:1/…"},
    {"https://user:SECR%40ET@example.org/a@b", "https", "example.org", 443, "https://example.org/…"},
    {"http://127.0.0.1:65535/", "http", "127.0.0.1", 65535, "http://127.0.0.1:65535/…"},
    {"http://[::1]:8545/SECRET", "http", "::1", 8545, "http://[::1]:8545/…"},
    {"http://[2001:DB8::1]/", "http", "2001:db8::1", 80, "http://[2001:db8::1]/…"},
    {"http://geth_1:8545", "http", "geth_1", 8545, "http://geth_1:8545/…"},
    {"http://example.org./", "http", "example.org.", 80, "http://example.org./…"},
    {"http://a.1b/", "http", "a.1b", 80, "http://a.1b/…"},
};

TEST_CASE("url: accepted, and cut to what may be shown") {
  for (const Good& c : kGood) {
    CAPTURE(c.text);
    const auto url = parse(c.text);
    REQUIRE(url.has_value());
    CHECK(url->scheme == c.scheme);
    CHECK(url->host == c.host);
    CHECK(url->port == c.port);
    CHECK(redact(c.text) == c.redacted);
  }
}

std::string part(CURLU* url, CURLUPart which) {
  char* text = nullptr;
  if (curl_url_get(url, which, &text, CURLU_DEFAULT_PORT) != CURLUE_OK) return {};
  std::string out = text;
  curl_free(text);
  return out;
}

TEST_CASE("url: libcurl sees the same host and port") {
  for (const Good& c : kGood) {
    CAPTURE(c.text);
    const std::unique_ptr<CURLU, decltype(&curl_url_cleanup)> url(curl_url(), curl_url_cleanup);
    REQUIRE(curl_url_set(url.get(), CURLUPART_URL, c.text, 0) == CURLUE_OK);
    std::string host = part(url.get(), CURLUPART_HOST);
    for (char& letter : host)
      if (letter >= 'A' && letter <= 'Z') letter = static_cast<char>(letter - 'A' + 'a');
    const std::string expected = c.host;
    CHECK(host == (expected.find(':') == std::string::npos ? expected : "[" + expected + "]"));
    CHECK(part(url.get(), CURLUPART_PORT) == std::to_string(c.port));
    CHECK(part(url.get(), CURLUPART_SCHEME) == c.scheme);
  }
}

TEST_CASE("url: refused, with a sentence that shows none of it") {
  struct Case {
    std::string text;
    const char* error;
  };
  const char* no_url = "this is no URL; expected http://HOST[:PORT]/… or https://HOST[:PORT]/…";
  const char* port = "the port is not a number from 1 to 65535";
  const Case cases[] = {
      {"", "the URL is empty"},
      {"example.org", no_url},
      {"example.org:8545/SECRET", no_url},
      {"//example.org", no_url},
      {"://example.org", no_url},
      {"SECRET@host://x", no_url},
      {"http:/example.org", no_url},
      {"ws://example.org", "the scheme ws is not probed; use http:// instead, HAProxy may go on with ws"},
      {"SECRET://example.org", "the scheme is not supported; expected http or https"},
      {"http://", "the URL has no host"},
      {"http:///SECRET", "the URL has no host"},
      {"http://:80/", "the URL has no host"},
      {"http://user@/", "the URL has no host"},
      {"http://host /", "the URL has a space"},
      {"http://host/a b", "the URL has a space"},
      {"http://host/\n", "the URL has a control character"},
      {std::string("http://host/\0", 13), "the URL has a control character"},
      {"http://host/\x7f", "the URL has a control character"},
      {"http://host\\@evil/", "the URL has a backslash"},
      {"http://host:0/", port},
      {"http://host:65536/", port},
      {"http://host:99999999999999999999/", port},
      {"http://host:/", port},
      {"http://host:8x/", port},
      {"http://host:-1/", port},
      {"http://host:+1/", port},
      {"http://u:SECRET@x@host/", "the URL has two @ before the host; percent-encode the first as %40"},
      {"http://::1/", "the host has several colons; an IPv6 address needs brackets: [ADDRESS]:PORT"},
      {"http://[::1/", "the host begins with [ and has no ]"},
      {"http://[::1]x/", "only a :PORT may follow [IPv6]"},
      {"http://[::1]:/", port},
      {"http://[fe80::1%25eth0]/", "the host in brackets is no IPv6 address"},
      {"http://[127.0.0.1]/", "the host in brackets is no IPv6 address"},
      {"http://a..b/", "the host has an empty label"},
      {"http://.a/", "the host has an empty label"},
      {"http://./", "the host has an empty label"},
      {"http://-a/", "the host has a label that begins or ends with a dash"},
      {"http://a-/", "the host has a label that begins or ends with a dash"},
      {"http://" + std::string(64, 'a') + "/", "the host has a label longer than 63 characters"},
      {"http://" + std::string(60, 'a') + "." + std::string(60, 'a') + "." + std::string(60, 'a') + "." +
           std::string(60, 'a') + "." + std::string(60, 'a') + "/",
       "the host is longer than 253 characters"},
      {"http://bücher.example/", "the host is not ASCII; write it in its xn-- form"},
      {"http://a{b}/",
       "the host has a character that no host name has (if it is part of a user name or password, percent-encode it)"},
      {"http://a%41/",
       "the host has a character that no host name has (if it is part of a user name or password, percent-encode it)"},
      {"http://127.1/", "the host is no host name, and no IPv4 address of four decimal numbers"},
      {"http://0x7f.0.0.1/", "the host is no host name, and no IPv4 address of four decimal numbers"},
      {"http://0x7f000001/", "the host is no host name, and no IPv4 address of four decimal numbers"},
      {"http://2130706433/", "the host is no host name, and no IPv4 address of four decimal numbers"},
      {"http://256.0.0.1/", "the host is no host name, and no IPv4 address of four decimal numbers"},
      {"http://1.2.3.4./", "the host is no host name, and no IPv4 address of four decimal numbers"},
      {"http://1.2.3.04/", "the host is no host name, and no IPv4 address of four decimal numbers"},
  };
  for (const Case& c : cases) {
    CAPTURE(c.text);
    const auto url = parse(c.text);
    REQUIRE_FALSE(url.has_value());
    CHECK(url.error() == c.error);
    CHECK(redact(c.text) == "…");
  }
}

TEST_CASE("url: parts that look like keys") {
  for (const char* key : {"0123456789abcdef", "k3y9x7w2q8v4z1m6", "9f8e7d6c5b4a39281706f5e4d3c2b1a0",
                          "A1B2c3D4e5F6g7H8", "qwrtzpsdfghklmnb", "abcdefghijklmnop", "eth-9f8e7d6c5b4a39281706f5e4",
                          "123e4567-e89b-12d3-a456-426614174000", "5ecre7k3y5ecre7k3y"}) {
    CAPTURE(key);
    CHECK(looks_like_key(key));
  }
  for (const char* name :
       {"", "rpc", "ethereum-mainnet", "polygon-zkevm-mainnet-rpc", "node1-eu2-rpc3-k8s4-az1", "arbitrumonemainnet",
        "ethereummainnet2024", "blockchainservices", "ip-10-0-12-255", "ec2-203-0-113-25", "silent-dimension-patron",
        "0123456789abcde", "1111111111111111", "aaaaaaaaaaaaaaaaaaaaaaaa", "localhost", "internationalbanking"}) {
    CAPTURE(name);
    CHECK_FALSE(looks_like_key(name));
  }
}

TEST_CASE("url: a text without its keys keeps names of methods and fields") {
  CHECK(without_keys("") == "");
  CHECK(without_keys("9f8e7d6c5b4a39281706") == "…");
  CHECK(without_keys("/result/9f8e7d6c5b4a39281706/n") == "/result/…/n");
  CHECK(without_keys("eth_call 123e4567-e89b-12d3-a456-426614174000.") == "eth_call ….");
  CHECK(without_keys("zks_k3y9x7w2q8v4z1m6pl") == "…");
  for (const char* name : {"eth_call", "zks_getL1BatchBlockRange", "qn_fetchNFTsByCreator", "getSignaturesForAddress",
                           "/result/value/lastUpdatedTimestamp", "suix_getLatestSuiSystemState", "net.version"}) {
    CAPTURE(name);
    CHECK(without_keys(name) == name);
  }
  // Of letters alone, and with few digits.
  for (const char* key : {"qwrtzpsdfghklmnb", "xKcdQwRtZpBvNmLkJhGf", "AKCAJSDFGHWQRTZPBVNM", "hq3Zt9fLkXvBnRwPqMds"}) {
    CAPTURE(key);
    CHECK(without_keys(key) == "…");
  }
}

TEST_CASE("url: a host that holds a key is shown by its end alone") {
  struct Case {
    const char* host;
    const char* unless_key;
    const char* end;
  };
  const Case cases[] = {
      {"key.rpc.example", "key.rpc.example", "…example"},
      {"9f8e7d6c5b4a39281706.rpc.example", "…example", "…example"},
      {"eth.9f8e7d6c5b4a39281706.rpc.example.", "…example", "…example"},
      {"9f8e7d6c5b4a39281706.example", "…example", "…example"},
      {"9f8e7d6c5b4a39281706", "…", "…"},
      {"rpc.9f8e7d6c5b4a39281706", "…", "…"},
      {"geth", "geth", "…"},
      {"192.0.2.1", "192.0.2.1", "…"},
      {"2001:db8::1", "2001:db8::1", "…"},
      {"2001:db8:1a2b:3c4d:5e6f:7a8b:9c0d:1e2f", "2001:db8:1a2b:3c4d:5e6f:7a8b:9c0d:1e2f", "…"},
  };
  for (const Case& c : cases) {
    CAPTURE(c.host);
    CHECK(shown_host(c.host) == c.unless_key);
    CHECK(shown_host(c.host, HostShown::kEnd) == c.end);
  }
  CHECK(redact("https://9f8e7d6c5b4a39281706.rpc.example:8443/x") == "https://…example:8443/…");
  CHECK(redact("https://u@key.rpc.example/x", HostShown::kEnd) == "https://…example/…");
  CHECK(redact("https://[2001:db8::1]:1/x", HostShown::kEnd) == "https://…:1/…");
}

TEST_CASE("url: registrable domain") {
  struct Case {
    const char* host;
    const char* domain;
  };
  const Case cases[] = {
      {"eth-mainnet.g.alchemy.com", "alchemy.com"},
      {"alchemy.com", "alchemy.com"},
      {"Alchemy.COM.", "alchemy.com"},
      {"a.b.example.co.uk", "example.co.uk"},
      {"example.co.uk", "example.co.uk"},
      {"co.uk", "co.uk"},
      {"x.example.com.au", "example.com.au"},
      {"x.co.com", "co.com"},
      {"rpc.ankr.io", "ankr.io"},
      {"geth", "geth"},
      {"127.0.0.1", "127.0.0.1"},
      {"2001:db8::1", "2001:db8::1"},
      {"", ""},
      {".", ""},
  };
  for (const Case& c : cases) {
    CAPTURE(c.host);
    CHECK(registrable_domain(c.host) == c.domain);
  }
}

}  // namespace
}  // namespace rpcw::url
