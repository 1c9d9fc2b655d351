#include "vmm/machine.h"

#include <algorithm>
#include <utility>

#include "runtime/base/log.h"
#include "vmm/arch/x86_64/boot_data.h"
#include "vmm/arch/x86_64/boot_registers.h"
#include "vmm/arch/x86_64/command_line.h"
#include "vmm/arch/x86_64/layout.h"
#include "vmm/loader/initrd.h"

namespace vmm {

namespace {
// Ids that a byte can hold, without the broadcast.
constexpr uint32_t kMaxByteApicId = 254;

base::Result<uint32_t> PinsFor(size_t devices) {
  if (devices > layout::kMaxVirtioDevices) {
    return base::MakeError(base::Code::kInvalidArgument, "{} devices: must be at most {}", devices,
                           layout::kMaxVirtioDevices);
  }
  return std::max(layout::kMinIoApicPins, layout::kFirstVirtioPin + static_cast<uint32_t>(devices));
}
}  // namespace

base::Result<EmptyVm> EmptyVm::Create(base::UniqueFd kvm) {
  kvm::System system = TRY(kvm::System::Create(std::move(kvm)));
  kvm::VmFd vm = TRY(kvm::VmFd::Create(system));
  return EmptyVm{std::move(system), std::move(vm)};
}

// The recipe. Nothing runs before the last step; an error anywhere takes all of it down.
base::Result<std::unique_ptr<Machine>> Machine::Create(EmptyVm vm, MachineConfig config,
                                                       base::EventLoop& loop, Events events) {
  GuestTopology topology = TRY(GuestTopology::Create(config.vcpus), "guest topology");
  if (config.later_vcpus >= topology.size()) {
    return base::MakeError(base::Code::kInvalidArgument, "no vCPU that boots");
  }
  const size_t present = topology.size() - config.later_vcpus;
  const uint32_t pins = TRY(PinsFor(config.devices.size()));
  std::unique_ptr<GuestMemory> memory = TRY(GuestMemory::Create(config.memory_bytes, config.nodes));
  std::unique_ptr<Machine> machine(new Machine(loop, std::move(events), std::move(vm),
                                               std::move(memory), std::move(topology), present,
                                               pins));
  TRY(machine->SetUpKvm(pins));
  TRY(machine->AddDevices(config));
  const LoadedKernel kernel = TRY(machine->LoadGuest(config));
  TRY(machine->AddVcpus(config.cpu_vendor, kernel));
  TRY(VcpuSet::Prepare());
  return machine;
}

Machine::Machine(base::EventLoop& loop, Events events, EmptyVm vm,
                 std::unique_ptr<GuestMemory> memory, GuestTopology topology, size_t present,
                 uint32_t pins)
    : loop_(loop),
      events_(std::move(events)),
      system_(std::move(vm.system)),
      vm_(std::move(vm.vm)),
      memory_(std::move(memory)),
      topology_(std::move(topology)),
      present_(present),
      router_(vm_),
      ioapic_(pins, wide_apic_ids(), router_),
      power_ports_([this](PowerEvent event) { OnPowerEvent(event); }),
      keyboard_port_([this](PowerEvent event) { OnPowerEvent(event); }),
      cpu_hotplug_(
          topology_.size(), present,
          {.on_eject = [this](uint32_t cpu) { resize_.OnEject(cpu); },
           .on_report = [this](uint32_t cpu, uint32_t event,
                               uint32_t status) { resize_.OnReport(cpu, event, status); }}),
      resize_(loop, cpu_hotplug_, vcpus_),
      vcpus_(
          {.ports = ports_,
           .memory = mmio_,
           .on_thread_start = [this] { return on_thread_start_ ? on_thread_start_() : base::Ok(); },
           .on_stopped =
               [this](const Stop& stop) {
                 loop_.Post([this, stop, alive = std::weak_ptr(alive_)] {
                   if (!alive.expired()) events_.on_stopped(stop);
                 });
               }}) {}

Machine::~Machine() = default;

bool Machine::wide_apic_ids() const { return topology_.max_apic_id() > kMaxByteApicId; }

base::Result<void> Machine::SetUpKvm(uint32_t pins) {
  TRY(vm_.SetHelperPages({layout::kTss}, {layout::kIdentityMap}));
  TRY(vm_.EnableSplitIrqchip(pins));
  if (wide_apic_ids()) TRY(vm_.EnableX2apicIds());
  TRY(vm_.DisablePmu());
  if (topology_.apic_id(0) != 0) TRY(vm_.SetBootCpu(topology_.apic_id(0)));
  return vm_.MapMemory(*memory_);
}

base::Result<LoadedKernel> Machine::LoadGuest(const MachineConfig& config) {
  LoadedKernel kernel = TRY(LoadKernelFile(config.kernel, *memory_), "guest kernel");
  LoadedInitrd initrd;
  if (config.initrd) initrd = TRY(LoadInitrdFile(config.initrd, kernel, *memory_));
  const std::string command_line = TRY(BuildCommandLine(uart_ != nullptr, config.command_line));
  TRY(WriteBootData(*memory_, kernel, initrd, command_line));
  TRY(WriteAcpiTables(*memory_, {.topology = topology_,
                                 .present = present_,
                                 .virtio_devices = virtio_resources_,
                                 .serial_port = uart_ != nullptr,
                                 .distances = config.distances}));
  return kernel;
}

base::Result<void> Machine::AddVcpus(CpuVendor vendor, const LoadedKernel& kernel) {
  const std::vector<kvm_cpuid_entry2> supported = TRY(system_.SupportedCpuid());
  const bool deadline_timer = TRY(system_.CheckExtension(KVM_CAP_TSC_DEADLINE_TIMER)) != 0;
  const CpuidBuilder cpuid(supported, topology_,
                           {.vendor = vendor,
                            .tsc_deadline_timer = deadline_timer,
                            .extended_destination_ids = wide_apic_ids()});
  for (size_t i = 0; i < topology_.size(); ++i) {
    kvm::VcpuFd vcpu = TRY(kvm::VcpuFd::Create(system_, vm_, topology_.apic_id(i)), "vCPU {}", i);
    // Before the MSRs, which KVM judges by it.
    TRY(vcpu.SetCpuid2(cpuid.Build(i)), "vCPU {}", i);
    TRY(SetResetState(vcpu, wide_apic_ids()), "vCPU {}", i);
    if (i == 0) TRY(SetBootRegisters(vcpu, *memory_, kernel));
    vcpus_.Add(std::move(vcpu), i < present_);
  }
  return base::Ok();
}

base::Result<void> Machine::Realise(std::function<base::Result<void>()> on_thread_start) {
  on_thread_start_ = std::move(on_thread_start);
  return vcpus_.Realise();
}

base::Result<void> Machine::Pause(std::function<void()> done) {
  return vcpus_.Pause([this, done = std::move(done), alive = std::weak_ptr(alive_)] {
    loop_.Post([done, alive] {
      if (!alive.expired()) done();
    });
  });
}

void Machine::OnPowerEvent(PowerEvent event) {
  const bool off = event == PowerEvent::kPowerOff;
  vcpus_.StopAll({off ? StopReason::kPowerOff : StopReason::kReset,
                  off ? "the guest powered off" : "the guest asked for a reset"});
}

}  // namespace vmm
