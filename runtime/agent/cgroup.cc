#include "runtime/agent/cgroup.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <memory>
#include <sstream>

#include "runtime/agent/boot.h"
#include "runtime/agent/device_rules.h"
#include "runtime/agent/kmsg.h"
#include "runtime/base/file.h"

namespace agent {
namespace {

using Settings = std::vector<CgroupSetting>;
constexpr uint64_t kDefaultPeriodUs = 100000;
constexpr int kDeepest = 16;  // of cgroups that a container nests, when they are counted or removed

std::string AmountOrMax(int64_t amount) { return amount < 0 ? "max" : std::to_string(amount); }

base::Result<void> AddMemory(const oci::MemoryLimits& memory, Settings& out) {
  if (memory.limit && *memory.limit != 0) out.push_back({"memory.max", AmountOrMax(*memory.limit)});
  if (memory.reservation && *memory.reservation > 0) {
    out.push_back({"memory.low", std::to_string(*memory.reservation)});
  }
  if (!memory.swap || *memory.swap == 0) return base::Ok();
  // v1 counts memory and swap together, v2 swap alone.
  int64_t swap = -1;
  if (*memory.swap > 0) {
    if (!memory.limit || *memory.limit < 0 || *memory.swap < *memory.limit) {
      return base::MakeError(base::Code::kInvalidArgument,
                             "memory.swap {}: it includes memory.limit and cannot be below it",
                             *memory.swap);
    }
    swap = *memory.swap - *memory.limit;
  }
  out.push_back({"memory.swap.max", AmountOrMax(swap), /*optional=*/true});
  return base::Ok();
}

void AddCpu(const oci::CpuLimits& cpu, Settings& out) {
  if (cpu.shares && *cpu.shares != 0) {
    // Shares 2..262144 onto weights 1..10000, as every OCI runtime maps them.
    const uint64_t shares = std::min<uint64_t>(std::max<uint64_t>(*cpu.shares, 2), 262144);
    out.push_back({"cpu.weight", std::to_string(1 + (shares - 2) * 9999 / 262142)});
  }
  // Zero is how Go's structs write "not set": `ctr run --cpu-quota N` gives a period of 0.
  const int64_t quota = cpu.quota_us.value_or(0);
  const uint64_t period = cpu.period_us.value_or(0);
  if (quota != 0 || period != 0) {
    out.push_back({"cpu.max", fmt::format("{} {}", quota > 0 ? std::to_string(quota) : "max",
                                          period != 0 ? period : kDefaultPeriodUs)});
  }
  if (cpu.burst_us) out.push_back({"cpu.max.burst", std::to_string(*cpu.burst_us), true});
  if (cpu.idle) out.push_back({"cpu.idle", std::to_string(*cpu.idle), true});
  // Guest ids by now. Optional: a set that the guest does not have would lose the container over a
  // preference that the host's pins enforce anyway.
  if (!cpu.cpus.empty()) out.push_back({"cpuset.cpus", cpu.cpus, true});
  if (!cpu.mems.empty()) out.push_back({"cpuset.mems", cpu.mems, true});
}

struct DirectoryCloser {
  void operator()(DIR* directory) const { closedir(directory); }
};

// The names of the cgroups directly below `path`.
std::vector<std::string> Children(const std::string& path) {
  std::vector<std::string> names;
  const std::unique_ptr<DIR, DirectoryCloser> directory(opendir(path.c_str()));
  if (!directory) return names;
  while (const dirent* entry = readdir(directory.get())) {
    if (entry->d_type == DT_DIR && entry->d_name[0] != '.') names.emplace_back(entry->d_name);
  }
  return names;
}

base::Result<void> CollectPids(const std::string& path, int depth, std::vector<pid_t>& out) {
  const std::string text = TRY(base::ReadFile(path + "/cgroup.procs", 4 << 20));
  std::istringstream lines(text);
  for (pid_t pid = 0; lines >> pid;) out.push_back(pid);
  if (depth == 0) return base::Ok();
  for (const std::string& name : Children(path)) {
    // One that has gone meanwhile has no processes.
    static_cast<void>(CollectPids(path + "/" + name, depth - 1, out));
  }
  return base::Ok();
}

void RemoveChildren(const std::string& path, int depth) {
  for (const std::string& name : Children(path)) {
    const std::string child = path + "/" + name;
    if (depth > 0) RemoveChildren(child, depth - 1);
    rmdir(child.c_str());
  }
}

// OCI runtime-spec 1.2, config-linux.md "Memory", checkBeforeUpdate: rather no limit than a kill.
base::Result<void> CheckMemoryFits(const std::string& path, int64_t limit) {
  const std::string text = TRY(base::ReadFile(path + "/memory.current"));
  const int64_t used = std::atoll(text.c_str());
  if (limit < 0 || used <= limit) return base::Ok();
  return base::MakeError(base::Code::kFailedPrecondition,
                         "memory.limit {}: {} bytes are in use (checkBeforeUpdate)", limit, used);
}

base::Result<void> CheckName(const std::string& id) {
  const bool plain = id.find('/') == std::string::npos && !id.empty() && id[0] != '.';
  // "cgroup.procs" and its kin are names that the kernel has taken.
  if (!plain || id.size() > 255 || id.starts_with("cgroup.")) {
    return base::MakeError(base::Code::kInvalidArgument, "cgroup name \"{}\"", id);
  }
  return base::Ok();
}

}  // namespace

base::Result<Settings> CgroupSettings(const oci::Resources& resources) {
  Settings out;
  if (resources.memory) TRY(AddMemory(*resources.memory, out));
  if (resources.cpu) AddCpu(*resources.cpu, out);
  if (resources.pids) {
    const int64_t limit = resources.pids->limit;
    out.push_back({"pids.max", limit > 0 ? std::to_string(limit) : "max"});
  }
  if (resources.block_io && resources.block_io->weight && *resources.block_io->weight != 0) {
    // 10..1000 onto 1..10000. The devices of blockIO are the host's and stay there.
    const int weight = std::max(10, std::min<int>(*resources.block_io->weight, 1000));
    out.push_back({"io.weight", fmt::format("default {}", 1 + (weight - 10) * 9999 / 990), true});
  }
  for (const oci::HugepageLimit& limit : resources.hugepage_limits) {
    out.push_back(
        {fmt::format("hugetlb.{}.max", limit.page_size), std::to_string(limit.limit), true});
  }
  for (const auto& [name, value] : resources.unified) {
    out.push_back({name, value});
  }
  for (const CgroupSetting& setting : out) {
    if (setting.file.find('/') != std::string::npos || setting.file.starts_with('.')) {
      return base::MakeError(base::Code::kInvalidArgument,
                             "resource \"{}\": the name of a cgroup file is wanted", setting.file);
    }
  }
  return out;
}

oci::Resources CompleteUpdate(oci::Resources update, const oci::Resources& applied) {
  if (update.cpu && applied.cpu) {
    const int64_t quota = update.cpu->quota_us.value_or(0);
    const uint64_t period = update.cpu->period_us.value_or(0);
    if (quota == 0 && period != 0) update.cpu->quota_us = applied.cpu->quota_us;
    if (quota != 0 && period == 0) update.cpu->period_us = applied.cpu->period_us;
  }
  if (update.memory && applied.memory && update.memory->swap.value_or(0) > 0 &&
      update.memory->limit.value_or(0) == 0) {
    update.memory->limit = applied.memory->limit;
  }
  if (update.pids && update.pids->limit == 0) update.pids.reset();
  return update;
}

base::Result<Cgroup> Cgroup::Create(const std::string& parent, const std::string& id) {
  TRY(CheckName(id));
  if (mkdir(parent.c_str(), 0755) == 0) {
    const base::Result<void> enabled = EnableControllers(parent);
    if (!enabled) KmsgLine(KmsgLevel::kWarning, enabled.error().Message());
  } else if (errno != EEXIST) {
    return base::ErrnoError("make cgroup {}", parent);
  }
  std::string path = parent + "/" + id;
  if (mkdir(path.c_str(), 0755) != 0) return base::ErrnoError("make cgroup {}", path);
  base::Result<base::UniqueFd> fd = base::Open(path, O_RDONLY | O_DIRECTORY);
  if (!fd) {
    rmdir(path.c_str());
    return std::move(fd.error());
  }
  return Cgroup(std::move(path), std::move(*fd));
}

base::Result<void> Cgroup::GiveTo(uid_t owner) {
  const auto give = [&](const std::string& file) -> base::Result<void> {
    if (fchownat(fd_.get(), file.c_str(), owner, static_cast<gid_t>(-1), AT_EMPTY_PATH) == 0 ||
        errno == ENOENT) {
      return base::Ok();
    }
    return base::ErrnoError("give {}/{} to user {}", path_, file, owner);
  };
  TRY(give(""));
  std::istringstream files(TRY(base::ReadFile("/sys/kernel/cgroup/delegate")));
  for (std::string file; files >> file;) TRY(give(file));
  return base::Ok();
}

base::Result<void> Cgroup::ApplyDevices(const std::vector<oci::DeviceRule>& rules) {
  if (AllowsAllDevices(rules) && !device_program_) return base::Ok();
  base::UniqueFd attached =
      TRY(AttachDeviceRules(fd_, rules, device_program_), "linux.resources.devices");
  device_program_ = std::move(attached);
  return base::Ok();
}

base::Result<void> Cgroup::Apply(const oci::Resources& resources) {
  const auto& memory = resources.memory;
  if (memory && memory->limit && memory->check_before_update.value_or(false)) {
    TRY(CheckMemoryFits(path_, *memory->limit));
  }
  const Settings settings = TRY(CgroupSettings(resources));
  for (const CgroupSetting& setting : settings) {
    base::Result<void> written = base::WriteFile(path_ + "/" + setting.file, setting.value);
    if (written) continue;
    if (!setting.optional) return written;
    KmsgLine(KmsgLevel::kWarning, written.error().Message());
  }
  return base::Ok();
}

base::Result<void> Cgroup::SetCpuset(const std::string& cpus, const std::string& mems) {
  // Linux kernel/cgroup/cpuset.c, validate_change: a set with tasks cannot be emptied. CPUs that
  // are yet to come count; nodes do not come.
  const auto set = [this](const char* name, const std::string& list,
                          const std::string& everything) -> base::Result<void> {
    const std::string file = path_ + "/" + name;
    if (!list.empty()) return base::WriteFile(file, list);
    // Without the controller, or where nothing was set, nothing is restricted.
    const auto now = base::ReadFile(file);
    if (!now || now->find_first_not_of('\n') == std::string::npos) return base::Ok();
    const std::string all = TRY(base::ReadFile(everything));
    return base::WriteFile(file, all);
  };
  TRY(set("cpuset.cpus", cpus, "/sys/devices/system/cpu/possible"));
  return set("cpuset.mems", mems, path_ + "/../cpuset.mems.effective");
}

base::Result<void> Cgroup::Kill() { return base::WriteFile(path_ + "/cgroup.kill", "1"); }

base::Result<void> Cgroup::Freeze(bool frozen) {
  return base::WriteFile(path_ + "/cgroup.freeze", frozen ? "1" : "0");
}

base::Result<std::vector<pid_t>> Cgroup::Pids() const {
  std::vector<pid_t> pids;
  TRY(CollectPids(path_, kDeepest, pids), "processes of {}", path_);
  return pids;
}

base::Result<base::UniqueFd> Cgroup::OpenThatOf(pid_t pid) const {
  // "0::/pinion/ID/init.scope": the agent's cgroup namespace has the mount's root for its own.
  const std::string line = TRY(base::ReadFile(fmt::format("/proc/{}/cgroup", pid)));
  const std::string own = "0::" + path_.substr(path_.rfind('/', path_.rfind('/') - 1));
  const size_t end = line.find('\n');
  if (!line.starts_with(own + "/") || end == std::string::npos) {
    return base::MakeError(base::Code::kFailedPrecondition,
                           "process {} is in the cgroup \"{}\": not one below {}", pid, line,
                           path_);
  }
  return base::Open(path_ + line.substr(own.size(), end - own.size()), O_RDONLY | O_DIRECTORY);
}

base::Result<void> Cgroup::Remove() {
  RemoveChildren(path_, kDeepest);
  if (rmdir(path_.c_str()) == 0 || errno == ENOENT) return base::Ok();
  const bool busy = errno == EBUSY;
  base::Error error = base::ErrnoError("remove cgroup {}", path_);
  if (busy) return std::move(error).WithCode(base::Code::kFailedPrecondition);
  return error;
}

}  // namespace agent
