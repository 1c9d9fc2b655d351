#include <dirent.h>

#include <algorithm>
#include <charconv>
#include <map>
#include <memory>
#include <optional>
#include <utility>

#include "runtime/base/file.h"
#include "runtime/base/log.h"
#include "runtime/cpu/arrange.h"
#include "runtime/cpu/topology.h"

namespace cpu {
namespace {

constexpr uint32_t kMaxCacheIndex = 16;
// Where a kernel has a group under several names, the newest first (Linux
// Documentation/admin-guide/cputopology.rst); an id is the last resort, since die_id and core_id
// changed their meaning between kernels while lists did not.
struct Source {
  const char* list;
  const char* older_list;
  const char* id;
  const char* level;
};
constexpr Source kPackage = {"package_cpus_list", "core_siblings_list", "physical_package_id",
                             "package"};
constexpr Source kDie = {"die_cpus_list", nullptr, "die_id", "die"};
constexpr Source kCluster = {"cluster_cpus_list", nullptr, "cluster_id", "cluster"};
constexpr Source kCore = {"core_cpus_list", "thread_siblings_list", "core_id", "core"};

struct DirCloser {
  void operator()(DIR* dir) const { closedir(dir); }
};

// Files and groups of one machine. A group is named by its lowest CPU, or by its id, until Arrange
// numbers it.
class Reader {
 public:
  explicit Reader(const std::string& root) : root_(root) {}
  base::Result<HostTopology> Read();

 private:
  using GroupOf = std::map<uint32_t, uint32_t>;  // CPU → name of its group
  using Lists = std::map<uint32_t, CpuSet>;

  std::optional<CpuSet> List(const std::string& path) const;
  std::optional<uint64_t> Number(const std::string& path) const;
  std::string CpuPath(uint32_t cpu, const std::string& file) const;
  void AddNote(std::string text) {
    host_.notes.push_back({"host_topology_incomplete", std::move(text)});
  }

  base::Result<void> FindCpus();
  base::Result<CpuSet> CpuDirectories() const;
  Lists ListsOf(const char* file) const;
  // The groups that `lists` make of the online CPUs, or the first CPU that has no sound list.
  std::optional<GroupOf> GroupsOf(const Lists& lists, uint32_t& unsound) const;
  GroupOf Groups(const Source& source, const GroupOf& fallback, const char* fallback_name);
  GroupOf CacheGroups(uint32_t level, const GroupOf& inner, const GroupOf& fallback,
                      const char* fallback_name);
  void ReadCaches();
  void ReadNodes();
  HostNode ReadNode(uint32_t id) const;

  std::string root_;
  CpuSet online_;
  HostTopology host_;
  std::map<uint32_t, uint32_t> node_of_;
  std::map<uint32_t, Lists> caches_;  // by level
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

// cpu0, cpu1, … for kernels and copies that have no list; a CPU without a file "online" cannot be
// taken offline.
base::Result<CpuSet> Reader::CpuDirectories() const {
  const std::string path = root_ + "/cpu";
  const std::unique_ptr<DIR, DirCloser> dir(opendir(path.c_str()));
  if (!dir) return base::ErrnoError("open {}", path);
  CpuSet cpus;
  while (const dirent* entry = readdir(dir.get())) {
    const std::string_view name = entry->d_name;
    if (!name.starts_with("cpu")) continue;
    uint32_t id = 0;
    const char* const end = name.data() + name.size();
    const auto [at, error] = std::from_chars(name.data() + 3, end, id);
    if (error != std::errc() || at != end || id >= kMaxCpus) continue;
    if (Number(CpuPath(id, "online")).value_or(1) != 0) cpus.Insert(id);
  }
  return cpus;
}

base::Result<void> Reader::FindCpus() {
  const auto text = base::ReadFile(root_ + "/cpu/online");
  if (text) {
    online_ = TRY(CpuSet::Parse(*text), "{}/cpu/online", root_);
  } else {
    online_ = TRY(CpuDirectories(), "host topology");
    AddNote("sysfs has no cpu/online: the directories cpu0, cpu1, … were counted");
  }
  if (!online_.empty()) return base::Ok();
  return base::MakeError(base::Code::kFailedPrecondition, "{}/cpu/online names no CPU", root_);
}

Reader::Lists Reader::ListsOf(const char* file) const {
  Lists lists;
  for (const uint32_t cpu : online_) {
    auto list = List(CpuPath(cpu, fmt::format("topology/{}", file)));
    if (!list) return lists;  // one that is missing decides already
    lists[cpu] = list->Intersection(online_);
  }
  return lists;
}

std::optional<Reader::GroupOf> Reader::GroupsOf(const Lists& lists, uint32_t& unsound) const {
  // An equivalence: each list holds its CPU, equals that of its first CPU, and has as many CPUs as
  // there are CPUs whose list starts so.
  GroupOf groups;
  std::map<uint32_t, size_t> members;
  for (const uint32_t cpu : online_) {
    unsound = cpu;
    const auto list = lists.find(cpu);
    if (list == lists.end() || !list->second.Contains(cpu)) return std::nullopt;
    const auto first = lists.find(list->second.first());
    if (first == lists.end() || first->second != list->second) return std::nullopt;
    groups[cpu] = first->first;
    ++members[first->first];
  }
  for (const auto& [first, count] : members) {
    unsound = first;
    if (lists.at(first).size() != count) return std::nullopt;
  }
  return groups;
}

Reader::GroupOf Reader::Groups(const Source& source, const GroupOf& fallback,
                               const char* fallback_name) {
  uint32_t unsound = online_.first();
  for (const char* file : {source.list, source.older_list}) {
    if (!file) continue;
    const Lists lists = ListsOf(file);
    if (lists.empty()) continue;
    if (auto groups = GroupsOf(lists, unsound)) return std::move(*groups);
  }
  GroupOf ids;
  for (const uint32_t cpu : online_) {
    const auto id = Number(CpuPath(cpu, fmt::format("topology/{}", source.id)));
    if (!id || *id > UINT16_MAX) break;  // arm64 writes -1 for what firmware did not say
    ids[cpu] = static_cast<uint32_t>(*id);
  }
  if (ids.size() == online_.size()) {
    AddNote(fmt::format("sysfs gives no sound {} list for CPU {}: taken from {}", source.level,
                        unsound, source.id));
    return ids;
  }
  AddNote(fmt::format("sysfs gives no sound {} for CPU {}: {} is assumed", source.level, unsound,
                      fallback_name));
  return fallback;
}

void Reader::ReadCaches() {
  for (const uint32_t cpu : online_) {
    for (uint32_t index = 0; index < kMaxCacheIndex; ++index) {
      const std::string cache = CpuPath(cpu, fmt::format("cache/index{}/", index));
      const auto level = Number(cache + "level");
      if (!level) break;
      if (*level < 1 || *level > 3) continue;
      Lists& lists = caches_[static_cast<uint32_t>(*level)];
      if (*level == 1) {
        const auto type = base::ReadFile(root_ + "/" + cache + "type");
        if (type && type->starts_with("Instruction")) continue;
      }
      if (auto list = List(cache + "shared_cpu_list")) lists[cpu] = list->Intersection(online_);
    }
  }
}

Reader::GroupOf Reader::CacheGroups(uint32_t level, const GroupOf& inner, const GroupOf& fallback,
                                    const char* fallback_name) {
  Lists& lists = caches_[level];
  uint32_t unsound = online_.first();
  // Cores without a cache that others have (some hybrid processors' L3) share what is below it.
  if (!lists.empty() && lists.size() < online_.size()) {
    std::map<uint32_t, CpuSet> members;
    for (const auto& [cpu, group] : inner) members[group].Insert(cpu);
    for (const uint32_t cpu : online_) lists.emplace(cpu, members.at(inner.at(cpu)));
  }
  if (auto groups = GroupsOf(lists, unsound)) return std::move(*groups);
  AddNote(fmt::format("sysfs gives no sound L{} cache for CPU {}: {} is assumed", level, unsound,
                      fallback_name));
  return fallback;
}

HostNode Reader::ReadNode(uint32_t id) const {
  const std::string path = fmt::format("{}/node/node{}/", root_, id);
  HostNode node{.id = id};
  if (const auto text = base::ReadFile(path + "meminfo")) {
    // "Node 0 MemTotal:       24630772 kB"
    const size_t at = text->find("MemTotal:");
    const size_t digit = at == std::string::npos ? at : text->find_first_of("0123456789", at);
    uint64_t kib = 0;
    if (digit != std::string::npos) {
      std::from_chars(text->data() + digit, text->data() + text->size(), kib);
    }
    node.memory_mib = kib / 1024;
  }
  if (const auto text = base::ReadFile(path + "distance")) {
    const char* at = text->data();
    const char* const end = at + text->size();
    for (uint32_t distance = 0; at < end; ++at) {
      const auto [next, error] = std::from_chars(at, end, distance);
      if (error == std::errc()) node.distances.push_back(distance);
      at = std::max(at, next);
    }
  }
  return node;
}

void Reader::ReadNodes() {
  const auto nodes = List("node/online");
  for (const uint32_t id : nodes.value_or(CpuSet())) {
    host_.nodes.push_back(ReadNode(id));
    for (const uint32_t cpu : List(fmt::format("node/node{}/cpulist", id)).value_or(CpuSet())) {
      node_of_[cpu] = id;
    }
  }
  if (!host_.nodes.empty()) return;
  AddNote("sysfs gives no NUMA nodes: one is assumed");
  host_.nodes.push_back(HostNode{});
}

base::Result<HostTopology> Reader::Read() {
  TRY(FindCpus());
  GroupOf everything, alone;
  for (const uint32_t cpu : online_) everything[cpu] = online_.first();
  for (const uint32_t cpu : online_) alone[cpu] = cpu;
  const GroupOf package = Groups(kPackage, everything, "one for all");
  const GroupOf die = Groups(kDie, package, "one for each package");
  const GroupOf core = Groups(kCore, alone, "one for each CPU");
  // Only arm64 has these registers. On x86 cluster_id is the group of the L2 cache: no level.
  const bool arm64 =
      base::ReadFile(root_ + "/" + CpuPath(online_.first(), "regs/identification/midr_el1"))
          .has_value();
  const GroupOf cluster = arm64 ? Groups(kCluster, die, "one for each die") : die;
  ReadCaches();
  const GroupOf l1 = CacheGroups(1, core, core, "one for each core");
  const GroupOf l2 = CacheGroups(2, core, core, "one for each core");
  const GroupOf l3 = CacheGroups(3, l2, die, "one for each die");
  ReadNodes();
  const CpuSet isolated = List("cpu/isolated").value_or(CpuSet());

  for (const uint32_t id : online_) {
    const auto node = node_of_.find(id);
    if (node == node_of_.end() && !node_of_.empty()) {
      AddNote(fmt::format("sysfs gives no NUMA node for CPU {}: node {} is assumed", id,
                          host_.nodes.front().id));
    }
    host_.cpus.push_back({.id = id,
                          .package = package.at(id),
                          .die = die.at(id),
                          .cluster = cluster.at(id),
                          .core = core.at(id),
                          .thread = id,
                          .l1 = l1.at(id),
                          .l2 = l2.at(id),
                          .l3 = l3.at(id),
                          .node = node == node_of_.end() ? host_.nodes.front().id : node->second,
                          .isolated = isolated.Contains(id)});
  }
  Arrange(host_);
  return std::move(host_);
}

}  // namespace

base::Result<HostTopology> ReadHostTopology(const std::string& root) { return Reader(root).Read(); }

}  // namespace cpu
