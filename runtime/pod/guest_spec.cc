#include "runtime/pod/guest_spec.h"

#include <utility>

#include "runtime/storage/mount_options.h"

namespace pod {
namespace {

// agent.proto: where the agent mounts the share.
constexpr const char* kGuestShare = "/run/pinion/share";

std::string Absolute(const std::string& path, const std::string& bundle) {
  return path.starts_with('/') ? path : bundle + "/" + path;
}

base::Result<void> ShareMount(const std::string& container_id, const std::string& bundle,
                              oci::Mount* mount, std::vector<SharedMount>* shared) {
  const storage::MountOptions options =
      TRY(storage::ParseMountOptions(mount->options), "mount at {}", mount->destination);
  if (mount->type != "bind" && !options.bind) return base::Ok();
  const size_t index = shared->size();
  shared->push_back({index,
                     Absolute(mount->source, bundle),
                     {.recursive = options.recursive,
                      .read_only = options.read_only,
                      .read_only_recursive = options.read_only_recursive}});
  mount->source = fmt::format("{}/{}/mounts/{}", kGuestShare, container_id, index);
  return base::Ok();
}

void DropHostOnly(oci::Spec* spec, std::vector<std::string>* notes) {
  const oci::Hooks& hooks = spec->hooks;
  if (!hooks.prestart.empty() || !hooks.create_runtime.empty() || !hooks.create_container.empty() ||
      !hooks.start_container.empty() || !hooks.poststart.empty() || !hooks.poststop.empty()) {
    notes->push_back("hooks are not run yet");
  }
  spec->hooks = {};
  // The guest's namespaces are its own; a path of the host means nothing there.
  for (oci::Namespace& ns : spec->linux_config.namespaces) {
    if (ns.path.empty()) continue;
    notes->push_back(fmt::format("the {} namespace {} is the host's: the guest uses one of its own",
                                 ns.type, ns.path));
    ns.path.clear();
  }
  if (spec->process) {
    // Policies of the host's kernel.
    spec->process->apparmor_profile.clear();
    spec->process->selinux_label.clear();
  }
  spec->linux_config.mount_label.clear();
  // The guest was made of these CPUs and nodes; their numbers there are others (cpu.md R12).
  if (spec->linux_config.resources.cpu) {
    spec->linux_config.resources.cpu->cpus.clear();
    spec->linux_config.resources.cpu->mems.clear();
  }
}

}  // namespace

base::Result<std::string> HostRootPath(const oci::Spec& spec, const std::string& bundle) {
  if (!spec.root || spec.root->path.empty()) {
    return base::MakeError(base::Code::kInvalidArgument,
                           "root.path: missing, and Create brought no rootfs mounts (OCI "
                           "runtime-spec 1.2, config.md \"Root\")");
  }
  return Absolute(spec.root->path, bundle);
}

base::Result<GuestSpec> MakeGuestSpec(const oci::Spec& spec, const std::string& container_id,
                                      const std::string& bundle) {
  GuestSpec guest;
  guest.spec = spec;
  if (!guest.spec.root) guest.spec.root.emplace();
  guest.spec.root->path = fmt::format("{}/{}/rootfs", kGuestShare, container_id);
  for (oci::Mount& mount : guest.spec.mounts) {
    TRY(ShareMount(container_id, bundle, &mount, &guest.mounts));
  }
  DropHostOnly(&guest.spec, &guest.notes);
  return guest;
}

}  // namespace pod
