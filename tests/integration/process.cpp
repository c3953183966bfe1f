#include "integration/process.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <system_error>

namespace rpcw::test {
namespace {

[[noreturn]] void fail(const char* what) {
  throw std::system_error(errno, std::generic_category(), what);
}

/// What a child writes to memory never blocks it, however much it is and whenever it is read.
int memory_file(const char* name) {
  const int fd = memfd_create(name, MFD_CLOEXEC);
  if (fd < 0) fail("memfd_create");
  return fd;
}

std::string contents(int fd) {
  std::string out;
  char block[16384];  // NOLINT: filled by the kernel
  for (;;) {
    const ssize_t got = pread(fd, block, sizeof block, static_cast<off_t>(out.size()));
    if (got <= 0) return out;
    out.append(block, static_cast<std::size_t>(got));
  }
}

std::vector<char*> pointers(const std::vector<std::string>& texts) {
  std::vector<char*> out;
  for (const std::string& text : texts) out.push_back(const_cast<char*>(text.c_str()));
  out.push_back(nullptr);
  return out;
}

}  // namespace

Process::Process(const std::string& program, const Setup& setup) : out_(memory_file("out")), err_(memory_file("err")) {
  std::vector<std::string> arguments{program};
  arguments.insert(arguments.end(), setup.arguments.begin(), setup.arguments.end());
  const std::vector<char*> argv = pointers(arguments);
  const std::vector<char*> envp = pointers(setup.environment);
  const pid_t parent = getpid();

  pid_ = fork();
  if (pid_ < 0) fail("fork");
  if (pid_ > 0) return;
  // Other threads may hold locks: only system calls from here on.
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(126);
  dup2(open("/dev/null", O_RDONLY), STDIN_FILENO);
  if (setup.err_to == "-")
    close(STDERR_FILENO);
  else
    dup2(setup.err_to.empty() ? err_ : open(setup.err_to.c_str(), O_WRONLY), STDERR_FILENO);
  if (setup.out_to == "-")
    close(STDOUT_FILENO);
  else
    dup2(setup.out_to.empty() ? out_ : open(setup.out_to.c_str(), O_WRONLY), STDOUT_FILENO);
  if (setup.open_files) {
    const rlimit limit{*setup.open_files, *setup.open_files};
    setrlimit(RLIMIT_NOFILE, &limit);
  }
  if (setup.soft_open_files) {
    rlimit limit{};
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = *setup.soft_open_files;
    setrlimit(RLIMIT_NOFILE, &limit);
  }
  // The simulator's sockets among them: a port would stay open when the simulator has closed it.
  close_range(STDERR_FILENO + 1, ~0U, CLOSE_RANGE_CLOEXEC);
  execve(program.c_str(), argv.data(), envp.data());
  _exit(127);
}

Process::~Process() {
  if (!result_) {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
  close(out_);
  close(err_);
}

void Process::signal(int number) const {
  if (!result_) kill(pid_, number);
}

std::optional<int> Process::wait(Clock::duration limit) {
  if (result_) return result_;
  // By number: glibc 2.36 declares pidfd_open without C linkage.
  const int handle = static_cast<int>(syscall(SYS_pidfd_open, pid_, 0));
  if (handle < 0) fail("pidfd_open");
  const auto deadline = Clock::now() + limit;
  int ready = 0;
  do {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now());
    pollfd end{handle, POLLIN, 0};
    ready = poll(&end, 1, static_cast<int>(std::max<std::int64_t>(left.count(), 0)));
  } while (ready < 0 && errno == EINTR);
  close(handle);
  if (ready <= 0) return std::nullopt;
  int status = 0;
  waitpid(pid_, &status, 0);
  result_ = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  return result_;
}

std::string Process::out() const {
  return contents(out_);
}
std::string Process::err() const {
  return contents(err_);
}

}  // namespace rpcw::test
