// Scheduler, I/O priority and execution domain of a process: OCI runtime-spec 1.2, config.md
// "Linux Process" and config-linux.md "Personality". What is asked for and not known, or refused by
// the kernel, is an error.
// Thread rule: acts on the calling thread.
#pragma once

#include "oci/spec.h"
#include "runtime/base/result.h"

namespace agent {

base::Result<void> SetScheduler(const oci::Scheduler& scheduler);
base::Result<void> SetIoPriority(const oci::IoPriority& priority);
base::Result<void> SetPersonality(const oci::Personality& personality);

}  // namespace agent
