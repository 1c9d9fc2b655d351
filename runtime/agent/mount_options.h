// The options of an OCI mount, sorted into what the new mount calls take.
// OCI runtime-spec 1.2, config-linux.md "Linux mount options". Thread rule: reentrant, pure.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "runtime/base/result.h"

namespace agent {

struct MountOptions {
  bool bind = false;
  bool recursive_bind = false;
  // MOUNT_ATTR_* to set and to clear on this mount, and on all below it ("rro" and its like).
  uint64_t set = 0;
  uint64_t clear = 0;
  uint64_t recursive_set = 0;
  uint64_t recursive_clear = 0;
  // MS_SHARED, MS_SLAVE, MS_PRIVATE or MS_UNBINDABLE, 0: as it comes.
  uint64_t propagation = 0;
  bool recursive_propagation = false;
  bool copy_up = false;  // tmpcopyup: a tmpfs starts with what it covers
  // For the file system itself: key and value, or a flag without one.
  std::vector<std::pair<std::string, std::string>> parameters;
  std::vector<std::string> flags;

  bool read_only() const;
};

// Unknown words go to the file system, which knows them or refuses them. kUnimplemented for
// idmap and ridmap.
base::Result<MountOptions> ParseMountOptions(const std::vector<std::string>& options);

}  // namespace agent
