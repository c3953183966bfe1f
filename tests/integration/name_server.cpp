#include "integration/name_server.hpp"

#include <fmt/format.h>

#include <boost/asio/buffer.hpp>

namespace rpcw::test {

namespace asio = boost::asio;
using asio::ip::udp;

namespace {

// RFC 1035 and 2782.
constexpr std::size_t kHeader = 12;
constexpr unsigned kA = 1;
constexpr unsigned kSrv = 33;
constexpr unsigned kIn = 1;
constexpr unsigned kAnswerFlags = 0x8580;
constexpr unsigned kNoSuchName = 3;
constexpr unsigned kNameOfTheQuestion = 0xC000 + kHeader;

std::string number(unsigned n) {
  return {static_cast<char>(n >> 8U), static_cast<char>(n & 0xFFU)};
}

std::string name(std::string_view label) {
  const std::string top = "test";
  return fmt::format("{}{}{}{}", static_cast<char>(label.size()), label, static_cast<char>(top.size()), top) + '\0';
}

std::string record(unsigned type, const std::string& data) {
  return number(kNameOfTheQuestion) + number(type) + number(kIn) + number(0) + number(1) +
         number(static_cast<unsigned>(data.size())) + data;
}

}  // namespace

NameServer::NameServer() : socket_(io_, {asio::ip::address_v4::loopback(), 0}), thread_([this] { serve(); }) {}

NameServer::~NameServer() {
  ending_ = true;
  udp::socket last(io_, udp::v4());
  boost::system::error_code ignored;
  last.send_to(asio::buffer("", 1), socket_.local_endpoint(), 0, ignored);
  thread_.join();
}

void NameServer::set(std::vector<std::uint16_t> ports) {
  const std::lock_guard lock(mutex_);
  ports_ = std::move(ports);
}

void NameServer::serve() {
  for (;;) {
    std::string query(2048, '\0');
    udp::endpoint from;
    boost::system::error_code ec;
    query.resize(socket_.receive_from(asio::buffer(query), from, 0, ec));
    if (ending_) return;
    const std::string reply = answer(query);
    if (!reply.empty()) socket_.send_to(asio::buffer(reply), from, 0, ec);
  }
}

std::string NameServer::answer(const std::string& query) const {
  if (query.size() < kHeader) return {};
  const std::size_t end = query.find('\0', kHeader);
  if (end == std::string::npos || query.size() < end + 5) return {};
  const std::string kind = query.substr(kHeader, end + 5 - kHeader);
  const auto type = static_cast<unsigned char>(kind[kind.size() - 3]);
  std::vector<std::string> records;
  const std::lock_guard lock(mutex_);
  if (type == kA) records.push_back(record(kA, {127, 0, 0, 1}));
  if (type == kSrv)
    for (const std::uint16_t port : ports_)
      records.push_back(record(kSrv, number(1) + number(1) + number(port) + name(fmt::format("p{}", port))));
  const unsigned code = type == kSrv && ports_.empty() ? kNoSuchName : 0;
  std::string out = query.substr(0, 2) + number(kAnswerFlags + code) + number(1) +
                    number(static_cast<unsigned>(records.size())) + number(0) + number(0) + kind;
  for (const std::string& r : records) out += r;
  return out;
}

}  // namespace rpcw::test
