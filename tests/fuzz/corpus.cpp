// Gives every target its seeds, and simple mutations of them, always the same ones. It needs no fuzzer, so that each
// build and each sanitizer runs it; scripts/fuzz looks further.
//
//   fuzz-corpus FOLDER [MUTATIONS]     of each seed; default 20

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

#include "fuzz/targets.hpp"

namespace fs = std::filesystem;

namespace {

std::string contents(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

/// Bytes changed, lost, doubled or taken from another seed.
std::string mutated(std::string text, const std::string& other, std::mt19937& random) {
  const auto below = [&](std::size_t n) { return n == 0 ? 0 : random() % n; };
  for (auto n = random() % 4 + 1; n > 0; --n) {
    const std::size_t at = below(text.size());
    switch (random() % 4) {
      case 0:
        if (!text.empty()) text[at] = static_cast<char>(random());
        break;
      case 1:
        text.erase(at, below(40));
        break;
      case 2:
        text.insert(at, text.substr(below(text.size()), below(200)));
        break;
      default:
        text.insert(at, other.substr(below(other.size()), below(200)));
    }
  }
  return text;
}

}  // namespace

int main(int argc, char** argv) {
  unsigned mutations = 20;
  if (argc > 2) {
    const std::string_view word = argv[2];
    std::from_chars(word.data(), word.data() + word.size(), mutations);
  }
  if (argc < 2) {
    std::fputs("usage: fuzz-corpus FOLDER [MUTATIONS]\n", stderr);
    return 2;
  }
  for (const rpcw::fuzz::Target& target : rpcw::fuzz::targets()) {
    std::vector<fs::path> files;
    const fs::path folder = fs::path(argv[1]) / target.name;
    if (fs::is_directory(folder))
      for (const auto& entry : fs::directory_iterator(folder)) files.push_back(entry.path());
    std::ranges::sort(files);
    if (files.empty()) {
      std::fprintf(stderr, "fuzz-corpus: %s has no seed\n", folder.c_str());
      return 1;
    }
    std::vector<std::string> seeds;
    std::ranges::transform(files, std::back_inserter(seeds), contents);
    std::mt19937 random(1);
    for (std::size_t i = 0; i < seeds.size(); ++i) {
      // Before it is run: an input that ends the process is the last one named.
      std::fprintf(stderr, "%s\n", files[i].c_str());
      target.run(seeds[i]);
      for (unsigned k = 0; k < mutations; ++k) target.run(mutated(seeds[i], seeds[random() % seeds.size()], random));
    }
  }
  return 0;
}
