// fstab-like mount options, as containerd and OCI specs write them, turned into what mount(2) and
// mount_setattr(2) take. Thread rule: a pure function.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "runtime/base/result.h"
#include "runtime/base/user_namespace.h"

namespace storage {

struct MountOptions {
  unsigned long flags = 0;  // MS_*, without MS_BIND, MS_REC and propagation
  std::string data;         // what the file system itself reads: "lowerdir=a:b,index=off"
  bool bind = false;
  bool recursive = false;            // rbind
  bool loop = false;                 // the source is a file that wants a loop device
  bool read_only = false;            // "ro": also in `flags`
  bool read_only_recursive = false;  // "rro", OCI runtime-spec 1.2, config.md "Linux mount options"
  unsigned long propagation = 0;     // MS_SHARED, MS_SLAVE, MS_PRIVATE, MS_UNBINDABLE or 0
  // containerd's "uidmap=0:1000:65536,10:5:1", "gidmap=" (snapshotters with remap-ids); with
  // "idmap" and "ridmap" of OCI specs, whose mappings stand elsewhere.
  base::IdMap id_map;
  bool id_mapped = false;
  bool id_map_recursive = false;
};

// A later option overrides an earlier one, as mount(8) has it. X-containerd.* is dropped: it speaks
// to containerd's mount manager. kInvalidArgument for an option with a NUL, and for one of uidmap
// and gidmap without the other.
base::Result<MountOptions> ParseMountOptions(const std::vector<std::string>& options);

}  // namespace storage
