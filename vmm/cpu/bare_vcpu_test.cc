// What KVM makes of our ioctls: CPUID as a guest reads it, doorbells, interrupt routes, ids.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cstring>

#include "vmm/arch/x86_64/boot_registers.h"
#include "vmm/arch/x86_64/cpuid.h"
#include "vmm/cpu/bare_machine.h"
#include "vmm/device/kvm_interrupt_router.h"

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

base::Result<Registers> GuestCpuid(const kvm::System& system, const GuestTopology& topology,
                                   CpuVendor vendor, size_t vcpu_number, uint32_t leaf,
                                   uint32_t index) {
  BareMachine machine = TRY(BareMachine::Create(system, kCpuid));
  kvm::VcpuFd vcpu = TRY(machine.MakeVcpu(system, topology.apic_id(vcpu_number)));
  const std::vector<kvm_cpuid_entry2> supported = TRY(system.SupportedCpuid());
  const CpuidBuilder builder(supported, topology, {.vendor = vendor});
  TRY(vcpu.SetCpuid2(builder.Build(vcpu_number)));
  TRY(machine.memory->Store<uint32_t>({0x2000}, leaf));
  TRY(machine.memory->Store<uint32_t>({0x2004}, index));
  const kvm::RunOutcome outcome = TRY(vcpu.Run());
  if (outcome != kvm::RunOutcome::kExit || vcpu.run().exit_reason != KVM_EXIT_HLT) {
    return base::MakeError(base::Code::kInternal, "exit {}", vcpu.run().exit_reason);
  }
  return machine.memory->Load<Registers>({0x2010});
}

TEST(BareVcpu, GuestReadsTheTopologyThatWasBuilt) {
  OPEN_KVM_OR_SKIP(system);
  auto topology = GuestTopology::Uniform(2, 2);
  ASSERT_TRUE(topology);
  auto thread = GuestCpuid(system, *topology, CpuVendor::kHost, 3, 0xb, 0);
  ASSERT_TRUE(thread) << thread.error().Message();
  EXPECT_EQ(thread->eax, 1u);
  EXPECT_EQ(thread->ebx, 2u);
  EXPECT_EQ(thread->ecx, 0x100u);
  EXPECT_EQ(thread->edx, 3u);
  auto core = GuestCpuid(system, *topology, CpuVendor::kHost, 3, 0xb, 1);
  ASSERT_TRUE(core);
  EXPECT_EQ(core->eax, 2u);
  EXPECT_EQ(core->ebx, 4u);
  EXPECT_EQ(core->ecx, 0x201u);
  auto end = GuestCpuid(system, *topology, CpuVendor::kHost, 3, 0xb, 2);
  ASSERT_TRUE(end);
  EXPECT_EQ(end->ebx, 0u);
  EXPECT_EQ(end->ecx & 0xff00, 0u);
  auto leaf1 = GuestCpuid(system, *topology, CpuVendor::kHost, 3, 1, 0);
  ASSERT_TRUE(leaf1);
  EXPECT_EQ(leaf1->ebx >> 24, 3u);
  EXPECT_EQ(leaf1->ebx >> 16 & 0xff, 4u);
  EXPECT_EQ(leaf1->ecx >> 31, 1u);
}

TEST(BareVcpu, BothVendorsCanBeShown) {
  OPEN_KVM_OR_SKIP(system);
  auto topology = GuestTopology::Uniform(3, 2);
  ASSERT_TRUE(topology);
  auto amd = GuestCpuid(system, *topology, CpuVendor::kAmd, 5, 0x8000001e, 0);
  ASSERT_TRUE(amd) << amd.error().Message();
  EXPECT_EQ(amd->eax, 5u);
  EXPECT_EQ(amd->ebx, 0x102u);
  auto intel = GuestCpuid(system, *topology, CpuVendor::kIntel, 0, 0, 0);
  ASSERT_TRUE(intel);
  EXPECT_EQ(intel->ebx, 0x756e6547u);
}

TEST(BareVcpu, DoorbellNeedsNoExit) {
  OPEN_KVM_OR_SKIP(system);
  // mov eax,2; mov [ds:0x50],eax; mov eax,1; mov [ds:0x50],eax; hlt with ds at 0xd0000000.
  constexpr uint8_t kCode[] = {0x66, 0xb8, 2, 0, 0, 0,    0x66, 0xa3, 0x50, 0,   0x66,
                               0xb8, 1,    0, 0, 0, 0x66, 0xa3, 0x50, 0,    0xf4};
  auto machine = BareMachine::Create(system, kCode);
  ASSERT_TRUE(machine) << machine.error().Message();
  base::UniqueFd bell(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  ASSERT_TRUE(machine->vm.Register({0xd0000050}, 2, bell));
  auto vcpu = machine->MakeVcpu(system, 0);
  ASSERT_TRUE(vcpu);
  auto sregs = vcpu->GetSregs();
  ASSERT_TRUE(sregs);
  sregs->ds.base = 0xd0000000;
  ASSERT_TRUE(vcpu->SetSregs(*sregs));
  // The write of 2 rings; that of 1 comes to us.
  auto outcome = vcpu->Run();
  ASSERT_TRUE(outcome) << outcome.error().Message();
  ASSERT_EQ(vcpu->run().exit_reason, static_cast<uint32_t>(KVM_EXIT_MMIO));
  EXPECT_EQ(vcpu->run().mmio.phys_addr, 0xd0000050u);
  EXPECT_EQ(vcpu->run().mmio.data[0], 1);
  uint64_t rings = 0;
  ASSERT_EQ(read(bell.get(), &rings, sizeof(rings)), static_cast<ssize_t>(sizeof(rings)));
  EXPECT_EQ(rings, 1u);
}

TEST(BareVcpu, SplitIrqchipTakesOurPinsAndRoutes) {
  OPEN_KVM_OR_SKIP(system);
  auto vm = kvm::VmFd::Create(system);
  ASSERT_TRUE(vm);
  ASSERT_TRUE(vm->EnableSplitIrqchip(120));
  ASSERT_TRUE(vm->EnableX2apicIds());
  ASSERT_TRUE(vm->DisablePmu());
  KvmInterruptRouter router(*vm);
  auto line = router.MakeLine(119);
  ASSERT_TRUE(line);
  EXPECT_FALSE(router.MakeLine(119));
  (*line)->Trigger();  // waits for the route
  auto connected = router.Connect(119, {.address = 0xfee00000, .data = 0x31});
  ASSERT_TRUE(connected) << connected.error().Message();
  EXPECT_TRUE(router.Disconnect(119));
  EXPECT_TRUE(router.Connect(119, {.address = 0xfee01000, .data = 0x31}));
  EXPECT_TRUE(router.Connect(5, {}));  // nothing is connected there
}

TEST(BareVcpu, IdsAbove255AndTheResetState) {
  OPEN_KVM_OR_SKIP(system);
  auto vm = kvm::VmFd::Create(system);
  ASSERT_TRUE(vm);
  ASSERT_TRUE(vm->EnableSplitIrqchip(24));
  ASSERT_TRUE(vm->EnableX2apicIds());
  std::vector<VcpuPlace> places;
  for (uint32_t core = 0; core < 301; ++core) places.push_back({.core = core, .l2 = core});
  auto topology = GuestTopology::Create(places);
  ASSERT_TRUE(topology);
  auto vcpu = kvm::VcpuFd::Create(system, *vm, topology->apic_id(300));
  ASSERT_TRUE(vcpu) << vcpu.error().Message();
  auto supported = system.SupportedCpuid();
  ASSERT_TRUE(supported);
  const CpuidBuilder builder(*supported, *topology, {.extended_destination_ids = true});
  ASSERT_TRUE(vcpu->SetCpuid2(builder.Build(300)));
  auto set = SetResetState(*vcpu, true);
  ASSERT_TRUE(set) << set.error().Message();
  auto lapic = vcpu->GetLapic();
  ASSERT_TRUE(lapic);
  uint32_t id;
  std::memcpy(&id, lapic->regs + 0x20, sizeof(id));
  EXPECT_EQ(id, 300u);
}

TEST(BareVcpu, AFileThatIsNotKvmIsRefusedByName) {
  base::UniqueFd null(open("/dev/null", O_RDWR | O_CLOEXEC));
  auto system = kvm::System::Create(std::move(null));
  ASSERT_FALSE(system);
  EXPECT_THAT(system.error().Message(), ::testing::HasSubstr("KVM_GET_API_VERSION"));
}

}  // namespace
}  // namespace vmm
