// What every vCPU of a machine reads by CPUID, decoded as an operating system decodes it (shifts of
// 0xB and 0x1F, sharing fields of the caches) and without the encoder's help: who shares a core, a
// cache, a die and a package must be who shares it by place.
#include <gtest/gtest.h>

#include <bit>
#include <map>

#include "vmm/arch/x86_64/cpuid.h"
#include "vmm/cpu/bare_machine.h"

namespace vmm {
namespace {

// cpuid with EAX, ECX from 0x2000; results to 0x2010…; hlt. Real mode, 32-bit operands.
constexpr uint8_t kCpuid[] = {0x66, 0xa1, 0x00, 0x20,        // mov eax,[0x2000]
                              0x66, 0x8b, 0x0e, 0x04, 0x20,  // mov ecx,[0x2004]
                              0x0f, 0xa2,                    // cpuid
                              0x66, 0xa3, 0x10, 0x20,        // mov [0x2010],eax
                              0x66, 0x89, 0x1e, 0x14, 0x20,  // mov [0x2014],ebx
                              0x66, 0x89, 0x0e, 0x18, 0x20,  // mov [0x2018],ecx
                              0x66, 0x89, 0x16, 0x1c, 0x20,  // mov [0x201c],edx
                              0xf4};

struct Registers {
  uint32_t eax, ebx, ecx, edx;
};

// One vCPU that executes CPUID when asked to.
class Probe {
 public:
  Probe(BareMachine& machine, kvm::VcpuFd vcpu) : machine_(machine), vcpu_(std::move(vcpu)) {}

  Registers Ask(uint32_t leaf, uint32_t index = 0) {
    const uint32_t question[2] = {leaf, index};
    EXPECT_TRUE(machine_.memory->Store(GuestAddress{0x2000}, question));
    kvm_regs regs = {};
    regs.rip = BareMachine::kCode;
    regs.rflags = 2;
    EXPECT_TRUE(vcpu_.SetRegs(regs));
    const auto outcome = vcpu_.Run();
    EXPECT_TRUE(outcome && *outcome == kvm::RunOutcome::kExit);
    EXPECT_EQ(vcpu_.run().exit_reason, static_cast<uint32_t>(KVM_EXIT_HLT));
    return *machine_.memory->Load<Registers>({0x2010});
  }

 private:
  BareMachine& machine_;
  kvm::VcpuFd vcpu_;
};

// The groups that a vCPU finds itself in: its id, shifted.
struct View {
  uint32_t id = 0;
  uint32_t core = 0;
  uint32_t die = 0;
  uint32_t package = 0;
  std::map<uint32_t, uint32_t> caches;  // by level
};

constexpr uint32_t kTypeThread = 1;
constexpr uint32_t kTypeDie = 5;

// Intel SDM Vol. 3A, "Hierarchical Mapping of Shared Resources".
void DecodeLevels(Probe& probe, uint32_t leaf, View& view) {
  uint32_t below = 0;
  view.core = view.die = view.package = view.id;
  bool has_die = false;
  for (uint32_t index = 0;; ++index) {
    ASSERT_LT(index, 8u) << "leaf " << leaf << " does not end";
    const Registers level = probe.Ask(leaf, index);
    const uint32_t type = level.ecx >> 8 & 0xff;
    EXPECT_EQ(level.edx, view.id);
    EXPECT_EQ(level.ecx & 0xff, index);
    if (type == 0) break;
    const uint32_t shift = level.eax & 0x1f;
    EXPECT_GE(shift, below);
    EXPECT_LE(level.ebx, 1u << shift);
    if (type == kTypeThread) view.core = view.id >> shift;
    if (type == kTypeDie) {
      view.die = view.id >> below;
      has_die = true;
    }
    view.package = view.id >> shift;
    below = shift;
  }
  if (!has_die) view.die = view.package;
}

void DecodeCaches(Probe& probe, uint32_t leaf, View& view) {
  for (uint32_t index = 0;; ++index) {
    ASSERT_LT(index, 8u) << "leaf " << leaf << " does not end";
    const Registers cache = probe.Ask(leaf, index);
    if ((cache.eax & 0x1f) == 0) break;
    const uint32_t sharing = (cache.eax >> 14 & 0xfff) + 1;
    view.caches[cache.eax >> 5 & 7] = view.id >> (std::bit_width(sharing - 1));
  }
}

void DecodeAmd(Probe& probe, View& view) {
  ASSERT_GE(probe.Ask(0x80000000).eax, 0x80000026u);
  EXPECT_EQ(probe.Ask(0x80000001).ecx >> 22 & 1, 1u) << "TopologyExtensions";
  const Registers ids = probe.Ask(0x8000001e);
  EXPECT_EQ(ids.eax, view.id);
  const uint32_t id_size = probe.Ask(0x80000008).ecx >> 12 & 0xf;
  EXPECT_EQ(view.id >> id_size, view.package);
  // The same by the newer leaf: type 1 ends the core, type 4 the socket.
  for (uint32_t index = 0; index < 8; ++index) {
    const Registers level = probe.Ask(0x80000026, index);
    const uint32_t type = level.ecx >> 8 & 0xff;
    EXPECT_EQ(level.edx, view.id);
    if (type == 0) break;
    const uint32_t group = view.id >> (level.eax & 0x1f);
    EXPECT_TRUE(type != 1 || group == view.core);
    EXPECT_TRUE(type != 4 || group == view.package);
  }
  DecodeCaches(probe, 0x8000001d, view);
}

View Decode(Probe& probe, CpuVendor vendor) {
  View view;
  const uint32_t max = probe.Ask(0).eax;
  EXPECT_GE(max, 0xbu);
  view.id = probe.Ask(0xb).edx;
  const Registers leaf1 = probe.Ask(1);
  EXPECT_EQ(leaf1.ebx >> 24, view.id & 0xff);
  const bool has_1f = max >= 0x1f && (probe.Ask(0x1f).ecx >> 8 & 0xff) != 0;
  DecodeLevels(probe, has_1f ? 0x1f : 0xb, view);
  if (has_1f) {
    // A reader of 0xB alone finds the same cores and packages.
    View older = view;
    DecodeLevels(probe, 0xb, older);
    EXPECT_EQ(older.core, view.core);
    EXPECT_EQ(older.package, view.package);
  }
  if (vendor == CpuVendor::kAmd) {
    DecodeAmd(probe, view);
  } else {
    DecodeCaches(probe, 4, view);
  }
  return view;
}

std::vector<View> Views(const kvm::System& system, const GuestTopology& topology,
                        CpuVendor vendor) {
  std::vector<View> views;
  auto machine = BareMachine::Create(system, kCpuid);
  auto supported = system.SupportedCpuid();
  if (!machine || !supported) {
    ADD_FAILURE() << "no machine";
    return views;
  }
  const CpuidBuilder builder(*supported, topology, {.vendor = vendor});
  for (size_t i = 0; i < topology.size(); ++i) {
    auto vcpu = machine->MakeVcpu(system, topology.apic_id(i));
    if (!vcpu || !vcpu->SetCpuid2(builder.Build(i))) {
      ADD_FAILURE() << "vCPU " << i;
      return views;
    }
    Probe probe(*machine, std::move(*vcpu));
    views.push_back(Decode(probe, vendor));
    EXPECT_EQ(views.back().id, topology.apic_id(i));
  }
  return views;
}

void ExpectSamePartitions(const std::vector<VcpuPlace>& places, const std::vector<View>& views) {
  ASSERT_EQ(places.size(), views.size());
  for (size_t a = 0; a < places.size(); ++a) {
    for (size_t b = 0; b < a; ++b) {
      const VcpuPlace &p = places[a], &q = places[b];
      const View &v = views[a], &w = views[b];
      const bool package = p.package == q.package;
      ASSERT_NE(v.id, w.id) << a << " and " << b;
      ASSERT_EQ(v.package == w.package, package) << a << " and " << b;
      ASSERT_EQ(v.die == w.die, package && p.die == q.die) << a << " and " << b;
      ASSERT_EQ(v.core == w.core, package && p.core == q.core) << a << " and " << b;
      for (const auto& [level, group] : v.caches) {
        const bool same = level == 1   ? package && p.core == q.core
                          : level == 2 ? p.l2 == q.l2
                                       : p.l3 == q.l3;
        ASSERT_EQ(group == w.caches.at(level), same) << "L" << level << " " << a << " and " << b;
      }
    }
  }
}

TEST(BareCpuid, AGuestReadsTheVendorThatItIsShown) {
  OPEN_KVM_OR_SKIP(system);
  auto topology = GuestTopology::Uniform(2, 2);
  ASSERT_TRUE(topology);
  auto supported = system.SupportedCpuid();
  ASSERT_TRUE(supported);
  for (const auto& [vendor, name] :
       {std::pair(CpuVendor::kIntel, 0x756e6547u), std::pair(CpuVendor::kAmd, 0x68747541u)}) {
    auto machine = BareMachine::Create(system, kCpuid);
    ASSERT_TRUE(machine);
    auto vcpu = machine->MakeVcpu(system, 3);
    ASSERT_TRUE(vcpu);
    ASSERT_TRUE(vcpu->SetCpuid2(CpuidBuilder(*supported, *topology, {.vendor = vendor}).Build(3)));
    Probe probe(*machine, std::move(*vcpu));
    EXPECT_EQ(probe.Ask(0).ebx, name);
    EXPECT_EQ(probe.Ask(1).ecx >> 31, 1u);         // a hypervisor
    EXPECT_EQ(probe.Ask(1).ebx >> 16 & 0xff, 4u);  // ids that the package can have
    EXPECT_EQ(probe.Ask(1).edx >> 28 & 1, 1u);     // HTT
  }
}

struct Case {
  const char* name;
  std::vector<VcpuPlace> places;
};

VcpuPlace At(uint32_t package, uint32_t die, uint32_t core, uint32_t thread, uint32_t l2,
             uint32_t l3) {
  return {.package = package, .die = die, .core = core, .thread = thread, .l2 = l2, .l3 = l3};
}

std::vector<Case> Cases() {
  std::vector<Case> cases = {
      {"one", {At(0, 0, 0, 0, 0, 0)}},
      {"two threads", {At(0, 0, 0, 0, 0, 0), At(0, 0, 0, 1, 0, 0)}},
      {"a core of two threads and one of one",
       {At(0, 0, 0, 0, 0, 0), At(0, 0, 1, 0, 1, 0), At(0, 0, 0, 1, 0, 0)}},
      {"two packages", {At(0, 0, 0, 0, 0, 0), At(1, 0, 0, 0, 1, 1)}},
      {"the first one boots, and is not at the origin",
       {At(1, 0, 0, 0, 1, 1), At(0, 0, 0, 0, 0, 0)}},
      {"uneven dies",
       {At(0, 0, 0, 0, 0, 0), At(0, 0, 1, 0, 1, 0), At(0, 0, 2, 0, 2, 0), At(0, 1, 3, 0, 3, 1),
        At(1, 0, 0, 0, 4, 2)}},
      {"an L2 of two cores beside one of one",
       {At(0, 0, 0, 0, 0, 0), At(0, 0, 1, 0, 0, 0), At(0, 0, 2, 0, 1, 0)}},
  };
  Case packages{"two packages of three cores", {}};
  for (uint32_t i = 0; i < 6; ++i) packages.places.push_back(At(i / 3, 0, i % 3, 0, i, i / 3));
  cases.push_back(packages);
  Case complexes{"core complexes of three cores of two threads, four a die", {}};
  for (uint32_t i = 0; i < 24; ++i) {
    complexes.places.push_back(At(0, 0, i / 2, i % 2, i / 2, i / 6));
  }
  cases.push_back(complexes);
  return cases;
}

class BareTopology : public ::testing::TestWithParam<CpuVendor> {};

TEST_P(BareTopology, EveryVcpuReadsItsPlace) {
  OPEN_KVM_OR_SKIP(system);
  for (const Case& one : Cases()) {
    SCOPED_TRACE(one.name);
    auto topology = GuestTopology::Create(one.places);
    ASSERT_TRUE(topology) << topology.error().Message();
    ExpectSamePartitions(one.places, Views(system, *topology, GetParam()));
  }
}

// Ids up to 300: they pass the byte of leaf 1.
TEST_P(BareTopology, ThreeHundredCoresReadTheirs) {
  OPEN_KVM_OR_SKIP(system);
  std::vector<VcpuPlace> places;
  for (uint32_t core = 0; core < 301; ++core) places.push_back(At(0, 0, core, 0, core, 0));
  auto topology = GuestTopology::Create(places);
  ASSERT_TRUE(topology);
  ASSERT_EQ(topology->apic_id(300), 300u);
  ExpectSamePartitions(places, Views(system, *topology, GetParam()));
}

INSTANTIATE_TEST_SUITE_P(Vendors, BareTopology,
                         ::testing::Values(CpuVendor::kIntel, CpuVendor::kAmd),
                         [](const auto& parameter) {
                           return parameter.param == CpuVendor::kIntel ? "Intel" : "Amd";
                         });

}  // namespace
}  // namespace vmm
