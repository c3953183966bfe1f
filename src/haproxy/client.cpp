#include "haproxy/client.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>
#include <utility>

#include "haproxy/replies.hpp"

namespace rpcw::haproxy {

namespace asio = boost::asio;

namespace {

/// 10,000 servers are 3 MB.
constexpr std::size_t kMaxRead = std::size_t{64} << 20U;
/// A refusal is a line; an unknown command is answered with a page of help.
constexpr std::size_t kMaxPushReply = 8192;

std::vector<std::string> names_of(std::span<const std::string> backends) {
  std::vector<std::string> names;
  for (const auto& name : backends) {
    if (valid_name(name) && std::ranges::find(names, name) == names.end()) names.push_back(name);
  }
  return names;
}

/// A server with weight 0 shows DRAIN whether or not an operator drains it, so its status does not tell.
bool hides_admin_state(const ServerRow& server) {
  return server.uweight == 0 && server.status.starts_with("DRAIN");
}

/// Takes what `fresh` lacks from `last`. False: they have different servers or states, and `fresh` is not complete.
bool take_over(const BackendRow& last, BackendRow& fresh) {
  if (last.servers.size() != fresh.servers.size()) return false;
  fresh.stick_table = last.stick_table;
  for (std::size_t i = 0; i < last.servers.size(); ++i) {
    const auto& from = last.servers[i];
    auto& to = fresh.servers[i];
    if (from.name != to.name || from.status != to.status || from.addr != to.addr) return false;
    if (hides_admin_state(to) && !hides_admin_state(from)) return false;
    to.iweight = from.iweight;
    to.fqdn = from.fqdn;
    to.tls = from.tls;
    if (!to.admin_state) to.admin_state = from.admin_state;
  }
  return true;
}

/// The commands of a push that HAProxy could take.
struct Sendable {
  std::vector<std::string> commands;
  /// By command: the index of its push.
  std::vector<std::size_t> outcome;
};

/// `outcomes`: one for each push. A push that HAProxy could not take is refused there.
Sendable sendable_of(std::span<const WeightCommand> pushes, std::span<Outcome> outcomes) {
  Sendable out;
  out.commands.reserve(pushes.size());
  out.outcome.reserve(pushes.size());
  for (std::size_t i = 0; i < pushes.size(); ++i) {
    const auto& one = pushes[i];
    auto& outcome = outcomes[i];
    outcome.kind = Outcome::Kind::kRefused;
    if (!valid_name(one.backend) || !valid_name(one.server)) {
      outcome.refusal = Refusal::kInvalidName;
      outcome.detail = "no HAProxy can have this name: " + presentable(one.backend) + "/" + presentable(one.server);
    } else if (one.weight > (one.percent ? 100U : 256U)) {
      outcome.refusal = Refusal::kBadWeight;
      outcome.detail = "not sent: weights are 0 to 256, percentages 0 to 100";
    } else {
      outcome.kind = Outcome::Kind::kUnconfirmed;
      out.commands.push_back(one.percent ? set_weight_percent_command(one.backend, one.server, one.weight)
                                         : set_weight_command(one.backend, one.server, one.weight));
      out.outcome.push_back(i);
    }
  }
  return out;
}

/// False: the reply may be two. Some messages lack the empty line, and the next reply is taken for their end: with
/// replies missing, what follows such a message may belong to another command.
bool take_reply(std::string_view reply, Outcome& outcome) {
  auto verdict = classify_set_weight(reply);
  outcome.kind = verdict.done() ? Outcome::Kind::kDone : Outcome::Kind::kRefused;
  outcome.refusal = verdict.refusal;
  outcome.detail = std::move(verdict.words);
  return outcome.refusal != Refusal::kOther && outcome.refusal != Refusal::kBadWeight;
}

}  // namespace

std::shared_ptr<TlsContext> tls_context(const config::TlsFiles& files) {
  return files.empty() ? nullptr : std::make_shared<TlsContext>(files);
}

/// Two exchanges at once would share one buffer.
class Client::Busy {
 public:
  explicit Busy(Client& client) : client_(client) {
    if (client.busy_) throw std::logic_error("a haproxy::Client does one operation at a time");
    client.busy_ = true;
  }
  Busy(const Busy&) = delete;
  Busy& operator=(const Busy&) = delete;
  ~Busy() { client_.busy_ = false; }

 private:
  Client& client_;
};

Client::Client(asio::any_io_executor executor, config::Endpoint endpoint, std::shared_ptr<TlsContext> tls,
               milliseconds timeout)
    : channel_(std::move(executor), std::move(endpoint), std::move(tls), timeout) {}

asio::awaitable<std::expected<std::vector<std::string>, Failure>> Client::run(std::vector<std::string> commands) {
  const Busy busy(*this);
  channel_.begin();
  const std::span<const std::string> all(commands);
  std::vector<std::string> replies;
  replies.reserve(commands.size());
  auto todo = channel_.lines(all);
  for (std::size_t i = 0; i < todo.size();) {
    const auto& line = todo[i];
    auto failed = co_await channel_.exchange(line, kMaxRead);
    if (failed && line_too_big(channel_.replies().rest()) && channel_.replies().count() == 0 &&
        channel_.shorten(line)) {
      todo = channel_.lines(all.subspan(replies.size()));
      i = 0;
      continue;
    }
    for (std::size_t r = 0; r < channel_.replies().count(); ++r) replies.emplace_back(channel_.replies().reply(r));
    if (failed) {
      if (commands.size() > 1)
        failed->detail += fmt::format(" ({} of {} commands confirmed)", replies.size(), commands.size());
      co_return std::unexpected(std::move(*failed));
    }
    ++i;
  }
  co_return replies;
}

std::expected<Info, Failure> Client::take_info() {
  const auto first = channel_.replies().reply(0);
  if (first.starts_with("Can't connect to the target CLI") || first.starts_with("Can't find the target")) {
    return std::unexpected(
        channel_.failure(Error::kClosedEarly, "the master has no worker to ask: \"" + presentable(first) +
                                                  "\"; it is starting one, or its configuration is wrong"));
  }
  if (first.starts_with("Permission denied")) {
    return std::unexpected(
        channel_.failure(Error::kPermission, "HAProxy refuses `show info`; the socket needs `level admin`"));
  }
  auto info = parse_info(first);
  if (info) {
    channel_.set_worker(info->pid);
    return std::move(*info);
  }
  auto what = info.error();
  if (first.starts_with("Unknown command") || first.starts_with("The following commands are valid")) {
    what += endpoint().kind == config::Endpoint::Kind::kMaster
                ? "; if this is a `stats socket` and not the master's, write unix: instead of master:unix:"
                : "; if this is the master's socket, write master:unix: instead of unix:";
  }
  return std::unexpected(channel_.failure(Error::kMalformed, what));
}

Failure Client::read_failure(Failure&& failure) {
  if (failure.code == Error::kClosedEarly && channel_.replies().count() > 0)
    if (auto info = take_info(); !info) return std::move(info.error());
  return std::move(failure);
}

std::optional<Failure> Client::take_topology(std::span<const std::string> names, Instance& instance) {
  auto info = take_info();
  if (!info) return std::move(info.error());
  instance.version = std::move(info->version);
  instance.pid = info->pid;
  instance.uptime = info->uptime;
  const auto parts = std::max<std::size_t>(names.size(), 1);
  for (std::size_t i = 0; i < parts; ++i) {
    const auto stat = channel_.replies().reply(1 + i);
    if (!names.empty() && stat.starts_with("No such proxy")) continue;
    if (auto added = add_stat(stat, instance.backends); !added)
      return channel_.failure(Error::kMalformed, added.error());
  }
  for (std::size_t i = 0; i < parts; ++i) {
    const auto state = channel_.replies().reply(1 + parts + i);
    if (state.starts_with("Can't find backend") || state.starts_with("Permission denied")) continue;
    if (auto added = add_servers_state(state, instance.backends); !added) {
      return channel_.failure(Error::kMalformed, added.error());
    }
  }
  for (const auto& table : parse_tables(channel_.replies().reply(1 + 2 * parts)))
    if (auto* backend = instance.backend(table)) backend->stick_table = true;
  return std::nullopt;
}

asio::awaitable<std::expected<Info, Failure>> Client::info() {
  const Busy busy(*this);
  channel_.begin();
  const auto one = channel_.lines(std::vector<std::string>{"show info"});
  auto failed = co_await channel_.exchange(one.front(), kMaxRead);
  if (failed) co_return std::unexpected(std::move(*failed));
  co_return take_info();
}

asio::awaitable<std::expected<Instance, Failure>> Client::read(std::span<const std::string> only_backends) {
  const Busy busy(*this);
  co_return co_await read_all(names_of(only_backends), !only_backends.empty());
}

asio::awaitable<std::expected<Instance, Failure>> Client::refresh(const Instance& last,
                                                                  std::span<const std::string> only_backends) {
  const Busy busy(*this);
  auto names = names_of(only_backends);
  if (!names.empty()) {
    channel_.begin();
    auto changes = co_await read_changes(last, names);
    if (!changes) co_return std::unexpected(std::move(changes.error()));
    if (*changes) co_return std::move(**changes);
  }
  co_return co_await read_all(std::move(names), !only_backends.empty());
}

asio::awaitable<std::expected<std::optional<Instance>, Failure>> Client::read_changes(
    const Instance& last, std::span<const std::string> names) {
  struct Part {
    const std::string* name;
    const BackendRow* known;
    bool states;
  };
  Instance instance;
  instance.backends.reserve(names.size());
  for (std::size_t next = 0; next < names.size();) {
    // Each line has its own `show info`: two of them may reach two workers.
    std::vector<std::string> commands{"show info"};
    std::vector<Part> parts;
    std::size_t size = 2 * channel_.prefix().size() + commands.front().size() + 2;
    for (; next < names.size(); ++next) {
      const auto& name = names[next];
      const auto* known = last.backend(name);
      const bool states = known != nullptr && std::ranges::any_of(known->servers, hides_admin_state);
      // HAProxy takes a number for a name first, and a name that is a number is none of ours to find here.
      auto stat = "show stat " + (known != nullptr ? std::to_string(known->iid) : name) + " 6 -1";
      auto state = "show servers state " + name;
      const auto more =
          stat.size() + 1 + channel_.prefix().size() + (states ? state.size() + 1 + channel_.prefix().size() : 0);
      if (!parts.empty() && size + more > channel_.max_line()) break;
      size += more;
      commands.push_back(std::move(stat));
      if (states) commands.push_back(std::move(state));
      parts.push_back({&name, known, states});
    }
    const auto one = channel_.lines(commands);
    if (one.size() != 1) co_return std::nullopt;
    auto failed = co_await channel_.exchange(one.front(), kMaxRead);
    if (failed && line_too_big(channel_.replies().rest())) co_return std::nullopt;
    if (failed) co_return std::unexpected(std::move(*failed));
    auto info = take_info();
    if (!info) co_return std::unexpected(std::move(info.error()));
    if (info->pid != last.pid || info->uptime < last.uptime) co_return std::nullopt;
    instance.version = std::move(info->version);
    instance.pid = info->pid;
    instance.uptime = info->uptime;
    std::size_t reply = 1;
    for (const auto& part : parts) {
      const auto stat = channel_.replies().reply(reply++);
      std::vector<BackendRow> rows;
      if (!stat.starts_with("No such proxy")) {
        if (auto added = add_stat(stat, rows); !added)
          co_return std::unexpected(channel_.failure(Error::kMalformed, added.error()));
      }
      if (part.states) {
        const auto state = channel_.replies().reply(reply++);
        if (!state.starts_with("Can't find backend") && !state.starts_with("Permission denied")) {
          if (auto added = add_servers_state(state, rows); !added)
            co_return std::unexpected(channel_.failure(Error::kMalformed, added.error()));
        }
      }
      const auto found = std::ranges::find(rows, *part.name, &BackendRow::name);
      if (part.known == nullptr && found == rows.end()) continue;
      if (part.known == nullptr || found == rows.end() || !take_over(*part.known, *found)) co_return std::nullopt;
      instance.backends.push_back(std::move(*found));
    }
  }
  co_return instance;
}

asio::awaitable<std::expected<Instance, Failure>> Client::read_all(std::vector<std::string> names, bool only_named) {
  channel_.begin();
  // By name when that fits in one line: all is then from one process and one moment.
  if (!names.empty()) {
    std::vector<std::string> commands{"show info"};
    for (const auto& name : names) commands.push_back("show stat " + name + " 6 -1");
    for (const auto& name : names) commands.push_back("show servers state " + name);
    commands.emplace_back("show table");
    const auto one = channel_.lines(commands);
    if (one.size() == 1) {
      auto failed = co_await channel_.exchange(one.front(), kMaxRead);
      const bool too_big = failed && line_too_big(channel_.replies().rest());
      if (failed && !too_big) co_return std::unexpected(read_failure(std::move(*failed)));
      Instance instance;
      bool complete = !too_big;
      if (complete) {
        failed = take_topology(names, instance);
        if (failed) co_return std::unexpected(std::move(*failed));
        // HAProxy looks for any proxy of that name, or else of that number: a frontend hides the backend of its name.
        for (std::size_t i = 0; i < names.size(); ++i) {
          const auto* backend = instance.backend(names[i]);
          const bool exists = !channel_.replies().reply(1 + names.size() + i).starts_with("Can't find backend");
          if (exists && (backend == nullptr || backend->status.empty())) complete = false;
        }
      }
      if (complete) {
        std::erase_if(instance.backends,
                      [&](const BackendRow& row) { return std::ranges::find(names, row.name) == names.end(); });
        co_return instance;
      }
    }
  }

  const std::vector<std::string> commands{"show info", "show stat -1 6 -1", "show servers state", "show table"};
  const auto all = channel_.lines(commands);
  auto failed = co_await channel_.exchange(all.front(), kMaxRead);
  if (failed) co_return std::unexpected(read_failure(std::move(*failed)));
  Instance instance;
  failed = take_topology({}, instance);
  if (failed) co_return std::unexpected(std::move(*failed));
  if (only_named) {
    std::erase_if(instance.backends,
                  [&](const BackendRow& row) { return std::ranges::find(names, row.name) == names.end(); });
  }
  co_return instance;
}

asio::awaitable<std::expected<std::vector<std::string>, Failure>> Client::release(
    std::vector<ReleaseCommand> commands) {
  std::vector<std::string> texts;
  for (const auto& command : commands) {
    try {
      texts.push_back(release_command(command));
    } catch (const std::invalid_argument& error) {
      co_return std::unexpected(channel_.failure(Error::kUnsupported, error.what()));
    }
  }
  auto replies = co_await run(std::move(texts));
  if (replies)
    for (auto& reply : *replies) reply = presentable(reply);
  co_return replies;
}

asio::awaitable<std::vector<Outcome>> Client::push(std::vector<WeightCommand> pushes, std::function<bool()> may_send) {
  const Busy busy(*this);
  channel_.begin();
  std::vector<Outcome> outcomes(pushes.size());
  const Sendable sendable = sendable_of(pushes, outcomes);
  const std::span<const std::string> all(sendable.commands);
  std::size_t answered = 0;
  auto todo = channel_.lines(all);
  for (std::size_t i = 0; i < todo.size();) {
    const auto& line = todo[i];
    auto failed = co_await channel_.exchange(line, line.replies * kMaxPushReply, may_send);
    if (failed && line_too_big(channel_.replies().rest()) && channel_.replies().count() == 0 &&
        channel_.shorten(line)) {
      todo = channel_.lines(all.subspan(answered));
      i = 0;
      continue;
    }
    for (std::size_t r = 0; r < channel_.replies().count(); ++r) {
      const bool certain = take_reply(channel_.replies().reply(r), outcomes[sendable.outcome[answered++]]);
      if (failed && !certain) break;
    }
    if (failed) {
      for (; answered < all.size(); ++answered) {
        auto& outcome = outcomes[sendable.outcome[answered]];
        outcome.error = failed->code;
        outcome.detail = failed->detail;
      }
      break;
    }
    ++i;
  }
  co_return outcomes;
}

}  // namespace rpcw::haproxy
