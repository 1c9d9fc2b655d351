// A host's topology, as JSON and as files of sysfs: any text is a topology or an error; what is
// read is written and reads back as itself; a request for every CPU can be planned on it.
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <string_view>

#include "runtime/base/file.h"
#include "runtime/cpu/plan.h"
#include "runtime/cpu/topology_json.h"

namespace {

// Four CPUs; the n-th line of the input is the content of the n-th file.
constexpr const char* kFiles[] = {"topology/package_cpus_list", "topology/die_cpus_list",
                                  "topology/core_cpus_list",    "topology/core_id",
                                  "cache/index0/level",         "cache/index0/shared_cpu_list"};

std::string Take(std::string_view& text) {
  const size_t end = text.find('\n');
  const std::string line(text.substr(0, end));
  text = end == std::string_view::npos ? std::string_view() : text.substr(end + 1);
  return line;
}

void Put(const std::string& path, const std::string& text) {
  std::filesystem::create_directories(std::filesystem::path(path).parent_path());
  if (!base::WriteFileAtomic(path, text)) abort();
}

base::Result<cpu::HostTopology> FromSysfs(std::string_view text) {
  static const std::string root = "/tmp/fuzz-host-topology." + std::to_string(getpid());
  std::filesystem::remove_all(root);
  Put(root + "/cpu/online", Take(text));
  Put(root + "/node/online", Take(text));
  Put(root + "/node/node0/cpulist", Take(text));
  Put(root + "/node/node0/meminfo", Take(text));
  Put(root + "/node/node0/distance", Take(text));
  for (int cpu = 0; cpu < 4; ++cpu) {
    for (const char* file : kFiles)
      Put(fmt::format("{}/cpu/cpu{}/{}", root, cpu, file), Take(text));
  }
  return cpu::ReadHostTopology(root);
}

void Check(const cpu::HostTopology& host) {
  const auto again = cpu::ReadTopologyJson(cpu::WriteTopologyJson(host));
  if (again && again->cpus != host.cpus) abort();
  const cpu::CpuRequest request{.containers = {{.cpus = host.Online().ToString()}}};
  const auto plan = cpu::Plan(host, request, cpu::Policy{});
  if (!plan || plan->vcpus.size() > host.cpus.size()) abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const bool json = text.starts_with('{');
  const auto host = json ? cpu::ReadTopologyJson(text) : FromSysfs(text);
  if (host) Check(*host);
  return 0;
}
