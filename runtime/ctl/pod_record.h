// What the host's run directory tells of pods, read without asking their shims, which may be dead
// or busy. Thread rule: reentrant.
//
// Trust: files of root's shims, possibly of another version; bounded, and what makes no sense is
// said.
#pragma once

#include <string>
#include <vector>

#include "runtime/base/result.h"
#include "runtime/cpu/topology.h"
#include "runtime/pod/state_directory.h"

namespace ctl {

// A vCPU's thread, as it is now beside what the plan says.
struct VcpuThread {
  uint32_t index = 0;
  uint32_t id = 0;
  std::string planned;  // list of CPUs; empty: whatever the cgroup allows
  pid_t tid = 0;        // 0: there is none
  std::string actual;
};

struct PodRecord {
  std::string ns, id;
  uid_t uid = 0;
  struct Process {
    pod::ProcessRecord record;
    bool alive = false;
  };
  std::vector<Process> processes;
  std::vector<std::string> cgroups;
  std::string plan_json;  // as the shim wrote it; empty: none
  std::string mode, housekeeping, cpu_max;
  uint64_t memory_mib = 0;
  std::vector<VcpuThread> vcpus;
  std::vector<cpu::Note> notes;
};

// Every pod below `run_dir`, by namespace and id; those named `id`, if it is not empty. No run_dir:
// no pods.
base::Result<std::vector<PodRecord>> ReadPods(const std::string& run_dir, const std::string& id);

}  // namespace ctl
