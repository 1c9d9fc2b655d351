// What a container sees and may do, and hostile root file systems.
#include <gmock/gmock.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime/agent/container_fixture.h"
#include "runtime/base/file.h"

namespace agent {
namespace {

using testing::HasSubstr;
using testing::Not;

TEST_F(ContainerTest, IdentityIsWhatTheSpecSays) {
  oci::Spec spec = ShellSpec(
      "grep -E '^(Uid|Gid|Groups|Cap|NoNewPrivs)' /proc/self/status; "
      "ulimit -n; pwd; echo $HOME; umask; cat /proc/self/oom_score_adj");
  spec.process->user = {1000, 1001, 0027, {7, 8}, ""};
  spec.process->capabilities = oci::Capabilities{
      {"CAP_KILL", "CAP_CHOWN"}, {"CAP_KILL"}, {"CAP_KILL"}, {"CAP_KILL"}, {"CAP_KILL"}};
  spec.process->rlimits = {{"RLIMIT_NOFILE", 333, 444}};
  spec.process->cwd = "/made/for/it";
  spec.process->oom_score_adj = 123;
  const RunResult result = Run(spec);
  ASSERT_FALSE(result.error) << result.error->Message();
  EXPECT_THAT(result.out, HasSubstr("Uid:\t1000\t1000\t1000\t1000"));
  EXPECT_THAT(result.out, HasSubstr("Gid:\t1001\t1001\t1001\t1001"));
  EXPECT_THAT(result.out, HasSubstr("Groups:\t7 8"));
  EXPECT_THAT(result.out, HasSubstr("CapInh:\t0000000000000020"));
  EXPECT_THAT(result.out, HasSubstr("CapPrm:\t0000000000000020"));
  EXPECT_THAT(result.out, HasSubstr("CapEff:\t0000000000000020"));
  EXPECT_THAT(result.out, HasSubstr("CapBnd:\t0000000000000021"));
  EXPECT_THAT(result.out, HasSubstr("CapAmb:\t0000000000000020"));
  EXPECT_THAT(result.out, HasSubstr("NoNewPrivs:\t1"));
  EXPECT_THAT(result.out, HasSubstr("333\n/made/for/it\n/home/u\n0027\n123\n"));
}

TEST_F(ContainerTest, TheWorkingDirectoryMayBeOneThatItsUserCannotEnter) {
  ASSERT_TRUE(base::MakeDirectories(root() + "/root"));
  ASSERT_EQ(chmod((root() + "/root").c_str(), 0700), 0);
  oci::Spec spec = ShellSpec("readlink /proc/self/cwd; ls .");
  spec.process->user.uid = 1000;
  spec.process->cwd = "/root";
  const RunResult result = Run(spec);
  ASSERT_FALSE(result.error) << result.error->Message();
  EXPECT_EQ(result.out, "/root\n");
  EXPECT_THAT(result.err, HasSubstr("ermission denied"));  // its rights are the user's all the same
  spec.process->cwd = "/bin/busybox";
  EXPECT_THAT(Run(spec).error->Message(), HasSubstr("cwd \"/bin/busybox\": Not a directory"));
}

TEST_F(ContainerTest, NoCapabilitiesWithoutTheProperty) {
  oci::Spec spec = ShellSpec("grep CapEff /proc/self/status");
  spec.process->capabilities.reset();
  EXPECT_THAT(Run(spec).out, HasSubstr("CapEff:\t0000000000000000"));
}

TEST_F(ContainerTest, NetworkModulesAreLoadedForThoseWhoMayManageNetworks) {
  ASSERT_TRUE(base::MakeDirectories(environment_->network_modules));
  const std::string order = environment_->network_modules + "/order";
  ASSERT_TRUE(base::WriteFileAtomic(order, "no-module.ko\n"));
  EXPECT_FALSE(Run(ShellSpec("true")).error);
  EXPECT_TRUE(base::ReadFile(order)) << "loaded for a container that may not";
  oci::Spec spec = ShellSpec("true");
  spec.process->capabilities->bounding.push_back("CAP_NET_ADMIN");
  EXPECT_FALSE(Run(spec).error);
  EXPECT_FALSE(base::ReadFile(order));
}

TEST_F(ContainerTest, NamespacesAreItsOwn) {
  const RunResult result =
      Run(ShellSpec("hostname; echo $$; ip addr show lo; ls /proc/1/fd | "
                    "grep -c ."));
  ASSERT_FALSE(result.error) << result.error->Message();
  EXPECT_THAT(result.out, HasSubstr("inside\n1\n"));
  EXPECT_THAT(result.out, HasSubstr("127.0.0.1"));
}

TEST_F(ContainerTest, NothingOfTheAgentIsOpenInIt) {
  // 3 is the directory that ls itself reads.
  EXPECT_EQ(Run(ShellSpec("ls /proc/self/fd")).out, "0\n1\n2\n3\n");
}

TEST_F(ContainerTest, NothingOfTheAgentsMountsIsLeft) {
  const RunResult result = Run(ShellSpec("cat /proc/self/mountinfo; ls /.. "));
  EXPECT_THAT(result.out, Not(HasSubstr(outside())));
  EXPECT_THAT(result.out, Not(HasSubstr("cgroup2")));
}

TEST_F(ContainerTest, DevicesAndLinks) {
  const RunResult result = Run(
      ShellSpec("for n in null zero full random urandom tty; do stat -c '%n %F %a' /dev/$n; done; "
                "readlink /dev/stdout; readlink /dev/ptmx; head -c 3 /dev/zero | grep -c .; echo x "
                ">/dev/null"));
  for (const char* name : {"null", "zero", "full", "random", "urandom", "tty"}) {
    EXPECT_THAT(result.out, HasSubstr(std::string("/dev/") + name + " character special file 666"));
  }
  EXPECT_THAT(result.out, HasSubstr("/proc/self/fd/1"));
  EXPECT_THAT(result.out, HasSubstr("pts/ptmx"));
  EXPECT_EQ(result.status, 0U) << result.err;
}

TEST_F(ContainerTest, ADeviceThatTheUserPutThereStays) {
  oci::Spec spec = ShellSpec("stat -c '%t:%T' /dev/random");
  spec.mounts.push_back({"/dev/random", "bind", "/dev/urandom", {"rbind", "ro"}, {}, {}});
  const RunResult result = Run(spec);
  ASSERT_FALSE(result.error) << result.error->Message();
  EXPECT_EQ(result.out, "1:9\n");
}

TEST_F(ContainerTest, MaskedAndReadOnlyPaths) {
  const RunResult result =
      Run(ShellSpec("cat /proc/kcore | head -c 4; ls /proc/acpi; "
                    "echo 1 > /proc/sys/net/ipv4/ip_forward && echo wrote"));
  EXPECT_EQ(result.out, "");
  EXPECT_THAT(result.err, HasSubstr("Read-only file system"));
}

TEST_F(ContainerTest, ReadOnlyRootAndDev) {
  oci::Spec spec = ShellSpec("touch /x; touch /dev/x; touch /run/x && echo run");
  spec.root->readonly = true;
  spec.mounts[1].options.push_back("ro");
  const RunResult result = Run(spec);
  EXPECT_EQ(result.out, "run\n");
  EXPECT_THAT(result.err, HasSubstr("/x: Read-only file system"));
  EXPECT_THAT(result.err, HasSubstr("/dev/x: Read-only file system"));
}

TEST_F(ContainerTest, SysctlsAreSetInItsNamespaces) {
  oci::Spec spec = ShellSpec("cat /proc/sys/net/ipv4/ip_forward /proc/sys/kernel/shmmni");
  spec.linux_config.sysctl = {{"net.ipv4.ip_forward", "1"}, {"kernel.shmmni", "77"}};
  EXPECT_EQ(Run(spec).out, "1\n77\n");
  spec.linux_config.sysctl = {{"kernel.nosuch", "1"}};
  EXPECT_THAT(Run(spec).error->Message(), HasSubstr("kernel.nosuch"));
}

TEST_F(ContainerTest, SysctlNamesCannotLeaveProcSys) {
  oci::Spec spec = ShellSpec("");
  spec.linux_config.sysctl = {{"../self/comm", "x"}};
  EXPECT_TRUE(Run(spec).error);
}

TEST_F(ContainerTest, CgroupNamespaceShowsItsOwnRoot) {
  oci::Spec spec = ShellSpec("grep ^0 /proc/self/cgroup; ls /sys/fs/cgroup/cgroup.procs");
  spec.mounts.push_back({"/sys/fs/cgroup", "cgroup", "cgroup", {"ro", "nosuid"}, {}, {}});
  // As privileged containers, whose spec lists none, and others.
  EXPECT_EQ(Run(spec).out, "0::/\n/sys/fs/cgroup/cgroup.procs\n");
  spec.linux_config.namespaces.push_back({"cgroup", ""});
  EXPECT_EQ(Run(spec).out, "0::/\n/sys/fs/cgroup/cgroup.procs\n");
}

TEST_F(ContainerTest, AWritableCgroupIsTheUsers) {
  oci::Spec spec = ShellSpec("mkdir /sys/fs/cgroup/x && stat -c %u /sys/fs/cgroup/x");
  spec.process->user.uid = 1000;
  spec.mounts.push_back({"/sys/fs/cgroup", "cgroup", "cgroup", {"nosuid"}, {}, {}});
  const RunResult result = Run(spec);
  EXPECT_EQ(result.out, "1000\n") << result.err;
  spec.mounts.back().options.push_back("ro");
  EXPECT_NE(Run(spec).status, 0U);
}

oci::Seccomp DenyMkdir() {
  oci::Seccomp profile;
  profile.default_action = "SCMP_ACT_ALLOW";
  profile.architectures = {"SCMP_ARCH_X86_64", "SCMP_ARCH_X86"};
  oci::SeccompRule rule;
  rule.names = {"mkdir", "mkdirat", "a_call_of_the_future"};
  rule.action = "SCMP_ACT_ERRNO";
  rule.errno_ret = 95;  // EOPNOTSUPP
  profile.syscalls = {rule};
  return profile;
}

TEST_F(ContainerTest, SeccompProfileIsInForce) {
  oci::Spec spec = ShellSpec("mkdir /run/d; grep Seccomp: /proc/self/status");
  spec.linux_config.seccomp = DenyMkdir();
  for (const bool no_new_privileges : {true, false}) {
    spec.process->no_new_privileges = no_new_privileges;
    const RunResult result = Run(spec);
    ASSERT_FALSE(result.error) << result.error->Message();
    EXPECT_THAT(result.err, HasSubstr("not supported"));
    EXPECT_THAT(result.out, HasSubstr("Seccomp:\t2"));
  }
}

TEST_F(ContainerTest, SeccompNotifyIsRefused) {
  oci::Spec spec = ShellSpec("");
  spec.linux_config.seccomp = DenyMkdir();
  spec.linux_config.seccomp->syscalls[0].action = "SCMP_ACT_NOTIFY";
  EXPECT_EQ(Run(spec).error->code(), base::Code::kUnimplemented);
}

TEST_F(ContainerTest, BindsOfFilesAndDirectories) {
  ASSERT_TRUE(base::WriteFileAtomic(outside() + "/resolv", "nameserver\n"));
  ASSERT_TRUE(base::MakeDirectories(outside() + "/volume"));
  // As in images of Debian: a link whose target is not there yet.
  ASSERT_EQ(symlink("../run2/systemd/resolv.conf", (root() + "/etc/resolv.conf").c_str()), 0);
  oci::Spec spec = ShellSpec("cat /etc/resolv.conf; touch /data/x; touch /ro/y || echo ro");
  spec.mounts.push_back({"/etc/resolv.conf", "bind", outside() + "/resolv", {"rbind"}, {}, {}});
  spec.mounts.push_back({"/data", "bind", outside() + "/volume", {"rbind", "rw"}, {}, {}});
  spec.mounts.push_back({"/ro", "bind", outside() + "/volume", {"bind", "ro"}, {}, {}});
  const RunResult result = Run(spec);
  ASSERT_FALSE(result.error) << result.error->Message();
  EXPECT_EQ(result.out, "nameserver\nro\n");
  EXPECT_EQ(access((outside() + "/volume/x").c_str(), F_OK), 0);
}

TEST_F(ContainerTest, ATmpfsKeepsTheModeOfWhatItCovers) {
  ASSERT_TRUE(base::MakeDirectories(root() + "/root"));
  ASSERT_EQ(chmod((root() + "/root").c_str(), 0700), 0);
  oci::Spec spec = ShellSpec("stat -c %a /root /given /new");
  ASSERT_TRUE(base::MakeDirectories(root() + "/given"));
  spec.mounts.push_back({"/root", "tmpfs", "tmpfs", {"nosuid"}, {}, {}});
  spec.mounts.push_back({"/given", "tmpfs", "tmpfs", {"mode=711"}, {}, {}});
  spec.mounts.push_back({"/new", "tmpfs", "tmpfs", {}, {}, {}});
  const RunResult result = Run(spec);
  ASSERT_FALSE(result.error) << result.error->Message();
  EXPECT_EQ(result.out, "700\n711\n1777\n");
}

TEST_F(ContainerTest, ProcThatIsALinkIsRefused) {
  for (const char* target : {"/", "..", "etc"}) {
    unlink((root() + "/proc").c_str());
    ASSERT_EQ(symlink(target, (root() + "/proc").c_str()), 0);
    const RunResult result = Run(ShellSpec("echo ran"));
    ASSERT_TRUE(result.error) << target;
    EXPECT_THAT(result.error->Message(), HasSubstr("symbolic link"));
  }
}

TEST_F(ContainerTest, LinksOfTheImageStayInsideTheRoot) {
  ASSERT_TRUE(base::MakeDirectories(outside() + "/victim"));
  ASSERT_EQ(symlink("../../victim", (root() + "/dev").c_str()), 0);
  ASSERT_EQ(symlink((outside() + "/victim").c_str(), (root() + "/run").c_str()), 0);
  ASSERT_EQ(symlink("../victim/made", (root() + "/data").c_str()), 0);
  oci::Spec spec = ShellSpec("echo ran");
  spec.mounts.push_back({"/data/deep", "tmpfs", "tmpfs", {}, {}, {}});
  const RunResult result = Run(spec);
  EXPECT_FALSE(result.error) << result.error->Message();
  EXPECT_NE(rmdir((outside() + "/victim/made").c_str()), 0);
  EXPECT_EQ(rmdir((outside() + "/victim").c_str()), 0) << "something was made outside of the root";
  // /dev of the container is a tmpfs on this, and all else was made on that.
  EXPECT_EQ(access((root() + "/victim").c_str(), F_OK), 0);
}

TEST_F(ContainerTest, EndlessLinksAreAnError) {
  ASSERT_EQ(symlink("/b", (root() + "/a").c_str()), 0);
  ASSERT_EQ(symlink("/a", (root() + "/b").c_str()), 0);
  oci::Spec spec = ShellSpec("");
  spec.mounts.push_back({"/a/x", "tmpfs", "tmpfs", {}, {}, {}});
  EXPECT_THAT(Run(spec).error->Message(), HasSubstr("symbolic links"));
}

TEST_F(ContainerTest, MountsInsideProcAreRefused) {
  oci::Spec spec = ShellSpec("");
  spec.mounts.push_back({"/proc/self/attr", "tmpfs", "tmpfs", {}, {}, {}});
  EXPECT_THAT(Run(spec).error->Message(), HasSubstr("procfs"));
}

TEST_F(ContainerTest, UnknownMountOptionNamesItself) {
  oci::Spec spec = ShellSpec("");
  spec.mounts.push_back({"/x", "tmpfs", "tmpfs", {"nosuchoption"}, {}, {}});
  const RunResult result = Run(spec);
  ASSERT_TRUE(result.error);
  EXPECT_THAT(result.error->Message(), HasSubstr("nosuchoption"));
  EXPECT_THAT(result.error->Message(), HasSubstr("/x"));
}

}  // namespace
}  // namespace agent
