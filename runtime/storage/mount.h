// A mount as containerd hands it over in Create (api/types/mount.proto): untrusted text until
// storage has checked it. Thread rule: a value.
#pragma once

#include <string>
#include <vector>

namespace storage {

struct Mount {
  std::string type;    // "overlay", "bind", "ext4"…
  std::string source;  // host path or device
  std::string target;  // below the rootfs; usually empty
  // As in fstab, one element each: "ro", "rbind", "lowerdir=a:b".
  std::vector<std::string> options;
};

}  // namespace storage
