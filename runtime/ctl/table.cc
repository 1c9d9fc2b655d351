#include "runtime/ctl/table.h"

#include <algorithm>
#include <vector>

namespace ctl {
namespace {

// Figures in the order in which one reads them, and what stands there when nothing decided.
struct Figure {
  const char* name;
  const char* otherwise;
};
constexpr Figure kFigures[] = {
    {"mode", ""},
    {"vcpus", ""},
    {"cpu_max", "none: no limit was given"},
    {"weight", "none: no shares were given"},
    {"mems", "any: neither mems nor pinned CPUs name a node"},
    {"housekeeping", ""},
    {"grow", "none: no further vCPUs can come"},
};

}  // namespace

void AppendTable(const std::vector<std::vector<std::string>>& rows, std::string& text) {
  std::vector<size_t> widths(rows[0].size());
  for (const auto& row : rows) {
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  for (const auto& row : rows) {
    text += ' ';
    for (size_t i = 0; i < row.size(); ++i) {
      text += i + 1 < row.size() ? fmt::format(" {:>{}}", row[i], widths[i])
                                 : fmt::format("  {}", row[i]);
    }
    text += '\n';
  }
}

std::string PlanTable(const cpu::CpuPlan& plan) {
  std::string text;
  for (const Figure& figure : kFigures) {
    bool given = false;
    for (const cpu::Note& reason : plan.reasons) {
      if (reason.code != figure.name) continue;
      text += fmt::format("{:<14}{}\n", given ? "" : figure.name, reason.text);
      given = true;
    }
    if (given) continue;
    const std::string housekeeping = plan.housekeeping.ToString();
    const bool own = std::string_view(figure.name) == "housekeeping";
    text += fmt::format("{:<14}{}\n", figure.name, own ? housekeeping : figure.otherwise);
  }
  text += fmt::format("{:<14}{} MiB on {} guest node{}\n\n", "memory", plan.memory_mib,
                      plan.nodes.size(), plan.nodes.size() == 1 ? "" : "s");

  std::vector<std::vector<std::string>> rows = {{"vCPU", "id", "package", "die", "cluster", "core",
                                                 "thread", "L2", "L3", "node", "pinned to",
                                                 "may run on"}};
  for (const cpu::VcpuPlan& vcpu : plan.vcpus) {
    std::vector<std::string> row;
    for (const uint32_t number : {vcpu.index, vcpu.id, vcpu.package, vcpu.die, vcpu.cluster,
                                  vcpu.core, vcpu.thread, vcpu.l2, vcpu.l3, vcpu.node}) {
      row.push_back(std::to_string(number));
    }
    row.push_back(vcpu.host_cpu ? std::to_string(*vcpu.host_cpu) : "-");
    row.push_back(vcpu.affinity.empty() ? "what its cgroup allows" : vcpu.affinity.ToString());
    rows.push_back(std::move(row));
  }
  AppendTable(rows, text);
  if (!plan.notes.empty()) text += "\nnotes\n";
  for (const cpu::Note& note : plan.notes) text += fmt::format("  {}: {}\n", note.code, note.text);
  return text;
}

}  // namespace ctl
