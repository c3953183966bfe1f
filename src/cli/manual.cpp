#include "cli/manual.hpp"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <string_view>
#include <vector>

#include "base/text.hpp"

namespace rpcw::cli {
namespace {

struct Flag {
  /// With dashes, the short one first; empty: positional.
  std::vector<std::string> names;
  std::string description;
  /// Such as FILE; empty: it takes no value.
  std::string value;

  [[nodiscard]] bool takes_file() const { return value == "FILE" || value == "RECORDING"; }
  /// The values that it takes, if they are few.
  [[nodiscard]] std::string choices() const { return value == "F" ? "table json csv" : ""; }
};

struct Command {
  std::string name;
  std::string description;
  std::vector<Flag> flags;
};

std::vector<Flag> flags_of(const CLI::App& app) {
  std::vector<Flag> out;
  for (const CLI::Option* option : app.get_options()) {
    Flag& flag = out.emplace_back();
    for (const std::string& name : option->get_snames()) flag.names.push_back("-" + name);
    for (const std::string& name : option->get_lnames()) flag.names.push_back("--" + name);
    flag.description = option->get_description();
    if (option->get_items_expected_max() > 0) flag.value = option->get_type_name();
  }
  return out;
}

/// Those that --help lists, in its order.
std::vector<Command> commands_of(const CLI::App& app) {
  std::vector<Command> out;
  for (const CLI::App* command : app.get_subcommands([](const CLI::App* c) { return !c->get_group().empty(); }))
    out.push_back({command->get_name(), command->get_description(), flags_of(*command)});
  return out;
}

std::string names_of(const std::vector<Flag>& flags) {
  std::string out;
  for (const Flag& flag : flags)
    for (const std::string& name : flag.names) out += fmt::format("{}{}", out.empty() ? "" : " ", name);
  return out;
}

std::string replaced(std::string_view text, std::string_view what, std::string_view by) {
  std::string out;
  while (true) {
    const std::size_t at = text.find(what);
    out += text.substr(0, at);
    if (at == std::string_view::npos) return out;
    out += by;
    text.remove_prefix(at + what.size());
  }
}

/// A description inside […] of zsh's _arguments.
std::string zsh_text(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '[' || c == ']' || c == ':' || c == '\\') out += '\\';
    out += c;
  }
  return out;
}

/// Text of a roff line: no control line, no escapes of its own.
std::string roff(std::string_view text) {
  std::string out = replaced(replaced(text, "\\", "\\e"), "-", "\\-");
  if (out.starts_with('.') || out.starts_with('\'')) out.insert(0, "\\&");
  return out;
}

}  // namespace

std::string bash_completion(const CLI::App& app) {
  const std::vector<Command> commands = commands_of(app);
  std::string names;
  for (const Command& c : commands) names += fmt::format("{}{}", names.empty() ? "" : " ", c.name);
  std::string out =
      "# bash completion of rpc-weighter, made by `rpc-weighter manual bash`.\n"
      "_rpc_weighter() {\n"
      "  local current=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]}\n"
      "  COMPREPLY=()\n"
      "  if ((COMP_CWORD == 1)); then\n";
  out += fmt::format("    COMPREPLY=($(compgen -W '{} {}' -- \"$current\"))\n    return\n  fi\n", names,
                     names_of(flags_of(app)));
  out += "  case \"${COMP_WORDS[1]} $before\" in\n";
  for (const Command& c : commands)
    for (const Flag& flag : c.flags) {
      if (flag.names.empty() || flag.value.empty()) continue;
      std::string patterns;
      for (const std::string& name : flag.names)
        patterns += fmt::format("{}'{} {}'", patterns.empty() ? "" : " | ", c.name, name);
      const std::string reply = flag.takes_file() ? "COMPREPLY=($(compgen -f -- \"$current\"))"
                                : flag.choices().empty()
                                    ? ":"
                                    : fmt::format("COMPREPLY=($(compgen -W '{}' -- \"$current\"))", flag.choices());
      out += fmt::format("    {})\n      {}\n      return\n      ;;\n", patterns, reply);
    }
  out += "  esac\n  case ${COMP_WORDS[1]} in\n";
  for (const Command& c : commands) {
    const bool file = std::ranges::any_of(c.flags, [](const Flag& f) { return f.names.empty() && f.takes_file(); });
    out += fmt::format("    {}) COMPREPLY=($(compgen {}-W '{}' -- \"$current\")) ;;\n", c.name, file ? "-f " : "",
                       names_of(c.flags));
  }
  return out + "  esac\n}\ncomplete -o filenames -F _rpc_weighter rpc-weighter\n";
}

std::string zsh_completion(const CLI::App& app) {
  const std::vector<Command> commands = commands_of(app);
  std::string out =
      "#compdef rpc-weighter\n"
      "# zsh completion of rpc-weighter, made by `rpc-weighter manual zsh`.\n"
      "_rpc_weighter() {\n"
      "  local -a commands\n"
      "  commands=(\n";
  for (const Command& c : commands)
    out += fmt::format("    {}\n", shell_quoted(c.name + ":" + replaced(c.description, ":", "\\:")));
  out += "  )\n  if ((CURRENT == 2)); then\n    _describe command commands\n    return\n  fi\n  case $words[2] in\n";
  for (const Command& c : commands) {
    out += fmt::format("    {})\n      shift words; ((CURRENT--))\n      _arguments", c.name);
    for (const Flag& flag : c.flags) {
      const std::string action = flag.takes_file()        ? "_files"
                                 : flag.choices().empty() ? " "
                                                          : "(" + flag.choices() + ")";
      if (flag.names.empty()) {
        out += fmt::format(" \\\n        {}", shell_quoted(fmt::format("*:{}:{}", zsh_text(flag.value), action)));
        continue;
      }
      for (const std::string& name : flag.names)
        out += fmt::format(
            " \\\n        {}",
            shell_quoted(fmt::format("*{}[{}]{}", name, zsh_text(flag.description),
                                     flag.value.empty() ? "" : fmt::format(":{}:{}", zsh_text(flag.value), action))));
    }
    out += "\n      ;;\n";
  }
  return out + "  esac\n}\n_rpc_weighter \"$@\"\n";
}

std::string fish_completion(const CLI::App& app) {
  std::string out =
      "# fish completion of rpc-weighter, made by `rpc-weighter manual fish`.\n"
      "complete -c rpc-weighter -f\n";
  for (const Command& c : commands_of(app)) {
    out += fmt::format("complete -c rpc-weighter -n __fish_use_subcommand -a {} -d '{}'\n", c.name,
                       replaced(c.description, "'", "\\'"));
    for (const Flag& flag : c.flags) {
      out += fmt::format("complete -c rpc-weighter -n '__fish_seen_subcommand_from {}'", c.name);
      for (const std::string& name : flag.names)
        out += name.starts_with("--") ? " -l " + name.substr(2) : " -s " + name.substr(1);
      if (!flag.value.empty() && !flag.names.empty()) out += " -r";
      if (flag.takes_file()) out += " -F";
      if (!flag.choices().empty()) out += fmt::format(" -a '{}'", flag.choices());
      out += fmt::format(" -d '{}'\n", replaced(flag.description, "'", "\\'"));
    }
  }
  return out;
}

std::string manual_page(const CLI::App& app) {
  std::string out =
      ".\\\" Made by `rpc-weighter manual man`.\n"
      ".TH RPC\\-WEIGHTER 1 \"\" \"rpc\\-weighter\" \"User Commands\"\n"
      ".SH NAME\n"
      "rpc\\-weighter \\- keep HAProxy server weights in step with the health of blockchain RPC providers\n"
      ".SH SYNOPSIS\n"
      ".B rpc\\-weighter\n"
      ".I COMMAND\n"
      "[\\fIOPTION\\fR]...\n"
      ".SH DESCRIPTION\n";
  out += roff(app.get_description()) + "\n";
  out +=
      "It probes each provider, reads what HAProxy itself counts, and sends\n"
      ".B set weight\n"
      "over HAProxy's runtime API. It is never in the path of a request: if it ends, traffic goes on with the last\n"
      "weights.\n"
      ".SH COMMANDS\n";
  for (const Command& c : commands_of(app)) {
    out += fmt::format(".SS {}\n{}.\n", roff(c.name), roff(c.description));
    for (const Flag& flag : c.flags) {
      std::string names;
      for (const std::string& name : flag.names)
        names += fmt::format("{}\\fB{}\\fR", names.empty() ? "" : ", ", roff(name));
      if (!flag.value.empty()) names += fmt::format("{}\\fI{}\\fR", names.empty() ? "" : " ", roff(flag.value));
      out += fmt::format(".TP\n{}\n{}\n", names, roff(flag.description));
    }
  }
  out +=
      ".SH EXIT STATUS\n"
      ".TP\n.B 0\nDone; every backend has at least one healthy server.\n"
      ".TP\n.B 1\nDone, but a backend has no healthy server.\n"
      ".TP\n.B 2\nThe command line or the configuration is wrong; nothing was probed or sent.\n"
      ".TP\n.B 3\nHAProxy was not reached, refused or did not confirm a command, or lacks a named backend or server.\n"
      ".TP\n.B 4\nA file or port that cannot be used, or a bug.\n"
      ".PP\nWhen several apply, the order is 4, 2, 3, 1, 0.\n"
      ".SH SIGNALS\n"
      ".TP\n.B SIGHUP\nrun: read the configuration again.\n"
      ".TP\n.BR SIGTERM \", \" SIGINT\nrun: stop. HAProxy keeps the last weights.\n"
      ".SH ENVIRONMENT\n"
      ".TP\n.B NO_COLOR\nNot empty: no colours on a terminal.\n"
      ".TP\n.BR NOTIFY_SOCKET \", \" WATCHDOG_USEC\nAs systemd sets them, see\n.BR sd_notify (3).\n";
  return out;
}

}  // namespace rpcw::cli
