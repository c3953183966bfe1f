// Runs a program under a seccomp profile in the form that OCI runtimes take.
//
//   seccomp-load PROFILE COMMAND...     the default action kills, so that no refused call goes unseen
//   seccomp-load PROFILE                prints how calls end that the profile is there for, one a line: NAME ERRNO
//   seccomp-load -                      the same without a profile
//
// The exit code is 4, and a line on standard error says why, when the profile cannot be loaded or the program not
// started.
#include <dirent.h>
#include <fcntl.h>
#include <rapidjson/document.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <map>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace {

using rapidjson::Value;

const Value& member(const Value& object, const char* name) {
  const auto found = object.FindMember(name);
  if (found == object.MemberEnd()) throw std::runtime_error(std::string("the profile has no ") + name);
  return found->value;
}

std::uint64_t number_or(const Value& object, const char* name, std::uint64_t otherwise) {
  const auto found = object.FindMember(name);
  return found == object.MemberEnd() ? otherwise : found->value.GetUint64();
}

/// A key that is not understood would be a rule that is not tested.
void only(const Value& object, const std::vector<std::string_view>& known) {
  for (const auto& entry : object.GetObject()) {
    const std::string_view name(entry.name.GetString(), entry.name.GetStringLength());
    bool found = false;
    for (const std::string_view one : known) found = found || one == name;
    if (!found) throw std::runtime_error("the profile has an unknown key " + std::string(name));
  }
}

std::uint32_t action_of(const std::string& name, std::uint64_t number) {
  if (name == "SCMP_ACT_ALLOW") return SCMP_ACT_ALLOW;
  if (name == "SCMP_ACT_ERRNO") return SCMP_ACT_ERRNO(static_cast<std::uint32_t>(number));
  throw std::runtime_error("the profile has an unknown action " + name);
}

std::vector<scmp_arg_cmp> arguments_of(const Value& rule) {
  static const std::map<std::string, scmp_compare> kComparisons{
      {"SCMP_CMP_EQ", SCMP_CMP_EQ}, {"SCMP_CMP_NE", SCMP_CMP_NE}, {"SCMP_CMP_MASKED_EQ", SCMP_CMP_MASKED_EQ}};
  std::vector<scmp_arg_cmp> out;
  if (!rule.HasMember("args")) return out;
  for (const Value& argument : rule["args"].GetArray()) {
    only(argument, {"index", "value", "valueTwo", "op"});
    out.push_back({.arg = member(argument, "index").GetUint(),
                   .op = kComparisons.at(member(argument, "op").GetString()),
                   .datum_a = member(argument, "value").GetUint64(),
                   .datum_b = number_or(argument, "valueTwo", 0)});
  }
  return out;
}

void succeed(int result, const std::string& what) {
  if (result < 0) throw std::runtime_error(what + ": " + std::strerror(-result));
}

void load(const char* path, bool kill) {
  std::ifstream in(path);
  const std::string text{std::istreambuf_iterator<char>(in), {}};
  rapidjson::Document profile;
  if (profile.Parse(text.c_str()).HasParseError() || !profile.IsObject())
    throw std::runtime_error(std::string(path) + " is no JSON object");
  only(profile, {"defaultAction", "defaultErrnoRet", "architectures", "syscalls"});
  const std::uint32_t refused =
      action_of(member(profile, "defaultAction").GetString(), number_or(profile, "defaultErrnoRet", EPERM));
  scmp_filter_ctx filter = seccomp_init(kill ? SCMP_ACT_KILL_PROCESS : refused);
  if (filter == nullptr) throw std::runtime_error("seccomp_init failed");
  bool ours = false;
  for (const Value& name : member(profile, "architectures").GetArray()) {
    const std::string text_name = name.GetString();
    const std::uint32_t token = text_name == "SCMP_ARCH_X86_64"    ? SCMP_ARCH_X86_64
                                : text_name == "SCMP_ARCH_AARCH64" ? SCMP_ARCH_AARCH64
                                                                   : throw std::runtime_error("unknown " + text_name);
    ours = ours || token == seccomp_arch_native();
    if (token != seccomp_arch_native()) succeed(seccomp_arch_add(filter, token), text_name);
  }
  if (!ours) throw std::runtime_error("the profile is not for this architecture");
  for (const Value& rule : member(profile, "syscalls").GetArray()) {
    only(rule, {"names", "action", "errnoRet", "args", "comment"});
    const std::uint32_t action = action_of(member(rule, "action").GetString(), number_or(rule, "errnoRet", EPERM));
    const std::vector<scmp_arg_cmp> arguments = arguments_of(rule);
    for (const Value& name : member(rule, "names").GetArray()) {
      const int number = seccomp_syscall_resolve_name(name.GetString());
      // Newer than this libseccomp: runtimes leave it out, too.
      if (number == __NR_SCMP_ERROR) continue;
      succeed(seccomp_rule_add_array(filter, action, number, static_cast<unsigned>(arguments.size()), arguments.data()),
              name.GetString());
    }
  }
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) throw std::runtime_error("PR_SET_NO_NEW_PRIVS failed");
  succeed(seccomp_load(filter), "seccomp_load");
}

/// What runc 1.1 does between loading the filter and starting the program: it marks all descriptors, and makes sure
/// that /proc is the kernel's.
void close_as_runc() {
  struct statfs of {};
  DIR* folder = ::opendir("/proc/self/fd");
  if (folder == nullptr || ::fstatfs(::dirfd(folder), &of) != 0)
    throw std::runtime_error(std::string("/proc/self/fd: ") + std::strerror(errno));
  while (const dirent* entry = ::readdir(folder))
    if (const int fd = std::atoi(entry->d_name); fd > STDERR_FILENO) ::fcntl(fd, F_SETFD, FD_CLOEXEC);
  ::closedir(folder);
}

/// Prints the error of a call; 0: it worked.
void tell(const char* name, long result) {
  std::printf("%s %s\n", name, result >= 0 ? "0" : strerrorname_np(errno));
}

/// What code that has taken the program over would try. Without a profile any user may do all of it.
void try_all() {
  const long child = ::syscall(SYS_clone, SIGCHLD, nullptr, nullptr, nullptr, nullptr);
  if (child == 0) ::_exit(0);
  tell("clone", child);
  if (child > 0) ::waitpid(static_cast<pid_t>(child), nullptr, 0);
  tell("execveat", ::syscall(SYS_execveat, -1, "/no such program", nullptr, nullptr, 0));
  tell("ptrace", ::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr));
  char byte = 0;
  const iovec here{&byte, 1};
  tell("process_vm_readv", ::process_vm_readv(::getpid(), &here, 1, &here, 1, 0));
  tell("unshare", ::unshare(0));
  tell("personality", ::personality(0xffffffff));
  tell("memfd_create", ::syscall(SYS_memfd_create, "x", 0));
  tell("symlink", ::symlinkat("", AT_FDCWD, ""));
  tell("chmod", ::chmod("", 0));
  // A key of the kernel, a packet filter, a ring of calls past this filter: no arguments, so that they only fail.
  tell("keyctl", ::syscall(SYS_keyctl, -1, 0, 0, 0, 0));
  tell("bpf", ::syscall(SYS_bpf, -1, nullptr, 0));
  tell("io_uring_setup", ::syscall(SYS_io_uring_setup, 0, nullptr));
  tell("userfaultfd", ::syscall(SYS_userfaultfd, -1));
  const int alg = ::socket(AF_ALG, SOCK_SEQPACKET, 0);
  tell("socket_alg", alg);
  tell("socket_packet", ::socket(AF_PACKET, SOCK_RAW, 0));
}

}  // namespace

int main(int argc, char** argv) try {
  if (argc < 2) throw std::runtime_error("usage: seccomp-load PROFILE [COMMAND...]");
  if (std::string_view(argv[1]) != "-") load(argv[1], argc > 2);
  if (argc == 2) {
    try_all();
    return 0;
  }
  close_as_runc();
  ::execv(argv[2], argv + 2);
  throw std::runtime_error(std::string(argv[2]) + ": " + std::strerror(errno));
} catch (const std::exception& error) {
  std::fprintf(stderr, "seccomp-load: %s\n", error.what());
  return 4;
}
