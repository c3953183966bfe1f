#include "common/command_line.hpp"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <utility>

namespace rpcw::bench {

struct CommandLine::Impl {
  Impl(std::string name, const std::string& about) : program(std::move(name)), app(about) {}
  std::string program;
  CLI::App app;
};

CommandLine::CommandLine(std::string program, const std::string& about)
    : impl_(std::make_unique<Impl>(std::move(program), about)) {}

CommandLine::~CommandLine() = default;

void CommandLine::folder(std::string& value, const std::string& help) {
  impl_->app.add_option("--out", value, help)->capture_default_str()->take_last();
}

void CommandLine::weighter(std::string& value) {
  impl_->app.add_option("--weighter", value, "The program to be measured")->check(CLI::ExistingFile);
}

void CommandLine::flag(const std::string& name, bool& value, const std::string& help) {
  impl_->app.add_flag(name, value, help);
}

void CommandLine::text(const std::string& name, std::string& value, const std::string& help) {
  impl_->app.add_option(name, value, help)->capture_default_str();
}

void CommandLine::texts(const std::string& name, std::vector<std::string>& values, const std::string& help) {
  impl_->app.add_option(name, values, help);
}

void CommandLine::number(const std::string& name, std::uint64_t& value, const std::string& help, std::uint64_t least,
                         std::uint64_t most) {
  impl_->app.add_option(name, value, help)->check(CLI::Range(least, most))->capture_default_str();
}

void CommandLine::numbers(const std::string& name, std::vector<std::uint64_t>& values, const std::string& help,
                          std::uint64_t least, std::uint64_t most) {
  impl_->app.add_option(name, values, help)->check(CLI::Range(least, most));
}

int CommandLine::run(int argc, char** argv, const std::function<int()>& body) {
  CLI11_PARSE(impl_->app, argc, argv);
  try {
    return body();
  } catch (const std::exception& e) {
    fmt::print(stderr, "{}: {}\n", impl_->program, e.what());
    return 1;
  }
}

}  // namespace rpcw::bench
