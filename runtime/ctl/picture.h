// Host and guest side by side, as SVG. Thread rule: reentrant.
#pragma once

#include <string>

#include "runtime/cpu/plan.h"

namespace ctl {

std::string Picture(const cpu::HostTopology& host, const cpu::CpuPlan& plan);

}  // namespace ctl
