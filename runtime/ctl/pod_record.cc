#include "runtime/ctl/pod_record.h"

#include <algorithm>
#include <filesystem>
#include <optional>
#include <utility>

#include "oci/json_reader.h"
#include "runtime/base/file.h"
#include "runtime/cpu/affinity.h"

namespace ctl {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMaxPlanBytes = 1 << 20;

std::vector<std::string> Directories(const std::string& path) {
  std::vector<std::string> names;
  std::error_code ignored;
  for (fs::directory_iterator entry(path, ignored), end; entry != end; entry.increment(ignored)) {
    if (entry->is_directory(ignored)) names.push_back(entry->path().filename());
  }
  std::sort(names.begin(), names.end());
  return names;
}

std::string Text(oci::JsonReader& json, const char* key) {
  if (!json.EnterField(key)) return {};
  std::string text = json.ReadString();
  json.Leave();
  return text;
}

uint64_t Number(oci::JsonReader& json, const char* key) {
  if (!json.EnterField(key)) return 0;
  const uint64_t number = json.ReadUnsigned(INT64_MAX);
  json.Leave();
  return number;
}

template <class ReadEntry>
void List(oci::JsonReader& json, const char* key, ReadEntry read_entry) {
  if (!json.EnterField(key)) return;
  const size_t size = json.ReadArraySize();
  for (size_t i = 0; i < size && json.status(); ++i) {
    json.EnterElement(i);
    read_entry();
    json.Leave();
  }
  json.Leave();
}

base::Result<void> ReadPlan(PodRecord& pod) {
  oci::JsonReader json =
      TRY(oci::JsonReader::Create(pod.plan_json, {.bytes = kMaxPlanBytes, .depth = 8}));
  pod.mode = Text(json, "mode");
  pod.housekeeping = Text(json, "housekeeping");
  pod.cpu_max = Text(json, "cpu_max");
  pod.memory_mib = Number(json, "memory_mib");
  List(json, "vcpus", [&] {
    pod.vcpus.push_back({.index = static_cast<uint32_t>(Number(json, "index")),
                         .id = static_cast<uint32_t>(Number(json, "id")),
                         .planned = Text(json, "affinity")});
  });
  List(json, "notes", [&] { pod.notes.push_back({Text(json, "code"), Text(json, "text")}); });
  return json.status();
}

// The masks that are in force, whatever the plan says.
void FindThreads(PodRecord& pod) {
  for (const PodRecord::Process& process : pod.processes) {
    if (process.record.role != "vmm" || !process.alive) continue;
    const auto tids = cpu::VcpuThreads(process.record.pid, pod.vcpus.size());
    for (size_t i = 0; tids && i < pod.vcpus.size(); ++i) {
      pod.vcpus[i].tid = (*tids)[i];
      const auto mask = cpu::GetAffinity((*tids)[i]);
      if (mask) pod.vcpus[i].actual = mask->ToString();
    }
  }
}

base::Result<PodRecord> ReadPod(const std::string& run_dir, const std::string& ns,
                                const std::string& id) {
  std::optional<pod::StateDirectory> state = TRY(pod::StateDirectory::Find(run_dir, ns, id));
  if (!state) return base::MakeError(base::Code::kNotFound, "pod {}/{} has gone", ns, id);
  PodRecord pod;
  pod.ns = ns;
  pod.id = id;
  pod.uid = state->record().uid;
  pod.cgroups = state->record().cgroups;
  for (const pod::ProcessRecord& record : state->record().processes) {
    const auto now = pod::DescribeProcess(record.role, record.pid);
    pod.processes.push_back({record, now && now->start_ticks == record.start_ticks});
  }
  auto plan = base::ReadFile(state->plan(), kMaxPlanBytes);
  if (plan) pod.plan_json = std::move(*plan);
  while (pod.plan_json.ends_with('\n')) pod.plan_json.pop_back();
  if (pod.plan_json.empty()) return pod;
  TRY(ReadPlan(pod), "{}", state->plan());
  FindThreads(pod);
  return pod;
}

}  // namespace

base::Result<std::vector<PodRecord>> ReadPods(const std::string& run_dir, const std::string& id) {
  std::vector<PodRecord> pods;
  for (const std::string& ns : Directories(run_dir)) {
    // The registers beside the namespaces hold files only.
    for (const std::string& name : Directories(run_dir + "/" + ns)) {
      if (!id.empty() && name != id) continue;
      auto pod = ReadPod(run_dir, ns, name);
      // One that goes while it is read is none.
      if (!pod && pod.error().code() == base::Code::kNotFound) continue;
      pods.push_back(TRY(std::move(pod)));
    }
  }
  return pods;
}

}  // namespace ctl
