#include "runtime/config/values.h"

#include <charconv>
#include <initializer_list>
#include <utility>

namespace config {
namespace {

using base::Code;

// The kernel's own command line has 2048 bytes on x86 (COMMAND_LINE_SIZE); ours needs some of them.
constexpr size_t kMaxCommandLine = 1024;
// PATH_MAX
constexpr size_t kMaxPath = 4096;

base::Error Wrong(std::string_view rule) {
  return base::Error(Code::kInvalidArgument, std::string(rule));
}

template <class Enum>
base::Result<void> SetChoice(const Value& value, Enum& out,
                             std::initializer_list<std::pair<std::string_view, Enum>> choices) {
  std::string names;
  const auto* text = std::get_if<std::string>(&value);
  for (const auto& [name, choice] : choices) {
    if (text && *text == name) {
      out = choice;
      return base::Ok();
    }
    names += fmt::format("{}\"{}\"", names.empty() ? "" : ", ", name);
  }
  return Wrong("must be one of " + names);
}

}  // namespace

std::string Shown(const Value& value) {
  if (const auto* number = std::get_if<int64_t>(&value)) return std::to_string(*number);
  if (const auto* truth = std::get_if<bool>(&value)) return *truth ? "true" : "false";
  return fmt::format("\"{}\"", base::Escaped(std::get<std::string>(value), 128));
}

Value FromAnnotation(const std::string& text) {
  int64_t number = 0;
  const char* end = text.data() + text.size();
  const auto result = std::from_chars(text.data(), end, number);
  if (!text.empty() && result.ec == std::errc() && result.ptr == end) return number;
  return text;
}

base::Result<void> SetPath(const Value& value, std::string& out) {
  const auto* text = std::get_if<std::string>(&value);
  if (!text || !text->starts_with('/') || text->size() >= kMaxPath ||
      text->find('\0') != std::string::npos) {
    return Wrong("must be an absolute path");
  }
  out = *text;
  return base::Ok();
}

base::Result<void> SetCommandLine(const Value& value, std::string& out) {
  const auto* text = std::get_if<std::string>(&value);
  if (!text) return Wrong("must be a string");
  if (text->size() > kMaxCommandLine) return Wrong("longer than 1024 bytes");
  for (const char c : *text) {
    if (c < ' ' || c > '~') return Wrong("must be printable ASCII");
  }
  out = *text;
  return base::Ok();
}

base::Result<void> SetBool(const Value& value, bool& out) {
  const auto* truth = std::get_if<bool>(&value);
  if (!truth) return Wrong("must be true or false");
  out = *truth;
  return base::Ok();
}

base::Result<void> SetNumber(const Value& value, uint32_t lowest, uint32_t highest, uint32_t& out) {
  const auto* number = std::get_if<int64_t>(&value);
  if (!number || *number < lowest || *number > highest) {
    return Wrong(fmt::format("must be an integer from {} to {}", lowest, highest));
  }
  out = static_cast<uint32_t>(*number);
  return base::Ok();
}

base::Result<void> SetPinning(const Value& value, cpu::Pinning& out) {
  return SetChoice(value, out,
                   {{"auto", cpu::Pinning::kAuto},
                    {"required", cpu::Pinning::kRequired},
                    {"off", cpu::Pinning::kOff}});
}

base::Result<void> SetSmt(const Value& value, cpu::Smt& out) {
  return SetChoice(value, out, {{"mirror", cpu::Smt::kMirror}, {"hide", cpu::Smt::kHide}});
}

base::Result<void> SetBoot(const Value& value, cpu::Boot& out) {
  return SetChoice(value, out,
                   {{"auto", cpu::Boot::kAuto},
                    {"eager", cpu::Boot::kEager},
                    {"first-container", cpu::Boot::kFirstContainer}});
}

base::Result<void> SetCpuVendor(const Value& value, cpu::CpuVendor& out) {
  return SetChoice(value, out,
                   {{"host", cpu::CpuVendor::kHost},
                    {"intel", cpu::CpuVendor::kIntel},
                    {"amd", cpu::CpuVendor::kAmd}});
}

base::Result<void> SetCpuSet(const Value& value, cpu::CpuSet& out) {
  const auto* text = std::get_if<std::string>(&value);
  if (!text) return Wrong("must be a CPU list in quotes, like \"0-1,8\"");
  out = TRY(cpu::CpuSet::Parse(*text));
  return base::Ok();
}

base::Result<void> SetTransport(const Value& value, Transport& out) {
  return SetChoice(value, out, {{"ttrpc", Transport::kTtrpc}, {"grpc", Transport::kGrpc}});
}

base::Result<void> SetLogLevel(const Value& value, base::LogLevel& out) {
  return SetChoice(value, out,
                   {{"debug", base::LogLevel::kDebug},
                    {"info", base::LogLevel::kInfo},
                    {"warning", base::LogLevel::kWarning},
                    {"error", base::LogLevel::kError}});
}

}  // namespace config
