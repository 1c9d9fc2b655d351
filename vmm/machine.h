// Machine: one virtual machine, built by one linear recipe (machine.cc, Create) and owned whole.
//
// Thread rule: bound to the reactor, but for StopAll, which is thread-safe. The reactor never waits
// for a vCPU thread: Pause and the end are told by callbacks on the reactor.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "runtime/base/event_loop.h"
#include "runtime/base/result.h"
#include "runtime/base/unique_fd.h"
#include "vmm/arch/x86_64/acpi.h"
#include "vmm/arch/x86_64/cpuid.h"
#include "vmm/bus/bus.h"
#include "vmm/cpu/vcpu_set.h"
#include "vmm/cpu_resize.h"
#include "vmm/device/cpu_hotplug.h"
#include "vmm/device/ioapic.h"
#include "vmm/device/kvm_interrupt_router.h"
#include "vmm/device/power_ports.h"
#include "vmm/device/uart.h"
#include "vmm/kvm/system.h"
#include "vmm/kvm/vm_fd.h"
#include "vmm/loader/kernel.h"
#include "vmm/memory/guest_memory.h"
#include "vmm/topology/guest_topology.h"
#include "vmm/virtio/devices.h"
#include "vmm/virtio/mmio_transport.h"

namespace vmm {

struct BlkConfig {
  base::UniqueFd fd;
  bool read_only = false;
};
struct FsConfig {
  base::UniqueFd fd;
  std::string tag;
};
struct VsockConfig {
  uint64_t guest_cid = 0;
};
struct RngConfig {};
struct NetConfig {
  base::UniqueFd tap;
  virtio::NetOptions options;
};
// A transport without a device: for a card that comes later (PlugNet).
struct SpareConfig {};
using DeviceConfig =
    std::variant<BlkConfig, FsConfig, VsockConfig, RngConfig, NetConfig, SpareConfig>;

// KVM's side of a machine, still empty. Apart, because KVM_CREATE_VM comes before the process joins
// its pod's cgroups, and all the rest after.
struct EmptyVm {
  // Takes /dev/kvm.
  static base::Result<EmptyVm> Create(base::UniqueFd kvm);

  kvm::System system;
  kvm::VmFd vm;
};

struct MachineConfig {
  base::UniqueFd kernel;
  base::UniqueFd initrd;   // may be invalid: none
  base::UniqueFd console;  // may be invalid: no serial port
  std::string command_line;
  uint64_t memory_bytes = 0;
  std::vector<MemoryNode> nodes;                // none: one, as the host likes
  std::vector<std::vector<uint8_t>> distances;  // between nodes; empty unless there are several
  CpuVendor cpu_vendor = CpuVendor::kHost;
  std::vector<VcpuPlace> vcpus;  // of the possible machine
  size_t later_vcpus = 0;        // the last so many of them are not there yet
  std::vector<DeviceConfig> devices;
};

class Machine {
 public:
  struct Events {
    // Once, after the last vCPU has ended. On the reactor.
    std::function<void(const Stop&)> on_stopped;
    // virtio/devices.h, VsockConnectCallback.
    std::function<base::Result<void>(uint32_t host_port, uint32_t guest_port, base::UniqueFd)>
        on_vsock_connect;
  };

  // Everything but the vCPU threads. `loop` is borrowed for the machine's life.
  static base::Result<std::unique_ptr<Machine>> Create(EmptyVm vm, MachineConfig config,
                                                       base::EventLoop& loop, Events events);
  ~Machine();

  // Makes the vCPU threads; they wait for Run. `on_thread_start`: first thing on each of them.
  base::Result<void> Realise(std::function<base::Result<void>()> on_thread_start);
  void Run() { vcpus_.Run(); }
  base::Result<void> Pause(std::function<void()> done);
  void StopAll(Stop stop) { vcpus_.StopAll(std::move(stop)); }
  // CPUs that come or go while the guest runs.
  CpuResize& cpu_resize() { return resize_; }
  // A card into the spare at place `number` of the configured devices. kInvalidArgument if that is
  // no device, kFailedPrecondition if it is not spare (any more).
  base::Result<void> PlugNet(uint32_t number, NetConfig config);

  std::map<std::string, uint64_t> ExitCounts() const { return vcpus_.ExitCounts(); }

 private:
  Machine(base::EventLoop& loop, Events events, EmptyVm vm, std::unique_ptr<GuestMemory> memory,
          GuestTopology topology, size_t present, uint32_t pins);

  bool wide_apic_ids() const;
  base::Result<void> SetUpKvm(uint32_t pins);
  base::Result<void> AddDevices(MachineConfig& config);
  base::Result<void> AddVirtioDevice(DeviceConfig& config, uint32_t number);
  base::Result<std::unique_ptr<virtio::VirtioDevice>> MakeVirtioDevice(DeviceConfig& config);
  base::Result<void> AddSerialPort(base::UniqueFd console);
  base::Result<void> AddPowerPorts();
  base::Result<void> AddCpuHotplug();
  base::Result<LoadedKernel> LoadGuest(const MachineConfig& config);
  base::Result<void> AddVcpus(CpuVendor vendor, const LoadedKernel& kernel);
  void OnPowerEvent(PowerEvent event);

  base::EventLoop& loop_;
  Events events_;
  kvm::System system_;
  kvm::VmFd vm_;
  std::unique_ptr<GuestMemory> memory_;
  GuestTopology topology_;
  const size_t present_;  // vCPUs that are there when the guest boots
  KvmInterruptRouter router_;
  IoApic ioapic_;
  AcpiPowerPorts power_ports_;
  KeyboardResetPort keyboard_port_;
  CpuHotplug cpu_hotplug_;
  std::unique_ptr<Uart> uart_;
  std::vector<std::unique_ptr<virtio::MmioTransport>> transports_;
  std::vector<MmioResource> virtio_resources_;
  Bus ports_;
  Bus mmio_;
  std::function<base::Result<void>()> on_thread_start_;
  // Posted tasks look here first.
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  CpuResize resize_;
  VcpuSet vcpus_;  // last: its threads use everything above
};

}  // namespace vmm
