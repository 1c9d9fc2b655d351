#include "agent-proto/proto/containerd/options.pb.h"
#include "runtime/shim/bootstrap.h"

namespace shim {
namespace {

// OCI runtime-spec 1.2, features.md: what a container may ask for. CRI reads mountOptions ("rro" is
// its recursive read-only) and the namespaces; Create fails on a spec with idmapped mounts unless
// idmap.enabled.
constexpr char kFeatures[] = R"({
"ociVersionMin":"1.0.0","ociVersionMax":"1.2.0",
"mountOptions":["bind","defaults","dev","exec","noatime","nodev","nodiratime","noexec",
"norelatime","nostrictatime","nosuid","private","rbind","relatime","ro","rprivate","rro",
"rslave","rw","slave","strictatime","suid"],
"linux":{"namespaces":["cgroup","ipc","mount","network","pid","user","uts"],
"cgroup":{"v1":false,"v2":true,"systemd":true,"systemdUser":false},
"seccomp":{"enabled":true},
"apparmor":{"enabled":false},
"selinux":{"enabled":false},
"mountExtensions":{"idmap":{"enabled":true}}}})";

}  // namespace

std::string Info() {
  containerd::options::RuntimeInfo info;
  info.set_name("io.containerd.pinion.v2");
  info.mutable_version()->set_version(PINION_VERSION);
  info.mutable_features()->set_type_url(
      "types.containerd.io/opencontainers/runtime-spec/1/features/Features");
  info.mutable_features()->set_value(kFeatures);
  return info.SerializeAsString();
}

std::string VersionText() { return "containerd-shim-pinion-v2:\n  Version:  " PINION_VERSION "\n"; }

}  // namespace shim
