#include "tests/topology/cases.h"

#include <algorithm>
#include <iterator>
#include <random>
#include <utility>

#include "runtime/cpu/testing_host.h"

namespace topology {

namespace {

// Emulated guests take seconds for each CPU.
constexpr size_t kMaxVcpus = 12;

struct Worked {
  const char* cpus;
  int64_t quota;
};
// Those of the README's that give a machine of its own shape.
constexpr Worked kWorked[] = {
    {"", 250000}, {"2-3", 0},  {"2,10", 0},     {"2,3,10", 0},     {"2,6", 0},
    {"0-3", 0},   {"0-15", 0}, {"0-3", 200000}, {"1-2,5,9-10", 0}, {"", 10000},
};

class Draw {
 public:
  explicit Draw(std::seed_seq& seed) : random_(seed) {}
  // Not std::uniform_int_distribution, whose numbers differ from library to library.
  uint32_t UpTo(uint32_t most) { return 1 + static_cast<uint32_t>(random_() % most); }
  bool Often() { return random_() % 4 != 0; }
  std::mt19937& random() { return random_; }

 private:
  std::mt19937 random_;
};

// Packages of dies of L3s of L2s of cores of threads, none of them even; a node is a package, a
// die or the whole host.
cpu::HostTopology RandomHost(Draw& draw) {
  cpu::HostTopology host;
  uint32_t l1 = 0, l2 = 0, l3 = 0, dies_so_far = 0;
  const uint32_t node_kind = draw.UpTo(3);
  const uint32_t most_threads = draw.UpTo(2);
  for (uint32_t package = 0, packages = draw.UpTo(3); package < packages; ++package) {
    uint32_t core = 0;
    for (uint32_t die = 0, dies = draw.UpTo(2); die < dies; ++die, ++dies_so_far) {
      const uint32_t node = node_kind == 1 ? package : node_kind == 2 ? dies_so_far : 0;
      for (uint32_t l3s = draw.UpTo(3); l3s > 0; --l3s, ++l3) {
        for (uint32_t l2s = draw.UpTo(4); l2s > 0; --l2s, ++l2) {
          for (uint32_t cores = draw.Often() ? 1 : 2; cores > 0; --cores, ++core, ++l1) {
            const uint32_t threads = draw.Often() ? most_threads : 1;
            for (uint32_t thread = 0; thread < threads; ++thread) {
              host.cpus.push_back({.package = package,
                                   .die = die,
                                   .core = core,
                                   .thread = thread,
                                   .l1 = l1,
                                   .l2 = l2,
                                   .l3 = l3,
                                   .node = node});
            }
          }
        }
      }
    }
  }
  std::shuffle(host.cpus.begin(), host.cpus.end(), draw.random());
  uint32_t id = 0;
  uint32_t nodes = 1;
  for (cpu::HostCpu& cpu : host.cpus) {
    cpu.id = id;
    id += draw.Often() ? 1 : 2;
    nodes = std::max(nodes, cpu.node + 1);
  }
  for (uint32_t node = 0; node < nodes; ++node) {
    cpu::HostNode row{.id = node, .memory_mib = 65536};
    for (uint32_t to = 0; to < nodes; ++to)
      row.distances.push_back(node == to ? 10 : 20 + node + to);
    host.nodes.push_back(std::move(row));
  }
  return host;
}

std::string RandomSubset(const cpu::HostTopology& host, Draw& draw) {
  std::vector<uint32_t> ids;
  for (const cpu::HostCpu& cpu : host.cpus) ids.push_back(cpu.id);
  std::shuffle(ids.begin(), ids.end(), draw.random());
  ids.resize(std::min<size_t>({ids.size(), kMaxVcpus, draw.UpTo(kMaxVcpus)}));
  cpu::CpuSet set;
  for (const uint32_t id : ids) set.Insert(id);
  return set.ToString();
}

std::string Describe(const cpu::HostTopology& host) {
  std::string text = "host";
  for (const cpu::HostCpu& cpu : host.cpus) {
    text += fmt::format(" {}:p{}d{}c{}t{}l{}L{}n{}", cpu.id, cpu.package, cpu.die, cpu.core,
                        cpu.thread, cpu.l2, cpu.l3, cpu.node);
  }
  return text;
}

// Between the guest's nodes, as between the host's that their pinned CPUs are on.
std::vector<std::vector<uint32_t>> DistancesOf(const cpu::HostTopology& host,
                                               const std::vector<cpu::VcpuPlan>& vcpus) {
  std::vector<uint32_t> host_node(1, 0);
  for (const cpu::VcpuPlan& vcpu : vcpus) {
    host_node.resize(std::max<size_t>(host_node.size(), vcpu.node + 1));
    if (vcpu.host_cpu) host_node[vcpu.node] = host.Find(*vcpu.host_cpu)->node;
  }
  std::vector<std::vector<uint32_t>> rows;
  for (const uint32_t from : host_node) {
    std::vector<uint32_t> row;
    for (const uint32_t to : host_node) row.push_back(host.nodes.at(from).distances.at(to));
    rows.push_back(std::move(row));
  }
  return rows;
}

}  // namespace

base::Result<Case> MakeCase(uint64_t seed, uint32_t number) {
  cpu::HostTopology host;
  cpu::ContainerRequest request;
  if (number % 4 == 0) {
    const Worked& worked = kWorked[(seed + number / 4) % std::size(kWorked)];
    host = cpu::TwoPackages();
    request.cpus = worked.cpus;
    request.quota_us = worked.quota;
  } else {
    std::seed_seq numbers{static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32), number};
    Draw draw(numbers);
    host = RandomHost(draw);
    request.cpus = RandomSubset(host, draw);
  }
  Case made;
  made.text =
      fmt::format("cpus \"{}\" quota {} of {}", request.cpus, request.quota_us, Describe(host));
  std::sort(host.cpus.begin(), host.cpus.end(),
            [](const auto& a, const auto& b) { return a.id < b.id; });
  cpu::CpuRequest whole;
  whole.containers.push_back(request);
  made.plan = TRY(cpu::Plan(host, whole, {}), "{}", made.text);
  made.distances = DistancesOf(host, made.plan.vcpus);
  return made;
}

}  // namespace topology
