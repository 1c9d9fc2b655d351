#include <algorithm>
#include <charconv>
#include <map>
#include <optional>
#include <utility>

#include "runtime/base/file.h"
#include "runtime/cpu/topology.h"

namespace cpu {
namespace {

constexpr uint32_t kMaxCacheIndex = 16;

// Files and groups of one machine. A group is named by its lowest CPU until it gets its number.
class Reader {
 public:
  explicit Reader(const std::string& root) : root_(root) {}
  base::Result<HostTopology> Read();

 private:
  using GroupOf = std::map<uint32_t, uint32_t>;  // CPU → lowest CPU of its group

  std::optional<CpuSet> List(const std::string& path) const;
  std::optional<uint64_t> Number(const std::string& path) const;
  std::string CpuPath(uint32_t cpu, const std::string& file) const;

  // Reads `file` of every CPU. Lists that are missing or not an equivalence fall back to
  // `fallback` for all CPUs, with a note.
  GroupOf Groups(const std::string& file, const char* level, const GroupOf& fallback);
  GroupOf CacheGroups(uint32_t level, const GroupOf& fallback);
  GroupOf Checked(const std::map<uint32_t, CpuSet>& lists, const char* level,
                  const GroupOf& fallback);
  // `outer` if no group of `inner` is divided among its groups, else `inner` with a note: no guest
  // can be told of a cache that cuts through a core (seen under QEMU, CPU model EPYC-Rome).
  GroupOf Nested(const GroupOf& inner, const GroupOf& outer, const char* level, const char* parts);
  void ReadNodes();

  std::string root_;
  CpuSet online_;
  HostTopology host_;
  std::map<uint32_t, uint32_t> node_of_;
};

std::optional<CpuSet> Reader::List(const std::string& path) const {
  const auto text = base::ReadFile(root_ + "/" + path);
  if (!text) return std::nullopt;
  auto set = CpuSet::Parse(*text);
  if (!set) return std::nullopt;
  return std::move(*set);
}

std::optional<uint64_t> Reader::Number(const std::string& path) const {
  const auto text = base::ReadFile(root_ + "/" + path);
  uint64_t number = 0;
  if (!text || std::from_chars(text->data(), text->data() + text->size(), number).ec != std::errc())
    return std::nullopt;
  return number;
}

std::string Reader::CpuPath(uint32_t cpu, const std::string& file) const {
  return fmt::format("cpu/cpu{}/{}", cpu, file);
}

Reader::GroupOf Reader::Checked(const std::map<uint32_t, CpuSet>& lists, const char* level,
                                const GroupOf& fallback) {
  GroupOf groups;
  for (const uint32_t cpu : online_) {
    const auto list = lists.find(cpu);
    bool sound = list != lists.end() && list->second.Contains(cpu);
    if (sound) {
      for (const uint32_t other : list->second) {
        const auto theirs = lists.find(other);
        sound = sound && theirs != lists.end() && theirs->second == list->second;
      }
    }
    if (!sound) {
      host_.notes.push_back({"host_topology_incomplete",
                             fmt::format("sysfs gives no sound {} for CPU {}", level, cpu)});
      return fallback;
    }
    groups[cpu] = list->second.first();
  }
  return groups;
}

Reader::GroupOf Reader::Groups(const std::string& file, const char* level,
                               const GroupOf& fallback) {
  std::map<uint32_t, CpuSet> lists;
  for (const uint32_t cpu : online_) {
    if (auto list = List(CpuPath(cpu, "topology/" + file))) {
      lists[cpu] = list->Intersection(online_);
    }
  }
  return Checked(lists, level, fallback);
}

Reader::GroupOf Reader::CacheGroups(uint32_t level, const GroupOf& fallback) {
  std::map<uint32_t, CpuSet> lists;
  for (const uint32_t cpu : online_) {
    for (uint32_t index = 0; index < kMaxCacheIndex; ++index) {
      const std::string cache = CpuPath(cpu, fmt::format("cache/index{}/", index));
      const auto found = Number(cache + "level");
      if (!found) break;
      if (*found != level) continue;
      if (auto list = List(cache + "shared_cpu_list")) lists[cpu] = list->Intersection(online_);
    }
  }
  return Checked(lists, level == 2 ? "L2 cache" : "L3 cache", fallback);
}

Reader::GroupOf Reader::Nested(const GroupOf& inner, const GroupOf& outer, const char* level,
                               const char* parts) {
  for (const auto& [cpu, group] : inner) {
    if (outer.at(group) == outer.at(cpu)) continue;
    host_.notes.push_back(
        {"host_topology_incomplete",
         fmt::format("sysfs has {} in two {} groups: one is assumed for each", parts, level)});
    return inner;
  }
  return outer;
}

void Reader::ReadNodes() {
  const auto nodes = List("node/online");
  for (const uint32_t id : nodes.value_or(CpuSet())) {
    const std::string path = fmt::format("node/node{}/", id);
    HostNode node{.id = id};
    if (const auto text = base::ReadFile(root_ + "/" + path + "meminfo")) {
      // "Node 0 MemTotal:       24630772 kB"
      const size_t at = text->find("MemTotal:");
      const size_t digit = at == std::string::npos ? at : text->find_first_of("0123456789", at);
      uint64_t kib = 0;
      if (digit != std::string::npos) {
        std::from_chars(text->data() + digit, text->data() + text->size(), kib);
      }
      node.memory_mib = kib / 1024;
    }
    if (const auto text = base::ReadFile(root_ + "/" + path + "distance")) {
      const char* at = text->data();
      const char* const end = at + text->size();
      for (uint32_t distance = 0; at < end; ++at) {
        const auto [next, error] = std::from_chars(at, end, distance);
        if (error == std::errc()) node.distances.push_back(distance);
        at = std::max(at, next);
      }
    }
    for (const uint32_t cpu : List(path + "cpulist").value_or(CpuSet())) node_of_[cpu] = id;
    host_.nodes.push_back(std::move(node));
  }
  if (host_.nodes.empty()) {
    host_.notes.push_back(
        {"host_topology_incomplete", "sysfs gives no NUMA nodes: one is assumed"});
    host_.nodes.push_back(HostNode{});
  }
}

// Dense numbers in the order in which groups first appear among ascending CPUs.
class Numbering {
 public:
  uint32_t operator()(uint32_t parent, uint32_t group) {
    auto& known = numbers_[parent];
    return known.emplace(group, static_cast<uint32_t>(known.size())).first->second;
  }

 private:
  std::map<uint32_t, std::map<uint32_t, uint32_t>> numbers_;
};

base::Result<HostTopology> Reader::Read() {
  const std::string text = TRY(base::ReadFile(root_ + "/cpu/online"), "host topology");
  online_ = TRY(CpuSet::Parse(text), "{}/cpu/online", root_);
  if (online_.empty()) {
    return base::MakeError(base::Code::kFailedPrecondition, "{}/cpu/online is empty", root_);
  }
  GroupOf everything, alone;
  for (const uint32_t cpu : online_) everything[cpu] = online_.first();
  for (const uint32_t cpu : online_) alone[cpu] = cpu;
  // Sets, not ids: die_id and core_id are numbered differently from kernel to kernel.
  const GroupOf package = Groups("package_cpus_list", "package", everything);
  const GroupOf die = Groups("die_cpus_list", "die", package);
  const GroupOf core = Groups("core_cpus_list", "core", alone);
  const GroupOf l2 = Nested(core, CacheGroups(2, core), "L2 cache", "threads of a core");
  const GroupOf l3 = Nested(l2, CacheGroups(3, die), "L3 cache", "CPUs of an L2 cache");
  ReadNodes();
  const CpuSet isolated = List("cpu/isolated").value_or(CpuSet());

  Numbering packages, dies, cores, l2s, l3s;
  std::map<uint32_t, uint32_t> threads;  // seen so far, by core group
  for (const uint32_t id : online_) {
    HostCpu cpu{.id = id};
    cpu.package = packages(0, package.at(id));
    cpu.die = dies(cpu.package, die.at(id));
    cpu.core = cores(cpu.package, core.at(id));
    cpu.thread = threads[core.at(id)]++;
    cpu.l2 = l2s(0, l2.at(id));
    cpu.l3 = l3s(0, l3.at(id));
    const auto node = node_of_.find(id);
    cpu.node = node == node_of_.end() ? host_.nodes.front().id : node->second;
    cpu.isolated = isolated.Contains(id);
    host_.cpus.push_back(cpu);
  }
  return std::move(host_);
}

}  // namespace

const HostCpu* HostTopology::Find(uint32_t id) const {
  const auto at =
      std::lower_bound(cpus.begin(), cpus.end(), id,
                       [](const HostCpu& cpu, uint32_t wanted) { return cpu.id < wanted; });
  return at == cpus.end() || at->id != id ? nullptr : &*at;
}

CpuSet HostTopology::Online() const {
  CpuSet set;
  for (const HostCpu& cpu : cpus) set.Insert(cpu.id);
  return set;
}

CpuSet HostTopology::Nodes() const {
  CpuSet set;
  for (const HostNode& node : nodes) set.Insert(node.id);
  return set;
}

base::Result<HostTopology> ReadHostTopology(const std::string& root) { return Reader(root).Read(); }

}  // namespace cpu
