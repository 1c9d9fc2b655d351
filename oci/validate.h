// The rules of the clauses that a JSON type cannot carry; internal to oci (oci/spec.h has the
// public functions). Each error is kInvalidArgument: `path: value: what is wrong (clause)`. Thread
// rule: reentrant.
#pragma once

#include <string>
#include <string_view>

#include "oci/spec.h"
#include "runtime/base/result.h"

namespace oci {

// `prefix` is "process." within a config.json and empty in an exec's document.
base::Result<void> ValidateProcess(const Process& process, const std::string& prefix);
base::Result<void> ValidateLinux(const LinuxConfig& config);
base::Result<void> ValidateResources(const Resources& resources);
base::Result<void> ValidateSeccomp(const Seccomp& seccomp);

// An error of the form above.
base::Error RuleError(const std::string& path, std::string_view value, std::string_view rule);

// `value` must be an absolute path.
base::Result<void> RequireAbsolute(const std::string& path, std::string_view value);

}  // namespace oci
