#include "runtime/base/log.h"
#include "runtime/cpu/plan_json.h"
#include "runtime/ctl/command.h"
#include "runtime/ctl/cpu_arguments.h"
#include "runtime/ctl/picture.h"
#include "runtime/ctl/table.h"

namespace ctl {
namespace {

constexpr const char* kHelp =
    "Usage: pinionctl cpu plan    [--host HOST] --spec CONFIG.json... [--policy KEY=VALUE]... "
    "[--json]\n"
    "       pinionctl cpu picture [--host HOST] --spec CONFIG.json... [--policy KEY=VALUE]...\n"
    "Plans the vCPUs of a container, or of a pod of several, without making anything.\n"
    "  --host HOST         a directory like /sys/devices/system (the default), or a JSON file:\n"
    "                      {\"cpus\":[{\"id\":0,\"package\":0,\"die\":0,\"cluster\":0,\"core\":0,"
    "\"thread\":0,\n"
    "                      \"l2\":0,\"l3\":0,\"node\":0},...],\"nodes\":[{\"id\":0,"
    "\"memory_mib\":1024,\"distances\":[10]},...]}\n"
    "  --spec CONFIG.json  an OCI config.json; several are the containers of one pod\n"
    "  --policy KEY=VALUE  a key of [cpu] in config.toml: pinning, smt, default_vcpus, max_vcpus,\n"
    "                      spare_vcpus, housekeeping, boot, cpu_vendor; io.pinion.cpu.* "
    "annotations come on "
    "top\n"
    "  --json              the plan as JSON instead of a table\n"
    "plan prints the plan, picture an SVG that shows host and guest side by side.\n"
    "Exit status: 0, or 1 with an error on stderr.\n";

}  // namespace

base::Result<std::string> RunCpu(const Arguments& arguments) {
  const std::string command = arguments.empty() ? "" : arguments[0];
  if (command == "--help" || command == "-h") return std::string(kHelp);
  if (command != "plan" && command != "picture") {
    return base::MakeError(base::Code::kInvalidArgument, "cpu \"{}\": no such command\n{}",
                           base::Escaped(command, 64), kHelp);
  }
  const CpuArguments parsed =
      TRY(ParseCpuArguments(Arguments(arguments.begin() + 1, arguments.end())));
  if (parsed.help) return std::string(kHelp);
  const Planned planned = TRY(ReadAndPlan(parsed));
  if (command == "picture") return Picture(planned.host, planned.plan);
  if (parsed.json) return cpu::PlanToJson(planned.plan) + "\n";
  return PlanTable(planned.plan);
}

}  // namespace ctl
