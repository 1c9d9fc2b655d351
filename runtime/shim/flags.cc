#include "runtime/shim/flags.h"

#include <optional>

namespace shim {
namespace {

using base::Code;
using base::MakeError;

constexpr size_t kMaxIdentifierBytes = 76;

// Where a flag's value goes; at most one of the two is set.
struct Target {
  std::string* text = nullptr;
  bool* flag = nullptr;
};

Target Find(Flags& flags, std::string_view name) {
  if (name == "namespace") return {&flags.ns, nullptr};
  if (name == "id") return {&flags.id, nullptr};
  if (name == "address") return {&flags.address, nullptr};
  if (name == "publish-binary") return {&flags.publish_binary, nullptr};
  if (name == "bundle") return {&flags.bundle, nullptr};
  if (name == "socket") return {&flags.socket, nullptr};
  if (name == "key") return {&flags.key, nullptr};
  if (name == "config") return {&flags.config, nullptr};
  if (name == "debug") return {nullptr, &flags.debug};
  if (name == "info") return {nullptr, &flags.info};
  if (name == "v" || name == "version") return {nullptr, &flags.version};
  if (name == "h" || name == "help") return {nullptr, &flags.help};
  return {};
}

// strconv.ParseBool, as the flag package uses it.
std::optional<bool> ParseBool(std::string_view text) {
  for (const std::string_view yes : {"1", "t", "T", "true", "TRUE", "True"}) {
    if (text == yes) return true;
  }
  for (const std::string_view no : {"0", "f", "F", "false", "FALSE", "False"}) {
    if (text == no) return false;
  }
  return std::nullopt;
}

bool IsVerb(std::string_view word) {
  return word == "start" || word == "delete" || word == "daemon";
}

bool IsAlphanumeric(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

}  // namespace

base::Result<Flags> ParseFlags(std::span<const char* const> args) {
  Flags flags;
  size_t next = 0;
  for (; next < args.size(); ++next) {
    const std::string_view word = args[next];
    if (word == "--") {
      ++next;
      break;
    }
    if (word.size() < 2 || word[0] != '-') break;
    std::string_view name = word.substr(word[1] == '-' ? 2 : 1);
    std::optional<std::string_view> value;
    if (const size_t equals = name.find('='); equals != std::string_view::npos) {
      value = name.substr(equals + 1);
      name = name.substr(0, equals);
    }
    const Target target = Find(flags, name);
    if (target.flag != nullptr) {
      const std::optional<bool> parsed = value ? ParseBool(*value) : true;
      if (!parsed) return MakeError(Code::kInvalidArgument, "-{}={}: no boolean", name, *value);
      *target.flag = *parsed;
      continue;
    }
    const bool more = next + 1 < args.size();
    if (target.text == nullptr) {
      // Unknown. Whether it takes a value cannot be known: a word that is no flag and no verb is
      // one.
      if (!value && more && args[next + 1][0] != '-' && !IsVerb(args[next + 1])) ++next;
      continue;
    }
    if (!value && !more) return MakeError(Code::kInvalidArgument, "-{} needs a value", name);
    if (!value) value = args[++next];
    *target.text = *value;
  }
  if (next < args.size()) flags.verb = args[next];
  return flags;
}

base::Result<void> CheckIdentifier(std::string_view what, std::string_view id) {
  if (id.empty()) return MakeError(Code::kInvalidArgument, "the {} is empty", what);
  if (id.size() > kMaxIdentifierBytes) {
    return MakeError(Code::kInvalidArgument, "{} {} has {} bytes, at most {} are allowed", what, id,
                     id.size(), kMaxIdentifierBytes);
  }
  bool separator_allowed = false;
  for (const char c : id) {
    const bool separator = c == '.' || c == '_' || c == '-';
    if (!IsAlphanumeric(c) && !(separator && separator_allowed)) {
      return MakeError(Code::kInvalidArgument,
                       "{} {:?}: letters and digits, with single ._- between them", what, id);
    }
    separator_allowed = !separator;
  }
  if (!separator_allowed) {
    return MakeError(Code::kInvalidArgument, "{} {:?} ends in a separator", what, id);
  }
  return base::Ok();
}

}  // namespace shim
