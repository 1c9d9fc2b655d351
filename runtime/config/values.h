// One setter for each kind of value: checks it and stores it, or says which rule it breaks.
// Internal to config. Thread rule: reentrant.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>

#include "runtime/base/log.h"
#include "runtime/base/result.h"
#include "runtime/config/transport.h"
#include "runtime/cpu/policy.h"

namespace config {

using Value = std::variant<std::string, int64_t, bool>;

// As in a config file.
std::string Shown(const Value& value);
// Annotations are text: a decimal number becomes one, everything else stays text.
Value FromAnnotation(const std::string& text);

base::Result<void> SetPath(const Value& value, std::string& out);
base::Result<void> SetCommandLine(const Value& value, std::string& out);
base::Result<void> SetBool(const Value& value, bool& out);
base::Result<void> SetNumber(const Value& value, uint32_t lowest, uint32_t highest, uint32_t& out);
base::Result<void> SetPinning(const Value& value, cpu::Pinning& out);
base::Result<void> SetSmt(const Value& value, cpu::Smt& out);
base::Result<void> SetBoot(const Value& value, cpu::Boot& out);
base::Result<void> SetCpuVendor(const Value& value, cpu::CpuVendor& out);
base::Result<void> SetCpuSet(const Value& value, cpu::CpuSet& out);
base::Result<void> SetTransport(const Value& value, Transport& out);
base::Result<void> SetLogLevel(const Value& value, base::LogLevel& out);

}  // namespace config
