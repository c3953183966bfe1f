// Runs a program and prints what it has spent. Linked against nothing but the C library: a process begins with the
// largest resident size of the one that started it, which would hide a small program's behind a large benchmark's.
//
//   spend PROGRAM ARGUMENT...    prints "wall_us cpu_us max_rss_kib exit_code"; what the program prints is thrown away
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cstdio>

namespace {

long long now_us() {
  timespec t{};
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1'000'000LL + t.tv_nsec / 1000;
}

long long micros(const timeval& t) {
  return t.tv_sec * 1'000'000LL + t.tv_usec;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) return 2;
  const long long start = now_us();
  const pid_t child = vfork();
  if (child == 0) {
    const int nowhere = open("/dev/null", O_WRONLY);
    dup2(nowhere, STDOUT_FILENO);
    execv(argv[1], argv + 1);
    _exit(127);
  }
  if (child < 0) return 2;
  int status = 0;
  rusage usage{};
  if (wait4(child, &status, 0, &usage) != child) return 2;
  dprintf(STDOUT_FILENO, "%lld %lld %ld %d\n", now_us() - start, micros(usage.ru_utime) + micros(usage.ru_stime),
          usage.ru_maxrss, WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status));
}
