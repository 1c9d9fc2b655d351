// What KVM makes of our ioctls: doorbells, interrupt routes, ids. (CPUID: bare_topology_test.cc.)
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
