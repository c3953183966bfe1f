#include <cstdlib>

#include "base/off_loop.hpp"
#include "cli/cli.hpp"

int main(int argc, char** argv) {
  const int code = rpcw::cli::run(argc, argv);
  // A thread that reads a file on a slow disk uses tables that returning from here would destroy.
  if (rpcw::OffLoop::work_left()) std::_Exit(code);
  return code;
}
