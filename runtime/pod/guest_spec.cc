#include "runtime/pod/guest_spec.h"

#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <system_error>
#include <utility>

#include "oci/annotations.h"
#include "oci/default_devices.h"
#include "runtime/base/file.h"
#include "runtime/storage/mount_options.h"

namespace pod {
namespace {

// agent.proto: where the agent mounts the share.
constexpr const char* kGuestShare = "/run/pinion/share";

std::string Absolute(const std::string& path, const std::string& bundle) {
  return path.starts_with('/') ? path : bundle + "/" + path;
}

// The pod's shared memory: its containers meet in the guest's, as they do in pause's elsewhere.
constexpr const char* kSharedMemory = "/dev/shm";

constexpr const char* kDev = "/dev";

// OCI runtime-spec 1.2, config.md "Mounts", uidMappings; with the option idmap alone the mappings
// are the container's.
base::IdMap IdMapOf(const oci::LinuxConfig& config, const oci::Mount& mount, bool id_mapped) {
  if (!mount.uid_mappings.empty()) return {mount.uid_mappings, mount.gid_mappings};
  if (id_mapped) return {config.uid_mappings, config.gid_mappings};
  return {};
}

// The host maps: virtio-fs gives the guest the ids that it is to see.
void TakeIdMap(oci::Mount* mount) {
  mount->uid_mappings.clear();
  mount->gid_mappings.clear();
  std::erase_if(mount->options,
                [](const std::string& option) { return option == "idmap" || option == "ridmap"; });
}

// What CRI makes for the pod, or the node's own where it has asked for that: the guest's is theirs.
// A volume of the user's at /dev/shm is a volume like any other.
bool IsPodsSharedMemory(const oci::Spec& spec, const oci::Mount& mount) {
  if (mount.destination != kSharedMemory) return false;
  if (mount.source == kSharedMemory) return true;
  const auto sandbox = spec.annotations.find(std::string(oci::kSandboxId));
  return sandbox != spec.annotations.end() && mount.source.ends_with("/shm") &&
         mount.source.find("/" + sandbox->second + "/") != std::string::npos;
}

// What leads into the host's kernel: in the guest the name would have another one behind it.
base::Error OfTheHost(const std::string& source, const struct stat& status) {
  std::string what = "a fifo";
  const char* instead = "the container's standard streams can";
  const std::string number = fmt::format("{}:{}", major(status.st_rdev), minor(status.st_rdev));
  if (S_ISSOCK(status.st_mode)) {
    what = "a socket";
    instead = "a port of the network can";
  } else if (S_ISCHR(status.st_mode)) {
    what = fmt::format("a character device ({})", number);
    instead = "what the guest's own kernel has by this number can, if linux.devices lists it";
  } else if (S_ISBLK(status.st_mode)) {
    what = fmt::format("a block device ({})", number);
    instead = "a volume with a file system can";
  }
  return base::MakeError(base::Code::kUnimplemented,
                         "{}: {} of the host's cannot be reached from a virtual machine; {}",
                         source, what, instead);
}

// Where the guest has for itself what `source` is on the host. Empty for other files and
// directories, which are shared, and for what cannot be looked at, as sharing it will tell.
base::Result<std::string> PathInGuest(const std::string& source, const std::string& destination) {
  struct stat status {};
  if (stat(source.c_str(), &status) != 0 || S_ISREG(status.st_mode)) return std::string();
  if (S_ISDIR(status.st_mode)) {
    std::error_code error;
    const bool is_dev = destination == kDev && std::filesystem::canonical(source, error) == kDev;
    return std::string(is_dev ? kDev : "");
  }
  for (const oci::DefaultDevice& device : oci::kDefaultDevices) {
    const dev_t number = makedev(device.major_number, device.minor_number);
    if (S_ISCHR(status.st_mode) && status.st_rdev == number) return std::string(device.path);
  }
  return OfTheHost(source, status);
}

base::Result<void> ShareMount(const std::string& container_id, const std::string& bundle,
                              ContainerKind kind, size_t place, GuestSpec* guest) {
  oci::Mount* mount = &guest->spec.mounts[place];
  const storage::MountOptions options =
      TRY(storage::ParseMountOptions(mount->options), "mount at {}", mount->destination);
  if (mount->type != "bind" && !options.bind) {
    if (!options.id_mapped && mount->uid_mappings.empty()) return base::Ok();
    return base::MakeError(base::Code::kUnimplemented,
                           "mount at {}: ids of a {} cannot be mapped, those of a bind can",
                           mount->destination, mount->type);
  }
  const base::IdMap id_map = IdMapOf(guest->spec.linux_config, *mount, options.id_mapped);
  if (options.id_mapped && id_map.empty()) {
    return base::MakeError(base::Code::kInvalidArgument,
                           "mount at {}: idmap, but neither it nor the container has mappings",
                           mount->destination);
  }
  TakeIdMap(mount);
  if (kind == ContainerKind::kMember && IsPodsSharedMemory(guest->spec, *mount)) {
    mount->source = kSharedMemory;
    return base::Ok();
  }
  const std::string source = Absolute(mount->source, bundle);
  std::string in_guest =
      TRY(PathInGuest(source, mount->destination), "mount at {}", mount->destination);
  if (!in_guest.empty()) {
    mount->source = std::move(in_guest);
    return base::Ok();
  }
  const size_t index = guest->mounts.size();
  guest->mounts.push_back({index,
                           place,
                           source,
                           {.recursive = options.recursive,
                            .read_only = options.read_only,
                            .read_only_recursive = options.read_only_recursive,
                            .id_map = id_map,
                            .id_map_recursive = options.id_map_recursive}});
  mount->source = fmt::format("{}/{}/mounts/{}", kGuestShare, container_id, index);
  return base::Ok();
}

// Whose pid namespace "/proc/PID/ns/pid" of the host is: another container's, else the guest's own.
pid_t PidInGuest(const std::string& path, const std::map<pid_t, pid_t>& guest_pids) {
  for (const auto& [pid, guest_pid] : guest_pids) {
    if (path == fmt::format("/proc/{}/ns/pid", pid)) return guest_pid;
  }
  return 1;
}

// A path of the host means nothing in the guest. In a pod it says "the pod's", which there are the
// guest's own; outside of one it is the host's or another machine's, and nothing is shared with
// those. The network is the guest's in either case: that is what the host's is joined to, if need
// be as late as at Start.
base::Result<void> TranslateNamespaces(ContainerKind kind, const std::map<pid_t, pid_t>& guest_pids,
                                       oci::Spec* spec, std::vector<std::string>* notes) {
  for (oci::Namespace& ns : spec->linux_config.namespaces) {
    if (ns.type == "user") {
      // In a pod each container has one of its own, with the same mappings.
      ns.path.clear();
      continue;
    }
    const bool is_network = ns.type == "network";
    if (ns.path.empty() && !is_network) continue;
    if (kind == ContainerKind::kMember || is_network) {
      ns.path = fmt::format("/proc/{}/ns/{}",
                            ns.type == "pid" ? PidInGuest(ns.path, guest_pids) : 1, ns.type);
      continue;
    }
    if (ns.type != "mount" && ns.type != "time") {
      return base::MakeError(base::Code::kInvalidArgument,
                             "linux.namespaces: {} {}: belongs to another machine; containers that "
                             "share it must be in one pod",
                             ns.type, ns.path);
    }
    notes->push_back(fmt::format("the {} namespace {} is the host's: the guest uses one of its own",
                                 ns.type, ns.path));
    ns.path.clear();
  }
  return base::Ok();
}

// As for privileged containers, which list whatever devices the host has and may not need one.
bool AllowsEveryDevice(const std::vector<oci::DeviceRule>& rules) {
  const auto any = [](const std::optional<int64_t>& number) { return number.value_or(-1) < 0; };
  return std::any_of(rules.begin(), rules.end(), [any](const oci::DeviceRule& rule) {
    const auto may = [&rule](char what) {
      return rule.access.empty() || rule.access.find(what) != std::string::npos;
    };
    return rule.allow && (rule.type.empty() || rule.type == "a") && any(rule.major) &&
           any(rule.minor) && may('r') && may('w') && may('m');
  });
}

// Nodes are made with the numbers that the spec gives, in a kernel where these may mean nothing.
base::Result<void> CheckDevices(const oci::LinuxConfig& config, std::vector<std::string>* notes) {
  const bool every = AllowsEveryDevice(config.resources.devices);
  std::vector<std::string> of_the_host;
  for (const oci::Device& device : config.devices) {
    const bool block = device.type == "b";
    // Memory devices, terminals and the misc class: the same in each kernel.
    const bool same = device.major == 1 || device.major == 5 || device.major == 10;
    if (device.type == "p" || (!block && same)) continue;
    of_the_host.push_back(
        fmt::format("{} ({} {}:{})", device.path, device.type, device.major, device.minor));
    if (!block || every) continue;
    return base::MakeError(base::Code::kUnimplemented,
                           "linux.devices: {}: block devices of the host are not given to the "
                           "guest yet; use a filesystem volume",
                           of_the_host.back());
  }
  if (of_the_host.empty()) return base::Ok();
  // One note: a privileged container has a hundred of them.
  const std::string more =
      of_the_host.size() == 1 ? std::string() : fmt::format(" and {} more", of_the_host.size() - 1);
  notes->push_back(
      fmt::format("linux.devices: {}{}: the host's are not in the guest, whose kernel "
                  "may have nothing by these numbers, or something else",
                  of_the_host[0], more));
  return base::Ok();
}

void DropHostOnly(oci::Spec* spec, std::vector<std::string>* notes) {
  // The shim runs all others, on the host.
  oci::Hooks of_the_guest;
  of_the_guest.start_container = spec->hooks.start_container;
  spec->hooks = of_the_guest;
  const auto drop = [notes](std::string* value, const char* what) {
    if (value->empty()) return;
    notes->push_back(
        fmt::format("{} \"{}\" is not applied: it is a policy of the host's kernel, and "
                    "the guest's has none; the machine confines the container",
                    what, *value));
    value->clear();
  };
  if (spec->process) {
    drop(&spec->process->apparmor_profile, "process.apparmorProfile");
    drop(&spec->process->selinux_label, "process.selinuxLabel");
    spec->process->exec_cpu_affinity.reset();  // of execs, which bring their own
  }
  drop(&spec->linux_config.mount_label, "linux.mountLabel");
  // The guest was made of these CPUs and nodes; their numbers there are others (cpu.md R12).
  if (spec->linux_config.resources.cpu) {
    spec->linux_config.resources.cpu->cpus.clear();
    spec->linux_config.resources.cpu->mems.clear();
  }
}

// Limits that cgroup v2 in the guest has no word for, or that name devices of the host.
void NoteIgnored(const oci::LinuxConfig& config, std::vector<std::string>* notes) {
  const oci::Resources& resources = config.resources;
  const auto note = [notes](bool present, const char* field, const char* why) {
    if (present) notes->push_back(fmt::format("linux.{} is not applied: {}", field, why));
  };
  if (resources.memory) {
    note(resources.memory->kernel.value_or(0) > 0, "resources.memory.kernel", "obsolete in Linux");
    note(resources.memory->kernel_tcp.value_or(0) > 0, "resources.memory.kernelTCP",
         "cgroup v2 has no such limit");
    note(resources.memory->swappiness.has_value(), "resources.memory.swappiness",
         "cgroup v2 has none for a cgroup");
    note(resources.memory->disable_oom_killer.value_or(false), "resources.memory.disableOOMKiller",
         "cgroup v2 always has one");
  }
  if (resources.cpu) {
    note(resources.cpu->realtime_runtime_us.value_or(0) != 0, "resources.cpu.realtimeRuntime",
         "cgroup v2 has no realtime limit");
  }
  if (resources.block_io) {
    const oci::BlockIoLimits& io = *resources.block_io;
    note(!io.weight_device.empty() || !io.throttle_read_bps.empty() ||
             !io.throttle_write_bps.empty() || !io.throttle_read_iops.empty() ||
             !io.throttle_write_iops.empty(),
         "resources.blockIO, by device", "the guest does not have the host's devices");
  }
  note(resources.network.has_value(), "resources.network", "cgroup v2 has no such controller");
  note(!resources.rdma.empty(), "resources.rdma", "the guest has no RDMA devices");
  note(config.intel_rdt.has_value(), "intelRdt", "the guest has no resctrl");
}

}  // namespace

base::Result<ContainerKind> KindOf(const oci::Spec& spec) {
  const auto found = spec.annotations.find(std::string(oci::kContainerType));
  if (found == spec.annotations.end()) return ContainerKind::kAlone;
  if (found->second == oci::kContainerTypeSandbox) return ContainerKind::kSandbox;
  if (found->second == oci::kContainerTypeContainer) return ContainerKind::kMember;
  return base::MakeError(base::Code::kInvalidArgument,
                         "annotation {}: \"{}\": \"{}\" or \"{}\" is wanted", oci::kContainerType,
                         found->second, oci::kContainerTypeSandbox, oci::kContainerTypeContainer);
}

base::Result<oci::Spec> LoadSpec(const std::string& bundle) {
  const std::string path = bundle + "/config.json";
  const std::string json = TRY(base::ReadFile(path, oci::kMaxSpecBytes));
  return TRY(oci::Parse(json), "{}", path);
}

base::Result<std::string> HostRootPath(const oci::Spec& spec, const std::string& bundle) {
  if (!spec.root || spec.root->path.empty()) {
    return base::MakeError(base::Code::kInvalidArgument,
                           "root.path: missing, and Create brought no rootfs mounts (OCI "
                           "runtime-spec 1.2, config.md \"Root\")");
  }
  return Absolute(spec.root->path, bundle);
}

base::Result<GuestSpec> MakeGuestSpec(const oci::Spec& spec, const std::string& container_id,
                                      const std::string& bundle,
                                      const std::map<pid_t, pid_t>& guest_pids) {
  const ContainerKind kind = TRY(KindOf(spec));
  if (!spec.hooks.create_container.empty()) {
    return base::MakeError(base::Code::kUnimplemented,
                           "hooks.createContainer: {}: it would run a program of the host in the "
                           "container's namespaces, which are the guest's",
                           spec.hooks.create_container[0].path);
  }
  GuestSpec guest;
  guest.spec = spec;
  if (!guest.spec.root) guest.spec.root.emplace();
  guest.spec.root->path = fmt::format("{}/{}/rootfs", kGuestShare, container_id);
  for (size_t place = 0; place < guest.spec.mounts.size(); ++place) {
    TRY(ShareMount(container_id, bundle, kind, place, &guest));
  }
  TRY(TranslateNamespaces(kind, guest_pids, &guest.spec, &guest.notes));
  TRY(CheckDevices(guest.spec.linux_config, &guest.notes));
  DropHostOnly(&guest.spec, &guest.notes);
  NoteIgnored(guest.spec.linux_config, &guest.notes);
  return guest;
}

}  // namespace pod
