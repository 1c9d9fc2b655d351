#include "runtime/cpu/request.h"

#include <algorithm>
#include <charconv>
#include <string>

#include "oci/annotations.h"
#include "runtime/base/log.h"
#include "runtime/cpu/demand.h"

namespace cpu {
namespace {

using base::Code;

constexpr uint64_t kMib = 1 << 20;
// The physical address space of x86 with five-level paging, in MiB.
constexpr uint64_t kMaxMemoryMib = uint64_t{1} << 32;

template <class Number>
base::Result<bool> ReadAnnotation(const oci::Spec& spec, std::string_view name, Number& out) {
  const auto found = spec.annotations.find(std::string(name));
  if (found == spec.annotations.end() || found->second.empty()) return false;
  const std::string& text = found->second;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  if (error == std::errc() && end == text.data() + text.size()) return true;
  return base::MakeError(Code::kInvalidArgument, "annotations.{}: \"{}\" is not a number", name,
                         base::Escaped(text, 64));
}

bool IsSandbox(const oci::Spec& spec) {
  const auto type = spec.annotations.find(std::string(oci::kContainerType));
  return type != spec.annotations.end() && type->second == oci::kContainerTypeSandbox;
}

ContainerRequest ContainerOf(const oci::Spec& spec) {
  const auto& cpu = spec.linux_config.resources.cpu;
  return cpu ? Updated({}, *cpu) : ContainerRequest();
}

}  // namespace

// 0 and "" are what clients send for "not given", as runc takes them.
ContainerRequest Updated(ContainerRequest request, const oci::CpuLimits& cpu) {
  const auto take = [](auto& field, const auto& value) {
    if (value && *value != 0) field = *value;
  };
  take(request.shares, cpu.shares);
  take(request.quota_us, cpu.quota_us);
  take(request.period_us, cpu.period_us);
  if (cpu.burst_us) request.burst_us = *cpu.burst_us;
  if (!cpu.cpus.empty()) request.cpus = cpu.cpus;
  if (!cpu.mems.empty()) request.mems = cpu.mems;
  if (cpu.idle) request.idle = *cpu.idle != 0;
  request.realtime = request.realtime || cpu.realtime_runtime_us.value_or(0) != 0 ||
                     cpu.realtime_period_us.value_or(0) != 0;
  return request;
}

bool AsksLess(const ContainerRequest& before, const ContainerRequest& after) {
  const auto was = LimitOf(before), is = LimitOf(after);
  if (!was || !is) return false;  // the planner says what is wrong
  const bool lower = is->has_value() && (!was->has_value() || **is < **was);
  return lower || after.shares < before.shares;
}

base::Result<CpuRequest> RequestFromSpecs(std::span<const oci::Spec> specs) {
  CpuRequest request;
  for (const oci::Spec& spec : specs) {
    request.cri = request.cri || spec.annotations.contains(std::string(oci::kContainerType));
    ContainerRequest pod;
    bool has_pod = TRY(ReadAnnotation(spec, oci::kSandboxCpuQuota, pod.quota_us));
    has_pod |= TRY(ReadAnnotation(spec, oci::kSandboxCpuPeriod, pod.period_us));
    has_pod |= TRY(ReadAnnotation(spec, oci::kSandboxCpuShares, pod.shares));
    // containerd writes the same limits on each container of a pod.
    if (has_pod && !request.pod) request.pod = pod;
    if (!IsSandbox(spec)) request.containers.push_back(ContainerOf(spec));
  }
  return request;
}

base::Result<CpuRequest> RequestFromSpec(const oci::Spec& spec) {
  return RequestFromSpecs(std::span(&spec, 1));
}

base::Result<uint64_t> GuestMemoryMib(std::span<const oci::Spec> specs, uint64_t default_mib,
                                      uint64_t overhead_mib) {
  uint64_t sum_mib = 0;
  bool all_limited = true;
  const auto mib = [](int64_t bytes) { return (static_cast<uint64_t>(bytes) + kMib - 1) / kMib; };
  for (const oci::Spec& spec : specs) {
    int64_t pod = 0;
    TRY(ReadAnnotation(spec, oci::kSandboxMemory, pod));
    if (pod > 0) {
      sum_mib = mib(pod);
      all_limited = true;
      break;
    }
    if (IsSandbox(spec)) continue;
    const auto& limits = spec.linux_config.resources.memory;
    const int64_t limit = limits ? limits->limit.value_or(0) : 0;
    if (limit > 0) sum_mib += mib(limit);
    all_limited = all_limited && limit > 0;
  }
  const uint64_t wanted = sum_mib == 0 ? default_mib : sum_mib + overhead_mib;
  if (wanted <= kMaxMemoryMib) return all_limited ? wanted : std::max(wanted, default_mib);
  return base::MakeError(Code::kOutOfRange,
                         "linux.resources.memory.limit: a guest of {} MiB is beyond any machine",
                         wanted);
}

bool BootsWithFirstContainer(const CpuRequest& sandbox, Boot boot) {
  if (boot != Boot::kAuto) return boot == Boot::kFirstContainer;
  if (!sandbox.pod || sandbox.pod->shares == 0 || sandbox.pod->shares % 1024 != 0) return false;
  if (sandbox.pod->quota_us <= 0) return true;
  const uint64_t period = sandbox.pod->period_us == 0 ? 100'000 : sandbox.pod->period_us;
  return static_cast<uint64_t>(sandbox.pod->quota_us) == sandbox.pod->shares / 1024 * period;
}

}  // namespace cpu
