#include "runtime/pod/guest_spec.h"

#include <gmock/gmock.h>

namespace pod {
namespace {

using testing::Contains;
using testing::HasSubstr;
using testing::IsEmpty;

oci::Spec Member() {
  oci::Spec spec;
  spec.process.emplace();
  spec.annotations["io.kubernetes.cri.container-type"] = "container";
  spec.annotations["io.kubernetes.cri.sandbox-id"] = "x";
  spec.linux_config.namespaces = {
      {"pid", ""}, {"ipc", "/proc/7/ns/ipc"}, {"uts", "/proc/7/ns/uts"}, {"mount", ""}};
  spec.mounts = {{"/dev/shm", "bind", "/run/pods/x/shm", {"rbind", "ro"}, {}, {}},
                 {"/etc/hosts", "bind", "/run/pods/x/hosts", {"rbind"}, {}, {}},
                 {"/proc", "proc", "proc", {}, {}, {}}};
  return spec;
}

TEST(GuestSpec, AMembersNamespacesAreThePods) {
  const auto guest = MakeGuestSpec(Member(), "c", "/bundle");
  ASSERT_TRUE(guest);
  const auto& namespaces = guest->spec.linux_config.namespaces;
  EXPECT_EQ(namespaces[0].path, "") << "its own";
  EXPECT_EQ(namespaces[1].path, "/proc/1/ns/ipc");
  EXPECT_EQ(namespaces[2].path, "/proc/1/ns/uts");
  EXPECT_THAT(guest->notes, IsEmpty());
}

// `kubectl debug --target`.
TEST(GuestSpec, AMembersPidNamespaceMayBeAnothersOfThePod) {
  oci::Spec spec = Member();
  spec.linux_config.namespaces[0].path = "/proc/21/ns/pid";
  const auto pid_path = [&](const std::map<pid_t, pid_t>& guest_pids) {
    return MakeGuestSpec(spec, "c", "/bundle", guest_pids)->spec.linux_config.namespaces[0].path;
  };
  EXPECT_EQ(pid_path({{21, 312}, {7, 300}}), "/proc/312/ns/pid");
  EXPECT_EQ(pid_path({{7, 300}}), "/proc/1/ns/pid") << "the sandbox's";
}

TEST(GuestSpec, AMembersSharedMemoryIsTheGuests) {
  const auto guest = MakeGuestSpec(Member(), "c", "/bundle");
  ASSERT_TRUE(guest);
  EXPECT_EQ(guest->spec.mounts[0].source, "/dev/shm");
  ASSERT_EQ(guest->mounts.size(), 1U) << "hosts alone is shared from the host";
  EXPECT_EQ(guest->mounts[0].source, "/run/pods/x/hosts");
  EXPECT_EQ(guest->mounts[0].of_spec, 1U);
  EXPECT_EQ(guest->spec.mounts[1].source, "/run/pinion/share/c/mounts/0");
}

// CRI makes none of its own where the pod mounts a volume there (PyTorch's emptyDir).
TEST(GuestSpec, AVolumeAtSharedMemoryIsAVolume) {
  oci::Spec spec = Member();
  spec.mounts[0].source = "/var/lib/kubelet/pods/x/volumes/kubernetes.io~empty-dir/shm-of-mine";
  const auto guest = MakeGuestSpec(spec, "c", "/bundle");
  ASSERT_TRUE(guest);
  EXPECT_EQ(guest->mounts.size(), 2U);
  EXPECT_EQ(guest->spec.mounts[0].source, "/run/pinion/share/c/mounts/0");
  spec.mounts[0].source = "/dev/shm";  // hostIPC
  EXPECT_EQ(MakeGuestSpec(spec, "c", "/bundle")->spec.mounts[0].source, "/dev/shm");
}

// The host maps what is shared; the guest is given a namespace to make, of whosever path it was.
TEST(GuestSpec, IdsOfBindsAreTheHostsToMap) {
  oci::Spec spec = Member();
  spec.linux_config.namespaces.push_back({"user", "/run/pinned/user"});
  spec.linux_config.uid_mappings = {{0, 1000, 10}};
  spec.linux_config.gid_mappings = {{0, 2000, 10}};
  for (oci::Mount& mount : spec.mounts) {
    if (mount.type != "bind") continue;
    mount.uid_mappings = {{0, 5, 1}};
    mount.gid_mappings = {{0, 6, 1}};
  }
  spec.mounts.push_back({"/data", "bind", "/data", {"rbind", "ridmap"}, {}, {}});
  const auto guest = MakeGuestSpec(spec, "c", "/bundle");
  ASSERT_TRUE(guest) << guest.error().Message();
  EXPECT_EQ(guest->spec.linux_config.namespaces.back().path, "");
  EXPECT_EQ(guest->spec.linux_config.uid_mappings, spec.linux_config.uid_mappings);
  for (const oci::Mount& mount : guest->spec.mounts) EXPECT_TRUE(mount.uid_mappings.empty());
  EXPECT_THAT(guest->spec.mounts.back().options, testing::ElementsAre("rbind"));
  ASSERT_EQ(guest->mounts.size(), 2U);
  EXPECT_EQ(guest->mounts[0].options.id_map, (base::IdMap{{{0, 5, 1}}, {{0, 6, 1}}}));
  EXPECT_FALSE(guest->mounts[0].options.id_map_recursive);
  EXPECT_EQ(guest->mounts[1].options.id_map, (base::IdMap{{{0, 1000, 10}}, {{0, 2000, 10}}}));
  EXPECT_TRUE(guest->mounts[1].options.id_map_recursive);
  spec.linux_config.uid_mappings.clear();
  spec.linux_config.gid_mappings.clear();
  EXPECT_EQ(MakeGuestSpec(spec, "c", "/bundle").error().code(), base::Code::kInvalidArgument);
  spec.mounts[2].options = {"idmap"};
  EXPECT_EQ(MakeGuestSpec(spec, "c", "/bundle").error().code(), base::Code::kUnimplemented);
}

TEST(GuestSpec, OutsideOfAPodAHostsNamespaceBecomesItsOwnAndIsNoted) {
  oci::Spec spec = Member();
  spec.annotations.clear();
  const auto guest = MakeGuestSpec(spec, "c", "/bundle");
  ASSERT_TRUE(guest);
  EXPECT_EQ(guest->spec.linux_config.namespaces[1].path, "");
  EXPECT_THAT(guest->notes, Contains(HasSubstr("/proc/7/ns/ipc")));
  EXPECT_EQ(guest->mounts.size(), 2U) << "a bind at /dev/shm is a volume like any other";
}

TEST(GuestSpec, ANetworkThatMayComeLaterIsTheGuests) {
  oci::Spec spec;
  spec.process.emplace();
  spec.linux_config.namespaces = {{"network", ""}, {"ipc", ""}};
  const auto guest = MakeGuestSpec(spec, "c", "/bundle");
  ASSERT_TRUE(guest);
  EXPECT_EQ(guest->spec.linux_config.namespaces[0].path, "/proc/1/ns/network");
  EXPECT_EQ(guest->spec.linux_config.namespaces[1].path, "");
}

TEST(GuestSpec, OnlyStartContainerHooksGoToTheGuest) {
  oci::Spec spec;
  spec.process.emplace();
  spec.hooks.prestart = {{"/a", {}, {}, {}}};
  spec.hooks.start_container = {{"/b", {}, {}, {}}};
  const auto guest = MakeGuestSpec(spec, "c", "/bundle");
  ASSERT_TRUE(guest);
  EXPECT_THAT(guest->spec.hooks.prestart, IsEmpty());
  EXPECT_EQ(guest->spec.hooks.start_container, spec.hooks.start_container);
  spec.hooks.create_container = {{"/c", {}, {}, {}}};
  const auto refused = MakeGuestSpec(spec, "c", "/bundle");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), base::Code::kUnimplemented);
  EXPECT_THAT(refused.error().Message(), HasSubstr("hooks.createContainer: /c"));
}

TEST(GuestSpec, KindsByAnnotation) {
  oci::Spec spec;
  EXPECT_EQ(*KindOf(spec), ContainerKind::kAlone);
  spec.annotations["io.kubernetes.cri.container-type"] = "sandbox";
  EXPECT_EQ(*KindOf(spec), ContainerKind::kSandbox);
  spec.annotations["io.kubernetes.cri.container-type"] = "podsandbox";
  EXPECT_EQ(KindOf(spec).error().code(), base::Code::kInvalidArgument);
}

TEST(GuestSpec, WhatTheGuestCannotDoIsNotedNotDropped) {
  oci::Spec spec;
  spec.process.emplace();
  spec.process->apparmor_profile = "docker-default";
  spec.process->selinux_label = "system_u:x";
  spec.linux_config.intel_rdt.emplace();
  spec.linux_config.resources.network.emplace();
  spec.linux_config.resources.memory.emplace();
  spec.linux_config.resources.memory->swappiness = 10;
  spec.linux_config.resources.block_io.emplace();
  spec.linux_config.resources.block_io->throttle_read_bps = {{8, 0, 1000}};
  const auto guest = MakeGuestSpec(spec, "c", "/bundle");
  ASSERT_TRUE(guest);
  EXPECT_EQ(guest->spec.process->apparmor_profile, "");
  for (const char* word : {"docker-default", "system_u:x", "intelRdt", "network", "swappiness",
                           "blockIO, by device"}) {
    EXPECT_THAT(guest->notes, Contains(HasSubstr(word)));
  }
}

}  // namespace
}  // namespace pod
