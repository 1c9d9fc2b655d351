#include "vmm/cpu/vcpu_set.h"

#include <algorithm>
#include <utility>

namespace vmm {

VcpuSet::VcpuSet(Options options)
    : options_(std::move(options)),
      environment_{.ports = options_.ports,
                   .memory = options_.memory,
                   .on_thread_start = options_.on_thread_start,
                   .on_stop = [this](Stop stop) { StopAll(std::move(stop)); },
                   .on_rest = [this](Vcpu::State) { OnRest(); }} {}

VcpuSet::~VcpuSet() {
  for (const auto& vcpu : vcpus_) vcpu->Request(Vcpu::Wish::kEnd);
  for (const auto& vcpu : vcpus_) vcpu->Join();
}

void VcpuSet::Add(kvm::VcpuFd fd, bool plugged) {
  plugged_.push_back(plugged);
  vcpus_.push_back(
      std::make_unique<Vcpu>(static_cast<uint32_t>(vcpus_.size()), std::move(fd), environment_));
}

base::Result<void> VcpuSet::Realise() {
  for (const auto& vcpu : vcpus_) TRY(vcpu->Realise(), "start thread vcpu{}", vcpu->index());
  return base::Ok();
}

// Wishes are passed on under the mutex, so that they arrive in the order in which they were made.
void VcpuSet::Run() {
  const std::lock_guard lock(mutex_);
  running_ = true;
  for (size_t i = 0; i < vcpus_.size(); ++i) {
    if (plugged_[i]) vcpus_[i]->Request(Vcpu::Wish::kRun);
  }
}

void VcpuSet::Plug(size_t index) {
  const std::lock_guard lock(mutex_);
  plugged_[index] = true;
  if (running_) vcpus_[index]->Request(Vcpu::Wish::kRun);
}

void VcpuSet::Unplug(size_t index) {
  const std::lock_guard lock(mutex_);
  plugged_[index] = false;
  vcpus_[index]->Request(Vcpu::Wish::kUnplug);
}

base::Result<void> VcpuSet::Pause(std::function<void()> done) {
  {
    const std::lock_guard lock(mutex_);
    if (pause_done_) {
      return base::MakeError(base::Code::kFailedPrecondition, "a pause is under way");
    }
    if (stopping_) {
      return base::MakeError(base::Code::kFailedPrecondition, "the machine is stopping");
    }
    pause_done_ = std::move(done);
    running_ = false;
    // One that is unplugged parks, or is parked, as it is.
    for (size_t i = 0; i < vcpus_.size(); ++i) {
      if (plugged_[i]) vcpus_[i]->Request(Vcpu::Wish::kPark);
    }
  }
  OnRest();
  return base::Ok();
}

void VcpuSet::StopAll(Stop stop) {
  {
    const std::lock_guard lock(mutex_);
    if (stopping_) return;
    stopping_ = true;
    stop_ = std::move(stop);
  }
  for (const auto& vcpu : vcpus_) vcpu->Request(Vcpu::Wish::kEnd);
}

void VcpuSet::OnRest() {
  size_t parked = 0;
  size_t ended = 0;
  for (const auto& vcpu : vcpus_) {
    const Vcpu::State state = vcpu->state();
    if (state == Vcpu::State::kParked) ++parked;
    if (state == Vcpu::State::kEnded) ++ended;
  }
  std::function<void()> pause_done;
  bool tell_stopped = false;
  {
    const std::lock_guard lock(mutex_);
    if (parked == vcpus_.size()) pause_done = std::exchange(pause_done_, nullptr);
    if (stopping_ && ended == vcpus_.size() && !stopped_told_) {
      stopped_told_ = tell_stopped = true;
    }
  }
  if (pause_done) pause_done();
  // stop_ does not change any more.
  if (tell_stopped && options_.on_stopped) options_.on_stopped(stop_);
}

std::map<std::string, uint64_t> VcpuSet::ExitCounts() const {
  std::map<std::string, uint64_t> counts;
  for (size_t kind = 0; kind < kExitKinds; ++kind) {
    uint64_t sum = 0;
    for (const auto& vcpu : vcpus_) sum += vcpu->exits().Get(static_cast<ExitKind>(kind));
    if (sum > 0) counts[ExitKindName(static_cast<ExitKind>(kind))] = sum;
  }
  return counts;
}

}  // namespace vmm
