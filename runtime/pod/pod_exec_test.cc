#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "runtime/pod/pod_impl.h"

namespace pod {

using base::Code;

// A pod with a container that runs, and without a machine: what is tested asks nothing of the
// guest. Not in an anonymous namespace, as it is the pod's friend.
class PodExecTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char path[] = "/tmp/pod_exec_test.XXXXXX";
    ASSERT_NE(mkdtemp(path), nullptr);
    dir_ = path;
    ASSERT_EQ(mkfifo((dir_ + "/out").c_str(), 0600), 0);
    loop_ = std::move(*base::EventLoop::Create());
    const PodOptions options{.ns = "ns", .pod_id = "c"};
    pod_ = std::make_unique<Pod>(*loop_, options, [this](const Event&) { ++events_; });
    CreateRequest request;
    request.id = "c";
    container_ =
        std::make_shared<Container>(*loop_, options, std::move(request), [](const ExitInfo&) {});
    ASSERT_TRUE(container_->init->process.BeginStart());
    container_->init->process.FinishStart(true);
    pod_->containers_["c"] = container_;
    pod_->machine_state_ = Pod::MachineState::kRunning;
  }
  void TearDown() override {
    pod_.reset();
    container_.reset();
    std::filesystem::remove_all(dir_);
  }

  void Turn(int times = 20) {
    for (int i = 0; i < times; ++i) ASSERT_TRUE(loop_->RunOnce(std::chrono::milliseconds(2)));
  }
  Code Exec(const std::string& exec_id, const std::string& out = "") {
    ExecRequest request;
    request.id = "c";
    request.exec_id = exec_id;
    request.process_json = R"({"args":["true"],"cwd":"/","user":{"uid":0,"gid":0}})";
    request.stdout_path = out;
    const base::Result<void> added = pod_->Exec(std::move(request));
    return added ? Code::kOk : added.error().code();
  }
  Code Kill(const std::string& exec_id) {
    std::optional<Code> code;
    pod_->Kill("c", exec_id, 9, false, [&](const base::Result<void>& killed) {
      code = killed ? Code::kOk : killed.error().code();
    });
    return code.value_or(Code::kUnknown);
  }
  // Execs that are there: as many of them have ended as the test says.
  void Fill(size_t count, bool ended) {
    const auto exec = std::make_shared<ContainerProcess>(*loop_, "some", Stdio::Paths(), nullptr,
                                                         [](const ExitInfo&) {});
    if (ended) exec->process.Exited(ExitNow(0, 0));
    for (size_t i = 0; i < count; ++i) {
      container_->execs[(ended ? "ended" : "new") + std::to_string(i)] = exec;
    }
  }

  std::string dir_;
  std::unique_ptr<base::EventLoop> loop_;
  std::unique_ptr<Pod> pod_;
  ContainerPtr container_;
  int events_ = 0;
};

namespace {

TEST_F(PodExecTest, ExecsThatHaveEndedTakeNoPlaceOfOthers) {
  Fill(10'000, /*ended=*/true);
  EXPECT_EQ(Exec("one"), Code::kOk);
  Fill(4095, /*ended=*/false);
  EXPECT_EQ(Exec("more"), Code::kResourceExhausted);
}

TEST_F(PodExecTest, ExecsThatNobodyDeletesAreLimited) {
  Fill(65535, /*ended=*/true);
  EXPECT_EQ(Exec("last"), Code::kOk);
  EXPECT_EQ(Exec("more"), Code::kResourceExhausted);
}

// Its client has given up, and nobody reads its output.
TEST_F(PodExecTest, AStartThatWaitsForAReaderIsCalledOffByDelete) {
  ASSERT_EQ(Exec("e", dir_ + "/out"), Code::kOk);
  std::optional<base::Result<pid_t>> started;
  pod_->Start("c", "e", [&](base::Result<pid_t> result) { started.emplace(std::move(result)); });
  Turn();
  ASSERT_FALSE(started);
  EXPECT_EQ(Kill("e"), Code::kFailedPrecondition);
  std::optional<base::Result<ExitInfo>> deleted;
  pod_->Delete("c", "e", [&](base::Result<ExitInfo> result) {
    EXPECT_TRUE(started) << "its Start is answered before it is gone";
    deleted.emplace(std::move(result));
  });
  std::optional<Code> second;
  pod_->Delete("c", "e",
               [&](const base::Result<ExitInfo>& result) { second = result.error().code(); });
  EXPECT_EQ(second, Code::kFailedPrecondition);
  Turn();
  ASSERT_TRUE(started && deleted);
  EXPECT_EQ(started->error().code(), Code::kCancelled);
  ASSERT_TRUE(deleted->has_value());
  EXPECT_EQ((*deleted)->exit_status, 255u);
  EXPECT_EQ(pod_->State("c", "e").error().code(), Code::kNotFound);
  EXPECT_EQ(events_, 0) << "it never was";
  EXPECT_EQ(Exec("e"), Code::kOk) << "the id is free";
}

// Its reader has come, and it is on its way to the guest.
TEST_F(PodExecTest, AStartIsCalledOffBetweenItsStreamsAndTheGuest) {
  ASSERT_EQ(Exec("e"), Code::kOk);  // without streams: open at once, told in the next turn
  std::optional<base::Result<pid_t>> started;
  pod_->Start("c", "e", [&](base::Result<pid_t> result) { started.emplace(std::move(result)); });
  std::optional<base::Result<ExitInfo>> deleted;
  pod_->Delete("c", "e",
               [&](base::Result<ExitInfo> result) { deleted.emplace(std::move(result)); });
  Turn();
  ASSERT_TRUE(started && deleted);
  EXPECT_EQ(started->error().code(), Code::kCancelled);
  EXPECT_TRUE(deleted->has_value());
}

}  // namespace
}  // namespace pod
