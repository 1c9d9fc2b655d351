// The OCI seccomp profile as a BPF program. OCI runtime-spec 1.2, config-linux.md "Seccomp".
// Thread rule: reentrant. Made by the agent before it clones, so that a bad profile fails early.
#pragma once

#include <linux/filter.h>

#include <vector>

#include "oci/spec.h"
#include "runtime/base/result.h"

namespace agent {

struct SeccompProgram {
  std::vector<sock_filter> instructions;
  unsigned int flags = 0;  // SECCOMP_FILTER_FLAG_*
};

// System calls that libseccomp does not know are left out, as OCI runtimes do. kUnimplemented for
// SCMP_ACT_NOTIFY and listenerPath.
base::Result<SeccompProgram> CompileSeccomp(const oci::Seccomp& profile);

}  // namespace agent
