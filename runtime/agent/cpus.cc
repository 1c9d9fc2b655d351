#include "runtime/agent/cpus.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "runtime/agent/cpu_list.h"
#include "runtime/base/file.h"

namespace agent {

namespace {

using base::Code;
using base::MakeError;

std::string OnlineFile(const std::string& directory, uint32_t number) {
  return fmt::format("{}/cpu{}/online", directory, number);
}

// A machine of one vCPU has no devices for CPUs, and needs none.
uint32_t VcpuOf(const std::string& directory, uint32_t number) {
  const auto uid = base::ReadFile(fmt::format("{}/cpu{}/firmware_node/uid", directory, number));
  uint32_t vcpu = number;
  if (uid) std::from_chars(uid->data(), uid->data() + uid->size(), vcpu);
  return vcpu;
}

base::Result<std::vector<uint32_t>> ReadList(const std::string& path) {
  const std::string text = TRY(base::ReadFile(path));
  return ParseCpuList(text);
}

// What was changed before an error is changed back; the error is what counts.
void Undo(const std::vector<uint32_t>& changed, bool online, const std::string& directory) {
  for (const uint32_t number : changed) {
    static_cast<void>(base::WriteFile(OnlineFile(directory, number), online ? "0" : "1"));
  }
}

const GuestCpu* Find(const std::vector<GuestCpu>& cpus, uint32_t vcpu) {
  const auto found =
      std::find_if(cpus.begin(), cpus.end(), [&](const GuestCpu& cpu) { return cpu.vcpu == vcpu; });
  return found == cpus.end() ? nullptr : &*found;
}

}  // namespace

base::Result<std::vector<GuestCpu>> ReadCpus(const std::string& directory) {
  const std::vector<uint32_t> online = TRY(ReadList(directory + "/online"));
  std::vector<GuestCpu> cpus;
  for (const uint32_t number : TRY(ReadList(directory + "/present"))) {
    cpus.push_back({.number = number,
                    .vcpu = VcpuOf(directory, number),
                    .online = std::find(online.begin(), online.end(), number) != online.end()});
  }
  return cpus;
}

base::Result<std::vector<GuestCpu>> SetCpusOnline(std::span<const uint32_t> vcpus, bool online,
                                                  const std::string& directory) {
  const std::vector<GuestCpu> before = TRY(ReadCpus(directory));
  for (const uint32_t vcpu : vcpus) {
    if (Find(before, vcpu) == nullptr)
      return MakeError(Code::kNotFound, "no vCPU {} is there", vcpu);
    if (vcpu == 0 && !online) {
      return MakeError(Code::kInvalidArgument, "vCPU 0 booted, and stays online");
    }
  }
  std::vector<uint32_t> changed;
  for (const uint32_t vcpu : vcpus) {
    const GuestCpu& cpu = *Find(before, vcpu);
    if (cpu.online == online) continue;
    base::Result<void> written =
        base::WriteFile(OnlineFile(directory, cpu.number), online ? "1" : "0");
    if (!written) {
      Undo(changed, online, directory);
      written.error().Push(__FILE__, __LINE__, "vCPU {}, the guest's CPU {}", vcpu, cpu.number);
      return std::move(written.error());
    }
    changed.push_back(cpu.number);
  }
  std::vector<GuestCpu> after = TRY(ReadCpus(directory));
  for (const uint32_t vcpu : vcpus) {
    const GuestCpu* cpu = Find(after, vcpu);
    if (cpu != nullptr && cpu->online == online) continue;
    return MakeError(Code::kInternal, "vCPU {} is not {} although the kernel took it", vcpu,
                     online ? "online" : "offline");
  }
  return after;
}

base::Result<std::string> CpuListOf(std::span<const uint32_t> vcpus, const std::string& directory) {
  if (vcpus.empty()) return std::string();
  const std::vector<GuestCpu> cpus = TRY(ReadCpus(directory));
  std::string list;
  for (const uint32_t vcpu : vcpus) {
    const GuestCpu* cpu = Find(cpus, vcpu);
    if (cpu == nullptr) return MakeError(Code::kNotFound, "no vCPU {} is there", vcpu);
    list += fmt::format("{}{}", list.empty() ? "" : ",", cpu->number);
  }
  return list;
}

}  // namespace agent
