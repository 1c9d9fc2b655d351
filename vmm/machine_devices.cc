// The devices of a Machine: which they are, and where they sit.
#include <utility>

#include "vmm/arch/x86_64/layout.h"
#include "vmm/machine.h"
#include "vmm/virtio/devices.h"

namespace vmm {
namespace {

base::Result<std::unique_ptr<virtio::VirtioDevice>> MakeNetDevice(NetConfig config) {
  return virtio::MakeNet(TRY(virtio::MakeTapPort(std::move(config.tap))), config.options);
}

}  // namespace

base::Result<void> Machine::AddDevices(MachineConfig& config) {
  TRY(mmio_.Insert(layout::kIoApic, layout::kIoApicBytes, ioapic_));
  TRY(AddPowerPorts());
  TRY(AddCpuHotplug());
  if (config.console) TRY(AddSerialPort(std::move(config.console)));
  uint32_t number = 0;
  for (DeviceConfig& device : config.devices) {
    TRY(AddVirtioDevice(device, number), "device {}", number);
    ++number;
  }
  return base::Ok();
}

base::Result<void> Machine::AddPowerPorts() {
  TRY(ports_.Insert(layout::kPowerPort, layout::kPowerPorts, power_ports_));
  return ports_.Insert(layout::kKeyboardCommandPort, 1, keyboard_port_);
}

base::Result<void> Machine::AddCpuHotplug() {
  IrqLine* line = TRY(router_.MakeLine(layout::kEventPin));
  cpu_hotplug_.Connect(*line);
  static_assert(CpuHotplug::kBytes == layout::kCpuHotplugPorts);
  return ports_.Insert(layout::kCpuHotplugPort, layout::kCpuHotplugPorts, cpu_hotplug_);
}

base::Result<void> Machine::AddSerialPort(base::UniqueFd console) {
  IrqLine* line = TRY(router_.MakeLine(layout::kCom1Pin));
  uart_ = std::make_unique<Uart>(std::move(console), *line);
  return ports_.Insert(layout::kCom1Port, layout::kCom1Ports, *uart_);
}

base::Result<void> Machine::AddVirtioDevice(DeviceConfig& config, uint32_t number) {
  static_assert(virtio::MmioTransport::kLength == layout::kVirtioMmioBytes);
  const MmioResource place = {
      .address = layout::kVirtioMmio + uint64_t{number} * layout::kVirtioMmioBytes,
      .bytes = static_cast<uint32_t>(layout::kVirtioMmioBytes),
      .gsi = layout::kFirstVirtioPin + number};
  IrqLine* line = TRY(router_.MakeLine(place.gsi));
  const virtio::MmioTransport::Environment environment = {
      .memory = *memory_, .line = *line, .loop = loop_, .doorbells = vm_};
  std::unique_ptr<virtio::VirtioDevice> device = TRY(MakeVirtioDevice(config));
  std::unique_ptr<virtio::MmioTransport> transport = TRY(
      virtio::MmioTransport::Create(std::move(device), environment, GuestAddress{place.address}));
  TRY(mmio_.Insert(place.address, place.bytes, *transport));
  transports_.push_back(std::move(transport));
  virtio_resources_.push_back(place);
  return base::Ok();
}

base::Result<void> Machine::PlugNet(uint32_t number, NetConfig config) {
  if (number >= transports_.size()) {
    return base::MakeError(base::Code::kInvalidArgument, "device {} of {}", number,
                           transports_.size());
  }
  std::unique_ptr<virtio::VirtioDevice> card = TRY(MakeNetDevice(std::move(config)));
  TRY(transports_[number]->Plug(std::move(card)), "device {}", number);
  return base::Ok();
}

base::Result<std::unique_ptr<virtio::VirtioDevice>> Machine::MakeVirtioDevice(
    DeviceConfig& config) {
  if (auto* blk = std::get_if<BlkConfig>(&config)) {
    return virtio::MakeBlk(std::move(blk->fd), blk->read_only);
  }
  if (auto* fs = std::get_if<FsConfig>(&config)) {
    return virtio::MakeFs(std::move(fs->fd), fs->tag, [this](const base::Error& error) {
      StopAll({StopReason::kInternalError, "file server: " + error.Message()});
    });
  }
  if (const auto* vsock = std::get_if<VsockConfig>(&config)) {
    return virtio::MakeVsock(vsock->guest_cid, events_.on_vsock_connect);
  }
  if (std::holds_alternative<RngConfig>(config)) return virtio::MakeRng();
  if (auto* net = std::get_if<NetConfig>(&config)) {
    return MakeNetDevice(std::move(*net));
  }
  return std::unique_ptr<virtio::VirtioDevice>();
}

}  // namespace vmm
