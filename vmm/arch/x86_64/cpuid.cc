#include "vmm/arch/x86_64/cpuid.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <string_view>

#include "vmm/arch/x86_64/cpuid_cache.h"

namespace vmm {

namespace {

constexpr uint32_t kSignificant = KVM_CPUID_FLAG_SIGNIFCANT_INDEX;

// Leaves that are never taken from the host. Intel SDM Vol. 2A, "CPUID"; AMD APM Vol. 3, appendix
// E.
constexpr std::array<uint32_t, 14> kDroppedLeaves = {
    0x4,        0xb,        0x1f,
    0x8000001d, 0x8000001e, 0x80000026,  // topology and caches: built below
    0xa,        0x80000022,              // performance counters
    0x12,       0x14,       0x19,        // SGX, processor trace, key locker
    0x1d,       0x1e,                    // AMX, which needs a permission first
    0x8000000a,                          // nested SVM
};

// Leaf 1.
constexpr uint32_t k1EcxMonitor = 1u << 3;
constexpr uint32_t k1EcxVmx = 1u << 5;
constexpr uint32_t k1EcxPdcm = 1u << 15;
constexpr uint32_t k1EcxX2apic = 1u << 21;
constexpr uint32_t k1EcxTscDeadline = 1u << 24;
constexpr uint32_t k1EcxHypervisor = 1u << 31;
constexpr uint32_t k1EdxDebugStore = 1u << 21;
constexpr uint32_t k1EdxHtt = 1u << 28;
// Leaf 6: the timer of the local APIC never stops.
constexpr uint32_t k6EaxArat = 1u << 2;
// Leaf 7.
constexpr uint32_t k7EbxSgx = 1u << 2;
constexpr uint32_t k7EbxProcessorTrace = 1u << 25;
constexpr uint32_t k7EcxKeyLocker = 1u << 23;
constexpr uint32_t k7EcxSgxLaunch = 1u << 30;
constexpr uint32_t k7EdxAmx = 1u << 22 | 1u << 24 | 1u << 25;
// Leaf 0xD, XCR0 bits 17 and 18: AMX state.
constexpr uint32_t kDEaxAmxState = 3u << 17;
// Leaf 0x80000001.
constexpr uint32_t kExtEcxCmpLegacy = 1u << 1;
constexpr uint32_t kExtEcxSvm = 1u << 2;
constexpr uint32_t kExtEcxTopologyExtensions = 1u << 22;
constexpr uint32_t kExtEcxPerformanceCounters = 1u << 23 | 1u << 24 | 1u << 28;

constexpr uint32_t kKvmFeatureLeaf = 0x40000001;
constexpr uint32_t kKvmFeatureMsiExtDestId = 1u << 15;
// KVM_FEATURE_PV_UNHALT, PV_SEND_IPI, PV_SCHED_YIELD.
constexpr uint32_t kKvmFeatureHypercalls = 1u << 7 | 1u << 11 | 1u << 13;

// What a guest of another vendor than the host's believes it runs on: widely known server parts, so
// that Linux takes the vendor's usual paths. AMD family 17h models up to 1Fh must not be used:
// Linux takes their L3 as 8 ids whatever 0x8000001D says.
constexpr uint32_t kIntelSkylakeServer = 0x00050654;
constexpr uint32_t kAmdRome = 0x00830f10;

// Level types of leaves 0xB and 0x1F.
constexpr uint32_t kLevelThread = 1;
constexpr uint32_t kLevelCore = 2;
constexpr uint32_t kLevelDie = 5;

bool IsAmd(const kvm_cpuid_entry2& leaf0) {
  char vendor[12];
  std::memcpy(vendor, &leaf0.ebx, 4);
  std::memcpy(vendor + 4, &leaf0.edx, 4);
  std::memcpy(vendor + 8, &leaf0.ecx, 4);
  const std::string_view name(vendor, sizeof(vendor));
  return name == "AuthenticAMD" || name == "HygonGenuine";
}

void SetVendor(kvm_cpuid_entry2& leaf, std::string_view name) {
  std::memcpy(&leaf.ebx, name.data(), 4);
  std::memcpy(&leaf.edx, name.data() + 4, 4);
  std::memcpy(&leaf.ecx, name.data() + 8, 4);
}

// As many as `shift` bits of id can tell apart, less one: how the sharing fields count.
uint32_t AddressableLessOne(uint32_t shift) { return (1u << shift) - 1; }

}  // namespace

CpuidBuilder::CpuidBuilder(std::span<const kvm_cpuid_entry2> supported,
                           const GuestTopology& topology, CpuidOptions options)
    : topology_(topology), options_(options), caches_(CachesOf(supported)) {
  BuildCommonPart(supported);
  FixVendor();
  FixFeatures();
}

kvm_cpuid_entry2* CpuidBuilder::Find(uint32_t leaf, uint32_t index) {
  for (kvm_cpuid_entry2& entry : common_) {
    if (entry.function == leaf && entry.index == index) return &entry;
  }
  return nullptr;
}

void CpuidBuilder::BuildCommonPart(std::span<const kvm_cpuid_entry2> supported) {
  for (const kvm_cpuid_entry2& entry : supported) {
    const bool dropped = std::find(kDroppedLeaves.begin(), kDroppedLeaves.end(), entry.function) !=
                         kDroppedLeaves.end();
    if (!dropped) common_.push_back(entry);
  }
  // Leaves that are written below exist, whatever KVM returned.
  for (const uint32_t leaf : {0x0u, 0x1u, 0x80000000u, 0x80000001u, 0x80000008u}) {
    if (Find(leaf) == nullptr) common_.push_back({.function = leaf});
  }
}

void CpuidBuilder::FixVendor() {
  kvm_cpuid_entry2* leaf0 = Find(0);
  const bool host_is_amd = IsAmd(*leaf0);
  amd_ = options_.vendor == CpuVendor::kHost ? host_is_amd : options_.vendor == CpuVendor::kAmd;
  foreign_ = amd_ != host_is_amd;
  if (foreign_) {
    const std::string_view name = amd_ ? "AuthenticAMD" : "GenuineIntel";
    SetVendor(*leaf0, name);
    Find(1)->eax = amd_ ? kAmdRome : kIntelSkylakeServer;
    // The same family, model and stepping; leaf 0x80000000 repeats the name on AMD only.
    Find(0x80000001)->eax = amd_ ? kAmdRome : 0;
    if (amd_) SetVendor(*Find(0x80000000), name);
  }
  leaf0 = Find(0);
  leaf0->eax = std::max(leaf0->eax, topology_.dies_per_package() > 1 ? 0x1fu : 0xbu);
  kvm_cpuid_entry2* extended = Find(0x80000000);
  extended->eax = std::max(extended->eax, amd_ ? 0x80000026u : 0x80000008u);
}

void CpuidBuilder::FixFeatures() {
  const bool many = topology_.vcpus_per_package() > 1;
  kvm_cpuid_entry2* leaf1 = Find(1);
  leaf1->ecx &= ~(k1EcxMonitor | k1EcxVmx | k1EcxPdcm | k1EcxTscDeadline);
  leaf1->ecx |= k1EcxHypervisor | k1EcxX2apic;
  if (options_.tsc_deadline_timer) leaf1->ecx |= k1EcxTscDeadline;
  leaf1->edx &= ~(k1EdxDebugStore | k1EdxHtt);
  if (many) leaf1->edx |= k1EdxHtt;

  for (kvm_cpuid_entry2& entry : common_) {
    if (entry.function == 0x6) {
      entry.eax = k6EaxArat;
      entry.ebx = entry.ecx = entry.edx = 0;
    } else if (entry.function == 0x7 && entry.index == 0) {
      entry.ebx &= ~(k7EbxSgx | k7EbxProcessorTrace);
      entry.ecx &= ~(k7EcxKeyLocker | k7EcxSgxLaunch);
      entry.edx &= ~k7EdxAmx;
    } else if (entry.function == 0xd && entry.index == 0) {
      entry.eax &= ~kDEaxAmxState;
    } else if (entry.function == 0xd && (entry.index == 17 || entry.index == 18)) {
      entry.eax = entry.ebx = entry.ecx = entry.edx = 0;
    } else if (entry.function == kKvmFeatureLeaf) {
      if (options_.extended_destination_ids) entry.eax |= kKvmFeatureMsiExtDestId;
      // A guest of another vendor's makes hypercalls with that vendor's instruction, and KVM would
      // replace it in the kernel's text, which is read-only: the kernel dies.
      if (foreign_) entry.eax &= ~kKvmFeatureHypercalls;
    }
  }

  kvm_cpuid_entry2* extended = Find(0x80000001);
  extended->ecx &=
      ~(kExtEcxCmpLegacy | kExtEcxSvm | kExtEcxTopologyExtensions | kExtEcxPerformanceCounters);
  kvm_cpuid_entry2* sizes = Find(0x80000008);
  sizes->ecx = 0;
  if (amd_) {
    extended->ecx |= kExtEcxTopologyExtensions;
    if (many) extended->ecx |= kExtEcxCmpLegacy;
    // ApicIdSize [15:12]; NC [7:0], threads in the package less one.
    sizes->ecx =
        topology_.package_shift() << 12 | std::min(topology_.vcpus_per_package() - 1, 255u);
  }
}

void CpuidBuilder::AddTopologyLeaf(uint32_t leaf, uint32_t apic_id,
                                   std::vector<kvm_cpuid_entry2>& out) const {
  uint32_t index = 0;
  const auto add = [&](uint32_t shift, uint32_t count, uint32_t type) {
    out.push_back({.function = leaf,
                   .index = index,
                   .flags = kSignificant,
                   .eax = shift,
                   .ebx = count,
                   .ecx = type << 8 | index,
                   .edx = apic_id});
    ++index;
  };
  add(topology_.core_shift(), topology_.threads_per_core(), kLevelThread);
  // The shift of the last level is the package's; 0xB knows no dies, so its cores fill the package.
  if (leaf == 0x1f) {
    // Never 1: Linux before 6.9 divides it into the cores of a package (x86_max_cores in
    // detect_extended_topology), and links no two CPUs of any level if that is one.
    add(topology_.die_shift(), std::max(topology_.vcpus_per_die(), 2u), kLevelCore);
    add(topology_.package_shift(), topology_.vcpus_per_package(), kLevelDie);
  } else {
    add(topology_.package_shift(), topology_.vcpus_per_package(), kLevelCore);
  }
  add(0, 0, 0);
}

void CpuidBuilder::AddCacheLeaf(uint32_t leaf, std::vector<kvm_cpuid_entry2>& out) const {
  uint32_t index = 0;
  for (const kvm_cpuid_entry2& cache : caches_) {
    const uint32_t level = cache.eax >> 5 & 7;
    const uint32_t shift = level == 1   ? topology_.core_shift()
                           : level == 2 ? topology_.l2_shift()
                                        : topology_.l3_shift();
    kvm_cpuid_entry2 entry = cache;
    entry.function = leaf;
    entry.index = index++;
    entry.flags = kSignificant;
    entry.eax = (cache.eax & 0x3fff) | std::min(AddressableLessOne(shift), 0xfffu) << 14;
    if (leaf == 0x4) {
      const uint32_t core_bits = topology_.package_shift() - topology_.core_shift();
      entry.eax |= std::min(AddressableLessOne(core_bits), 0x3fu) << 26;
    }
    out.push_back(entry);
  }
  out.push_back({.function = leaf, .index = index, .flags = kSignificant});
}

// AMD APM Vol. 3, E.4.17, "Function 8000_001Eh": the id, the core and its threads, the node.
//
// One node a package, however many dies: of several, Linux takes the core's number modulo the cores
// of a node, and in an uneven machine that makes siblings of strangers. 0x1F and 0x80000026 tell
// the dies.
void CpuidBuilder::AddAmdIdentifiers(uint32_t id, std::vector<kvm_cpuid_entry2>& out) const {
  const uint32_t core_mask = AddressableLessOne(topology_.package_shift() - topology_.core_shift());
  out.push_back({.function = 0x8000001e,
                 .eax = id,
                 .ebx = (topology_.threads_per_core() - 1) << 8 |
                        (id >> topology_.core_shift() & core_mask & 0xff),
                 .ecx = id >> topology_.package_shift() & 0xff});
}

// AMD APM Vol. 3, E.4.24, "Function 8000_0026h": the width and the size of each level, up to the
// socket.
//
// The complex is given the size of the die, although an L3 may be smaller: Linux numbers cores
// within the complex, and readers of core_id would take cores of the same number for siblings.
// 0x8000001D tells who shares an L3.
void CpuidBuilder::AddAmdExtendedTopology(uint32_t id, std::vector<kvm_cpuid_entry2>& out) const {
  const struct {
    uint32_t shift, count;
  } levels[] = {{topology_.core_shift(), topology_.threads_per_core()},
                {topology_.die_shift(), topology_.vcpus_per_die()},
                {topology_.die_shift(), topology_.vcpus_per_die()},
                {topology_.package_shift(), topology_.vcpus_per_package()},
                {0, 0}};
  uint32_t index = 0;
  for (const auto& level : levels) {
    // Types 1 to 4: core, complex, die, socket; 0 ends the list.
    const uint32_t type = level.count == 0 ? 0 : index + 1;
    out.push_back({.function = 0x80000026,
                   .index = index,
                   .flags = kSignificant,
                   .eax = level.shift,
                   .ebx = level.count,
                   .ecx = type << 8 | index,
                   .edx = id});
    ++index;
  }
}

std::vector<kvm_cpuid_entry2> CpuidBuilder::Build(size_t vcpu) const {
  const uint32_t id = topology_.apic_id(vcpu);
  std::vector<kvm_cpuid_entry2> out = common_;
  for (kvm_cpuid_entry2& entry : out) {
    if (entry.function == 0x1) {
      const uint32_t addressable = 1u << topology_.package_shift();
      entry.ebx = (entry.ebx & 0xff) | 8u << 8 | std::min(addressable, 255u) << 16 | id << 24;
    } else if (entry.function == 0xd && entry.index == 0) {
      entry.flags |= kSignificant;
    }
  }
  AddTopologyLeaf(0xb, id, out);
  if (topology_.dies_per_package() > 1) AddTopologyLeaf(0x1f, id, out);
  if (!amd_) {
    AddCacheLeaf(0x4, out);
    return out;
  }
  AddCacheLeaf(0x8000001d, out);
  AddAmdIdentifiers(id, out);
  AddAmdExtendedTopology(id, out);
  return out;
}

}  // namespace vmm
