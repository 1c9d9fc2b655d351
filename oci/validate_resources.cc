#include <fmt/format.h>

#include "oci/validate.h"

namespace oci {
namespace {

// Linux Documentation/scheduler/sched-bwc.rst, "Management": a period is 1 ms to 1 s, a quota at
// least 1 ms. The kernel's own answer, EINVAL, would name neither the field nor the rule.
constexpr uint64_t kMinPeriodUs = 1000;
constexpr uint64_t kMaxPeriodUs = 1'000'000;
constexpr int64_t kMinQuotaUs = 1000;

base::Result<void> ValidateCpu(const CpuLimits& cpu) {
  const std::string path = "linux.resources.cpu.";
  // Zero is how Go's structs write "not set".
  if (cpu.period_us.value_or(0) != 0 &&
      (*cpu.period_us < kMinPeriodUs || *cpu.period_us > kMaxPeriodUs)) {
    return RuleError(path + "period", std::to_string(*cpu.period_us),
                     "not within 1000 … 1000000 µs (Linux sched-bwc.rst)");
  }
  if (cpu.quota_us.value_or(0) > 0 && *cpu.quota_us < kMinQuotaUs) {
    return RuleError(path + "quota", std::to_string(*cpu.quota_us),
                     "less than 1000 µs (Linux sched-bwc.rst)");
  }
  if (cpu.burst_us.value_or(0) > 0 && cpu.quota_us.value_or(0) > 0 &&
      *cpu.burst_us > static_cast<uint64_t>(*cpu.quota_us)) {
    return RuleError(path + "burst", std::to_string(*cpu.burst_us), "above the quota");
  }
  if (cpu.idle && *cpu.idle != 0 && *cpu.idle != 1) {
    return RuleError(path + "idle", std::to_string(*cpu.idle), "must be 0 or 1");
  }
  return base::Ok();
}

base::Result<void> ValidateMemory(const MemoryLimits& memory) {
  const std::string path = "linux.resources.memory.";
  const auto at_least_minus_one = [&](const std::optional<int64_t>& value,
                                      const char* name) -> base::Result<void> {
    if (!value || *value >= -1) return base::Ok();
    return RuleError(path + name, std::to_string(*value), "must be -1 (no limit) or more");
  };
  TRY(at_least_minus_one(memory.limit, "limit"));
  TRY(at_least_minus_one(memory.reservation, "reservation"));
  TRY(at_least_minus_one(memory.swap, "swap"));
  TRY(at_least_minus_one(memory.kernel, "kernel"));
  TRY(at_least_minus_one(memory.kernel_tcp, "kernelTCP"));
  // "swap" is memory and swap together.
  if (memory.swap.value_or(0) > 0 && memory.limit.value_or(0) > 0 && *memory.swap < *memory.limit) {
    return RuleError(path + "swap", std::to_string(*memory.swap),
                     fmt::format("below the memory limit {}", *memory.limit));
  }
  if (memory.swappiness && *memory.swappiness > 100) {
    return RuleError(path + "swappiness", std::to_string(*memory.swappiness), "above 100");
  }
  return base::Ok();
}

base::Result<void> ValidateDeviceRules(const std::vector<DeviceRule>& rules) {
  for (size_t i = 0; i < rules.size(); ++i) {
    const std::string path = fmt::format("linux.resources.devices[{}].", i);
    const DeviceRule& rule = rules[i];
    if (!rule.type.empty() && rule.type != "a" && rule.type != "c" && rule.type != "b") {
      return RuleError(path + "type", rule.type, "must be a, c or b");
    }
    if (rule.access.find_first_not_of("rwm") != std::string::npos) {
      return RuleError(path + "access", rule.access, "must be made of r, w and m");
    }
  }
  return base::Ok();
}

base::Result<void> ValidateBlockIo(const BlockIoLimits& limits) {
  // Zero is "not set", as above.
  const uint16_t weight = limits.weight.value_or(0);
  if (weight != 0 && (weight < 10 || weight > 1000)) {
    return RuleError("linux.resources.blockIO.weight", std::to_string(weight),
                     "not within 10 … 1000");
  }
  return base::Ok();
}

// "[1-9][0-9]*[KMG]B" of the clause, as the names in /sys/kernel/mm/hugepages are spelt for
// cgroups.
bool IsPageSize(std::string_view text) {
  if (text.size() < 3 || !text.ends_with('B')) return false;
  const char unit = text[text.size() - 2];
  if (unit != 'K' && unit != 'M' && unit != 'G') return false;
  const std::string_view digits = text.substr(0, text.size() - 2);
  return digits[0] != '0' && digits.find_first_not_of("0123456789") == std::string_view::npos;
}

}  // namespace

base::Result<void> ValidateResources(const Resources& resources) {
  TRY(ValidateDeviceRules(resources.devices));
  if (resources.cpu) TRY(ValidateCpu(*resources.cpu));
  if (resources.memory) TRY(ValidateMemory(*resources.memory));
  if (resources.block_io) TRY(ValidateBlockIo(*resources.block_io));
  for (size_t i = 0; i < resources.hugepage_limits.size(); ++i) {
    if (!IsPageSize(resources.hugepage_limits[i].page_size)) {
      return RuleError(fmt::format("linux.resources.hugepageLimits[{}].pageSize", i),
                       resources.hugepage_limits[i].page_size, "must be like 64KB, 2MB or 1GB");
    }
  }
  for (const auto& [name, value] : resources.unified) {
    // A name of a file in one directory, so that no value can be written elsewhere.
    if (name.empty() || name.find('/') != std::string::npos || name == "." || name == "..") {
      return RuleError("linux.resources.unified", name, "must be the name of a cgroup v2 file");
    }
  }
  return base::Ok();
}

}  // namespace oci
