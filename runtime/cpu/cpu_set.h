// A set of CPU (or NUMA node) numbers, in the list format of cpuset(7): "0-3,8".
//
// Thread rule: a value.
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/base/result.h"

namespace cpu {

// Linux arch/x86/Kconfig, "NR_CPUS" has at most 8192; a larger number is a mistake, and a range up
// to it must not cost memory.
constexpr uint32_t kMaxCpus = 8192;

class CpuSet {
 public:
  using value_type = uint32_t;
  using const_iterator = std::vector<uint32_t>::const_iterator;

  CpuSet() = default;
  CpuSet(std::initializer_list<uint32_t> cpus);

  // kInvalidArgument naming `text`: "3-1", "a", "0-", "1,", numbers of kMaxCpus and more. Blank
  // space around the whole is ignored (sysfs ends its lists with a newline); "" is the empty set.
  static base::Result<CpuSet> Parse(std::string_view text);
  // Shortest list, ascending; "" if empty.
  std::string ToString() const;

  void Insert(uint32_t cpu);
  bool Contains(uint32_t cpu) const;
  bool ContainsAll(const CpuSet& other) const;
  bool Intersects(const CpuSet& other) const { return !Intersection(other).empty(); }
  CpuSet Intersection(const CpuSet& other) const;
  CpuSet Union(const CpuSet& other) const;
  CpuSet Without(const CpuSet& other) const;

  size_t size() const { return cpus_.size(); }
  bool empty() const { return cpus_.empty(); }
  // Ascending; the set must not be empty for first().
  uint32_t first() const { return cpus_.front(); }
  const_iterator begin() const { return cpus_.begin(); }
  const_iterator end() const { return cpus_.end(); }
  bool operator==(const CpuSet&) const = default;

 private:
  std::vector<uint32_t> cpus_;  // ascending, each once
};

}  // namespace cpu
