#include "vmm/topology/guest_topology.h"

#include <algorithm>
#include <bit>
#include <map>
#include <set>
#include <tuple>
#include <utility>

namespace vmm {

namespace {

// Two numbers, each below 2^32, as one.
uint64_t Join(uint32_t high, uint32_t low) { return uint64_t{high} << 32 | low; }

// Numbers the children of each parent densely, in order of their own number.
class DenseIndex {
 public:
  void Add(uint64_t parent, uint64_t child) { children_[parent].insert(child); }
  uint32_t Index(uint64_t parent, uint64_t child) const {
    const std::set<uint64_t>& siblings = children_.at(parent);
    return static_cast<uint32_t>(std::distance(siblings.begin(), siblings.find(child)));
  }
  uint32_t Largest() const {
    size_t largest = 0;
    for (const auto& [parent, siblings] : children_) largest = std::max(largest, siblings.size());
    return static_cast<uint32_t>(largest);
  }

 private:
  std::map<uint64_t, std::set<uint64_t>> children_;
};

// Bits that number `count` things from 0.
uint32_t Width(uint32_t count) {
  return count <= 1 ? 0 : static_cast<uint32_t>(std::bit_width(count - 1));
}

// The most vCPUs that have the same key.
template <class KeyOf>
uint32_t LargestGroup(const std::vector<VcpuPlace>& places, KeyOf key_of) {
  std::map<uint64_t, uint32_t> counts;
  uint32_t largest = 0;
  for (const VcpuPlace& place : places) largest = std::max(largest, ++counts[key_of(place)]);
  return largest;
}

// The number that each package has in the ids: the one of most cores is 0, the others follow in
// order. Linux from 6.9 on takes the package of the lowest id for all of them
// (arch/x86/kernel/cpu/topology.c, __num_cores_per_package): were it one of a single core, Linux
// would link no two cores of any package.
std::map<uint32_t, uint32_t> PackageNumbers(const std::vector<VcpuPlace>& places) {
  std::map<uint32_t, std::set<uint32_t>> cores;
  for (const VcpuPlace& place : places) cores[place.package].insert(place.core);
  const auto largest = std::max_element(
      cores.begin(), cores.end(),
      [](const auto& a, const auto& b) { return a.second.size() < b.second.size(); });
  std::map<uint32_t, uint32_t> numbers = {{largest->first, 0}};
  for (const auto& [package, unused] : cores) {
    numbers.emplace(package, static_cast<uint32_t>(numbers.size()));
  }
  return numbers;
}

}  // namespace

base::Result<GuestTopology> GuestTopology::Create(std::span<const VcpuPlace> places) {
  if (places.empty() || places.size() > kMaxVcpus) {
    return base::MakeError(base::Code::kInvalidArgument, "{} vCPUs: must be 1 to {}", places.size(),
                           kMaxVcpus);
  }
  GuestTopology topology;
  topology.places_.assign(places.begin(), places.end());
  TRY(topology.CheckNesting());
  TRY(topology.Encode());
  return topology;
}

base::Result<GuestTopology> GuestTopology::Uniform(uint32_t cores, uint32_t threads) {
  if (cores == 0 || threads == 0 || cores > kMaxVcpus || threads > kMaxVcpus) {
    return base::MakeError(base::Code::kInvalidArgument, "{} cores of {} threads: must be 1 to {}",
                           cores, threads, kMaxVcpus);
  }
  std::vector<VcpuPlace> places;
  for (uint32_t core = 0; core < cores; ++core) {
    for (uint32_t thread = 0; thread < threads; ++thread) {
      places.push_back({.core = core, .thread = thread, .l2 = core});
    }
  }
  return Create(places);
}

base::Result<void> GuestTopology::CheckNesting() const {
  std::set<std::tuple<uint32_t, uint32_t, uint32_t>> taken;
  std::map<uint64_t, uint64_t> l2_of_core, die_of_l3;
  std::map<uint32_t, uint32_t> l3_of_l2;
  for (size_t i = 0; i < places_.size(); ++i) {
    const VcpuPlace& place = places_[i];
    if (!taken.emplace(place.package, place.core, place.thread).second) {
      return base::MakeError(base::Code::kInvalidArgument,
                             "vCPU {}: package {} core {} thread {} is taken", i, place.package,
                             place.core, place.thread);
    }
    const uint64_t core = Join(place.package, place.core);
    const uint64_t die = Join(place.package, place.die);
    if (l2_of_core.emplace(core, place.l2).first->second != place.l2) {
      return base::MakeError(base::Code::kInvalidArgument,
                             "vCPU {}: threads of core {} of package {} are in two L2 groups", i,
                             place.core, place.package);
    }
    if (l3_of_l2.emplace(place.l2, place.l3).first->second != place.l3) {
      return base::MakeError(base::Code::kInvalidArgument,
                             "vCPU {}: L2 group {} is in two L3 groups", i, place.l2);
    }
    if (die_of_l3.emplace(place.l3, die).first->second != die) {
      return base::MakeError(base::Code::kInvalidArgument, "vCPU {}: L3 group {} is in two dies", i,
                             place.l3);
    }
  }
  return base::Ok();
}

base::Result<void> GuestTopology::Encode() {
  DenseIndex threads, cores, l2s, l3s, dies;
  const std::map<uint32_t, uint32_t> packages = PackageNumbers(places_);
  for (const VcpuPlace& place : places_) {
    dies.Add(place.package, place.die);
    l3s.Add(Join(place.package, place.die), place.l3);
    l2s.Add(place.l3, place.l2);
    cores.Add(place.l2, place.core);
    threads.Add(Join(place.package, place.core), place.thread);
  }
  core_shift_ = Width(threads.Largest());
  l2_shift_ = core_shift_ + Width(cores.Largest());
  l3_shift_ = l2_shift_ + Width(l2s.Largest());
  die_shift_ = l3_shift_ + Width(l3s.Largest());
  // Room for two CPUs in a die of one, which CPUID tells then: see CpuidBuilder::AddTopologyLeaf.
  if (dies.Largest() > 1) die_shift_ = std::max(die_shift_, 1u);
  package_shift_ = die_shift_ + Width(dies.Largest());

  for (size_t i = 0; i < places_.size(); ++i) {
    const VcpuPlace& place = places_[i];
    // 64 bits: at most 1024 vCPUs, so each width is at most 10.
    const uint64_t id = threads.Index(Join(place.package, place.core), place.thread) |
                        uint64_t{cores.Index(place.l2, place.core)} << core_shift_ |
                        uint64_t{l2s.Index(place.l3, place.l2)} << l2_shift_ |
                        uint64_t{l3s.Index(Join(place.package, place.die), place.l3)} << l3_shift_ |
                        uint64_t{dies.Index(place.package, place.die)} << die_shift_ |
                        uint64_t{packages.at(place.package)} << package_shift_;
    if (id > kMaxApicId) {
      return base::MakeError(base::Code::kInvalidArgument, "vCPU {}: APIC id {} is above {}", i, id,
                             kMaxApicId);
    }
    apic_ids_.push_back(static_cast<uint32_t>(id));
    max_apic_id_ = std::max(max_apic_id_, static_cast<uint32_t>(id));
  }
  threads_per_core_ = threads.Largest();
  dies_per_package_ = dies.Largest();
  vcpus_per_die_ = LargestGroup(places_, [](const VcpuPlace& p) { return Join(p.package, p.die); });
  vcpus_per_package_ = LargestGroup(places_, [](const VcpuPlace& p) { return p.package; });
  return base::Ok();
}

}  // namespace vmm
