// Life cycle and streams of real containers.
#include "runtime/agent/container.h"

#include <gmock/gmock.h>
#include <signal.h>
#include <unistd.h>

#include "runtime/agent/container_fixture.h"
#include "runtime/base/file.h"

namespace agent {
namespace {

using testing::HasSubstr;

TEST_F(ContainerTest, OutputErrorAndStatusComeBack) {
  const RunResult result = Run(ShellSpec("echo out; echo err >&2; exit 7"));
  ASSERT_FALSE(result.error) << result.error->Message();
  EXPECT_EQ(result.out, "out\n");
  EXPECT_EQ(result.err, "err\n");
  EXPECT_EQ(result.status, 7U);
  EXPECT_NE(access((cgroup_parent() + "/c1").c_str(), F_OK), 0);
}

TEST_F(ContainerTest, StdinEndsInBand) {
  ASSERT_FALSE(Create(ShellSpec("cat; echo end"), true));
  ASSERT_FALSE(Start());
  streams_.at(StreamKind::kStdin)->Send("typed\n");
  streams_.at(StreamKind::kStdin)->SendEof();
  EXPECT_EQ(WaitForExit(), 0U);
  ReadToEnd(StreamKind::kStdout);
  EXPECT_EQ(streams_.at(StreamKind::kStdout)->text(), "typed\nend\n");
}

TEST_F(ContainerTest, MoreOutputThanAnyBufferArrivesWhole) {
  const RunResult result = Run(ShellSpec("yes | head -c 3000000"));
  ASSERT_FALSE(result.error);
  EXPECT_EQ(result.out.size(), 3000000U);
}

TEST_F(ContainerTest, LosingTheHostsEndDoesNotBlockTheContainer) {
  ASSERT_FALSE(Create(ShellSpec("yes | head -c 3000000; exit 5")));
  streams_.at(StreamKind::kStdout)->Close();
  ASSERT_FALSE(Start());
  EXPECT_EQ(WaitForExit(), 5U);
}

TEST_F(ContainerTest, MissingBinaryFailsCreateAndLeavesNothing) {
  oci::Spec spec = ShellSpec("");
  spec.process->args = {"nosuch"};
  const std::optional<base::Error> error = Create(spec);
  ASSERT_TRUE(error);
  EXPECT_EQ(error->code(), base::Code::kNotFound);
  EXPECT_THAT(error->Message(), HasSubstr("exec: \"nosuch\": executable file not found in $PATH"));
  EXPECT_NE(access((cgroup_parent() + "/c1").c_str(), F_OK), 0);
  spec.process->args = {"/etc/passwd"};
  EXPECT_THAT(Create(spec)->Message(), HasSubstr("permission denied"));
  spec.process->args = {"/nosuch"};
  EXPECT_THAT(Create(spec)->Message(), HasSubstr("stat /nosuch: no such file or directory"));
}

TEST_F(ContainerTest, MissingRootfsSaysWhich) {
  oci::Spec spec = ShellSpec("");
  spec.root->path = outside() + "/absent";
  const std::optional<base::Error> error = Create(spec);
  ASSERT_TRUE(error);
  EXPECT_EQ(error->code(), base::Code::kNotFound);
  EXPECT_THAT(error->Message(), HasSubstr(outside() + "/absent"));
}

TEST_F(ContainerTest, WhatIsNoProgramFailsStart) {
  ASSERT_TRUE(base::WriteFileAtomic(root() + "/bin/garbage",
                                    "\x7f"
                                    "ELF",
                                    0755));
  oci::Spec spec = ShellSpec("");
  spec.process->args = {"garbage"};
  ASSERT_FALSE(Create(spec));
  const std::optional<base::Error> error = Start();
  ASSERT_TRUE(error);
  EXPECT_EQ(error->error_number(), ENOEXEC);
}

TEST_F(ContainerTest, SignalsAndStates) {
  ASSERT_FALSE(Create(ShellSpec("sleep 999 & sleep 999; exit 0")));
  ASSERT_FALSE(Start());
  EXPECT_EQ(Start()->code(), base::Code::kFailedPrecondition);
  Spin([&] { return container_->Pids()->size() == 3; });
  EXPECT_EQ(container_->OtherPids()->size(), 2U) << "all but the init";
  EXPECT_EQ(Delete()->code(), base::Code::kFailedPrecondition);
  EXPECT_EQ(container_->Signal("", 0, false).error().code(), base::Code::kInvalidArgument);
  ASSERT_TRUE(container_->Signal("", SIGKILL, false));
  EXPECT_EQ(WaitForExit(), 137U);
  EXPECT_TRUE(container_->Pids()->empty());
  EXPECT_EQ(container_->Signal("", SIGTERM, false).error().code(), base::Code::kNotFound);
}

TEST_F(ContainerTest, DeleteOfACreatedOneKillsIt) {
  ASSERT_FALSE(Create(ShellSpec("exit 0")));
  const pid_t pid = (*container_->Find(""))->pid();
  ASSERT_FALSE(Delete());
  EXPECT_NE(kill(pid, 0), 0);
}

TEST_F(ContainerTest, KillingACreatedOneIsItsExit) {
  ASSERT_FALSE(Create(ShellSpec("exit 0")));
  ASSERT_TRUE(container_->Signal("", SIGKILL, false));
  EXPECT_EQ(WaitForExit(), 137U);
  EXPECT_EQ(Start()->code(), base::Code::kFailedPrecondition);
}

TEST_F(ContainerTest, WithoutAPidNamespaceItsOrphansGoWithIt) {
  oci::Spec spec = ShellSpec("sleep 999 & exit 4");
  std::erase_if(spec.linux_config.namespaces, [](const auto& ns) { return ns.type == "pid"; });
  ASSERT_FALSE(Create(spec));
  ASSERT_FALSE(Start());
  EXPECT_EQ(WaitForExit(), 4U);
  ReadToEnd(StreamKind::kStdout);
  EXPECT_FALSE(Delete());
}

TEST_F(ContainerTest, TerminalCarriesBothWays) {
  oci::Spec spec = ShellSpec("tty; stty size; read word; echo got $word");
  spec.process->terminal = true;
  spec.process->console_size = oci::ConsoleSize{33, 111};
  ASSERT_FALSE(Create(spec, true));
  ASSERT_FALSE(Start());
  streams_.at(StreamKind::kStdin)->Send("hello\n");
  EXPECT_EQ(WaitForExit(), 0U);
  ReadToEnd(StreamKind::kStdout);
  const std::string& text = streams_.at(StreamKind::kStdout)->text();
  EXPECT_THAT(text, HasSubstr("/dev/pts/0"));
  EXPECT_THAT(text, HasSubstr("33 111"));
  EXPECT_THAT(text, HasSubstr("got hello"));
}

TEST_F(ContainerTest, StartContainerHooksRunInsideBeforeTheProgram) {
  oci::Spec spec = ShellSpec("cat /run/state; cat /run/order; echo program");
  spec.hooks.start_container = {
      {"/bin/sh", {"sh", "-c", "cat >/run/state; echo; echo hook >/run/order"}, {"PATH=/bin"}, {}}};
  const RunResult result = Run(spec);
  ASSERT_FALSE(result.error) << result.error->Message();
  EXPECT_THAT(result.out, HasSubstr("\"id\":\"c1\",\"status\":\"created\",\"pid\":1,"));
  EXPECT_THAT(result.out, testing::EndsWith("hook\nprogram\n"));
}

TEST_F(ContainerTest, AStartContainerHookThatFailsFailsStart) {
  oci::Spec spec = ShellSpec("echo program");
  spec.hooks.start_container = {
      {"/bin/sh", {"sh", "-c", "echo unlucky >&2; exit 3"}, {"PATH=/bin"}, {}}};
  ASSERT_FALSE(Create(spec));
  const auto error = Start();
  ASSERT_TRUE(error);
  EXPECT_THAT(error->Message(), HasSubstr("status 3: unlucky"));
  WaitForExit();
  ReadToEnd(StreamKind::kStdout);
  EXPECT_EQ(streams_.at(StreamKind::kStdout)->text(), "");
}

}  // namespace
}  // namespace agent
