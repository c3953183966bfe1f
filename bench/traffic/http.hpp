#pragma once

#include "integration/http_client.hpp"
#include "integration/process.hpp"
#include "traffic/answer.hpp"

namespace rpcw::bench {

namespace asio = boost::asio;
using test::Clock;
using test::HttpClient;

}  // namespace rpcw::bench
