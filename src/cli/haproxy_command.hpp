#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <expected>
#include <functional>
#include <string>
#include <string_view>

#include "cli/exit_code.hpp"

/// What the commands share that talk to HAProxy alone.
namespace rpcw::cli {

struct Place {
  std::string backend;
  /// Empty: the whole backend.
  std::string server;

  [[nodiscard]] std::string text() const { return backend + "/" + server; }
};

/// From BACKEND/SERVER, or with `backend_alone` from BACKEND as well. The error is a sentence.
std::expected<Place, std::string> place_of(const std::string& text, bool backend_alone);

/// A line on standard error.
void complain(std::string_view text);

/// Runs a coroutine to its end, and gives what it returns.
ExitCode in_loop(const std::function<boost::asio::awaitable<ExitCode>(boost::asio::io_context&)>& work);

}  // namespace rpcw::cli
