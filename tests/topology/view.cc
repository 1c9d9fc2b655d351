#include "tests/topology/view.h"

#include <bit>
#include <charconv>
#include <functional>
#include <map>
#include <set>
#include <sstream>
#include <string_view>
#include <utility>
#include <vector>

#include "runtime/cpu/cpu_set.h"
#include "vmm/topology/guest_topology.h"

namespace topology {

namespace {

using Words = std::map<std::string, std::string>;
// Sets of APIC ids.
using Partition = std::set<std::set<uint32_t>>;

base::Error Differs(std::string text) {
  return base::MakeError(base::Code::kFailedPrecondition, "{}", text);
}

struct Dump {
  std::map<uint32_t, Words> cpus;  // by the guest's number
  std::map<uint32_t, Words> nodes;
  bool ended = false;
};

Dump Parse(const std::string& text) {
  Dump dump;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::string kind;
    uint32_t number = 0;
    words >> kind;
    if (kind == "end") dump.ended = true;
    if ((kind != "cpu" && kind != "node") || !(words >> number)) continue;
    Words& row = kind == "cpu" ? dump.cpus[number] : dump.nodes[number];
    for (std::string key, value; words >> key >> value;) row[key] = value;
  }
  return dump;
}

base::Result<uint32_t> NumberOf(std::string_view text) {
  uint32_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) {
    return Differs(fmt::format("\"{}\" is no number", text));
  }
  return value;
}

std::vector<std::string> Split(const std::string& text, char separator) {
  std::vector<std::string> parts;
  std::istringstream stream(text);
  for (std::string part; std::getline(stream, part, separator);) parts.push_back(part);
  return parts;
}

std::string Text(const Partition& partition) {
  std::string text;
  for (const auto& group : partition) text += fmt::format("{{{}}}", fmt::join(group, " "));
  return text;
}

// A guest's machine, and the plan's, both by APIC id.
class Comparison {
 public:
  Comparison(const Case& planned, vmm::GuestTopology topology, Dump dump)
      : planned_(planned), topology_(std::move(topology)), dump_(std::move(dump)) {}

  base::Result<void> Run() {
    TRY(MapIds());
    using Key = std::pair<uint32_t, uint32_t>;
    const auto plan = [&](auto key_of) {
      std::map<Key, std::set<uint32_t>> groups;
      for (size_t i = 0; i < planned_.plan.vcpus.size(); ++i) {
        groups[key_of(planned_.plan.vcpus[i])].insert(topology_.apic_id(i));
      }
      return SetsOf(groups);
    };
    const Partition core = plan([](const auto& v) { return Key(v.package, v.core); });
    const Partition die = plan([](const auto& v) { return Key(v.package, v.die); });
    const Partition package = plan([](const auto& v) { return Key(v.package, 0); });
    const Partition l2 = plan([](const auto& v) { return Key(v.l2, 0); });
    const Partition l3 = plan([](const auto& v) { return Key(v.l3, 0); });
    const Partition node = plan([](const auto& v) { return Key(v.node, 0); });
    TRY(Same("core by sysfs", core, BySysfs("core")));
    TRY(Same("die by sysfs", die, BySysfs("die")));
    TRY(Same("package by sysfs", package, BySysfs("package")));
    TRY(Same("package by its number", package, ByWord("pkgid")));
    TRY(Same("core by CPUID", core, ByShift(0)));
    TRY(Same("die by CPUID", die, ByShift(1)));
    TRY(Same("package by CPUID", package, ByShift(2)));
    for (const auto& [cache, groups] :
         {std::pair("d1", core), std::pair("i1", core), std::pair("u2", l2), std::pair("u3", l3)}) {
      TRY(Same(fmt::format("cache {} by sysfs", cache), groups, CacheBySysfs(cache)));
      TRY(Same(fmt::format("cache {} by CPUID", cache), groups, CacheByCpuid(cache)));
    }
    TRY(Same("node", node, ByNode()));
    return CompareNodes();
  }

 private:
  template <class Key>
  static Partition SetsOf(const std::map<Key, std::set<uint32_t>>& groups) {
    Partition partition;
    for (const auto& [key, group] : groups) partition.insert(group);
    return partition;
  }

  static base::Result<void> Same(const std::string& what, const Partition& planned,
                                 const base::Result<Partition>& seen) {
    if (!seen) return Differs(fmt::format("{}: {}", what, seen.error().Message()));
    if (planned == *seen) return base::Ok();
    return Differs(
        fmt::format("{}: planned {}, the guest has {}", what, Text(planned), Text(*seen)));
  }

  base::Result<void> MapIds() {
    std::set<uint32_t> planned, seen;
    for (size_t i = 0; i < topology_.size(); ++i) planned.insert(topology_.apic_id(i));
    for (auto& [number, words] : dump_.cpus) {
      const uint32_t id = TRY(NumberOf(words["apic"]));
      if (words["proc"] != words["apic"]) {
        return Differs(fmt::format("CPU {}: /proc/cpuinfo has apicid {}, CPUID {}", number,
                                   words["proc"], id));
      }
      ids_[number] = id;
      seen.insert(id);
    }
    return Same("the ids", Partition{planned}, Partition{seen});
  }

  base::Result<std::set<uint32_t>> IdsOf(const std::string& list) {
    std::set<uint32_t> ids;
    if (list == "-") return ids;
    for (const uint32_t cpu : TRY(cpu::CpuSet::Parse(list))) ids.insert(ids_[cpu]);
    return ids;
  }

  base::Result<Partition> BySysfs(const std::string& key) {
    Partition partition;
    for (auto& [number, words] : dump_.cpus) partition.insert(TRY(IdsOf(words[key])));
    return partition;
  }

  Partition ByWord(const std::string& key) {
    std::map<std::string, std::set<uint32_t>> groups;
    for (auto& [number, words] : dump_.cpus) groups[words[key]].insert(ids_[number]);
    return SetsOf(groups);
  }

  base::Result<Partition> ByShift(size_t which) {
    std::map<uint32_t, std::set<uint32_t>> groups;
    for (auto& [number, words] : dump_.cpus) {
      const std::vector<std::string> shifts = Split(words["shifts"], ',');
      if (shifts.size() != 3) return Differs("no shifts");
      const uint32_t shift = TRY(NumberOf(shifts[which]));
      groups[ids_[number] >> shift].insert(ids_[number]);
    }
    return SetsOf(groups);
  }

  // The value of "name:value" in a list.
  static base::Result<std::string> Item(const std::string& list, char separator,
                                        const std::string& name) {
    for (const std::string& item : Split(list, separator)) {
      if (item.compare(0, name.size() + 1, name + ":") == 0) return item.substr(name.size() + 1);
    }
    return Differs(fmt::format("no cache {} in \"{}\"", name, list));
  }

  base::Result<Partition> CacheBySysfs(const std::string& name) {
    Partition partition;
    for (auto& [number, words] : dump_.cpus) {
      const std::string cpus = TRY(Item(words["cache"], ';', name));
      partition.insert(TRY(IdsOf(cpus)));
    }
    return partition;
  }

  base::Result<Partition> CacheByCpuid(const std::string& name) {
    std::map<uint32_t, std::set<uint32_t>> groups;
    for (auto& [number, words] : dump_.cpus) {
      const std::string text = TRY(Item(words["sharing"], ',', name));
      const uint32_t most = TRY(NumberOf(text));
      const auto shift = static_cast<uint32_t>(std::bit_width(most));
      groups[ids_[number] >> shift].insert(ids_[number]);
    }
    return SetsOf(groups);
  }

  base::Result<Partition> ByNode() {
    Partition partition;
    for (auto& [number, words] : dump_.nodes) {
      const std::set<uint32_t> ids = TRY(IdsOf(words["cpus"]));
      if (!ids.empty()) partition.insert(ids);
    }
    return partition;
  }

  base::Result<void> CompareNodes() {
    if (dump_.nodes.size() != planned_.distances.size()) {
      return Differs(
          fmt::format("{} nodes planned, {} seen", planned_.distances.size(), dump_.nodes.size()));
    }
    for (auto& [number, words] : dump_.nodes) {
      const std::string distances = fmt::format("{}", fmt::join(planned_.distances[number], ","));
      if (words["distance"] != distances) {
        return Differs(fmt::format("node {}: distances {} planned, {} seen", number, distances,
                                   words["distance"]));
      }
      if (words["kib"] == "0") return Differs(fmt::format("node {} has no RAM", number));
    }
    return base::Ok();
  }

  const Case& planned_;
  const vmm::GuestTopology topology_;
  Dump dump_;
  std::map<uint32_t, uint32_t> ids_;  // APIC id of each of the guest's CPUs
};

}  // namespace

base::Result<void> Compare(const Case& planned, const std::string& text) {
  std::vector<vmm::VcpuPlace> places;
  for (const cpu::VcpuPlan& vcpu : planned.plan.vcpus) {
    places.push_back({vcpu.package, vcpu.die, vcpu.core, vcpu.thread, vcpu.l2, vcpu.l3, vcpu.node});
  }
  vmm::GuestTopology topology = TRY(vmm::GuestTopology::Create(places));
  Dump dump = Parse(text);
  if (!dump.ended) return base::MakeError(base::Code::kUnavailable, "the guest's dump has no end");
  return Comparison(planned, std::move(topology), std::move(dump)).Run();
}

}  // namespace topology
