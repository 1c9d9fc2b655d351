// config.toml and the annotations that may change it, checked once into one struct.
//
// Trust: the file is the administrator's; annotations are a pod author's, and change nothing but
// what kAllowedAnnotations of config.cc lists. Thread rule: a value.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "runtime/base/log.h"
#include "runtime/base/result.h"
#include "runtime/config/transport.h"
#include "runtime/cpu/policy.h"

namespace config {

inline constexpr const char* kDefaultPath = "/etc/pinion/config.toml";

// The README of this room is the manual: each key, its default and the reason for it.
struct Config {
  struct Paths {
    std::string vmm = "/usr/local/libexec/pinion/pinion-vmm";
    std::string kernel = "/usr/local/share/pinion/vmlinux";
    std::string initrd = "/usr/local/share/pinion/initrd";
    // Empty in the file: the first of the places where Debian's packages have it that exists.
    std::string virtiofsd;
    std::string run_dir = "/run/pinion";
    std::string shim_grpc = "/usr/local/libexec/pinion/pinion-shim-grpc";
    bool operator==(const Paths&) const = default;
  };
  struct Guest {
    // Appended to the kernel command line that the shim makes.
    std::string extra_cmdline;
    // RAM of a guest whose container has no memory limit.
    uint32_t default_memory_mib = 256;
    // Added to a container's memory limit for kernel and agent, so that the limit is the
    // container's to use. Stock cloud kernels hold some 40 MiB before the first process runs, and
    // slab, page tables and the agent come on top of that.
    uint32_t memory_overhead_mib = 128;
    // Guest console lines go to the shim's log. The last lines are kept for errors in any case.
    bool console_log = false;
    bool operator==(const Guest&) const = default;
  };
  struct Agent {
    // From boot until the agent dials. A machine with hardware virtualization needs one or two
    // seconds; a nested or emulated one is configured for its own pace.
    uint32_t connect_timeout_seconds = 60;
    // For each call's answer, then. A container whose guest does not take SIGKILL within it loses
    // the machine.
    uint32_t call_timeout_seconds = 30;
    bool operator==(const Agent&) const = default;
  };
  struct Jail {
    // Each pod's vmm gets one of uid_base … uid_base + uid_count - 1, for uid and gid alike. The
    // range lies above what useradd, subuid(5) (up to 600100000) and systemd-nspawn (up to
    // 1879048191) hand out, and below 2^31, where systemd's UIDS-GIDS.md stops calling ids safe.
    uint32_t uid_base = 1'900'000'000;
    uint32_t uid_count = 65536;
    bool operator==(const Jail&) const = default;
  };

  struct Shim {
    // What containerd is answered, where its version takes it.
    Transport transport = Transport::kTtrpc;
    bool operator==(const Shim&) const = default;
  };

  Paths paths;
  Guest guest;
  Agent agent;
  cpu::Policy cpu;
  Jail jail;
  Shim shim;
  base::LogLevel log_level = base::LogLevel::kInfo;
  bool operator==(const Config&) const = default;
};

// Reads `path`. Empty: kDefaultPath, whose absence means the defaults; the absence of a file that
// was named is kNotFound. Errors: kInvalidArgument `FILE:LINE: [section] key = value: rule`.
base::Result<Config> Load(const std::string& path);

// The same for text; `name` stands for it in errors.
base::Result<Config> ParseToml(std::string_view text, const std::string& name);

// Sets one key of [cpu] from text, as in a file without its quotes. kInvalidArgument naming it.
base::Result<void> SetCpuKey(const std::string& name, const std::string& text, Config& config);

// Applies io.pinion.cpu.* of `annotations`. kInvalidArgument for a key that is not allow-listed or
// a value that does not fit. max_vcpus can only be lowered.
base::Result<void> ApplyAnnotations(const std::map<std::string, std::string>& annotations,
                                    Config& config);

}  // namespace config
