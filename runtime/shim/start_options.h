// What containerd writes to the stdin of `start`: a google.protobuf.Any with runtime options, or,
// from 2.3 on, BootstrapParams that carry it. Thread rule: reentrant.
#pragma once

#include <string>
#include <string_view>

#include "runtime/base/result.h"
#include "runtime/shim/flags.h"

namespace shim {

struct StartOptions {
  std::string shim_cgroup;  // containerd.runc.v1.Options; empty: leave the daemon where it is
  std::string socket_dir;   // BootstrapParams; empty: kSocketDirectory
  std::string config_path;  // runtimeoptions.v1.Options; empty: the default one
  std::string containerd_version;  // BootstrapParams; empty: it was not told
};

// Options of an unknown type are ignored: some clients send runc's to every runtime.
// kInvalidArgument if `stdin_bytes` is neither message, or a known type does not parse.
base::Result<StartOptions> ParseStartOptions(std::string_view stdin_bytes, const Flags& flags);

}  // namespace shim
