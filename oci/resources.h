// `linux.resources` of config.json as plain structs: OCI runtime-spec 1.2, config-linux.md
// "Control groups". Amounts are in bytes and times in microseconds, as in the clause.
//
// Thread rule: values.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace oci {

struct DeviceRule {
  bool allow = false;
  std::string type;  // "a", "c", "b" or empty (all)
  std::optional<int64_t> major;
  std::optional<int64_t> minor;
  std::string access;  // of "rwm"; empty: all
  bool operator==(const DeviceRule&) const = default;
};

struct MemoryLimits {
  std::optional<int64_t> limit;  // -1: none
  std::optional<int64_t> reservation;
  std::optional<int64_t> swap;
  std::optional<int64_t> kernel;
  std::optional<int64_t> kernel_tcp;
  std::optional<uint64_t> swappiness;
  std::optional<bool> disable_oom_killer;
  std::optional<bool> use_hierarchy;
  std::optional<bool> check_before_update;
  bool operator==(const MemoryLimits&) const = default;
};

struct CpuLimits {
  std::optional<uint64_t> shares;
  std::optional<int64_t> quota_us;  // <= 0: none
  std::optional<uint64_t> period_us;
  std::optional<uint64_t> burst_us;
  std::optional<int64_t> realtime_runtime_us;
  std::optional<uint64_t> realtime_period_us;
  std::string cpus;
  std::string mems;
  std::optional<int64_t> idle;
  bool operator==(const CpuLimits&) const = default;
};

struct PidsLimit {
  int64_t limit = 0;
  bool operator==(const PidsLimit&) const = default;
};

struct WeightDevice {
  int64_t major = 0;
  int64_t minor = 0;
  std::optional<uint16_t> weight;
  std::optional<uint16_t> leaf_weight;
  bool operator==(const WeightDevice&) const = default;
};

struct ThrottleDevice {
  int64_t major = 0;
  int64_t minor = 0;
  uint64_t rate = 0;  // bytes or operations a second
  bool operator==(const ThrottleDevice&) const = default;
};

struct BlockIoLimits {
  std::optional<uint16_t> weight;
  std::optional<uint16_t> leaf_weight;
  std::vector<WeightDevice> weight_device;
  std::vector<ThrottleDevice> throttle_read_bps;
  std::vector<ThrottleDevice> throttle_write_bps;
  std::vector<ThrottleDevice> throttle_read_iops;
  std::vector<ThrottleDevice> throttle_write_iops;
  bool operator==(const BlockIoLimits&) const = default;
};

struct HugepageLimit {
  std::string page_size;  // "2MB"
  uint64_t limit = 0;
  bool operator==(const HugepageLimit&) const = default;
};

struct NetworkPriority {
  std::string name;
  uint32_t priority = 0;
  bool operator==(const NetworkPriority&) const = default;
};

struct NetworkLimits {
  std::optional<uint32_t> class_id;
  std::vector<NetworkPriority> priorities;
  bool operator==(const NetworkLimits&) const = default;
};

struct RdmaLimit {
  std::optional<uint32_t> hca_handles;
  std::optional<uint32_t> hca_objects;
  bool operator==(const RdmaLimit&) const = default;
};

struct Resources {
  std::vector<DeviceRule> devices;
  std::optional<MemoryLimits> memory;
  std::optional<CpuLimits> cpu;
  std::optional<PidsLimit> pids;
  std::optional<BlockIoLimits> block_io;
  std::vector<HugepageLimit> hugepage_limits;
  std::optional<NetworkLimits> network;
  std::map<std::string, RdmaLimit> rdma;
  std::map<std::string, std::string> unified;
  bool operator==(const Resources&) const = default;
};

}  // namespace oci
