// The device nodes that every container has. OCI runtime-spec 1.2, config-linux.md "Default
// Devices"; /dev/console (with a terminal only) and /dev/ptmx (a link) are not here. Their numbers
// are the same in every kernel (Linux Documentation/admin-guide/devices.txt). Thread rule:
// constants.
#pragma once

namespace oci {

struct DefaultDevice {
  const char* path;
  unsigned int major_number;
  unsigned int minor_number;
};

inline constexpr DefaultDevice kDefaultDevices[] = {
    {"/dev/null", 1, 3},   {"/dev/zero", 1, 5},    {"/dev/full", 1, 7},
    {"/dev/random", 1, 8}, {"/dev/urandom", 1, 9}, {"/dev/tty", 5, 0},
};

}  // namespace oci
