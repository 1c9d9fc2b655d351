#include "runtime/cpu/topology_json.h"

#include <sys/stat.h>

#include <algorithm>
#include <iterator>
#include <map>
#include <tuple>
#include <utility>

#include "oci/json_reader.h"
#include "oci/json_writer.h"
#include "runtime/base/file.h"
#include "runtime/cpu/arrange.h"

namespace cpu {
namespace {

using base::Code;
using oci::JsonReader;

// Names of groups are any numbers; a bound keeps them within what later sums can hold.
constexpr uint64_t kMaxName = 1 << 24;
constexpr uint32_t kUnnamed = UINT32_MAX;
constexpr uint64_t kMaxMemoryMib = uint64_t{1} << 40;
constexpr size_t kMaxNodes = 1024;      // Linux' MAX_NUMNODES is 1 << 10 at most
constexpr uint32_t kMaxDistance = 255;  // a byte of SLIT, ACPI 6.5, 5.2.17

struct Level {
  const char* name;
  uint32_t HostCpu::*member;
};
constexpr Level kLevels[] = {
    {"package", &HostCpu::package}, {"die", &HostCpu::die},       {"cluster", &HostCpu::cluster},
    {"core", &HostCpu::core},       {"thread", &HostCpu::thread}, {"l1", &HostCpu::l1},
    {"l2", &HostCpu::l2},           {"l3", &HostCpu::l3},         {"node", &HostCpu::node}};
constexpr size_t kLevelCount = std::size(kLevels);
enum LevelIndex { kPackage, kDie, kCluster, kCore, kThread, kL1, kL2, kL3, kNode };

class Reader {
 public:
  explicit Reader(JsonReader& json) : json_(json) {}
  base::Result<HostTopology> Read();

 private:
  void ReadCpu();
  void ReadNode();
  template <class ReadEntry>
  void ReadList(const char* name, ReadEntry read_entry);
  bool Has(LevelIndex level) const { return named_[level] > 0; }
  base::Result<void> CheckLevels();
  void FillIn();
  base::Result<void> CheckNodes();

  JsonReader& json_;
  HostTopology host_;
  CpuSet ids_, node_ids_;
  size_t named_[kLevelCount] = {};  // online CPUs that name the level
};

void Reader::ReadCpu() {
  json_.ExpectObject();
  HostCpu cpu{.l1 = kUnnamed, .l2 = kUnnamed, .l3 = kUnnamed};
  bool online = true;
  if (!json_.EnterField("id")) return json_.Fail("a CPU without an \"id\"");
  cpu.id = static_cast<uint32_t>(json_.ReadUnsigned(kMaxCpus - 1));
  if (ids_.Contains(cpu.id)) json_.Fail(fmt::format("CPU {} is there twice", cpu.id));
  ids_.Insert(cpu.id);
  json_.Leave();
  if (json_.EnterField("online")) {
    online = json_.ReadBool();
    json_.Leave();
  }
  if (json_.EnterField("isolated")) {
    cpu.isolated = json_.ReadBool();
    json_.Leave();
  }
  for (size_t level = 0; level < kLevelCount; ++level) {
    if (!json_.EnterField(kLevels[level].name)) continue;
    cpu.*kLevels[level].member = static_cast<uint32_t>(json_.ReadUnsigned(kMaxName));
    json_.Leave();
    if (online) ++named_[level];
  }
  if (online) host_.cpus.push_back(cpu);
}

void Reader::ReadNode() {
  json_.ExpectObject();
  HostNode node;
  if (!json_.EnterField("id")) return json_.Fail("a node without an \"id\"");
  node.id = static_cast<uint32_t>(json_.ReadUnsigned(kMaxNodes - 1));
  if (node_ids_.Contains(node.id)) json_.Fail(fmt::format("node {} is there twice", node.id));
  node_ids_.Insert(node.id);
  json_.Leave();
  if (json_.EnterField("memory_mib")) {
    node.memory_mib = json_.ReadUnsigned(kMaxMemoryMib);
    json_.Leave();
  }
  if (json_.EnterField("distances")) {
    const size_t size = json_.ReadArraySize();
    for (size_t i = 0; i < size && json_.status(); ++i) {
      json_.EnterElement(i);
      node.distances.push_back(static_cast<uint32_t>(json_.ReadUnsigned(kMaxDistance)));
      json_.Leave();
    }
    json_.Leave();
  }
  host_.nodes.push_back(std::move(node));
}

template <class ReadEntry>
void Reader::ReadList(const char* name, ReadEntry read_entry) {
  if (!json_.EnterField(name)) return;
  const size_t size = json_.ReadArraySize();
  for (size_t i = 0; i < size && json_.status(); ++i) {
    json_.EnterElement(i);
    read_entry();
    json_.Leave();
  }
  json_.Leave();
}

// A level is named by all CPUs or by none, but for caches, which some cores of a host may lack.
base::Result<void> Reader::CheckLevels() {
  for (size_t level = 0; level < kLevelCount; ++level) {
    if (named_[level] == 0 || named_[level] == host_.cpus.size()) continue;
    if (level == kL1 || level == kL2 || level == kL3) continue;
    return base::MakeError(Code::kInvalidArgument,
                           "cpus: {} of {} CPUs have a \"{}\": all or none must", named_[level],
                           host_.cpus.size(), kLevels[level].name);
  }
  return base::Ok();
}

void Reader::FillIn() {
  const auto note = [&](const char* text) {
    host_.notes.push_back({"host_topology_incomplete", text});
  };
  if (!Has(kPackage)) note("no \"package\": one is assumed for all CPUs");
  if (!Has(kCore)) note("no \"core\": one is assumed for each CPU");
  if (!Has(kL2)) note("no \"l2\": one L2 cache is assumed for each core");
  if (!Has(kL3)) note("no \"l3\": one L3 cache is assumed for each die");
  // Nodes as many as are named, if the list is missing.
  if (host_.nodes.empty()) {
    note("no \"nodes\": taken from the CPUs, memory and distances unknown");
    CpuSet nodes;
    for (const HostCpu& cpu : host_.cpus) nodes.Insert(std::min(cpu.node, kMaxCpus - 1));
    for (const uint32_t id : nodes) host_.nodes.push_back({.id = id});
  } else if (!Has(kNode)) {
    if (host_.nodes.size() > 1) note("no \"node\": the first is assumed for all CPUs");
    for (HostCpu& cpu : host_.cpus) cpu.node = host_.nodes.front().id;
  }
  // Any name will do that is equal within a group and differs between groups.
  for (HostCpu& cpu : host_.cpus) {
    if (!Has(kCore)) cpu.core = cpu.id;
  }
  const auto index_of = [](auto& names, auto key) {
    return static_cast<uint32_t>(kMaxName + 1) +
           names.emplace(key, static_cast<uint32_t>(names.size())).first->second;
  };
  std::map<std::tuple<uint32_t, uint32_t, uint32_t, uint32_t>, uint32_t> cores;
  std::map<std::pair<uint32_t, uint32_t>, uint32_t> dies, l2s;
  for (HostCpu& cpu : host_.cpus) {
    const uint32_t core = index_of(cores, std::tuple(cpu.package, cpu.die, cpu.cluster, cpu.core));
    const uint32_t die = index_of(dies, std::pair(cpu.package, cpu.die));
    if (cpu.l1 == kUnnamed) cpu.l1 = core;
    if (cpu.l2 == kUnnamed) cpu.l2 = core;
    // A core without an L3 beside others that have one shares what is below it.
    if (cpu.l3 == kUnnamed) cpu.l3 = Has(kL3) ? index_of(l2s, std::pair(cpu.l2, 0u)) : die;
  }
}

base::Result<void> Reader::CheckNodes() {
  std::sort(host_.nodes.begin(), host_.nodes.end(),
            [](const HostNode& a, const HostNode& b) { return a.id < b.id; });
  const CpuSet nodes = host_.Nodes();
  for (const HostNode& node : host_.nodes) {
    if (node.distances.empty() || node.distances.size() == host_.nodes.size()) continue;
    return base::MakeError(Code::kInvalidArgument, "nodes: node {} has {} distances to {} nodes",
                           node.id, node.distances.size(), host_.nodes.size());
  }
  for (const HostCpu& cpu : host_.cpus) {
    if (nodes.Contains(cpu.node)) continue;
    return base::MakeError(Code::kInvalidArgument, "cpus: CPU {} is on node {} (nodes: {})", cpu.id,
                           cpu.node, nodes.ToString());
  }
  return base::Ok();
}

base::Result<HostTopology> Reader::Read() {
  json_.ExpectObject();
  ReadList("cpus", [this] { ReadCpu(); });
  ReadList("nodes", [this] { ReadNode(); });
  TRY(json_.status());
  if (host_.cpus.empty()) {
    return base::MakeError(Code::kInvalidArgument, "cpus: a host without an online CPU");
  }
  TRY(CheckLevels());
  FillIn();
  TRY(CheckNodes());
  Arrange(host_);
  return std::move(host_);
}

}  // namespace

base::Result<HostTopology> ReadTopologyJson(std::string_view json) {
  JsonReader reader = TRY(JsonReader::Create(
      json, {.bytes = kMaxTopologyJsonBytes, .depth = 8, .list_length = kMaxCpus}));
  return Reader(reader).Read();
}

std::string WriteTopologyJson(const HostTopology& host) {
  oci::JsonWriter json;
  json.BeginObject();
  json.Key("cpus");
  json.BeginArray();
  for (const HostCpu& cpu : host.cpus) {
    json.BeginObject();
    json.Key("id");
    json.Unsigned(cpu.id);
    for (const Level& level : kLevels) {
      json.Key(level.name);
      json.Unsigned(cpu.*level.member);
    }
    if (cpu.isolated) {
      json.Key("isolated");
      json.Bool(true);
    }
    json.EndObject();
  }
  json.EndArray();
  json.Key("nodes");
  json.BeginArray();
  for (const HostNode& node : host.nodes) {
    json.BeginObject();
    json.Key("id");
    json.Unsigned(node.id);
    json.Key("memory_mib");
    json.Unsigned(node.memory_mib);
    if (!node.distances.empty()) {
      json.Key("distances");
      json.BeginArray();
      for (const uint32_t distance : node.distances) json.Unsigned(distance);
      json.EndArray();
    }
    json.EndObject();
  }
  json.EndArray();
  json.EndObject();
  return json.Take();
}

base::Result<HostTopology> ReadHost(const std::string& path) {
  struct stat status {};
  if (stat(path.c_str(), &status) != 0) return base::ErrnoError("host {}", path);
  if (S_ISDIR(status.st_mode)) return ReadHostTopology(path);
  const std::string text = TRY(base::ReadFile(path, kMaxTopologyJsonBytes), "host {}", path);
  return TRY(ReadTopologyJson(text), "host {}", path);
}

}  // namespace cpu
