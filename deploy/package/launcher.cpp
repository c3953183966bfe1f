// bin/rpc-weighter of the tarball and the .rpm: starts the program with the loader and the libraries in
// ../lib/rpc-weighter (see scripts/portable). Linked statically, since the system may have no library that fits.
#include <sys/auxv.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace {

/// As the agent's own errors.
constexpr int kOwnError = 4;

/// The launcher's own file without links. A bare chroot has no /proc; then it is the path that it was started by.
bool find_self(char (&self)[PATH_MAX]) {
  const ssize_t length = ::readlink("/proc/self/exe", self, sizeof self - 1);
  if (length > 0) {
    self[length] = '\0';
    return true;
  }
  const auto* started_by = reinterpret_cast<const char*>(::getauxval(AT_EXECFN));
  return started_by != nullptr && ::realpath(started_by, self) != nullptr;
}

/// Cuts off the last part of a path. False: there is none.
bool to_parent(char* path) {
  char* const slash = std::strrchr(path, '/');
  if (slash == nullptr) return false;
  *slash = '\0';
  return true;
}

int failed(const char* what) {
  std::fprintf(stderr, "rpc-weighter: %s: %s; unpack the whole archive, and keep its folders together\n", what,
               std::strerror(errno));
  return kOwnError;
}

}  // namespace

int main(int argc, char** argv) {
  static char self[PATH_MAX];
  if (!find_self(self) || !to_parent(self) || !to_parent(self)) return failed("its own folder is not known");
  static char folder[PATH_MAX];
  static char loader[PATH_MAX];
  static char program[PATH_MAX];
  const int length = std::snprintf(folder, sizeof folder, "%s/lib/rpc-weighter", self);
  errno = ENAMETOOLONG;
  if (length < 0 || std::snprintf(loader, sizeof loader, "%s/rpc-weighter", folder) >= PATH_MAX ||
      std::snprintf(program, sizeof program, "%s/program", folder) >= PATH_MAX)
    return failed(self);

  constexpr int kOwn = 6;
  char option_path[] = "--library-path";
  char option_name[] = "--argv0";
  char* const name = argc > 0 ? argv[0] : loader;
  auto** const arguments = static_cast<char**>(std::calloc(static_cast<std::size_t>(argc) + kOwn + 2, sizeof(char*)));
  if (arguments == nullptr) return failed("no memory");
  char* const own[kOwn] = {name, option_path, folder, option_name, name, program};
  std::memcpy(arguments, own, sizeof own);
  for (int i = 1; i < argc; ++i) arguments[kOwn + i - 1] = argv[i];
  ::execv(loader, arguments);
  return failed(loader);
}
