// The five capability sets of a process. OCI runtime-spec 1.2, config.md "Linux Process";
// capabilities(7). Thread rule: acts on the calling thread; Parse is pure.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "runtime/base/result.h"

namespace agent {

// Bit n is capability n of linux/capability.h.
struct CapabilitySets {
  uint64_t bounding = 0;
  uint64_t effective = 0;
  uint64_t inheritable = 0;
  uint64_t permitted = 0;
  uint64_t ambient = 0;
};

// "CAP_CHOWN"; a name that is not known is left out, as runc does with a warning (a newer host asks
// an older guest kernel), and added to `unknown`.
uint64_t ParseCapabilities(const std::vector<std::string>& names,
                           std::vector<std::string>* unknown = nullptr);

// In two steps, because capset needs what setresuid takes away unless PR_SET_KEEPCAPS is set:
// bounding set before the change of user, the rest after it.
base::Result<void> DropBoundingSet(const CapabilitySets& sets);
base::Result<void> ApplyCapabilities(const CapabilitySets& sets);

}  // namespace agent
