// Execs in real containers, and what is done to a container as a whole.
#include <gmock/gmock.h>
#include <signal.h>

#include <filesystem>

#include "runtime/agent/container_fixture.h"
#include "runtime/base/file.h"

namespace agent {
namespace {

using base::Code;
using testing::Contains;
using testing::HasSubstr;
using testing::Key;

class ExecTest : public ContainerTest {
 protected:
  void SetUp() override {
    ContainerTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    ASSERT_FALSE(Create(ShellSpec("sleep 999")));
  }
  void Run(const std::string& exec_id, const oci::Process& process) {
    const auto created = Exec(exec_id, process);
    ASSERT_FALSE(created) << created->Message();
    const auto started = Start(exec_id);
    ASSERT_FALSE(started) << started->Message();
  }
  std::string OutputOf(const std::string& exec_id, const oci::Process& process) {
    Run(exec_id, process);
    WaitForExit(exec_id);
    return ExecOutput(exec_id);
  }
};

TEST_F(ExecTest, ItSharesWhatTheInitHas) {
  ASSERT_FALSE(Start());
  const std::string out = OutputOf(
      "e",
      ShellProcess("for n in pid ipc uts net mnt cgroup; do [ \"$(readlink /proc/self/ns/$n)\" "
                   "= \"$(readlink /proc/1/ns/$n)\" ] || echo other $n; done; hostname; "
                   "head -c 5 /proc/1/cmdline; echo; readlink /proc/self/root"));
  EXPECT_EQ(out, "inside\nsleep\n/\n");
  const auto pids = container_->Pids();
  ASSERT_TRUE(pids);
  EXPECT_EQ(pids->size(), 1U);
}

TEST_F(ExecTest, UserCapabilitiesDirectoryAndEnvironmentAreItsOwn) {
  ASSERT_FALSE(Start());
  oci::Process process = ShellProcess(
      "id -u; id -G; readlink /proc/self/cwd; env | grep ^X; "
      "grep -E 'CapEff|NoNewPrivs|oom' /proc/self/status; "
      "cat /proc/self/oom_score_adj");
  process.user.uid = 1000;
  process.user.gid = 7;
  process.user.additional_gids = {9};
  process.cwd = "/bin";
  process.env = {"PATH=/bin", "X=image", "X=y"};
  process.oom_score_adj = 321;
  process.capabilities = oci::Capabilities{{"CAP_KILL"}, {}, {}, {}, {}};
  EXPECT_EQ(OutputOf("e", process),
            "1000\n7 9\n/bin\nX=y\nCapEff:\t0000000000000000\nNoNewPrivs:\t1\n321\n");
}

TEST_F(ExecTest, ADirectoryThatIsMissingIsNotMade) {
  ASSERT_FALSE(Start());
  oci::Process process = ShellProcess("pwd");
  process.cwd = "/nope";
  const auto refused = Exec("e", process);
  ASSERT_TRUE(refused);
  EXPECT_THAT(refused->Message(), testing::HasSubstr("chdir to cwd \"/nope\""));
  EXPECT_FALSE(std::filesystem::exists(root() + "/nope"));
}

TEST_F(ExecTest, WhatItLeavesOutIsTheContainers) {
  ASSERT_FALSE(Start());
  oci::Process process = ShellProcess("grep CapEff /proc/self/status");
  process.capabilities.reset();
  EXPECT_EQ(OutputOf("e", process), "CapEff:\t0000000000000020\n");  // CAP_KILL
}

TEST_F(ExecTest, ManyAtOnceEachWithItsStreamsAndStatus) {
  ASSERT_FALSE(Start());
  for (int i = 0; i < 20; ++i) {
    ASSERT_FALSE(Exec(fmt::format("e{}", i), ShellProcess(fmt::format("cat; exit {}", i)), true));
  }
  for (int i = 19; i >= 0; --i) ASSERT_FALSE(Start(fmt::format("e{}", i)));
  for (int i = 0; i < 20; ++i) {
    auto& in = *exec_streams_.at(fmt::format("e{}", i)).at(StreamKind::kStdin);
    in.Send(fmt::format("word {}", i));
    in.SendEof();
  }
  for (int i = 0; i < 20; ++i) {
    const std::string id = fmt::format("e{}", i);
    EXPECT_EQ(WaitForExit(id), static_cast<uint32_t>(i));
    EXPECT_EQ(ExecOutput(id), fmt::format("word {}", i));
    EXPECT_FALSE(Delete(id));
    EXPECT_EQ(Delete(id)->code(), Code::kNotFound);
  }
}

TEST_F(ExecTest, MissingBinarySaysSoAndFreesTheId) {
  ASSERT_FALSE(Start());
  oci::Process process = ShellProcess("");
  process.args = {"nosuch"};
  const auto error = Exec("e", process);
  ASSERT_TRUE(error);
  EXPECT_EQ(error->code(), Code::kNotFound);
  EXPECT_THAT(error->Message(), HasSubstr("executable file not found in $PATH"));
  EXPECT_EQ(OutputOf("e", ShellProcess("echo again")), "again\n");
}

TEST_F(ExecTest, WrongTimesAreRefused) {
  EXPECT_EQ(Exec("early", ShellProcess(""))->code(), Code::kFailedPrecondition);
  ASSERT_FALSE(Start());
  ASSERT_FALSE(Exec("e", ShellProcess("sleep 999")));
  EXPECT_EQ(Exec("e", ShellProcess(""))->code(), Code::kAlreadyExists);
  ASSERT_FALSE(Start("e"));
  EXPECT_EQ(Start("e")->code(), Code::kFailedPrecondition);
  EXPECT_EQ(Delete("e")->code(), Code::kFailedPrecondition);
  ASSERT_TRUE(container_->Signal("e", SIGTERM, false));
  EXPECT_EQ(WaitForExit("e"), 128U + SIGTERM);
  EXPECT_EQ(container_->Signal("e", SIGTERM, false).error().code(), Code::kNotFound);
  ASSERT_TRUE(container_->Signal("", SIGKILL, false));
  WaitForExit();
  EXPECT_EQ(Exec("late", ShellProcess(""))->code(), Code::kFailedPrecondition);
}

TEST_F(ExecTest, OneThatNeverStartedCanBeDeleted) {
  ASSERT_FALSE(Start());
  ASSERT_FALSE(Exec("e", ShellProcess("")));
  EXPECT_FALSE(Delete("e"));
  EXPECT_EQ(container_->Pids()->size(), 1U);
}

TEST_F(ExecTest, TheInitsEndIsToldLast) {
  ASSERT_FALSE(Start());
  for (const char* id : {"a", "b"}) Run(id, ShellProcess("sleep 999"));
  ASSERT_FALSE(Exec("never-started", ShellProcess("")));
  std::string order;
  container_->Wait("", [&](base::Result<uint32_t>) { order += "init"; });
  for (const char* id : {"a", "b"}) {
    container_->Wait(id, [&](base::Result<uint32_t> status) {
      EXPECT_EQ(*status, 137U);
      order += "exec ";
    });
  }
  ASSERT_TRUE(container_->Signal("", SIGKILL, false));
  Spin([&] { return order.find("init") != std::string::npos; });
  EXPECT_EQ(order, "exec exec init");
  EXPECT_FALSE(Delete());
}

TEST_F(ContainerTest, WithoutAPidNamespaceTheInitsEndIsToldLastToo) {
  oci::Spec spec = ShellSpec("read word");
  std::erase_if(spec.linux_config.namespaces, [](const auto& ns) { return ns.type == "pid"; });
  ASSERT_FALSE(Create(spec, true));
  ASSERT_FALSE(Start());
  ASSERT_FALSE(Exec("a", ShellProcess("sleep 999")));
  ASSERT_FALSE(Start("a"));
  std::string order;
  container_->Wait("", [&](base::Result<uint32_t>) { order += "init"; });
  container_->Wait("a", [&](base::Result<uint32_t>) { order += "exec "; });
  streams_.at(StreamKind::kStdin)->SendEof();
  Spin([&] { return order.find("init") != std::string::npos; });
  EXPECT_EQ(order, "exec init");
}

TEST_F(ExecTest, ATerminalOfItsOwnCanBeResized) {
  ASSERT_FALSE(Start());
  oci::Process process = ShellProcess("tty; stty size; read word; stty size; echo got $word");
  process.terminal = true;
  process.console_size = oci::ConsoleSize{33, 111};
  ASSERT_FALSE(Exec("e", process, true));
  ASSERT_FALSE(Start("e"));
  HostStream& out = *exec_streams_.at("e").at(StreamKind::kStdout);
  Spin([&] { return out.text().find("33 111") != std::string::npos; });
  ASSERT_TRUE((*container_->Find("e"))->Resize(80, 24));
  exec_streams_.at("e").at(StreamKind::kStdin)->Send("hello\n");
  EXPECT_EQ(WaitForExit("e"), 0U);
  const std::string text = ExecOutput("e");
  EXPECT_THAT(text, HasSubstr("/dev/pts/"));
  EXPECT_THAT(text, HasSubstr("24 80"));
  EXPECT_THAT(text, HasSubstr("got hello"));
  EXPECT_TRUE((*container_->Find(""))->Resize(80, 24)) << "no terminal, nothing to do";
}

TEST_F(ExecTest, AFrozenContainerTakesNoExecAndDiesOfAKill) {
  EXPECT_EQ(Await([&](const auto& done) { container_->Freeze(true, done); })->code(),
            Code::kFailedPrecondition)
      << "it does not run yet";
  ASSERT_FALSE(Start());
  ASSERT_FALSE(Await([&](const auto& done) { container_->Freeze(true, done); }));
  EXPECT_EQ(Exec("e", ShellProcess(""))->code(), Code::kFailedPrecondition);
  ASSERT_FALSE(Await([&](const auto& done) { container_->Freeze(false, done); }));
  EXPECT_EQ(OutputOf("e", ShellProcess("echo thawed")), "thawed\n");
  ASSERT_FALSE(Await([&](const auto& done) { container_->Freeze(true, done); }));
  ASSERT_TRUE(container_->Signal("", SIGKILL, true));
  EXPECT_EQ(WaitForExit(), 137U);
}

TEST_F(ExecTest, StatsAreNumbersByFile) {
  ASSERT_FALSE(Start());
  EXPECT_THAT(container_->Stats().values, Contains(Key("cpu.stat/usage_usec")));
}

TEST_F(ExecTest, TheOomWaitEndsWithTheContainer) {
  ASSERT_FALSE(Start());
  std::optional<Code> code;
  container_->WaitOom(0, [&](base::Result<uint64_t> kills) { code = kills.error().code(); });
  ASSERT_TRUE(container_->Signal("", SIGKILL, false));
  WaitForExit();
  EXPECT_FALSE(code);
  EXPECT_FALSE(Delete());
  EXPECT_EQ(code, Code::kNotFound);
}

TEST(CgroupStats, IoStatOfManyDevices) {
  const auto io = ParseIoStat("8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5\nrubbish\n254:1\n");
  ASSERT_EQ(io.size(), 2U);
  EXPECT_EQ(io[0].major, 8U);
  EXPECT_EQ(io[0].wios, 4U);
  EXPECT_EQ(io[1].major, 254U);
  EXPECT_EQ(io[1].rbytes, 0U);
}

TEST(CgroupEvents, LinesThatAreNoNumbersArePassedOver) {
  EXPECT_THAT(ParseKeyedNumbers("low 0\nmax\nhigh x\noom_kill 3\n"),
              testing::ElementsAre(testing::Pair("low", 0U), testing::Pair("oom_kill", 3U)));
}

}  // namespace
}  // namespace agent
