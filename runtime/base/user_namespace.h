// The id mappings of user namespaces: user_namespaces(7), "User and group ID mappings".
// Thread rule: reentrant.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <vector>

#include "runtime/base/result.h"
#include "runtime/base/unique_fd.h"

namespace base {

// OCI runtime-spec 1.2, config-linux.md "User namespace mappings".
struct IdMapping {
  uint32_t container_id = 0;
  uint32_t host_id = 0;
  uint32_t size = 0;
  bool operator==(const IdMapping&) const = default;
};

struct IdMap {
  std::vector<IdMapping> uids;
  std::vector<IdMapping> gids;
  bool empty() const { return uids.empty() && gids.empty(); }
  bool operator==(const IdMap&) const = default;
};

// What `container_id` is outside; nullopt if it is not mapped.
std::optional<uint32_t> HostId(const std::vector<IdMapping>& mappings, uint32_t container_id);

// Once for each namespace; `pid` is a process in it, and the caller one with all rights outside.
// The kernel refuses what overlaps, is empty or has more than 340 entries.
Result<void> WriteIdMap(pid_t pid, const IdMap& map);

// A user namespace in which nobody is: mount_setattr(2) takes its mappings from such a one
// ("MOUNT_ATTR_IDMAP").
Result<UniqueFd> MakeUserNamespace(const IdMap& map);

}  // namespace base
