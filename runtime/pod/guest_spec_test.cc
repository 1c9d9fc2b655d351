#include "runtime/pod/guest_spec.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

namespace pod {
namespace {

using testing::Contains;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

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

TEST(GuestSpec, OutsideOfAPodNamespacesAreNotToBeShared) {
  oci::Spec spec = Member();
  spec.annotations.clear();
  for (const char* type : {"pid", "ipc", "uts", "cgroup"}) {
    spec.linux_config.namespaces = {{"mount", ""}, {type, fmt::format("/proc/7/ns/{}", type)}};
    const auto refused = MakeGuestSpec(spec, "c", "/bundle");
    ASSERT_FALSE(refused) << type;
    EXPECT_EQ(refused.error().code(), base::Code::kInvalidArgument);
    EXPECT_THAT(refused.error().Message(),
                HasSubstr(fmt::format("linux.namespaces: {0} /proc/7/ns/{0}: belongs to another "
                                      "machine; containers that share it must be in one pod",
                                      type)));
  }
  spec.linux_config.namespaces = {{"pid", ""}, {"mount", "/proc/7/ns/mnt"}};
  const auto guest = MakeGuestSpec(spec, "c", "/bundle");
  ASSERT_TRUE(guest);
  EXPECT_EQ(guest->spec.linux_config.namespaces[1].path, "");
  EXPECT_THAT(guest->notes, Contains(HasSubstr("/proc/7/ns/mnt")));
  EXPECT_EQ(guest->mounts.size(), 2U) << "a bind at /dev/shm is a volume like any other";
}

oci::Spec Alone() {
  oci::Spec spec;
  spec.process.emplace();
  return spec;
}

// Binds of what the host has below a directory of the test's own, which is the bundle, too.
class GuestSpecOfHostFiles : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = testing::TempDir() + "/guest-spec.XXXXXX";
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    dir_ = pattern;
  }
  void TearDown() override { std::filesystem::remove_all(dir_); }
  base::Result<GuestSpec> Bound(const std::string& source, const std::string& destination) const {
    oci::Spec spec = Alone();
    spec.mounts = {{destination, "bind", source, {"rbind", "ro"}, {}, {}}};
    return MakeGuestSpec(spec, "c", dir_);
  }
  void ExpectShared(const std::string& source, const std::string& destination) const {
    const auto guest = Bound(source, destination);
    ASSERT_TRUE(guest) << guest.error().Message();
    EXPECT_THAT(guest->mounts, SizeIs(1)) << source;
    EXPECT_EQ(guest->spec.mounts[0].source, "/run/pinion/share/c/mounts/0");
  }
  void ExpectRefused(const std::string& source, const std::string& word) const {
    const auto refused = Bound(source, "/there");
    ASSERT_FALSE(refused) << source;
    EXPECT_EQ(refused.error().code(), base::Code::kUnimplemented);
    EXPECT_THAT(refused.error().Message(), HasSubstr("mount at /there: "));
    EXPECT_THAT(refused.error().Message(), HasSubstr(source));
    EXPECT_THAT(refused.error().Message(),
                HasSubstr(word + " of the host's cannot be reached from a virtual machine"));
  }
  std::string dir_;
};

TEST_F(GuestSpecOfHostFiles, DevicesOfEveryKernelAreTheGuestsOwn) {
  ASSERT_EQ(symlink("/dev/zero", (dir_ + "/link").c_str()), 0);
  for (const auto& [source, path] : std::map<std::string, std::string>{
           {"/dev/null", "/dev/null"}, {"link", "/dev/zero"}, {"/dev/random", "/dev/random"}}) {
    const auto guest = Bound(source, "/there");
    ASSERT_TRUE(guest) << guest.error().Message();
    EXPECT_THAT(guest->mounts, IsEmpty()) << source;
    EXPECT_EQ(guest->spec.mounts[0].source, path);
    EXPECT_THAT(guest->spec.mounts[0].options, Contains("ro"));
  }
}

TEST_F(GuestSpecOfHostFiles, WhatLeadsIntoTheHostsKernelIsRefused) {
  ASSERT_EQ(mknod((dir_ + "/socket").c_str(), S_IFSOCK | 0600, 0), 0);
  ASSERT_EQ(mkfifo((dir_ + "/fifo").c_str(), 0600), 0);
  ExpectRefused(dir_ + "/socket", "a socket");
  ExpectRefused("fifo", "a fifo");
  struct stat status {};
  if (stat("/dev/ptmx", &status) == 0 && S_ISCHR(status.st_mode)) {
    ExpectRefused("/dev/ptmx", "a character device (5:2)");
  }
}

TEST_F(GuestSpecOfHostFiles, FilesAndDirectoriesAreShared) {
  const int file = open((dir_ + "/file").c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
  ASSERT_GE(file, 0);
  close(file);
  ExpectShared("file", "/there");
  ExpectShared(dir_, "/there");
  ExpectShared(dir_, "/dev");
  ExpectShared("/dev", "/there");
  ExpectShared("no-such-file", "/there");  // whoever clones it says so
}

TEST_F(GuestSpecOfHostFiles, DevAtDevIsTheGuestsOwn) {
  ASSERT_EQ(symlink("/dev", (dir_ + "/link").c_str()), 0);
  for (const char* source : {"/dev", "/dev/", "link"}) {
    const auto guest = Bound(source, "/dev");
    ASSERT_TRUE(guest) << guest.error().Message();
    EXPECT_THAT(guest->mounts, IsEmpty()) << source;
    EXPECT_EQ(guest->spec.mounts[0].source, "/dev");
  }
}

TEST(GuestSpec, BlockDevicesOfTheHostAreRefused) {
  oci::Spec spec = Alone();
  spec.linux_config.devices = {{"/dev/xvda", "b", 202, 0, {}, {}, {}}};
  spec.linux_config.resources.devices = {{false, "", {}, {}, "rwm"}, {true, "b", 202, 0, "rwm"}};
  const auto refused = MakeGuestSpec(spec, "c", "/bundle");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), base::Code::kUnimplemented);
  EXPECT_EQ(refused.error().Message(),
            "linux.devices: /dev/xvda (b 202:0): block devices of the host are not given to the "
            "guest yet; use a filesystem volume");
  spec.linux_config.resources.devices[0] = {true, "a", {}, {}, "rw"};
  EXPECT_FALSE(MakeGuestSpec(spec, "c", "/bundle")) << "not everything is allowed";
}

// Privileged containers list all that the host has.
TEST(GuestSpec, DevicesOfTheHostAreOneNoteWhereAllAreAllowed) {
  oci::Spec spec = Alone();
  spec.linux_config.devices = {{"/dev/fuse", "c", 10, 229, {}, {}, {}},
                               {"/dev/xvda", "b", 202, 0, {}, {}, {}},
                               {"/dev/pipe", "p", 0, 0, {}, {}, {}},
                               {"/dev/nvidia0", "c", 195, 0, {}, {}, {}}};
  for (const char* type : {"", "a"}) {
    spec.linux_config.resources.devices = {{false, "", {}, {}, "rwm"}, {true, type, {}, -1, "rwm"}};
    const auto guest = MakeGuestSpec(spec, "c", "/bundle");
    ASSERT_TRUE(guest) << guest.error().Message();
    EXPECT_EQ(guest->spec.linux_config.devices, spec.linux_config.devices);
    ASSERT_THAT(guest->notes, SizeIs(1));
    EXPECT_THAT(guest->notes[0], HasSubstr("linux.devices: /dev/xvda (b 202:0) and 1 more: "));
  }
}

TEST(GuestSpec, OnlyDevicesThatMayBeOthersInTheGuestAreNoted) {
  oci::Spec spec = Alone();
  spec.linux_config.devices = {{"/dev/fuse", "c", 10, 229, {}, {}, {}},
                               {"/dev/kmsg", "c", 1, 11, {}, {}, {}},
                               {"/dev/ptmx", "u", 5, 2, {}, {}, {}}};
  EXPECT_THAT(MakeGuestSpec(spec, "c", "/bundle")->notes, IsEmpty());
  spec.linux_config.devices.push_back({"/dev/nvidia0", "c", 195, 0, {}, {}, {}});
  EXPECT_THAT(MakeGuestSpec(spec, "c", "/bundle")->notes,
              Contains(HasSubstr("linux.devices: /dev/nvidia0 (c 195:0): ")));
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
