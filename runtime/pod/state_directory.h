// What a pod keeps on disk below run_dir (/run/pinion), so that anybody can clean up after it:
//
//   <run_dir>/lock                 taken while a pod appears or disappears
//   <run_dir>/uids/<uid>           "<ns>/<pod>": whose uid that is
//   <run_dir>/<ns>/<pod>/record    a Record
//   <run_dir>/<ns>/<pod>/share     what virtiofsd serves
//   <run_dir>/<ns>/<pod>/plan.json the CPU plan in force
//   <run_dir>/cpus                 who has CPUs for itself (cpu/pin_registry.h)
//   <bundle>/pinion-run-dir        the run_dir, if it is not the default
//
// Thread rule: reentrant, blocks.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/base/result.h"

namespace pod {

inline constexpr const char* kDefaultRunDir = "/run/pinion";

// The ids that containerd accepts (containerd pkg/identifiers: letters, digits, and "._-" between
// them, at most 76 characters). Checked before an id becomes part of a path.
base::Result<void> CheckId(std::string_view what, std::string_view id);

struct ProcessRecord {
  std::string role;  // "vmm", "virtiofsd", "anchor"
  pid_t pid = 0;
  uint64_t start_ticks = 0;  // proc(5) /proc/pid/stat (22): tells a re-used pid
  bool operator==(const ProcessRecord&) const = default;
};

// The process `pid` as it is now; kNotFound if there is none.
base::Result<ProcessRecord> DescribeProcess(std::string role, pid_t pid);

// What the pod changed in its network namespace: the links whose frames it took.
struct NetworkRecord {
  std::string path;
  ino_t identity = 0;  // the path may lead to another by then
  std::vector<std::string> links;
  bool operator==(const NetworkRecord&) const = default;
};

struct Record {
  uid_t uid = 0;  // the vmm's; 0: none yet
  std::vector<ProcessRecord> processes;
  std::vector<std::string> cgroups;           // as cgroup::PathOnRecord has them
  std::map<std::string, std::string> rootfs;  // container id → where its rootfs is mounted
  std::optional<NetworkRecord> network;
  bool operator==(const Record&) const = default;
};

std::string FormatRecord(const Record& record);
// kInvalidArgument for what FormatRecord does not write. Lines it does not know are passed over: a
// newer shim may have written them.
base::Result<Record> ParseRecord(std::string_view text);

class StateDirectory {
 public:
  // Makes the directory of `ns`/`pod` and takes a uid of `first_uid` … `first_uid + count - 1`
  // that no living pod has. kAlreadyExists if the directory is there.
  struct Uids {
    uid_t first = 2'000'000'000;
    uid_t count = 65536;
  };
  static base::Result<StateDirectory> Make(const std::string& run_dir, const std::string& ns,
                                           const std::string& pod, Uids uids);
  // One that is there already; nullopt if it is not.
  static base::Result<std::optional<StateDirectory>> Find(const std::string& run_dir,
                                                          const std::string& ns,
                                                          const std::string& pod);

  const std::string& path() const { return path_; }
  std::string share() const { return path_ + "/share"; }
  std::string console() const { return path_ + "/console.log"; }
  // The CPU plan in force as JSON (cpu/plan_json.h), for `pinionctl pod show`.
  std::string plan() const { return path_ + "/plan.json"; }
  // The host's register of pinned CPUs, and this pod's name there.
  std::string pins() const { return run_dir_ + "/cpus"; }
  std::string name() const { return ns_ + "/" + pod_; }

  Record& record() { return record_; }
  base::Result<void> Save() const;

  // Gives the uid back and removes the directory, which must hold plain files and empty
  // directories only: nothing here ever descends into a share.
  base::Result<void> Remove();

 private:
  StateDirectory(std::string run_dir, std::string ns, std::string pod);
  base::Result<void> TakeUid(Uids uids);

  std::string run_dir_;
  std::string ns_;
  std::string pod_;
  std::string path_;
  Record record_;
};

}  // namespace pod
