// The state machine alone: what it does is written down, any step can be made to fail.
#include "runtime/pod/cpu_update.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "runtime/base/event_loop.h"

namespace pod {
namespace {

using base::Code;
using std::chrono::milliseconds;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::string Text(const CpuActions::Indices& indices) {
  std::string text;
  for (const uint32_t index : indices) text += fmt::format(" {}", index);
  return text;
}

PodPlan PlanOf(const std::vector<uint32_t>& indices) {
  PodPlan pod;
  for (const uint32_t index : indices) pod.plan.vcpus.push_back({.index = index});
  return pod;
}

// Answers at once, or, for the vmm, only when `mute` is false.
class Recorder : public CpuActions {
 public:
  explicit Recorder(base::EventLoop& loop) : loop_(loop) {}

  void Replan(const PlanChange& change,
              std::function<void(base::Result<Placement::Change>)> done) override {
    Placement::Change answer{in_force, change.kind == PlanChange::Kind::kNone ? in_force : next};
    answer.changes = change.kind != PlanChange::Kind::kNone;
    loop_.Post([done, answer] { done(answer); });
  }
  void Admit(const cpu::CpuPlan&, const cpu::CpuPlan& to, Done done) override {
    Act(fmt::format("admit {}", to.vcpus.size()), done);
  }
  void Commit(const PodPlan& plan, Done done) override {
    Act(fmt::format("commit {}", plan.plan.vcpus.size()), [this, plan, done](auto result) {
      if (result) in_force = plan;
      done(std::move(result));
    });
  }
  void Follow(Done done) override { Act("follow", done); }
  void AddCpus(const Indices& indices, CpusDone done) override {
    Vmm("add" + Text(indices), indices, std::move(done));
  }
  void RemoveCpus(const Indices& indices, CpusDone done) override {
    Vmm("remove" + Text(indices), indices, std::move(done));
  }
  void OnlineCpus(const Indices& indices, Done done) override {
    Act("online" + Text(indices), done);
  }
  void OfflineCpus(const Indices& indices, Done done) override {
    Act("offline" + Text(indices), done);
  }
  void Confine(const std::string& container, const cpu::GuestCpuset& cpuset, Done done) override {
    Act("confine " + container + " " + cpuset.vcpus.ToString(), done);
  }

  void Act(const std::string& what, const Done& done) {
    steps.push_back(what);
    const bool fails = what == failing;
    if (fails) failing.clear();
    loop_.Post([done, fails, code = failing_code] {
      done(fails ? base::Result<void>(base::MakeError(code, "broken")) : base::Ok());
    });
  }

  std::vector<std::string> steps;
  std::string failing;  // once
  Code failing_code = Code::kInternal;
  bool mute = false;
  std::function<void()> late;  // the answer that was not given
  PodPlan in_force, next;

 private:
  void Vmm(const std::string& what, const Indices& indices, CpusDone done) {
    steps.push_back(what);
    if (mute) {
      late = [done, indices] { done(base::Ok(), indices); };
      return;
    }
    const bool fails = what == failing;
    if (fails) failing.clear();
    loop_.Post([done, fails, indices] {
      if (!fails) return done(base::Ok(), indices);
      // The first one came, or went, all the same.
      done(base::MakeError(Code::kAborted, "refused"), {indices.front()});
    });
  }

  base::EventLoop& loop_;
};

class CpuUpdateTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto loop = base::EventLoop::Create();
    ASSERT_TRUE(loop);
    loop_ = std::move(*loop);
    actions_ = std::make_unique<Recorder>(*loop_);
    actions_->in_force = PlanOf({0, 1});
    update_ = std::make_unique<CpuUpdate>(*loop_, *actions_, 2, milliseconds(20));
  }

  void Ask(PlanChange::Kind kind, const std::string& container = "c") {
    CpuUpdate::Request request;
    request.change = {kind, container, {}};
    request.in_guest = [this](const cpu::GuestCpuset&, CpuUpdate::Done done) {
      actions_->Act("guest", done);
    };
    request.done = [this](base::Result<void> result) {
      results_.push_back(result ? "ok" : result.error().Message());
    };
    update_->Ask(std::move(request));
  }

  void RunUntil(const std::function<bool()>& reached) {
    for (int i = 0; i < 1000 && !reached(); ++i) ASSERT_TRUE(loop_->RunOnce(milliseconds(10)));
    ASSERT_TRUE(reached());
  }
  void RunUntilAnswered(size_t count) {
    RunUntil([&] { return results_.size() >= count; });
  }

  std::unique_ptr<base::EventLoop> loop_;
  std::unique_ptr<Recorder> actions_;
  std::unique_ptr<CpuUpdate> update_;
  std::vector<std::string> results_;
};

TEST_F(CpuUpdateTest, GrowsMaskedBeforeAddedAndOnlineBeforeTheGuestIsAsked) {
  actions_->next = PlanOf({0, 1, 2, 3});
  Ask(PlanChange::Kind::kUpdate);
  RunUntilAnswered(1);
  EXPECT_THAT(results_, ElementsAre("ok"));
  EXPECT_THAT(actions_->steps,
              ElementsAre("admit 4", "add 2 3", "online 2 3", "guest", "commit 4"));
}

TEST_F(CpuUpdateTest, ShrinksOfflineBeforeRemoved) {
  actions_->next = PlanOf({0});
  Ask(PlanChange::Kind::kUpdate);
  RunUntilAnswered(1);
  EXPECT_THAT(actions_->steps,
              ElementsAre("admit 1", "guest", "offline 1", "remove 1", "commit 1"));
}

TEST_F(CpuUpdateTest, ARefusedUnplugPutsEverythingBack) {
  actions_->next = PlanOf({0});
  actions_->failing = "remove 1";
  actions_->steps.clear();
  // Nothing went: the vmm's list of those that did is of another.
  Ask(PlanChange::Kind::kUpdate);
  RunUntilAnswered(1);
  EXPECT_THAT(results_[0],
              HasSubstr("remove vCPUs (the earlier CPU plan stays in force): refused"));
  EXPECT_THAT(actions_->steps, ElementsAre("admit 1", "guest", "offline 1", "remove 1", "admit 2",
                                           "add 1", "online 1", "commit 2"));
  EXPECT_EQ(actions_->in_force.plan.vcpus.size(), 2u);
}

TEST_F(CpuUpdateTest, WhatCameOfARefusedAdditionGoesAgain) {
  actions_->next = PlanOf({0, 1, 2, 3});
  actions_->failing = "add 2 3";
  Ask(PlanChange::Kind::kUpdate);
  RunUntilAnswered(1);
  EXPECT_THAT(results_[0], HasSubstr("add vCPUs"));
  EXPECT_THAT(actions_->steps,
              ElementsAre("admit 4", "add 2 3", "admit 2", "remove 2", "commit 2"));
}

TEST_F(CpuUpdateTest, EachStepsFailureLeavesTheEarlierPlan) {
  for (const char* step : {"admit 3", "online 2", "guest", "commit 3"}) {
    actions_->next = PlanOf({0, 1, 2});
    actions_->failing = step;
    results_.clear();
    Ask(PlanChange::Kind::kUpdate);
    RunUntilAnswered(1);
    EXPECT_THAT(results_[0], HasSubstr("broken")) << step;
    EXPECT_EQ(actions_->steps.back(), "commit 2") << step;
    EXPECT_EQ(actions_->in_force.plan.vcpus.size(), 2u) << step;
  }
  // And nothing of it is left that the next change would stumble over.
  actions_->steps.clear();
  Ask(PlanChange::Kind::kUpdate);
  RunUntilAnswered(2);
  EXPECT_THAT(actions_->steps, ElementsAre("admit 3", "add 2", "online 2", "guest", "commit 3"));
}

TEST_F(CpuUpdateTest, AnAnswerThatNeverComesEndsTheChangeAndALateOneIsPutRight) {
  actions_->next = PlanOf({0, 1, 2});
  actions_->mute = true;
  Ask(PlanChange::Kind::kUpdate);
  RunUntilAnswered(1);
  EXPECT_THAT(results_[0], HasSubstr("did not answer to the coming of vCPUs 2"));
  actions_->mute = false;
  actions_->steps.clear();
  actions_->late();
  RunUntil([&] { return !actions_->steps.empty() && actions_->steps.back() == "commit 2"; });
  EXPECT_THAT(actions_->steps, ElementsAre("admit 2", "remove 2", "commit 2"));
}

TEST_F(CpuUpdateTest, OneAtATimeAndInOrder) {
  actions_->next = PlanOf({0, 1, 2});
  Ask(PlanChange::Kind::kUpdate);
  update_->Follow();
  update_->Follow();
  Ask(PlanChange::Kind::kNone);
  RunUntilAnswered(2);
  EXPECT_THAT(actions_->steps,
              ElementsAre("admit 3", "add 2", "online 2", "guest", "commit 3", "follow", "guest"));
}

TEST_F(CpuUpdateTest, OtherContainersAreConfinedOnceAndTheirEndIsNoError) {
  actions_->next = PlanOf({0, 1, 2});
  actions_->next.containers["other"];
  actions_->next.cpusets["other"].vcpus = cpu::CpuSet{0, 1};
  actions_->next.cpusets["c"].vcpus = cpu::CpuSet{2};
  actions_->failing = "confine other 0-1";
  actions_->failing_code = Code::kNotFound;
  Ask(PlanChange::Kind::kJoin);
  RunUntilAnswered(1);
  EXPECT_THAT(results_, ElementsAre("ok"));
  EXPECT_THAT(actions_->steps, ElementsAre("admit 3", "add 2", "online 2", "confine other 0-1",
                                           "guest", "commit 3"));
}

TEST_F(CpuUpdateTest, TheEndOfTheMachineAnswersEverything) {
  actions_->next = PlanOf({0, 1, 2});
  Ask(PlanChange::Kind::kUpdate);
  Ask(PlanChange::Kind::kUpdate);
  update_->End("it has ended");
  EXPECT_THAT(results_, ElementsAre("it has ended", "it has ended"));
  Ask(PlanChange::Kind::kUpdate);
  EXPECT_EQ(results_.size(), 3u);
  ASSERT_TRUE(loop_->RunOnce(milliseconds(0)));
  EXPECT_THAT(actions_->steps, IsEmpty());
}

}  // namespace
}  // namespace pod
