#include "runtime/agent/cgroup_stats.h"

#include <cstdio>
#include <cstdlib>
#include <sstream>
#include <utility>

#include "runtime/agent/cgroup_events.h"
#include "runtime/base/file.h"

namespace agent {
namespace {

// Linux Documentation/admin-guide/cgroup-v2.rst, "Controllers".
constexpr const char* kNumbers[] = {"pids.current",        "pids.max",        "memory.current",
                                    "memory.peak",         "memory.max",      "memory.high",
                                    "memory.swap.current", "memory.swap.max", "cpu.weight",
                                    "memory.swap.peak"};
constexpr const char* kKeyed[] = {"cpu.stat", "memory.stat", "memory.events"};

}  // namespace

std::vector<IoStats> ParseIoStat(std::string_view text) {
  std::vector<IoStats> devices;
  std::istringstream lines{std::string(text)};
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::string word;
    IoStats device;
    if (!(words >> word) || std::sscanf(word.c_str(), "%u:%u", &device.major, &device.minor) != 2) {
      continue;
    }
    const std::pair<std::string_view, uint64_t*> fields[] = {{"rbytes", &device.rbytes},
                                                             {"wbytes", &device.wbytes},
                                                             {"rios", &device.rios},
                                                             {"wios", &device.wios}};
    while (words >> word) {
      const size_t equals = word.find('=');
      if (equals == std::string::npos) continue;
      for (const auto& [name, value] : fields) {
        if (name == std::string_view(word).substr(0, equals)) {
          *value = std::strtoull(word.c_str() + equals + 1, nullptr, 10);
        }
      }
    }
    devices.push_back(device);
  }
  return devices;
}

CgroupStats ReadCgroupStats(const std::string& path) {
  CgroupStats stats;
  for (const char* name : kNumbers) {
    const base::Result<std::string> text = base::ReadFile(path + "/" + name);
    char* end = nullptr;
    const uint64_t value = text ? std::strtoull(text->c_str(), &end, 10) : 0;
    if (text && end != text->c_str()) stats.values[name] = value;
  }
  for (const char* name : kKeyed) {
    const base::Result<std::string> text = base::ReadFile(path + "/" + name);
    if (!text) continue;
    for (const auto& [key, value] : ParseKeyedNumbers(*text)) {
      stats.values[std::string(name) + "/" + key] = value;
    }
  }
  if (const base::Result<std::string> text = base::ReadFile(path + "/io.stat")) {
    stats.io = ParseIoStat(*text);
  }
  return stats;
}

}  // namespace agent
