// Containers with a user namespace of their own.
#include <gmock/gmock.h>
#include <unistd.h>

#include <filesystem>

#include "runtime/agent/container_fixture.h"
#include "runtime/base/file.h"

namespace agent {
namespace {

using testing::HasSubstr;

constexpr uint32_t kFirst = 100000;

class UserNamespaceTest : public ContainerTest {
 protected:
  void SetUp() override {
    ContainerTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    // As a snapshotter does with what is the container's.
    ASSERT_EQ(chown(root().c_str(), kFirst, kFirst), 0);
    for (const auto& entry : std::filesystem::recursive_directory_iterator(root())) {
      ASSERT_EQ(lchown(entry.path().c_str(), kFirst, kFirst), 0) << entry.path();
    }
  }
  oci::Spec MappedSpec(const std::string& script) const {
    oci::Spec spec = ShellSpec(script);
    spec.linux_config.namespaces.push_back({"user", ""});
    spec.linux_config.uid_mappings = {{0, kFirst, 65536}};
    spec.linux_config.gid_mappings = {{0, kFirst, 65536}};
    return spec;
  }
};

TEST_F(UserNamespaceTest, ItsRootIsNobodyOutside) {
  oci::Spec spec = MappedSpec(
      "cat /proc/self/uid_map; id -u; id -g; touch /made /run/made /dev/shm/made; "
      "stat -c %u /made /run/made /dev/shm/made /bin; echo x >/dev/stdout; echo y >/dev/null; "
      "hostname; ulimit -n; ls -d /sys/class/net /dev/mqueue; cat /proc/self/oom_score_adj; "
      "ip link show lo | grep -c LOWER_UP");
  spec.process->oom_score_adj = 99;
  spec.process->rlimits = {{"RLIMIT_NOFILE", 333, 444}};
  const RunResult result = Run(spec);
  ASSERT_FALSE(result.error) << result.error->Message();
  EXPECT_EQ(result.err, "");
  EXPECT_THAT(result.out, testing::MatchesRegex(" *0 +100000 +65536\n.*"));
  EXPECT_THAT(
      result.out,
      HasSubstr("65536\n0\n0\n0\n0\n0\n0\nx\ninside\n333\n/dev/mqueue\n/sys/class/net\n99\n1\n"));
  EXPECT_EQ(std::filesystem::status(root() + "/made").type(), std::filesystem::file_type::regular);
  struct stat made {};
  ASSERT_EQ(stat((root() + "/made").c_str(), &made), 0);
  EXPECT_EQ(made.st_uid, kFirst);
}

TEST_F(UserNamespaceTest, AWritableCgroupIsItsRoots) {
  oci::Spec spec = MappedSpec("mkdir /sys/fs/cgroup/x && stat -c %u /sys/fs/cgroup/x");
  spec.mounts.push_back({"/sys/fs/cgroup", "cgroup", "cgroup", {"nosuid"}, {}, {}});
  const RunResult result = Run(spec);
  ASSERT_FALSE(result.error) << result.error->Message();
  EXPECT_EQ(result.out, "0\n") << result.err;
}

// In a pod they are the machine's, over which the namespace's root has no rights.
TEST_F(UserNamespaceTest, ThePodsNamespacesAreShownAsOutside) {
  oci::Spec spec = MappedSpec("ls -d /sys/class/net/lo /dev/mqueue; id -u; cat /proc/1/comm");
  spec.hostname.clear();
  for (oci::Namespace& ns : spec.linux_config.namespaces) {
    if (ns.type == "pid" || ns.type == "network" || ns.type == "ipc" || ns.type == "uts") {
      ns.path = "/proc/1/ns/" + ns.type;
    }
  }
  const RunResult result = Run(spec);
  ASSERT_FALSE(result.error) << result.error->Message();
  EXPECT_EQ(result.err, "");
  EXPECT_THAT(result.out, HasSubstr("/dev/mqueue\n/sys/class/net/lo\n0\n"));
}

TEST_F(UserNamespaceTest, OtherUsersAndTerminals) {
  oci::Spec spec = MappedSpec("id -u; stat -c %u $(readlink /proc/self/fd/0); tty");
  spec.process->terminal = true;
  spec.process->user.uid = 1000;
  const RunResult result = Run(spec);
  ASSERT_FALSE(result.error) << result.error->Message();
  EXPECT_EQ(result.out, "1000\r\n1000\r\n/dev/pts/0\r\n");
}

TEST_F(UserNamespaceTest, AnExecJoinsIt) {
  const auto created = Create(MappedSpec("sleep 999"));
  ASSERT_FALSE(created) << created->Message();
  ASSERT_FALSE(Start());
  oci::Process process = ShellProcess(
      "[ \"$(readlink /proc/self/ns/user)\" = \"$(readlink /proc/1/ns/user)\" ] && echo same; "
      "id -u; touch /by-exec && stat -c %u /by-exec; echo x >/dev/stdout; "
      "cat /proc/self/oom_score_adj");
  process.oom_score_adj = 7;
  const auto made = Exec("e", process);
  ASSERT_FALSE(made) << made->Message();
  ASSERT_FALSE(Start("e"));
  WaitForExit("e");
  EXPECT_EQ(ExecOutput("e"), "same\n0\n0\nx\n7\n");
  process.user.uid = 70000;
  const auto refused = Exec("f", process);
  ASSERT_TRUE(refused);
  EXPECT_THAT(refused->Message(), HasSubstr("process.user.uid 70000: not in linux.uidMappings"));
}

TEST_F(UserNamespaceTest, MappingsThatDoNotFitAreRefused) {
  oci::Spec spec = ShellSpec("");
  spec.linux_config.uid_mappings = {{0, kFirst, 65536}};
  EXPECT_THAT(Run(spec).error->Message(), HasSubstr("there is no user namespace for them"));
  spec = MappedSpec("");
  spec.linux_config.gid_mappings = {{1, kFirst, 65536}};
  EXPECT_THAT(Run(spec).error->Message(), HasSubstr("gidMappings: id 0 of the container is not"));
  spec.linux_config.gid_mappings.clear();
  EXPECT_THAT(Run(spec).error->Message(), HasSubstr("gidMappings: id 0 of the container is not"));
  spec = MappedSpec("");
  spec.linux_config.uid_mappings.push_back({5, 7, 1});
  EXPECT_THAT(Run(spec).error->Message(), HasSubstr("uid_map \"0 100000 65536\n5 7 1\n\""));
  spec = MappedSpec("");
  spec.process->user.uid = 65536;
  EXPECT_THAT(Run(spec).error->Message(), HasSubstr("process.user.uid 65536: not in"));
}

}  // namespace
}  // namespace agent
