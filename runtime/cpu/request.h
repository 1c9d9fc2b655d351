// A container's spec as a CPU request. Thread rule: reentrant.
#pragma once

#include "oci/spec.h"
#include "runtime/base/result.h"
#include "runtime/cpu/plan.h"

namespace cpu {

// linux.resources.cpu, and the pod's limits from CRI annotations. The pause container's own cpu is
// not a request: a sandbox's spec gives no containers. kInvalidArgument for an annotation that is
// no number.
base::Result<CpuRequest> RequestFromSpec(const oci::Spec& spec);

}  // namespace cpu
