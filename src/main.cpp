#include "cli/cli.hpp"

int main(int argc, char** argv) {
  return rpcw::cli::run(argc, argv);
}
