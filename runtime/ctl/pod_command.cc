#include "oci/json_writer.h"
#include "runtime/base/log.h"
#include "runtime/ctl/command.h"
#include "runtime/ctl/pod_record.h"
#include "runtime/ctl/table.h"

namespace ctl {
namespace {

using base::Code;

constexpr const char* kHelp =
    "Usage: pinionctl pod list      [--run-dir DIR] [--json]\n"
    "       pinionctl pod show [ID] [--run-dir DIR] [--json]\n"
    "What this host's records tell of the pods on it. `show` of one pod, or of all: its "
    "processes,\n"
    "its CPU plan with notes, and where its vCPU threads may run now.\n"
    "  --run-dir DIR  [paths] run_dir of config.toml, if it is not /run/pinion\n"
    "Exit status: 0, or 1 with an error on stderr.\n";

struct PodArguments {
  std::string id, run_dir = pod::kDefaultRunDir;
  bool json = false, help = false;
};

base::Result<PodArguments> Parse(const Arguments& arguments, bool takes_id) {
  PodArguments parsed;
  for (size_t i = 1; i < arguments.size(); ++i) {
    const std::string& argument = arguments[i];
    if (argument == "--json") {
      parsed.json = true;
    } else if (argument == "--help" || argument == "-h") {
      parsed.help = true;
    } else if (argument.starts_with("--run-dir=")) {
      parsed.run_dir = argument.substr(argument.find('=') + 1);
    } else if (argument == "--run-dir" && i + 1 < arguments.size()) {
      parsed.run_dir = arguments[++i];
    } else if (takes_id && !argument.starts_with('-') && parsed.id.empty()) {
      parsed.id = argument;
    } else {
      return base::MakeError(Code::kInvalidArgument, "pod {}: what is \"{}\"?\n{}", arguments[0],
                             base::Escaped(argument, 64), kHelp);
    }
  }
  return parsed;
}

void WriteProcesses(const PodRecord& pod, oci::JsonWriter& json) {
  json.Key("processes");
  json.BeginArray();
  for (const PodRecord::Process& process : pod.processes) {
    json.BeginObject();
    json.Key("role");
    json.String(process.record.role);
    json.Key("pid");
    json.Signed(process.record.pid);
    json.Key("alive");
    json.Bool(process.alive);
    json.EndObject();
  }
  json.EndArray();
}

void WriteThreads(const PodRecord& pod, oci::JsonWriter& json) {
  json.Key("threads");
  json.BeginArray();
  for (const VcpuThread& vcpu : pod.vcpus) {
    if (vcpu.tid == 0) continue;
    json.BeginObject();
    json.Key("vcpu");
    json.Unsigned(vcpu.index);
    json.Key("tid");
    json.Signed(vcpu.tid);
    json.Key("affinity");
    json.String(vcpu.actual);
    json.EndObject();
  }
  json.EndArray();
}

std::string ToJson(const PodRecord& pod) {
  oci::JsonWriter json;
  json.BeginObject();
  json.Key("namespace");
  json.String(pod.ns);
  json.Key("id");
  json.String(pod.id);
  json.Key("uid");
  json.Unsigned(pod.uid);
  json.Key("cgroups");
  json.BeginArray();
  for (const std::string& cgroup : pod.cgroups) json.String(cgroup);
  json.EndArray();
  WriteProcesses(pod, json);
  WriteThreads(pod, json);
  json.EndObject();
  // The plan as it is on disk: it has been read, so it is JSON.
  std::string text = json.Take();
  text.pop_back();
  return text + ",\"plan\":" + (pod.plan_json.empty() ? "null" : pod.plan_json) + "}";
}

std::string ToText(const PodRecord& pod) {
  std::string text = fmt::format("pod {}/{}\n  {:<14}{}\n", pod.ns, pod.id, "uid", pod.uid);
  for (const PodRecord::Process& process : pod.processes) {
    text += fmt::format("  {:<14}pid {}{}\n", process.record.role, process.record.pid,
                        process.alive ? "" : ", which has ended");
  }
  for (const std::string& cgroup : pod.cgroups)
    text += fmt::format("  {:<14}{}\n", "cgroup", cgroup);
  if (pod.plan_json.empty()) return text + "  no CPU plan is on record\n";
  const auto line = [&](const char* name, const std::string& value) {
    text += fmt::format("  {:<14}{}\n", name, value);
  };
  line("mode", pod.mode);
  line("CPU limit", pod.cpu_max.empty() ? "none" : pod.cpu_max);
  line("memory", fmt::format("{} MiB", pod.memory_mib));
  line("housekeeping", pod.housekeeping);
  std::vector<std::vector<std::string>> rows = {{"vCPU", "id", "tid", "planned on", "may run on"}};
  for (const VcpuThread& vcpu : pod.vcpus) {
    const bool wrong = vcpu.tid != 0 && !vcpu.planned.empty() && vcpu.planned != vcpu.actual;
    rows.push_back({std::to_string(vcpu.index), std::to_string(vcpu.id),
                    vcpu.tid == 0 ? "-" : std::to_string(vcpu.tid),
                    vcpu.planned.empty() ? "any" : vcpu.planned,
                    (vcpu.tid == 0 ? "-" : vcpu.actual) + (wrong ? "  not as planned" : "")});
  }
  AppendTable(rows, text);
  for (const cpu::Note& note : pod.notes)
    text += fmt::format("  note {}: {}\n", note.code, note.text);
  return text;
}

std::string ListOf(const std::vector<PodRecord>& pods) {
  std::vector<std::vector<std::string>> rows = {
      {"NAMESPACE", "POD", "UID", "VCPUS", "MODE", "NOTES", "VMM"}};
  for (const PodRecord& pod : pods) {
    std::string vmm = "-";
    for (const PodRecord::Process& process : pod.processes) {
      if (process.record.role != "vmm") continue;
      vmm = fmt::format("{}{}", process.record.pid, process.alive ? "" : " (ended)");
    }
    rows.push_back({pod.ns, pod.id, std::to_string(pod.uid), std::to_string(pod.vcpus.size()),
                    pod.mode.empty() ? "-" : pod.mode, std::to_string(pod.notes.size()), vmm});
  }
  std::string text;
  AppendTable(rows, text);
  return text;
}

}  // namespace

base::Result<std::string> RunPod(const Arguments& arguments) {
  const std::string command = arguments.empty() ? "" : arguments[0];
  if (command == "--help" || command == "-h") return std::string(kHelp);
  if (command != "list" && command != "show") {
    return base::MakeError(Code::kInvalidArgument, "pod \"{}\": no such command\n{}",
                           base::Escaped(command, 64), kHelp);
  }
  const PodArguments parsed = TRY(Parse(arguments, command == "show"));
  if (parsed.help) return std::string(kHelp);
  const std::vector<PodRecord> pods = TRY(ReadPods(parsed.run_dir, parsed.id));
  if (pods.empty() && !parsed.id.empty()) {
    return base::MakeError(Code::kNotFound, "no pod \"{}\" below {}", base::Escaped(parsed.id, 128),
                           parsed.run_dir);
  }
  if (!parsed.json && command == "list") return ListOf(pods);
  std::string text;
  for (const PodRecord& pod : pods) {
    if (!text.empty()) text += parsed.json ? "," : "\n";
    text += parsed.json ? ToJson(pod) : ToText(pod);
  }
  if (!parsed.json) return text;
  return parsed.id.empty() ? "[" + text + "]\n" : text + "\n";
}

}  // namespace ctl
