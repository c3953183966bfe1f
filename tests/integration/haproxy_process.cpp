#include "haproxy_process.hpp"

#include <fcntl.h>
#include <linux/close_range.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <stdexcept>
#include <thread>
#include <utility>

namespace rpcw::test {
namespace {

using std::chrono::steady_clock;

constexpr std::chrono::milliseconds kPoll{5};

/// For a process to stop after SIGSTOP, on a machine that is busy.
constexpr std::chrono::seconds kStopped{10};

/// By the letter after the name in /proc/PID/task/TID/stat (proc(5)): T.
bool all_threads_stopped(pid_t pid) {
  for (const auto& task : std::filesystem::directory_iterator("/proc/" + std::to_string(pid) + "/task")) {
    std::ifstream file(task.path() / "stat");
    const std::string stat{std::istreambuf_iterator<char>(file), {}};
    const auto name_end = stat.rfind(") ");
    if (name_end == std::string::npos || stat[name_end + 2] != 'T') return false;
  }
  return true;
}

std::string program() {
  const auto* given = std::getenv("HAPROXY");  // NOLINT(concurrency-mt-unsafe)
  if (given != nullptr && *given != '\0') return given;
  // Debian keeps it where users who are not root have no PATH to.
  return ::access("/usr/sbin/haproxy", X_OK) == 0 ? "/usr/sbin/haproxy" : "haproxy";
}

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  int get() const { return fd_; }

 private:
  int fd_;
};

}  // namespace

HaproxyProcess::HaproxyProcess(std::string_view config, Options options) : options_(std::move(options)) {
  auto name = (std::filesystem::temp_directory_path() / "rpcw-haproxy-XXXXXX").string();
  if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("mkdtemp: " + name + ": " + std::strerror(errno));
  directory_ = name;
  try {
    configure(config);
    start();
  } catch (...) {
    stop();
    std::filesystem::remove_all(directory_);
    throw;
  }
}

HaproxyProcess::~HaproxyProcess() {
  stop();
  std::error_code ignored;
  std::filesystem::remove_all(directory_, ignored);
}

void HaproxyProcess::configure(std::string_view config) {
  std::string text(config);
  for (auto at = text.find("@DIR@"); at != std::string::npos; at = text.find("@DIR@", at))
    text.replace(at, 5, directory_);
  std::ofstream(path("haproxy.cfg")) << text;
}

void HaproxyProcess::start() {
  const auto binary = program();
  const auto cfg = path("haproxy.cfg");
  const auto master_socket = path("master.sock");
  const auto log = path("output");
  const auto parent = ::getpid();
  const auto child = ::fork();
  if (child < 0) throw std::runtime_error(std::string("fork: ") + std::strerror(errno));
  if (child == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (::getppid() != parent) ::_exit(127);
    const int out = ::open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    const int in = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
    ::dup2(in, 0);
    ::dup2(out, 1);
    ::dup2(out, 2);
    // The listeners of a simulator in this process among them: a port would stay open when the simulator has closed it.
    ::close_range(3, ~0U, CLOSE_RANGE_CLOEXEC);
    if (options_.master) {
      ::execlp(binary.c_str(), "haproxy", "-W", "-S", master_socket.c_str(), "-f", cfg.c_str(), nullptr);
    } else {
      ::execlp(binary.c_str(), "haproxy", "-db", "-f", cfg.c_str(), nullptr);
    }
    ::dprintf(2, "cannot start %s: %s\n", binary.c_str(), std::strerror(errno));
    ::_exit(127);
  }
  pid_ = child;
  wait_for_worker_other_than(-1);
}

pid_t HaproxyProcess::worker_pid() const {
  const auto info = check(admin_socket(), "show info");
  const auto at = info.find("\nPid: ");
  if (at == std::string::npos) return -1;
  pid_t pid = -1;
  std::from_chars(info.data() + at + 6, info.data() + info.size(), pid);
  return pid;
}

void HaproxyProcess::wait_for_worker_other_than(pid_t old) {
  const auto deadline = steady_clock::now() + kPatience;
  while (steady_clock::now() < deadline) {
    int status = 0;
    if (::waitpid(pid_, &status, WNOHANG) == pid_) {
      pid_ = -1;
      fail("HAProxy has ended");
    }
    const auto now = worker_pid();
    // The worker is there before its master, which loses the signals that come too early.
    const bool master = !options_.master || check(path("master.sock"), "show proc").find("worker") != std::string::npos;
    if (now > 0 && now != old && master) return;
    std::this_thread::sleep_for(kPoll);
  }
  fail("HAProxy does not answer");
}

void HaproxyProcess::pause() {
  paused_ = worker_pid();
  if (paused_ <= 0) fail("no worker to pause");
  ::kill(paused_, SIGSTOP);
  // A thread that runs at this moment may finish what it does.
  const auto end = steady_clock::now() + kStopped;
  while (!all_threads_stopped(paused_)) {
    if (steady_clock::now() > end) fail("the worker does not stop");
    std::this_thread::sleep_for(kPoll);
  }
}

void HaproxyProcess::resume() {
  if (paused_ > 0) ::kill(std::exchange(paused_, -1), SIGCONT);
}

void HaproxyProcess::reload() {
  if (!options_.master) fail("only a master can reload");
  const auto old = worker_pid();
  ::kill(pid_, SIGUSR2);
  wait_for_worker_other_than(old);
}

void HaproxyProcess::restart() {
  stop();
  start();
}

void HaproxyProcess::stop() {
  resume();
  if (pid_ <= 0) return;
  ::kill(pid_, SIGTERM);
  const auto deadline = steady_clock::now() + kPatience;
  while (::waitpid(pid_, nullptr, WNOHANG) == 0) {
    if (steady_clock::now() > deadline) {
      ::kill(pid_, SIGKILL);
      ::waitpid(pid_, nullptr, 0);
      break;
    }
    std::this_thread::sleep_for(kPoll);
  }
  pid_ = -1;
}

std::string HaproxyProcess::output() const {
  std::ostringstream text;
  text << std::ifstream(path("output")).rdbuf();
  return text.str();
}

void HaproxyProcess::fail(std::string_view what) const {
  throw std::runtime_error(std::string(what) + "; it printed:\n" + output());
}

std::string HaproxyProcess::check(const std::string& socket_path, std::string_view command,
                                  std::chrono::milliseconds timeout) {
  const auto deadline = steady_clock::now() + timeout;
  const Descriptor fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (socket_path.size() >= sizeof address.sun_path) return {};
  std::memcpy(address.sun_path, socket_path.c_str(), socket_path.size() + 1);
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) return {};
  const auto line = std::string(command) + "\n";
  if (::send(fd.get(), line.data(), line.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(line.size())) return {};
  ::shutdown(fd.get(), SHUT_WR);
  std::string reply;
  while (true) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - steady_clock::now()).count();
    pollfd readable{.fd = fd.get(), .events = POLLIN, .revents = 0};
    if (left <= 0 || ::poll(&readable, 1, static_cast<int>(left)) <= 0) return {};
    char chunk[65536];
    const auto count = ::recv(fd.get(), chunk, sizeof chunk, 0);
    if (count == 0) return reply;
    if (count < 0) return {};
    reply.append(chunk, static_cast<std::size_t>(count));
  }
}

std::uint16_t free_port() {
  const Descriptor fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), size) != 0 ||
      ::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address), &size) != 0) {
    throw std::runtime_error(std::string("no free port: ") + std::strerror(errno));
  }
  return ntohs(address.sin_port);
}

}  // namespace rpcw::test
