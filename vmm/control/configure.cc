#include "vmm/control/configure.h"

#include <string_view>
#include <utility>

#include "agent-proto/proto/vmm_control.pb.h"

namespace vmm {

namespace {

namespace v1 = pinion::vmm::v1;

// More than any host has; below what would overflow in bytes.
constexpr uint64_t kMaxMemoryMib = 1 << 26;

// Each descriptor can be taken once.
class FdTable {
 public:
  explicit FdTable(std::vector<base::UniqueFd> fds) : fds_(std::move(fds)) {}

  base::Result<base::UniqueFd> Take(int32_t index, std::string_view field) {
    if (index < 0 || static_cast<size_t>(index) >= fds_.size()) {
      return base::MakeError(base::Code::kInvalidArgument,
                             "{}: descriptor {} of {} that came with the message", field, index,
                             fds_.size());
    }
    base::UniqueFd& fd = fds_[static_cast<size_t>(index)];
    if (!fd) {
      return base::MakeError(base::Code::kInvalidArgument, "{}: descriptor {} is taken", field,
                             index);
    }
    return std::move(fd);
  }
  // -1 is none.
  base::Result<base::UniqueFd> TakeOptional(int32_t index, std::string_view field) {
    if (index == -1) return base::UniqueFd();
    return Take(index, field);
  }

 private:
  std::vector<base::UniqueFd> fds_;
};

base::Result<CpuVendor> ReadVendor(v1::CpuVendor vendor) {
  switch (vendor) {
    case v1::CPU_VENDOR_HOST:
      return CpuVendor::kHost;
    case v1::CPU_VENDOR_INTEL:
      return CpuVendor::kIntel;
    case v1::CPU_VENDOR_AMD:
      return CpuVendor::kAmd;
    default:
      return base::MakeError(base::Code::kInvalidArgument, "cpu_vendor: {}",
                             static_cast<int>(vendor));
  }
}

base::Result<std::vector<VcpuPlace>> ReadVcpus(const v1::Configure& message) {
  std::vector<VcpuPlace> places;
  for (const v1::Vcpu& vcpu : message.vcpus()) {
    if (vcpu.index() != places.size()) {
      return base::MakeError(base::Code::kInvalidArgument, "vcpus: index {} where {} was due",
                             vcpu.index(), places.size());
    }
    places.push_back({.package = vcpu.package(),
                      .die = vcpu.die(),
                      .core = vcpu.core(),
                      .thread = vcpu.thread(),
                      .l2 = vcpu.l2(),
                      .l3 = vcpu.l3(),
                      .node = vcpu.node()});
  }
  return places;
}

base::Result<DeviceConfig> ReadDevice(const v1::Device& device, FdTable& fds) {
  switch (device.kind_case()) {
    case v1::Device::kBlk:
      return DeviceConfig(
          BlkConfig{TRY(fds.Take(device.blk().fd(), "blk.fd")), device.blk().read_only()});
    case v1::Device::kFs:
      return DeviceConfig(FsConfig{TRY(fds.Take(device.fs().fd(), "fs.fd")), device.fs().tag()});
    case v1::Device::kVsock:
      return DeviceConfig(VsockConfig{device.vsock().guest_cid()});
    case v1::Device::kRng:
      return DeviceConfig(RngConfig{});
    case v1::Device::kSpare:
      return DeviceConfig(SpareConfig{});
    default:
      return base::MakeError(base::Code::kInvalidArgument, "devices: one without a kind");
  }
}

}  // namespace

base::Result<MachineConfig> ReadConfigure(const v1::Configure& message,
                                          std::vector<base::UniqueFd> fds) {
  FdTable table(std::move(fds));
  MachineConfig config;
  config.kvm = TRY(table.Take(message.kvm_fd(), "kvm_fd"));
  config.kernel = TRY(table.Take(message.kernel_fd(), "kernel_fd"));
  config.initrd = TRY(table.TakeOptional(message.initrd_fd(), "initrd_fd"));
  config.console = TRY(table.TakeOptional(message.console_fd(), "console_fd"));
  config.command_line = message.command_line();
  if (message.memory_mib() == 0 || message.memory_mib() > kMaxMemoryMib) {
    return base::MakeError(base::Code::kInvalidArgument, "memory_mib: {}: must be 1 to {}",
                           message.memory_mib(), kMaxMemoryMib);
  }
  config.memory_bytes = message.memory_mib() << 20;
  config.cpu_vendor = TRY(ReadVendor(message.cpu_vendor()));
  config.vcpus = TRY(ReadVcpus(message));
  for (const v1::Device& device : message.devices()) {
    config.devices.push_back(TRY(ReadDevice(device, table)));
  }
  return config;
}

}  // namespace vmm
