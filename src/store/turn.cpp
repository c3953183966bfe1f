#include "store/turn.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <iterator>
#include <string_view>
#include <utility>
#include <variant>

#include "store/exchange_codec.hpp"

namespace rpcw::store {
namespace {

namespace action = control::action;
namespace told = control::event;

/// Longer lists of actions, outcomes or addresses are not read: a whole push to a HAProxy of 65,536 servers is one.
constexpr std::size_t kMostListed = 4 * kMostTargets;

// ---- events

template <typename T>
void write_expected(JsonWriter& out, const char* name, const std::expected<T, haproxy::Failure>& value) {
  if (value)
    out.field(name, *value);
  else
    out.field("failure", value.error());
}

/// `read` reads the value from its field.
template <typename Read>
auto read_expected(const JsonField& in, const char* name, Read read)
    -> std::expected<std::decay_t<decltype(read(in))>, haproxy::Failure> {
  if (const JsonField failure = in["failure"]; failure.present()) return std::unexpected(read_haproxy_failure(failure));
  return read(in[name]);
}

void write(JsonWriter& out, const std::vector<config::Endpoint>& endpoints) {
  out.begin_array();
  for (const config::Endpoint& e : endpoints) write(out, e);
  out.end_array();
}

void write(JsonWriter& out, const std::vector<std::string>& texts) {
  out.begin_array();
  for (const std::string& text : texts) out.text(text);
  out.end_array();
}

template <typename Read>
auto read_list(const JsonField& in, Read read) {
  std::vector<std::decay_t<decltype(read(in))>> out;
  const std::size_t count = in.size(kMostListed);
  for (std::size_t i = 0; i < count && in.fine(); ++i) out.push_back(read(in[i]));
  return out;
}

std::string read_text(const JsonField& in) {
  return in.text();
}

struct EventWriter {
  JsonWriter& out;
  std::map<control::EndpointId, haproxy::Instance>& reads;

  void operator()(const told::Started&) const { out.field("of", "started"); }
  void operator()(const told::Recalled&) const { out.field("of", "recalled"); }
  void operator()(const told::StopRequested&) const { out.field("of", "stop"); }
  void operator()(const told::TimeReached&) const { out.field("of", "time"); }
  void operator()(const told::Acting& e) const {
    out.field("of", "acting");
    out.field("acting", e.acting);
  }
  void operator()(const told::Resumed&) const { out.field("of", "resumed"); }
  void operator()(const told::HeadSent& e) const {
    out.field("of", "sent");
    out.field("target", e.target);
  }
  void operator()(const told::HeadAnswered& e) const {
    out.field("of", "head");
    out.field("target", e.target);
  }
  void operator()(const told::CheckAnswered& e) const {
    out.field("of", "answer");
    out.field("target", e.target);
  }
  void operator()(const told::NameResolved& e) const {
    out.field("of", "resolved");
    out.field("place", static_cast<std::uint64_t>(e.place));
    if (e.found) {
      out.key("found");
      write(out, *e.found);
    } else {
      out.field("failure", e.found.error());
    }
  }
  void operator()(const told::InfoRead& e) const {
    out.field("of", "info");
    out.field("endpoint", e.endpoint);
    write_expected(out, "info", e.info);
  }
  void operator()(const told::ServersRead& e) const {
    out.field("of", "servers");
    out.field("endpoint", e.endpoint);
    out.field("bytes", e.bytes);
    if (!e.instance) {
      out.field("failure", e.instance.error());
      return;
    }
    const auto before = reads.find(e.endpoint);
    out.key("read");
    write_instance(out, *e.instance, before == reads.end() ? nullptr : &before->second);
    reads[e.endpoint] = *e.instance;
  }
  void operator()(const told::LevelRead& e) const {
    out.field("of", "level");
    out.field("endpoint", e.endpoint);
    write_expected(out, "level", e.level);
  }
  void operator()(const told::WeightsAnswered& e) const {
    out.field("of", "weights");
    out.field("endpoint", e.endpoint);
    out.field("commands", static_cast<std::uint64_t>(e.outcomes.size()));
    out.key("not_done");
    out.begin_object();
    for (std::size_t i = 0; i < e.outcomes.size(); ++i)
      if (e.outcomes[i].kind != haproxy::Outcome::Kind::kDone) out.field(fmt::format("{}", i), e.outcomes[i]);
    out.end_object();
  }
  void operator()(const told::ClientsReleased& e) const {
    out.field("of", "released");
    out.field("endpoint", e.endpoint);
    if (e.replies) {
      out.key("replies");
      write(out, *e.replies);
    } else {
      out.field("failure", e.replies.error());
    }
  }
};

// ---- actions

std::string words(const Check& check) {
  const bool numbered = check.kind == CheckKind::kBlock || check.kind == CheckKind::kCanary;
  return numbered ? fmt::format("{} {}", to_string(check.kind), check.argument) : std::string(to_string(check.kind));
}

std::string words(const haproxy::WeightCommand& c) {
  return fmt::format("{}/{} {}{}", c.backend, c.server, c.weight, c.percent ? "%" : "");
}

std::string words(const haproxy::ReleaseCommand& c) {
  return fmt::format("{} of {}/{}", c.kind == haproxy::ReleaseCommand::Kind::kClearStick ? "stick entries" : "sessions",
                     c.backend, c.server);
}

template <typename T>
std::string listed(const std::vector<T>& items) {
  std::string out;
  for (const T& item : items) out += fmt::format("{}{}", out.empty() ? "" : ", ", words(item));
  return out;
}

}  // namespace

std::string ActionWords::of(const control::Action& a, Now now) {
  struct Words {
    std::map<control::TargetId, std::string>& names;
    MonoTime now;

    std::string operator()(const action::AddTarget& w) const {
      std::string& name = names[w.target];
      name = w.server.empty() ? fmt::format("{}/#{}", w.backend, w.target) : fmt::format("{}/{}", w.backend, w.server);
      return "watch " + name;
    }
    std::string operator()(const action::RemoveTarget& w) const {
      std::string out = "leave " + names[w.target];
      names.erase(w.target);
      return out;
    }
    std::string operator()(const action::ExpectFiles&) const { return {}; }
    std::string operator()(const action::SendHead& w) const { return "head of " + names[w.target]; }
    std::string operator()(const action::SendCheck& w) const {
      return fmt::format("{} of {}", words(w.check), names[w.target]);
    }
    std::string operator()(const action::SendTogether& w) const {
      return fmt::format("head{}{} of {}", w.checks.empty() ? "" : ", ", listed(w.checks), names[w.target]);
    }
    std::string operator()(const action::Recall&) const { return "recall"; }
    std::string operator()(const action::ResolveName& w) const { return fmt::format("resolve {}", w.place); }
    std::string operator()(const action::OpenEndpoint& w) const { return fmt::format("open {}", w.endpoint); }
    std::string operator()(const action::CloseEndpoint& w) const { return fmt::format("close {}", w.endpoint); }
    std::string operator()(const action::ReadInfo& w) const { return fmt::format("info of {}", w.endpoint); }
    std::string operator()(const action::ReadServers& w) const { return fmt::format("servers of {}", w.endpoint); }
    std::string operator()(const action::ReadLevel& w) const { return fmt::format("level of {}", w.endpoint); }
    std::string operator()(const action::SetWeights& w) const {
      return fmt::format("weights of {}: {}", w.endpoint, listed(w.commands));
    }
    std::string operator()(const action::ReleaseClients& w) const {
      return fmt::format("release at {}: {}", w.endpoint, listed(w.commands));
    }
    std::string operator()(const action::WakeAt& w) const {
      if (!w.at) return "sleep";
      const auto us = (*w.at - now).count();
      return fmt::format("wake in {}.{:03} ms", us / 1000, std::abs(us % 1000));
    }
    std::string operator()(const action::Log&) const { return {}; }
    std::string operator()(const action::Decided&) const { return {}; }
    std::string operator()(const action::Repaired&) const { return {}; }
    std::string operator()(const action::WorkerReplaced&) const { return {}; }
    std::string operator()(const action::Finish&) const { return "finish"; }
  };
  return std::visit(Words{names_, now.mono}, a);
}

void write(JsonWriter& out, const ControllerBegun& begun) {
  out.begin_object();
  out.field("event", "controller");
  out.field("continues", begun.continues);
  out.field("seed", begun.options.seed);
  out.field("dry_run", begun.options.dry_run);
  out.field("standby", begun.options.standby);
  out.field("recall", begun.options.recall);
  out.key("endpoints");
  write(out, begun.endpoints);
  out.end_object();
}

ControllerBegun read_controller_begun(const JsonField& in) {
  ControllerBegun out;
  out.continues = in["continues"].boolean();
  out.options.seed = in["seed"].integer<std::uint32_t>();
  out.options.dry_run = in["dry_run"].boolean();
  out.options.standby = in["standby"].boolean();
  out.options.recall = in["recall"].boolean();
  out.endpoints = read_list(in["endpoints"], read_endpoint);
  return out;
}

void TurnWriter::begin(const control::Event& event, Now now) {
  line_.clear();
  line_.begin_object();
  line_.field("event", "turn");
  // Short, since a busy HAProxy brings some turns a second.
  line_.key("at");
  line_.begin_array();
  line_.value(now.mono);
  line_.value(now.wall);
  line_.end_array();
  std::visit(EventWriter{line_, reads_}, event);
}

std::string_view TurnWriter::end(std::span<const control::Action> actions, Now now) {
  line_.key("did");
  line_.begin_array();
  for (const control::Action& a : actions) {
    if (const std::string words = words_.of(a, now); !words.empty()) line_.text(words);
    // HAProxys behind a name may come and go for years.
    if (const auto* closed = std::get_if<action::CloseEndpoint>(&a)) reads_.erase(closed->endpoint);
  }
  line_.end_array();
  line_.end_object();
  return line_.view();
}

Turn TurnReader::read(const JsonField& in) {
  Turn out;
  if (const JsonField at = in["at"]; at.size(2) == 2)
    out.now = {at[std::size_t{1}].wall(), at[std::size_t{0}].duration<MonoTime>(MonoTime{-kMostUs}, MonoTime{kMostUs})};
  else
    at.fail("must have two elements");
  out.event = read_event(in);
  out.did = read_list(in["did"], [](const JsonField& f) { return f.text(kMostText * 256); });
  return out;
}

std::optional<control::Event> TurnReader::read_event(const JsonField& in) {
  const std::string of = in["of"].text(64);
  const auto target = [&] { return in["target"].integer<control::TargetId>(); };
  const auto endpoint = [&] { return in["endpoint"].integer<control::EndpointId>(); };
  if (of == "started") return told::Started{};
  if (of == "recalled") return told::Recalled{};
  if (of == "stop") return told::StopRequested{};
  if (of == "time") return told::TimeReached{};
  if (of == "acting") return told::Acting{in["acting"].boolean()};
  if (of == "resumed") return told::Resumed{};
  if (of == "sent") return told::HeadSent{target()};
  // Of a target that has gone no answer enters the state, and none matters.
  if (of == "head") return told::HeadAnswered{target(), std::exchange(head_, {}).value_or(HeadObservation{})};
  if (of == "answer") return told::CheckAnswered{target(), std::exchange(answer_, {}).value_or(Answer{})};
  if (of == "resolved")
    return told::NameResolved{
        in["place"].integer<std::uint64_t>(0, kMostTargets),
        read_expected(in, "found", [](const JsonField& f) { return read_list(f, read_endpoint); })};
  if (of == "info") return told::InfoRead{endpoint(), read_expected(in, "info", read_info)};
  if (of == "servers") {
    told::ServersRead out{endpoint(), {}, in["bytes"].integer<std::uint64_t>()};
    if (const JsonField failure = in["failure"]; failure.present()) {
      out.instance = std::unexpected(read_haproxy_failure(failure));
      return out;
    }
    const auto before = reads_.find(out.endpoint);
    auto read = read_instance(in["read"], before == reads_.end() ? nullptr : &before->second);
    if (!read) return std::nullopt;
    reads_[out.endpoint] = *read;
    out.instance = std::move(*read);
    return out;
  }
  if (of == "level") return told::LevelRead{endpoint(), read_expected(in, "level", read_text)};
  if (of == "weights") {
    told::WeightsAnswered out{endpoint(), {}};
    out.outcomes.resize(in["commands"].integer<std::uint64_t>(0, kMostListed));
    for (std::size_t i = 0; i < out.outcomes.size(); ++i) {
      out.outcomes[i].kind = haproxy::Outcome::Kind::kDone;
      if (const JsonField outcome = in["not_done"][fmt::format("{}", i).c_str()]; outcome.present())
        out.outcomes[i] = read_push_outcome(outcome);
    }
    return out;
  }
  if (of == "released")
    return told::ClientsReleased{
        endpoint(), read_expected(in, "replies", [](const JsonField& f) { return read_list(f, read_text); })};
  in["of"].fail("is not known to this version");
  return std::nullopt;
}

}  // namespace rpcw::store
