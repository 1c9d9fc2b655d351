// Who has CPUs of this host for itself (rule R10): one record a pod below a directory,
//
//   <directory>/lock             taken while records are read and written
//   <directory>/<ns>:<pod>       owner=PID START_TICKS, cpus=LIST
//
// A record is worth nothing once its owner, the pod's shim, is dead: whoever comes next removes it.
//
// Trust: root's files, but of any version of this program, and possibly cut short by a full disk: a
// record that makes no sense is passed over with a note, and its size is bounded. Thread rule:
// reentrant; blocks for as long as another holds the lock, which is a planning's time.
#pragma once

#include <sys/types.h>

#include <functional>
#include <string>
#include <vector>

#include "runtime/base/result.h"
#include "runtime/cpu/plan.h"

namespace cpu {

constexpr size_t kMaxPinRecordBytes = 64 << 10;
constexpr size_t kMaxPinRecords = 4096;

class PinRegistry {
 public:
  // `directory`: there only while a pod has pinned CPUs.
  explicit PinRegistry(std::string directory) : directory_(std::move(directory)) {}
  const std::string& directory() const { return directory_; }

  struct View {
    std::vector<OtherPins> pins;  // by pod, "ns/pod"
    std::vector<Note> notes;      // pin_record_malformed, pin_records_many
  };
  // What pods other than `self` ("ns/pod") have.
  base::Result<View> Others(const std::string& self) const;

  // Under the lock: shows `plan` what others have, and records what it answers for `self`, whose
  // owner is the calling process. No CPUs: no record. So of two pods that want the same CPUs one
  // sees the other.
  using PlanPins = std::function<base::Result<CpuSet>(const View& others)>;
  base::Result<void> Claim(const std::string& self, const PlanPins& plan);

  // Removes the record of `self`, and the directory with the last record; none is fine.
  base::Result<void> Release(const std::string& self);

 private:
  std::string FileOf(const std::string& pod) const;
  base::Result<View> ReadOthers(const std::string& self) const;
  base::Result<void> RemoveIfEmpty() const;

  std::string directory_;
};

// proc(5), /proc/pid/stat (22): with the pid, the identity of a process. kNotFound if it is gone.
base::Result<uint64_t> StartTicksOf(pid_t pid);

}  // namespace cpu
