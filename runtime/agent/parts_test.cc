// The parts that need no container: tables, parsers, paths, relays.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent-proto/stream/stream_codec.h"
#include "runtime/agent/agent_service.h"
#include "runtime/agent/capabilities.h"
#include "runtime/agent/cgroup.h"
#include "runtime/agent/cpu_list.h"
#include "runtime/agent/exec_lookup.h"
#include "runtime/agent/modules.h"
#include "runtime/agent/mount_options.h"
#include "runtime/agent/namespaces.h"
#include "runtime/agent/process_identity.h"
#include "runtime/agent/relay.h"
#include "runtime/base/file.h"
#include "runtime/base/socket.h"

namespace agent {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Pair;

TEST(CpuListTest, RangesAndGarbage) {
  EXPECT_THAT(ParseCpuList("0-2,7\n"), ElementsAre(0, 1, 2, 7));
  EXPECT_THAT(ParseCpuList(""), IsEmpty());
  EXPECT_THAT(ParseCpuList("1,x"), ElementsAre(1));
  EXPECT_THAT(ParseCpuList("0-99999"), IsEmpty());
  EXPECT_THAT(ParseCpuList("5-"), IsEmpty());
}

TEST(ModulesTest, OrderSkipsCommentsAndRefusesPaths) {
  EXPECT_THAT(*ParseModuleOrder("# first\nvirtio.ko\n\nfuse.ko\n"),
              ElementsAre("virtio.ko", "fuse.ko"));
  EXPECT_FALSE(ParseModuleOrder("../evil.ko\n"));
  EXPECT_THAT(LoadModules("/nosuch"), IsEmpty());
}

TEST(ModulesTest, CopiedWhereTheyCanBeReachedAndGoneOnceLoaded) {
  char directory[] = "/tmp/modules_test.XXXXXX";
  ASSERT_NE(mkdtemp(directory), nullptr);
  const std::string from = std::string(directory) + "/from", to = std::string(directory) + "/a/to";
  ASSERT_TRUE(base::MakeDirectories(from));
  ASSERT_TRUE(base::WriteFileAtomic(from + "/order", "no-module.ko\n"));
  ASSERT_TRUE(base::WriteFileAtomic(from + "/no-module.ko", "not ELF"));
  ASSERT_TRUE(CopyModules(from, to));
  EXPECT_EQ(*base::ReadFile(to + "/no-module.ko"), "not ELF");
  EXPECT_THAT(LoadModulesOnce(to), ElementsAre(HasSubstr("no-module.ko")));
  EXPECT_FALSE(base::ReadFile(to + "/no-module.ko"));
  EXPECT_THAT(LoadModulesOnce(to), IsEmpty());
  EXPECT_TRUE(CopyModules("/nosuch", to)) << "an initrd without such modules";
  RemoveModules(from);
  EXPECT_FALSE(base::ReadFile(from + "/order"));
  for (const std::string& made : {to, std::string(directory) + "/a", from}) rmdir(made.c_str());
  EXPECT_EQ(rmdir(directory), 0) << "something was left";
}

TEST(MountOptionsTest, LastOfAContradictionWins) {
  const MountOptions options = *ParseMountOptions({"ro", "nosuid", "rw", "noatime", "relatime"});
  EXPECT_EQ(options.set, static_cast<uint64_t>(MOUNT_ATTR_NOSUID));
  EXPECT_EQ(options.clear, static_cast<uint64_t>(MOUNT_ATTR_RDONLY | MOUNT_ATTR__ATIME));
}

TEST(MountOptionsTest, RecursiveTwinsAndFileSystemWords) {
  const MountOptions options =
      *ParseMountOptions({"rbind", "rro", "rslave", "mode=755", "newinstance", "defaults"});
  EXPECT_TRUE(options.bind && options.recursive_bind && options.recursive_propagation);
  EXPECT_EQ(options.recursive_set, static_cast<uint64_t>(MOUNT_ATTR_RDONLY));
  EXPECT_EQ(options.propagation, static_cast<uint64_t>(MS_SLAVE));
  EXPECT_THAT(options.parameters, ElementsAre(Pair("mode", "755")));
  EXPECT_THAT(options.flags, ElementsAre("newinstance"));
  EXPECT_EQ(ParseMountOptions({"idmap"}).error().code(), base::Code::kUnimplemented);
}

TEST(CapabilitiesTest, UnknownNamesAreTold) {
  std::vector<std::string> unknown;
  EXPECT_EQ(ParseCapabilities({"CAP_CHOWN", "CAP_CHECKPOINT_RESTORE", "CAP_OF_TOMORROW"}, &unknown),
            1ULL | 1ULL << 40);
  EXPECT_THAT(unknown, ElementsAre("CAP_OF_TOMORROW"));
}

TEST(NamespacesTest, PathsBelongToThePod) {
  const NamespacePlan plan =
      *PlanNamespaces({{"pid", ""}, {"network", "/proc/7/ns/net"}, {"uts", "/x"}, {"cgroup", ""}});
  EXPECT_EQ(plan.clone_flags, static_cast<uint64_t>(CLONE_NEWPID | CLONE_NEWNS));
  EXPECT_TRUE(plan.owns_hostname);
  const auto guests = PlanNamespaces({{"pid", "/proc/1/ns/pid"}});
  EXPECT_FALSE(guests->HasNew(CLONE_NEWPID));
  EXPECT_EQ(guests->pid_namespace, "") << "the agent is in it already";
  const auto others = PlanNamespaces({{"pid", "/proc/7/ns/pid"}});
  EXPECT_FALSE(others->HasNew(CLONE_NEWPID));
  EXPECT_EQ(others->pid_namespace, "/proc/7/ns/pid");
  EXPECT_EQ(PlanNamespaces({{"mount", "/x"}}).error().code(), base::Code::kUnimplemented);
  EXPECT_EQ(PlanNamespaces({{"ipc", ""}, {"ipc", ""}}).error().code(),
            base::Code::kInvalidArgument);
  EXPECT_EQ(PlanNamespaces({{"pod", ""}}).error().code(), base::Code::kInvalidArgument);
}

std::map<std::string, std::string> Settings(const oci::Resources& resources) {
  std::map<std::string, std::string> out;
  const auto settings = CgroupSettings(resources);
  for (const CgroupSetting& setting : *settings) out[setting.file] = setting.value;
  return out;
}

TEST(CgroupSettingsTest, WordsOfVersion2) {
  oci::Resources resources;
  resources.memory = oci::MemoryLimits{};
  resources.memory->limit = 1000;
  resources.memory->swap = 1500;
  resources.cpu = oci::CpuLimits{};
  resources.cpu->shares = 1024;
  resources.cpu->quota_us = 250000;
  resources.cpu->period_us = 100000;
  resources.pids = oci::PidsLimit{-1};
  resources.unified = {{"memory.high", "900"}};
  EXPECT_THAT(Settings(resources),
              ElementsAre(Pair("cpu.max", "250000 100000"), Pair("cpu.weight", "39"),
                          Pair("memory.high", "900"), Pair("memory.max", "1000"),
                          Pair("memory.swap.max", "500"), Pair("pids.max", "max")));
  resources.memory->swap = 999;
  EXPECT_EQ(CgroupSettings(resources).error().code(), base::Code::kInvalidArgument);
}

TEST(CgroupSettingsTest, ZeroIsNotSet) {
  oci::Resources resources;
  resources.cpu = oci::CpuLimits{};
  resources.cpu->quota_us = 50000;
  resources.cpu->period_us = 0;  // ctr run --cpu-quota 50000
  EXPECT_THAT(Settings(resources), ElementsAre(Pair("cpu.max", "50000 100000")));
  resources.cpu->quota_us = 0;
  EXPECT_THAT(Settings(resources), testing::IsEmpty());
  resources.cpu->period_us = 20000;
  EXPECT_THAT(Settings(resources), ElementsAre(Pair("cpu.max", "max 20000")));
}

TEST(CompleteUpdateTest, TheOtherHalfIsThatInForce) {
  oci::Resources applied;
  applied.cpu = oci::CpuLimits{};
  applied.cpu->quota_us = 50000;
  applied.cpu->period_us = 50000;
  applied.memory = oci::MemoryLimits{};
  applied.memory->limit = 1000;
  const auto cpu = [&](int64_t quota, uint64_t period) {
    oci::Resources update;
    update.cpu = oci::CpuLimits{};
    update.cpu->quota_us = quota;
    update.cpu->period_us = period;
    return Settings(CompleteUpdate(update, applied));
  };
  EXPECT_THAT(cpu(25000, 0), ElementsAre(Pair("cpu.max", "25000 50000")));
  EXPECT_THAT(cpu(0, 20000), ElementsAre(Pair("cpu.max", "50000 20000")));
  EXPECT_THAT(cpu(-1, 0), ElementsAre(Pair("cpu.max", "max 50000")));
  EXPECT_THAT(cpu(0, 0), testing::IsEmpty());
  EXPECT_THAT(cpu(70000, 80000), ElementsAre(Pair("cpu.max", "70000 80000")));

  oci::Resources swap;
  swap.memory = oci::MemoryLimits{};
  swap.memory->swap = 1500;
  EXPECT_THAT(Settings(CompleteUpdate(swap, applied)),
              ElementsAre(Pair("memory.max", "1000"), Pair("memory.swap.max", "500")));
  oci::Resources pids;
  pids.pids = oci::PidsLimit{0};
  EXPECT_THAT(Settings(CompleteUpdate(pids, applied)), testing::IsEmpty()) << "stays as it is";
}

TEST(CgroupSettingsTest, UnifiedNamesStayInTheDirectory) {
  oci::Resources resources;
  resources.unified = {{"../cgroup.procs", "1"}};
  EXPECT_EQ(CgroupSettings(resources).error().code(), base::Code::kInvalidArgument);
}

TEST(ExecLookupTest, WordsOfRunc) {
  EXPECT_EQ(*FindExecutable("sh", "/nosuch:/bin"), "/bin/sh");
  EXPECT_EQ(FindExecutable("sh", "").error().Message(),
            "exec: \"sh\": executable file not found in $PATH");
  EXPECT_EQ(FindExecutable("/tmp", "/bin").error().Message(), "exec: \"/tmp\": is a directory");
  EXPECT_FALSE(FindExecutable("", "/bin"));
  EXPECT_EQ(EnvironmentValue({"A=1", "PATH=/x", "PATH=/y"}, "PATH"), "/y");
}

TEST(EnvironmentTest, TheLastOfANameStays) {
  EXPECT_THAT(*DistinctEnvironment({"A=1", "B=", "HOME=", "A=2", "AB=3", "B=x=y"}),
              ElementsAre("A=2", "AB=3", "B=x=y"));
  EXPECT_THAT(*DistinctEnvironment({"HOME=/x", "HOME="}), testing::IsEmpty());
  EXPECT_EQ(DistinctEnvironment({"A"}).error().Message(), "process.env \"A\": it is no NAME=value");
  EXPECT_FALSE(DistinctEnvironment({"=1"}));
}

TEST(IdentityTest, HomeOfAUserThatPasswdMayNotKnow) {
  const std::string passwd = "broken\nroot:x:0:0::/root:/bin/sh\nodd:x:5:5::relative:/bin/sh\n";
  EXPECT_EQ(HomeDirectory(0, passwd), "/root");
  EXPECT_EQ(HomeDirectory(5, passwd), "/");
  EXPECT_EQ(HomeDirectory(9, passwd), "/");
}

TEST(ContainerIdTest, AreFileNames) {
  EXPECT_TRUE(CheckId("container_id", "a.b_C-9"));
  for (const std::string bad : {"", ".", "..", "-a", "a/b", "a b", "\x01"}) {
    EXPECT_FALSE(CheckId("container_id", bad)) << bad;
  }
  EXPECT_FALSE(CheckId("container_id", std::string(129, 'a')));
}

class RelayTest : public testing::Test {
 protected:
  void SetUp() override {
    auto loop = base::EventLoop::Create();
    ASSERT_TRUE(loop);
    loop_ = std::move(*loop);
    auto pair = base::SocketPair(SOCK_STREAM);
    ASSERT_TRUE(pair);
    host_ = std::move(pair->first);
    guest_ = std::move(pair->second);
    int fds[2];
    ASSERT_EQ(pipe2(fds, O_CLOEXEC | O_NONBLOCK), 0);
    read_end_.Reset(fds[0]);
    write_end_.Reset(fds[1]);
  }
  void Turn(int times = 20) {
    for (int i = 0; i < times; ++i) {
      ASSERT_TRUE(loop_->RunOnce(std::chrono::milliseconds(0)));
    }
  }
  std::unique_ptr<base::EventLoop> loop_;
  base::UniqueFd host_;
  base::UniqueFd guest_;
  base::UniqueFd read_end_;
  base::UniqueFd write_end_;
};

TEST_F(RelayTest, InputKeepsNoMoreThanItCanPassOn) {
  auto relay = InputRelay::Create(*loop_, std::move(guest_), std::move(write_end_), true);
  ASSERT_TRUE(relay);
  const std::string frame = stream::Encode(std::string(60000, 'x'));
  size_t taken = 0;
  // Nobody reads the pipe: the relay must stop reading the host.
  for (int i = 0; i < 200; ++i) {
    const ssize_t size = send(host_.get(), frame.data(), frame.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (size < 0) break;
    taken += static_cast<size_t>(size);
    if (static_cast<size_t>(size) < frame.size()) break;
    Turn(5);
  }
  EXPECT_LT(taken, size_t{2} << 20);
}

TEST_F(RelayTest, GarbageFromTheHostEndsTheInput) {
  auto relay = InputRelay::Create(*loop_, std::move(guest_), std::move(write_end_), true);
  ASSERT_TRUE(relay);
  ASSERT_EQ(send(host_.get(), "\xff\xff\xff\xff", 4, 0), 4);
  Turn();
  char byte = 0;
  EXPECT_EQ(read(read_end_.get(), &byte, 1), 0);
}

// The kernel finds 32 KiB in one piece, headers included, even where memory is scattered.
TEST_F(RelayTest, OutputEmptiesAPipeInOneTurnByFramesThatFitTheKernelsBuffers) {
  auto relay = OutputRelay::Create(*loop_, std::move(read_end_), std::move(guest_), {});
  ASSERT_TRUE(relay);
  const std::string sent(64 << 10, 'x');
  ASSERT_EQ(write(write_end_.get(), sent.data(), sent.size()), static_cast<ssize_t>(sent.size()));
  Turn(1);
  std::string bytes(128 << 10, '\0');
  const ssize_t size = recv(host_.get(), bytes.data(), bytes.size(), MSG_DONTWAIT);
  ASSERT_GT(size, 0);
  stream::Decoder decoder;
  decoder.Push({bytes.data(), static_cast<size_t>(size)});
  std::string got;
  while (auto frame = *decoder.Next()) {
    EXPECT_LT(frame->bytes.size(), size_t{32000});
    got += frame->bytes;
  }
  EXPECT_EQ(got, sent);
}

TEST_F(RelayTest, OutputWaitsForASlowHostAndLosesNothing) {
  auto relay = OutputRelay::Create(*loop_, std::move(read_end_), std::move(guest_), {});
  ASSERT_TRUE(relay);
  std::string sent;
  std::string got;
  stream::Decoder decoder;
  // As much as socket, relay and pipe take; only then the host reads.
  for (int round = 0; round < 3; ++round) {
    std::string chunk(4096, '\0');
    for (size_t i = 0; i < chunk.size(); ++i) chunk[i] = static_cast<char>(sent.size() / 4096 + i);
    while (write(write_end_.get(), chunk.data(), chunk.size()) ==
           static_cast<ssize_t>(chunk.size())) {
      sent += chunk;
      ASSERT_LT(sent.size(), size_t{8} << 20) << "memory is not bounded";
      Turn(1);
    }
    for (int i = 0; i < 10000 && got.size() < sent.size(); ++i) {
      std::string bytes(64 << 10, '\0');
      const ssize_t size = recv(host_.get(), bytes.data(), bytes.size(), MSG_DONTWAIT);
      if (size > 0) decoder.Push({bytes.data(), static_cast<size_t>(size)});
      while (auto frame = *decoder.Next()) got += frame->bytes;
      Turn(1);
    }
  }
  EXPECT_GT(sent.size(), size_t{128} << 10);
  EXPECT_EQ(got, sent);
}

TEST_F(RelayTest, OutputEndsOnceAndInBand) {
  int ends = 0;
  auto relay =
      OutputRelay::Create(*loop_, std::move(read_end_), std::move(guest_), [&] { ++ends; });
  ASSERT_TRUE(relay);
  ASSERT_EQ(write(write_end_.get(), "hi", 2), 2);
  Turn();
  write_end_.Reset();
  Turn();
  EXPECT_EQ(ends, 1);
  char bytes[32];
  const ssize_t size = recv(host_.get(), bytes, sizeof bytes, MSG_DONTWAIT);
  ASSERT_GT(size, 0);
  EXPECT_EQ(std::string(bytes, static_cast<size_t>(size)),
            stream::Encode("hi") + stream::EncodeEof());
}

}  // namespace
}  // namespace agent
