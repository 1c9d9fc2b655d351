#include "runtime/pod/set_up.h"

#include <utility>

#include "oci/spec.h"
#include "runtime/base/file.h"
#include "runtime/base/log.h"
#include "runtime/cgroup/cgroup_path.h"
#include "runtime/cgroup/pod_cgroup.h"
#include "runtime/config/config.h"
#include "runtime/pod/clean_up.h"
#include "runtime/pod/network.h"
#include "runtime/storage/rootfs.h"
#include "runtime/storage/share.h"
#include "runtime/storage/unmount.h"

namespace pod {
namespace {

// Behind the vmm's own words. The console is for what goes wrong: the vmm says "quiet". reboot=k:
// the port that ends the machine.
constexpr const char* kCommandLine = "console=ttyS0 reboot=k";

// What fails early fails before anything has been made.
base::Result<MachineOptions> PlanMachine(const config::Config& config) {
  MachineOptions machine;
  machine.vmm_program = config.paths.vmm;
  machine.kernel = config.paths.kernel;
  machine.initrd = config.paths.initrd;
  machine.command_line = kCommandLine;
  if (!config.guest.extra_cmdline.empty()) machine.command_line += " " + config.guest.extra_cmdline;
  machine.connect_timeout = std::chrono::seconds(config.agent.connect_timeout_seconds);
  machine.call_timeout = std::chrono::seconds(config.agent.call_timeout_seconds);
  machine.virtiofsd = TRY(FindVirtiofsd(config.paths.virtiofsd));
  return machine;
}

base::Result<void> MakeHostSide(PodSetup& setup, const std::string& bundle,
                                const std::string& run_dir) {
  StateDirectory& state = *setup.state;
  state.record().cgroups.assign(1, setup.placement->cgroup_on_record());
  TRY(state.Save());
  if (run_dir != kDefaultRunDir) {
    TRY(base::WriteFileAtomic(bundle + "/" + kRunDirFile, run_dir, 0600));
  }
  TRY(setup.placement->Claim(state.plan()));
  setup.machine.cpus = setup.placement->plan();
  TRY(storage::MakeShare(state.share()));
  base::Result<void> cgroups = setup.placement->MakeCgroups();
  if (cgroups) return base::Ok();
  if (cgroups.error().code() == base::Code::kFailedPrecondition) {
    // Another's, with processes in it: what is on record is removed with all that runs there.
    state.record().cgroups.clear();
    TRY(state.Save());
  }
  cgroups.error().Push(__FILE__, __LINE__, "cgroup");
  return cgroups;
}

base::Result<void> JoinMachine(Network& network, PodSetup& setup) {
  setup.machine.network_comes_later = network.path.empty();
  setup.machine.taps = TRY(JoinNetwork(network, *setup.state));
  setup.machine.network = std::move(network.survey);
  // Nobody else knows a namespace without a path by name, to dial in it.
  if (network.path.empty()) return base::Ok();
  base::Result<network::PortListener> ports = network::ListenToAllPorts(network.ns);
  if (ports) setup.ports = std::move(*ports);
  if (!ports) LOG_WARNING("port-forward will not work: {}", ports.error().Message());
  return base::Ok();
}

// Clones what the container mounts. Where a read-only mount has others below it that are not, the
// host alone says so (storage/bind): in the guest they would take the outer one's flags as soon as
// they are entered (Linux fs/namespace.c, finish_automount).
base::Result<void> CloneMounts(const std::string& container_id, GuestSpec* guest,
                               std::vector<storage::SharedTree>* trees) {
  for (const SharedMount& mount : guest->mounts) {
    trees->push_back(
        TRY(storage::CloneBind(container_id, mount.index, mount.source, mount.options)));
    if (!mount.options.read_only || mount.options.read_only_recursive) continue;
    if (!mount.options.recursive || !TRY(storage::HasMountsBelow(mount.source))) continue;
    guest->spec.mounts[mount.of_spec].options.push_back("rw");  // the last one counts
  }
  return base::Ok();
}

}  // namespace

base::Result<PodSetup> SetUpPod(const PodOptions& options, const CreateRequest& first) {
  const oci::Spec spec = TRY(LoadSpec(first.bundle));
  config::Config config = TRY(config::Load(first.config_toml_path));
  TRY(config::ApplyAnnotations(spec.annotations, config));
  PodSetup setup;
  setup.placement = TRY(Placement::Plan(config, spec, options.ns + "/" + options.pod_id, first.id));
  setup.machine = TRY(PlanMachine(config));
  Network network = TRY(PlanNetwork(spec));
  for (const std::string& note : network.survey.notes) LOG_INFO("pod {}: {}", options.pod_id, note);
  setup.state = std::make_shared<StateDirectory>(
      TRY(StateDirectory::Make(config.paths.run_dir, options.ns, options.pod_id,
                               {config.jail.uid_base, config.jail.uid_count})));
  setup.machine.uid = setup.state->record().uid;
  setup.machine.share = setup.state->share();
  setup.machine.state_directory = setup.state->path();
  base::Result<void> made = MakeHostSide(setup, first.bundle, config.paths.run_dir);
  if (made) made = JoinMachine(network, setup);
  if (made) {
    setup.network_ns = std::move(network.ns);
    return setup;
  }
  const base::Result<void> removed = RemovePod(*setup.state);
  if (!removed) LOG_WARNING("{}", removed.error().Trail());
  return std::move(made.error());
}

std::string RootfsOf(const CreateRequest& request) { return request.bundle + "/rootfs"; }

base::Result<ContainerSetup> SetUpContainer(const std::string& pod_cgroup,
                                            const CreateRequest& request,
                                            const std::map<pid_t, pid_t>& guest_pids,
                                            uint64_t machine_mib) {
  const oci::Spec spec = TRY(LoadSpec(request.bundle));
  if (TRY(KindOf(spec)) == ContainerKind::kSandbox) {
    ContainerSetup sandbox;
    sandbox.pod_settings = PodSettings{spec.hostname, spec.domainname, spec.linux_config.sysctl};
    sandbox.cgroups_path = spec.linux_config.cgroups_path;
    sandbox.hooks = PlanHooks(spec, request.id, request.bundle, RootfsOf(request));
    // Not mounted: nothing of it runs.
    TRY(base::MakeDirectories(sandbox.hooks.root));
    return sandbox;
  }
  GuestSpec guest = TRY(MakeGuestSpec(spec, request.id, request.bundle, guest_pids));
  for (const std::string& note : guest.notes) LOG_INFO("container {}: {}", request.id, note);
  const base::Result<void> fits = CheckMemoryLimit(spec.linux_config.resources, "", machine_mib);
  if (!fits) LOG_WARNING("container {}: linux.resources.{}", request.id, fits.error().Message());
  std::string rootfs = RootfsOf(request);
  if (request.rootfs.empty()) {
    rootfs = TRY(HostRootPath(spec, request.bundle));
  } else {
    TRY(storage::MountRootfs(request.rootfs, rootfs));
  }
  ContainerSetup setup;
  setup.trees.push_back(TRY(storage::CloneRootfs(request.id, rootfs)));
  TRY(CloneMounts(request.id, &guest, &setup.trees));
  setup.spec_json = oci::Serialise(guest.spec);
  setup.cgroups_path = spec.linux_config.cgroups_path;
  setup.cpu = spec.linux_config.resources.cpu.value_or(oci::CpuLimits());
  setup.hooks = PlanHooks(spec, request.id, request.bundle, std::move(rootfs));
  if (TRY(cgroup::ResolvePath(setup.cgroups_path, request.id)) != pod_cgroup) {
    setup.scope = TRY(cgroup::PodCgroup::StartScope(setup.cgroups_path), "cgroup");
  }
  return setup;
}

base::Result<void> TearDownContainer(const std::string& share, const std::string& container_id,
                                     const std::string& rootfs) {
  base::Result<void> unshared = storage::UnshareContainer(share, container_id);
  base::Result<void> unmounted = storage::UnmountTree(rootfs);
  if (!unshared) return unshared;
  return unmounted;
}

}  // namespace pod
