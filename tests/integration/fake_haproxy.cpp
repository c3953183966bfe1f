#include "integration/fake_haproxy.hpp"

#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <sstream>
#include <stdexcept>
#include <utility>

namespace rpcw::test {

using std::chrono::steady_clock;

FakeHaproxy::FakeHaproxy(std::string path)
    : path_(std::move(path)), started_(steady_clock::now() - std::chrono::minutes(2)) {
  listener_ = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path_.size() >= sizeof address.sun_path) throw std::runtime_error("the path is too long");
  std::memcpy(address.sun_path, path_.c_str(), path_.size() + 1);
  if (::bind(listener_, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
      ::listen(listener_, 16) != 0)
    throw std::runtime_error("cannot listen on " + path_);
  thread_ = std::thread([this] { serve(); });
}

FakeHaproxy::~FakeHaproxy() {
  stopping_ = true;
  ::shutdown(listener_, SHUT_RDWR);
  thread_.join();
  ::close(listener_);
}

void FakeHaproxy::restart(std::uint64_t failed) {
  const std::lock_guard lock(mutex_);
  for (auto& [name, weight] : weights_) weight = 1;
  started_ = steady_clock::now();
  failed_ = failed;
}

std::map<std::string, unsigned> FakeHaproxy::weights() const {
  const std::lock_guard lock(mutex_);
  return weights_;
}

void FakeHaproxy::serve() {
  while (!stopping_) {
    const int fd = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    if (fd < 0) break;
    const timeval limit{.tv_sec = 5, .tv_usec = 0};
    ::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    std::string line;
    char byte = 0;
    while (::recv(fd, &byte, 1, 0) == 1 && byte != '\n') line += byte;
    if (drops_sets_ && line.find("set weight") != std::string::npos) {
      ++cut_off_;
    } else {
      std::istringstream commands(line);
      std::string text;
      for (std::string command; std::getline(commands, command, ';');) text += reply(command) + "\n";
      if (::send(fd, text.data(), text.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(text.size())) ++answered_;
    }
    ::close(fd);
  }
}

std::string FakeHaproxy::reply(std::string_view command) {
  const std::lock_guard lock(mutex_);
  if (command.starts_with("show info"))
    return fmt::format("Version: 3.0.0\nPid: 7\nUptime_sec: {}\n",
                       std::chrono::floor<std::chrono::seconds>(steady_clock::now() - started_).count());
  if (command.starts_with("show stat")) {
    std::string out =
        "# pxname,svname,status,weight,uweight,act,bck,iid,type,addr,algo,mode,lbtot,hrsp_5xx,scur,qcur,\n";
    for (const auto& [name, weight] : weights_)
      out += fmt::format("rpc,{},UP,{},{},1,0,3,2,127.0.0.1:1,,http,{},{},0,0,\n", name, weight, weight,
                         name == "a" ? failed_ : 0, name == "a" ? failed_ : 0);
    return out + "rpc,BACKEND,UP,3,3,3,0,3,1,,roundrobin,http,0,0,0,0,\n";
  }
  if (command.starts_with("show servers state")) {
    std::string out =
        "1\n# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight srv_iweight\n";
    for (const auto& [name, weight] : weights_) out += fmt::format("3 rpc 1 {} 127.0.0.1 2 0 {} 1\n", name, weight);
    return out;
  }
  if (command.starts_with("set weight rpc/")) {
    std::istringstream words{std::string(command.substr(15))};
    std::string name;
    unsigned weight = 0;
    if (words >> name >> weight) weights_[name] = weight;
    return {};
  }
  return "Unknown command\n";
}

}  // namespace rpcw::test
