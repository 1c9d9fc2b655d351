// CPU lists, cgroup paths, mount tables and what a plan makes of any numbers: nothing crashes, a
// list reads back as itself, a plan never has more vCPUs than the host has CPUs.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>

#include "runtime/cgroup/cgroup_path.h"
#include "runtime/cgroup/hierarchy.h"
#include "runtime/cpu/plan.h"

namespace {

constexpr uint32_t kHostCpus = 16;

cpu::HostTopology Host() {
  cpu::HostTopology host;
  for (uint32_t id = 0; id < kHostCpus; ++id) {
    host.cpus.push_back({.id = id, .package = id / 8, .core = id % 8, .node = id / 8});
  }
  host.nodes = {{.id = 0}, {.id = 1}};
  return host;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  cpu::ContainerRequest container;
  uint64_t numbers[4] = {};
  const size_t head = std::min(size, sizeof(numbers));
  std::memcpy(numbers, data, head);
  const std::string text(reinterpret_cast<const char*>(data) + head, size - head);

  const auto set = cpu::CpuSet::Parse(text);
  if (set && *cpu::CpuSet::Parse(set->ToString()) != *set) abort();
  const auto path = cgroup::ResolvePath(text, "pod");
  if (path && (path->find("/../") != std::string::npos || path->size() < 2)) abort();
  (void)cgroup::Hierarchies::FromMountInfo(text);

  container.shares = numbers[0];
  container.quota_us = static_cast<int64_t>(numbers[1]);
  container.period_us = numbers[2];
  container.cpus = text;
  cpu::CpuRequest request{.cri = (numbers[3] & 1) != 0, .containers = {container}};
  if (numbers[3] & 2) request.containers.push_back({.shares = numbers[3], .quota_us = 1000});
  if (numbers[3] & 4) request.pod = container;
  const auto plan = cpu::Plan(Host(), request, cpu::Policy{});
  // A pod of several containers has at least one vCPU beside the pinned ones.
  if (plan && plan->vcpus.size() > kHostCpus + 1) abort();
  return 0;
}
