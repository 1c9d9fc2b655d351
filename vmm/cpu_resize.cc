#include "vmm/cpu_resize.h"

#include <utility>

#include "runtime/base/log.h"

namespace vmm {

namespace {

// ACPI 6.5, table 6.28, "_OST": what a report can be about, and how it went. Linux also reports the
// beginning of an ejection.
constexpr uint32_t kSuccess = 0;
constexpr uint32_t kInsertionInProgress = 0x80;
constexpr uint32_t kEjectionInProgress = 0x84;

// Of one CPU, before the reactor has looked at any: begun, and how it went, of an insertion and an
// ejection.
constexpr size_t kMaxReports = 4;

}  // namespace

base::Result<void> CpuResize::Check(std::span<const uint32_t> cpus, bool present) const {
  if (request_) {
    return base::MakeError(base::Code::kFailedPrecondition,
                           "the guest has not answered an earlier change of its CPUs");
  }
  if (cpus.empty()) return base::MakeError(base::Code::kInvalidArgument, "indices: none");
  std::set<uint32_t> seen;
  for (const uint32_t cpu : cpus) {
    if (cpu >= vcpus_.size() || !seen.insert(cpu).second) {
      return base::MakeError(base::Code::kInvalidArgument,
                             "indices: {}: must be below {}, each once", cpu, vcpus_.size());
    }
    if (device_.present(cpu) != present) {
      return base::MakeError(base::Code::kFailedPrecondition, "CPU {} is {}there", cpu,
                             present ? "not " : "already ");
    }
    if (present && cpu == 0) {
      return base::MakeError(base::Code::kInvalidArgument, "CPU 0 booted, and stays");
    }
  }
  return base::Ok();
}

void CpuResize::Begin(std::span<const uint32_t> cpus, bool adds, Done done) {
  request_.emplace();
  request_->adds = adds;
  request_->waiting.insert(cpus.begin(), cpus.end());
  request_->done = std::move(done);
}

base::Result<void> CpuResize::Add(std::span<const uint32_t> cpus, Done done) {
  TRY(Check(cpus, /*present=*/false));
  Begin(cpus, /*adds=*/true, std::move(done));
  for (const uint32_t cpu : cpus) {
    vcpus_.Plug(cpu);
    device_.Insert(cpu);
  }
  return base::Ok();
}

base::Result<void> CpuResize::Remove(std::span<const uint32_t> cpus, Done done) {
  TRY(Check(cpus, /*present=*/true));
  Begin(cpus, /*adds=*/false, std::move(done));
  for (const uint32_t cpu : cpus) device_.RequestRemoval(cpu);
  return base::Ok();
}

void CpuResize::OnEject(uint32_t cpu) {
  // Here and now: a CPU that is gone must not run on until the reactor has time.
  vcpus_.Unplug(cpu);
  loop_.Post([this, cpu, alive = std::weak_ptr(alive_)] {
    if (!alive.expired()) Settle(cpu, /*ejected=*/true, kSuccess);
  });
}

void CpuResize::OnReport(uint32_t cpu, uint32_t event, uint32_t status) {
  // A guest that writes reports in a loop loses some of them; we do not grow by it.
  if (reports_.fetch_add(1) >= kMaxReports * vcpus_.size()) {
    reports_.fetch_sub(1);
    return;
  }
  loop_.Post([this, cpu, event, status, alive = std::weak_ptr(alive_)] {
    if (alive.expired()) return;
    reports_.fetch_sub(1);
    LOG_DEBUG("CPU {}: the guest reports event {:#x}: status {:#x}", cpu, event, status);
    Settle(cpu, /*ejected=*/false, status);
  });
}

// What a guest says without having been asked changes nothing.
void CpuResize::Settle(uint32_t cpu, bool ejected, uint32_t status) {
  if (!request_ || request_->waiting.count(cpu) == 0) return;
  const bool adds = request_->adds;
  // An ejection is known by the ejection itself: a report of success may follow it, or precede it.
  if (adds ? status == kInsertionInProgress
           : !ejected && (status == kEjectionInProgress || status == kSuccess)) {
    return;
  }
  request_->waiting.erase(cpu);
  if (status == kSuccess) {
    request_->changed.push_back(cpu);
  } else {
    if (adds) {
      device_.Withdraw(cpu);
      vcpus_.Unplug(cpu);
    }
    request_->refused +=
        fmt::format("{}CPU {}: status {:#x}", request_->refused.empty() ? "" : ", ", cpu, status);
  }
  if (!request_->waiting.empty()) return;
  const Request finished = std::move(*request_);
  request_.reset();
  base::Result<void> result = base::Ok();
  if (!finished.refused.empty()) {
    result = base::MakeError(base::Code::kAborted, "the guest did not {} {}",
                             adds ? "take" : "let go of", finished.refused);
  }
  finished.done(std::move(result), finished.changed);
}

}  // namespace vmm
