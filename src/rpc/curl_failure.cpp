#include "rpc/curl_failure.hpp"

#include <fmt/format.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <utility>

#include "base/text.hpp"
#include "weighter/judge/judge.hpp"

namespace rpcw::rpc {
namespace {

ProbeFailure because(Reason reason, std::string detail) {
  return {reason, std::move(detail), std::nullopt};
}

template <typename Value>
Value info(CURL* easy, CURLINFO what) {
  Value value = 0;
  curl_easy_getinfo(easy, what, &value);
  return value;
}

/// host:port, or the proxy in front of it.
std::string where(const FailedTransfer& f) {
  if (f.by_proxy) return "the proxy";
  return fmt::format("{}:{}", url_host(f.target.shown_host), f.target.parts.port);
}

/// Errors of socket() that mean that this machine has run out of something.
bool is_shortage(int error) {
  return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
}

ProbeFailure cannot_connect(const FailedTransfer& f) {
  if (is_shortage(f.no_socket)) {
    ProbeFailure out = because(Reason::kConnectFailed,
                               fmt::format("this machine has no socket for a probe: {}", std::strerror(f.no_socket)));
    out.ours = true;
    return out;
  }
  const long error = info<long>(f.easy, CURLINFO_OS_ERRNO);
  return because(
      Reason::kConnectFailed,
      fmt::format("{}: {}", where(f), error != 0 ? std::strerror(static_cast<int>(error)) : "cannot connect"));
}

ProbeFailure timed_out(const FailedTransfer& f) {
  const bool sent = info<curl_off_t>(f.easy, CURLINFO_PRETRANSFER_TIME_T) > 0;
  // libcurl tells the time of the connection only when TLS is done, and libcurl 8 its port, too.
  const bool connected = sent || info<long>(f.easy, CURLINFO_LOCAL_PORT) > 0;
  const bool looked_up = connected || info<curl_off_t>(f.easy, CURLINFO_NAMELOOKUP_TIME_T) > 0;
  const std::string limit = span_text(f.timeout);
  // Only where libcurl itself looks names up: with the environment's proxy.
  if (!looked_up) return because(Reason::kDnsFailed, fmt::format("no name look-up within {}", limit));
  const bool tls = f.target.parts.scheme == "https";
  const bool may_be_connected = tls && curl_version_info(CURLVERSION_NOW)->version_num >= 0x080000;
  const char* missing = may_be_connected ? "no connection with TLS" : "no connection";
  if (sent)
    missing = info<curl_off_t>(f.easy, CURLINFO_STARTTRANSFER_TIME_T) > 0 ? "no complete answer" : "no answer";
  else if (connected)
    missing = tls ? "no TLS session" : "no way through the proxy";
  return because(Reason::kTimeout, fmt::format("{} within {}", missing, limit));
}

ProbeFailure no_tls(const FailedTransfer& f) {
  if (f.words.find("wrong version number") != std::string_view::npos)
    return because(Reason::kTlsFailed, fmt::format("{} does not speak TLS", where(f)));
  return because(Reason::kTlsFailed, f.target.scrub(f.words.empty() ? curl_easy_strerror(f.code) : f.words));
}

/// The connection ended under the transfer.
ProbeFailure broken(const FailedTransfer& f, const char* how) {
  const long proxy_status = info<long>(f.easy, CURLINFO_HTTP_CONNECTCODE);
  if (proxy_status >= 300)
    return because(Reason::kConnectFailed, fmt::format("the proxy answers HTTP {}", proxy_status));
  if (info<long>(f.easy, CURLINFO_RESPONSE_CODE) != 0)
    return because(Reason::kBadAnswer, "the connection ended before the whole answer had come");
  return because(Reason::kConnectFailed, fmt::format("{} {}", where(f), how));
}

}  // namespace

ProbeFailure explain(const FailedTransfer& f) {
  switch (f.code) {
    case CURLE_COULDNT_RESOLVE_HOST:
      return because(Reason::kDnsFailed, fmt::format("{} does not resolve", f.target.shown_host));
    case CURLE_COULDNT_RESOLVE_PROXY:
      return because(Reason::kDnsFailed, "the proxy's name does not resolve");
    case CURLE_COULDNT_CONNECT:
      return cannot_connect(f);
    case CURLE_OPERATION_TIMEDOUT:
      return timed_out(f);
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CIPHER:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_SSL_CRL_BADFILE:
    case CURLE_SSL_INVALIDCERTSTATUS:
    case CURLE_SSL_PINNEDPUBKEYNOTMATCH:
    case CURLE_SSL_CLIENTCERT:
    case CURLE_SSL_ENGINE_NOTFOUND:
    case CURLE_SSL_ENGINE_SETFAILED:
      return no_tls(f);
    case CURLE_WRITE_ERROR:
      if (f.too_large) return because(Reason::kTooLarge, fmt::format("more than {} bytes", f.max_bytes));
      return because(Reason::kBadAnswer, "the body cannot be decompressed");
    case CURLE_BAD_CONTENT_ENCODING:
      return because(Reason::kBadAnswer, "the body cannot be decompressed");
    case CURLE_GOT_NOTHING:
      return broken(f, "closed the connection without an answer");
    case CURLE_RECV_ERROR:
    case CURLE_SEND_ERROR:
      return broken(f, "reset the connection");
    case CURLE_HTTP2:
    case CURLE_HTTP2_STREAM:
      return broken(f, "broke off the HTTP/2 exchange");
    case CURLE_PARTIAL_FILE:
      return because(Reason::kBadAnswer, "the connection ended before the whole answer had come");
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_WEIRD_SERVER_REPLY:
      return because(Reason::kBadAnswer, "the answer is not HTTP");
    case CURLE_PROXY:
      return because(Reason::kConnectFailed, "the proxy refused the connection");
    case CURLE_OUT_OF_MEMORY:
      // More likely than what it says: a header line of more than 100 kB (CURL_MAX_HTTP_HEADER).
      return because(Reason::kTooLarge, "a header line is too long");
    default:
      return because(Reason::kBadAnswer, curl_easy_strerror(f.code));
  }
}

}  // namespace rpcw::rpc
