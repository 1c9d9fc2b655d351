#include "runtime/pod/process.h"

#include <gtest/gtest.h>

#include "runtime/base/event_loop.h"

namespace pod {
namespace {

class ProcessTest : public ::testing::Test {
 protected:
  void SetUp() override {
    loop_ = std::move(*base::EventLoop::Create());
    process_ = std::make_unique<Process>(*loop_, [this](const ExitInfo& exit) {
      ++exits_;
      status_ = exit.exit_status;
    });
  }
  void Turn() {
    for (int i = 0; i < 3; ++i) ASSERT_TRUE(loop_->RunOnce(std::chrono::milliseconds(5)));
  }
  static ExitInfo Exit(uint32_t status) { return {.pid = 1, .exit_status = status}; }

  std::unique_ptr<base::EventLoop> loop_;
  std::unique_ptr<Process> process_;
  std::shared_ptr<void> caller_ = std::make_shared<int>();
  int exits_ = 0;
  uint32_t status_ = 0;
};

TEST_F(ProcessTest, ExitIsToldOnceAndTheFirstCounts) {
  ASSERT_TRUE(process_->BeginStart());
  process_->FinishStart(true);
  EXPECT_EQ(process_->status(), Status::kRunning);
  process_->Exited(Exit(7));
  process_->Exited(Exit(137));
  EXPECT_EQ(exits_, 0) << "never from inside the call";
  Turn();
  EXPECT_EQ(exits_, 1);
  EXPECT_EQ(status_, 7U);
  EXPECT_EQ(process_->status(), Status::kStopped);
}

TEST_F(ProcessTest, ExitWaitsForTheAnswerToStart) {
  ASSERT_TRUE(process_->BeginStart());
  process_->Exited(Exit(3));
  Turn();
  EXPECT_EQ(exits_, 0);
  EXPECT_FALSE(process_->exit());
  process_->FinishStart(true);
  Turn();
  EXPECT_EQ(exits_, 1);
  EXPECT_EQ(status_, 3U);
}

TEST_F(ProcessTest, StartsOnceOnly) {
  ASSERT_TRUE(process_->BeginStart());
  EXPECT_EQ(process_->BeginStart().error().code(), base::Code::kFailedPrecondition);
  process_->FinishStart(true);
  EXPECT_EQ(process_->BeginStart().error().code(), base::Code::kFailedPrecondition);
  process_->Exited(Exit(0));
  EXPECT_EQ(process_->BeginStart().error().code(), base::Code::kFailedPrecondition);
}

TEST_F(ProcessTest, FailedStartMayBeTriedAgain) {
  ASSERT_TRUE(process_->BeginStart());
  process_->FinishStart(false);
  EXPECT_EQ(process_->status(), Status::kCreated);
  EXPECT_TRUE(process_->BeginStart());
}

TEST_F(ProcessTest, KilledBeforeStart) {
  process_->Exited(Exit(137));
  Turn();
  EXPECT_EQ(exits_, 1);
  EXPECT_EQ(process_->status(), Status::kStopped);
}

TEST_F(ProcessTest, AllWaitersHearButThoseThatHungUp) {
  auto gone = std::make_shared<int>();
  int heard = 0;
  int heard_by_gone = 0;
  for (int i = 0; i < 3; ++i) {
    process_->Wait(caller_, [&](base::Result<ExitInfo> exit) {
      heard += exit && exit->exit_status == 9 ? 1 : 0;
    });
  }
  process_->Wait(gone, [&](base::Result<ExitInfo>) { ++heard_by_gone; });
  gone.reset();
  process_->Exited(Exit(9));
  Turn();
  process_->Wait(caller_, [&](base::Result<ExitInfo>) { ++heard; });
  EXPECT_EQ(heard, 4);
  EXPECT_EQ(heard_by_gone, 0);
}

TEST_F(ProcessTest, WhatIsDeletedBeforeItsStartHasNoExit) {
  int heard = 0;
  process_->Wait(caller_, [&](base::Result<ExitInfo> exit) {
    heard += exit && exit->exit_status == 0 ? 1 : 0;
  });
  process_->NeverStarts(Exit(0));
  Turn();
  EXPECT_EQ(heard, 1);
  EXPECT_EQ(exits_, 0);
  EXPECT_EQ(process_->status(), Status::kStopped);
  EXPECT_TRUE(process_->exit());
}

TEST_F(ProcessTest, AStartThatFailsForGoodReleasesItsWaitersWithoutAnExit) {
  int heard = 0;
  process_->Wait(caller_, [&](base::Result<ExitInfo> exit) {
    heard += exit && exit->exit_status == 255 ? 1 : 0;
  });
  ASSERT_TRUE(process_->BeginStart());
  process_->NeverStarts(Exit(255));
  Turn();
  EXPECT_EQ(heard, 1);
  EXPECT_EQ(process_->status(), Status::kStopped);
  process_->Exited(Exit(127));
  Turn();
  EXPECT_EQ(exits_, 0);
  EXPECT_EQ(process_->BeginStart().error().code(), base::Code::kFailedPrecondition);
}

TEST_F(ProcessTest, AbandonedWaitsDoNotPileUp) {
  int heard = 0;
  for (int i = 0; i < 10000; ++i) {
    auto caller = std::make_shared<int>();
    process_->Wait(caller, [&heard](base::Result<ExitInfo>) { ++heard; });
  }
  process_->Wait(caller_, [&heard](base::Result<ExitInfo>) { ++heard; });
  EXPECT_LE(process_->waiter_count(), 2U);
  process_->Exited(Exit(0));
  Turn();
  EXPECT_EQ(heard, 1);
}

}  // namespace
}  // namespace pod
