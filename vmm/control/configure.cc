#include "vmm/control/configure.h"

#include <algorithm>
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

// The vCPUs that boot, and then those that may come.
base::Result<std::vector<VcpuPlace>> ReadVcpus(const v1::Configure& message) {
  std::vector<VcpuPlace> places;
  const uint32_t nodes = static_cast<uint32_t>(std::max(message.nodes_size(), 1));
  const int boot = message.vcpus_size();
  for (int i = 0; i < boot + message.later_vcpus_size(); ++i) {
    const v1::Vcpu& vcpu = i < boot ? message.vcpus(i) : message.later_vcpus(i - boot);
    if (vcpu.index() != places.size()) {
      return base::MakeError(base::Code::kInvalidArgument, "vcpus: index {} where {} was due",
                             vcpu.index(), places.size());
    }
    if (vcpu.node() >= nodes) {
      return base::MakeError(base::Code::kInvalidArgument, "vcpus: {}: node {} of {}", i,
                             vcpu.node(), nodes);
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

// ACPI 6.5, 5.2.17; Linux takes no table that breaks these rules.
constexpr uint32_t kLocalDistance = 10;
constexpr uint32_t kMaxDistance = 254;
// As many as a message of 64 KiB has distances for, and more than a pod has use for.
constexpr int kMaxNodes = 64;

base::Result<std::vector<uint8_t>> ReadDistances(const v1::Configure& message, int number) {
  const v1::Node& node = message.nodes(number);
  std::vector<uint8_t> distances;
  if (node.distances_size() != message.nodes_size()) {
    return base::MakeError(base::Code::kInvalidArgument, "nodes: {}: {} distances to {} nodes",
                           number, node.distances_size(), message.nodes_size());
  }
  for (int to = 0; to < node.distances_size(); ++to) {
    const uint32_t distance = node.distances(to);
    const bool right = to == number ? distance == kLocalDistance
                                    : distance > kLocalDistance && distance <= kMaxDistance;
    if (!right) {
      return base::MakeError(base::Code::kInvalidArgument,
                             "nodes: {}: distance {} to node {}: must be {} to itself and {} to {} "
                             "to others",
                             number, distance, to, kLocalDistance, kLocalDistance + 1,
                             kMaxDistance);
    }
    distances.push_back(static_cast<uint8_t>(distance));
  }
  return distances;
}

base::Result<void> ReadNodes(const v1::Configure& message, MachineConfig& config) {
  if (message.nodes_size() > kMaxNodes) {
    return base::MakeError(base::Code::kInvalidArgument, "nodes: {}: must be at most {}",
                           message.nodes_size(), kMaxNodes);
  }
  for (int number = 0; number < message.nodes_size(); ++number) {
    const v1::Node& node = message.nodes(number);
    if (node.memory_mib() > kMaxMemoryMib) {
      return base::MakeError(base::Code::kInvalidArgument,
                             "nodes: {}: memory_mib {}: must be at most {}", number,
                             node.memory_mib(), kMaxMemoryMib);
    }
    // That they add up is GuestMemory's to judge.
    config.nodes.push_back(
        {node.memory_mib() << 20, {node.host_nodes().begin(), node.host_nodes().end()}});
    if (message.nodes_size() > 1) {
      config.distances.push_back(TRY(ReadDistances(message, number)));
    }
  }
  return base::Ok();
}

base::Result<NetConfig> ReadNet(const v1::Net& net, FdTable& fds) {
  NetConfig config{.tap = TRY(fds.Take(net.fd(), "net.fd")), .options = {}};
  if (net.mac().size() != config.options.mac.size()) {
    return base::MakeError(base::Code::kInvalidArgument, "net.mac: {} bytes: must be {}",
                           net.mac().size(), config.options.mac.size());
  }
  std::copy(net.mac().begin(), net.mac().end(), config.options.mac.begin());
  if (net.mtu() > UINT16_MAX) {
    return base::MakeError(base::Code::kInvalidArgument, "net.mtu: {}: must be at most {}",
                           net.mtu(), UINT16_MAX);
  }
  config.options.mtu = static_cast<uint16_t>(net.mtu());
  return config;
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
    case v1::Device::kNet:
      return DeviceConfig(TRY(ReadNet(device.net(), fds)));
    case v1::Device::kSpare:
      return DeviceConfig(SpareConfig{});
    default:
      return base::MakeError(base::Code::kInvalidArgument, "devices: one without a kind");
  }
}

}  // namespace

base::Result<base::UniqueFd> ReadCreateVm(const v1::CreateVm& message,
                                          std::vector<base::UniqueFd> fds) {
  return FdTable(std::move(fds)).Take(message.kvm_fd(), "kvm_fd");
}

base::Result<NetConfig> ReadPlugNet(const v1::PlugNet& message, std::vector<base::UniqueFd> fds) {
  FdTable table(std::move(fds));
  return ReadNet(message.net(), table);
}

base::Result<MachineConfig> ReadConfigure(const v1::Configure& message,
                                          std::vector<base::UniqueFd> fds) {
  FdTable table(std::move(fds));
  MachineConfig config;
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
  config.later_vcpus = static_cast<size_t>(message.later_vcpus_size());
  TRY(ReadNodes(message, config));
  for (const v1::Device& device : message.devices()) {
    config.devices.push_back(TRY(ReadDevice(device, table)));
  }
  return config;
}

}  // namespace vmm
