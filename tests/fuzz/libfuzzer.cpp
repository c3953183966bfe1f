// One libFuzzer program for all targets: --target=NAME chooses.
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include "fuzz/targets.hpp"

namespace {

const rpcw::fuzz::Target* chosen = nullptr;

}  // namespace

extern "C" int LLVMFuzzerInitialize(int* argc, char*** argv) {
  // At the soft limit of processor time (ulimit -S -t) libFuzzer ends in order, with its figures.
  std::signal(SIGXCPU, [](int) { std::raise(SIGUSR1); });
  constexpr std::string_view kOption = "--target=";
  for (int i = 1; i < *argc; ++i)
    if (const std::string_view word = (*argv)[i]; word.starts_with(kOption))
      chosen = rpcw::fuzz::find(word.substr(kOption.size()));
  if (chosen != nullptr) return 0;
  std::fputs("usage: fuzz --target=NAME [libFuzzer's options] [CORPUS...]; NAME is one of", stderr);
  for (const rpcw::fuzz::Target& t : rpcw::fuzz::targets())
    std::fprintf(stderr, " %.*s", static_cast<int>(t.name.size()), t.name.data());
  std::fputs("\n", stderr);
  std::exit(2);
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  chosen->run({reinterpret_cast<const char*>(data), size});
  return 0;
}
