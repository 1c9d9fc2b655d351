// The command line of `pinionctl cpu …`, and what it names, read. Thread rule: reentrant.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "runtime/cpu/plan.h"
#include "runtime/ctl/command.h"

namespace ctl {

struct CpuArguments {
  std::string host = "/sys/devices/system";
  std::vector<std::string> specs;                           // config.json files of one pod
  std::vector<std::pair<std::string, std::string>> policy;  // key of [cpu], value
  bool json = false;
  bool help = false;
};

// `--flag value`, `--flag=value`; --spec takes several files. kInvalidArgument names what is wrong.
base::Result<CpuArguments> ParseCpuArguments(const Arguments& arguments);

struct Planned {
  cpu::HostTopology host;
  cpu::Policy policy;
  cpu::CpuPlan plan;
};

base::Result<Planned> ReadAndPlan(const CpuArguments& arguments);

}  // namespace ctl
