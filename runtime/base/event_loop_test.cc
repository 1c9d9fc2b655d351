#include "runtime/base/event_loop.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <string>
#include <thread>
#include <vector>

#include "runtime/base/socket.h"

namespace base {
namespace {

using std::chrono::milliseconds;

class EventLoopTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto loop = EventLoop::Create();
    ASSERT_TRUE(loop);
    loop_ = std::move(*loop);
    auto pair = SocketPair(SOCK_STREAM);
    ASSERT_TRUE(pair);
    near_ = std::move(pair->first);
    far_ = std::move(pair->second);
  }
  void MakeReadable(const UniqueFd& peer) { ASSERT_EQ(write(peer.get(), "x", 1), 1); }

  std::unique_ptr<EventLoop> loop_;
  UniqueFd near_, far_;
};

TEST_F(EventLoopTest, ReportsReadinessUntilItIsTaken) {
  int calls = 0;
  const auto watch = loop_->WatchFd(near_, EPOLLIN, [&](uint32_t events) {
    EXPECT_TRUE(events & EPOLLIN);
    ++calls;
  });
  ASSERT_TRUE(watch);
  ASSERT_TRUE(loop_->RunOnce(milliseconds(0)));
  EXPECT_EQ(calls, 0);
  MakeReadable(far_);
  ASSERT_TRUE(loop_->RunOnce(milliseconds(0)));
  ASSERT_TRUE(loop_->RunOnce(milliseconds(0)));
  EXPECT_EQ(calls, 2);  // level-triggered
}

TEST_F(EventLoopTest, SilencedWatchStillHearsHangUp) {
  uint32_t seen = 0;
  auto watch = loop_->WatchFd(near_, EPOLLIN, [&](uint32_t events) { seen |= events; });
  ASSERT_TRUE(watch);
  ASSERT_TRUE(watch->SetEvents(0));
  MakeReadable(far_);
  ASSERT_TRUE(loop_->RunOnce(milliseconds(0)));
  EXPECT_EQ(seen, 0u);
  far_.Reset();
  ASSERT_TRUE(loop_->RunOnce(milliseconds(0)));
  EXPECT_TRUE(seen & EPOLLHUP);
}

TEST_F(EventLoopTest, ACallbackMayDestroyItsOwnWatch) {
  int calls = 0;
  Watch watch;
  auto made = loop_->WatchFd(near_, EPOLLIN, [&, big = std::string(1000, 'x')](uint32_t) {
    watch = Watch();
    calls += static_cast<int>(big.size());  // what the callback captured is still there
  });
  ASSERT_TRUE(made);
  watch = std::move(*made);
  MakeReadable(far_);
  ASSERT_TRUE(loop_->RunOnce(milliseconds(0)));
  ASSERT_TRUE(loop_->RunOnce(milliseconds(0)));
  EXPECT_EQ(calls, 1000);
}

TEST_F(EventLoopTest, AnEarlierCallbackCancelsALaterOneOfTheSameRound) {
  int calls = 0;
  Watch first, second;
  auto one = loop_->WatchFd(near_, EPOLLIN, [&](uint32_t) { ++calls, second.Cancel(); });
  auto two = loop_->WatchFd(far_, EPOLLIN, [&](uint32_t) { ++calls, first.Cancel(); });
  ASSERT_TRUE(one && two);
  first = std::move(*one);
  second = std::move(*two);
  MakeReadable(far_);
  MakeReadable(near_);
  ASSERT_TRUE(loop_->RunOnce(milliseconds(0)));
  EXPECT_EQ(calls, 1);
}

TEST_F(EventLoopTest, CancelAfterTheOwnerClosedTheDescriptor) {
  auto watch = loop_->WatchFd(near_, EPOLLIN, [](uint32_t) { ADD_FAILURE(); });
  ASSERT_TRUE(watch);
  near_.Reset();
  watch->Cancel();
  EXPECT_FALSE(watch->active());
  EXPECT_FALSE(watch->SetEvents(EPOLLIN));
  ASSERT_TRUE(loop_->RunOnce(milliseconds(0)));
}

TEST_F(EventLoopTest, WatchingNothingIsAnError) {
  EXPECT_FALSE(loop_->WatchFd(BorrowedFd(-1), EPOLLIN, [](uint32_t) {}));
}

TEST_F(EventLoopTest, TimersFireInOrderOnce) {
  std::string order;
  const Timer late = loop_->After(milliseconds(2), [&] { order += 'b', loop_->Stop(); });
  const Timer early = loop_->After(milliseconds(1), [&] { order += 'a'; });
  Timer cancelled = loop_->After(milliseconds(0), [&] { order += 'c'; });
  cancelled.Cancel();
  EXPECT_TRUE(late.active());
  ASSERT_TRUE(loop_->Run());
  EXPECT_EQ(order, "ab");
  EXPECT_FALSE(late.active());
}

// A deadline of Go's context may be as far away as its type goes.
TEST_F(EventLoopTest, TheLongestDelayIsNotOver) {
  bool fired = false;
  const Timer never = loop_->After(std::chrono::nanoseconds::max(), [&] { fired = true; });
  ASSERT_TRUE(loop_->RunOnce(milliseconds(0)));
  EXPECT_FALSE(fired);
}

TEST_F(EventLoopTest, ATimerMayReplaceItself) {
  int calls = 0;
  Timer timer;
  std::function<void()> again = [&] {
    if (++calls == 3) return loop_->Stop();
    timer = loop_->After(milliseconds(0), again);
  };
  timer = loop_->After(milliseconds(0), again);
  ASSERT_TRUE(loop_->Run());
  EXPECT_EQ(calls, 3);
}

// Built with TSan, this is the proof that Post and Stop are thread-safe.
TEST_F(EventLoopTest, PostsOfManyThreadsArriveInEachThreadsOrder) {
  constexpr int kThreads = 4;
  constexpr int kPosts = 500;
  std::vector<std::vector<int>> seen(kThreads);
  int left = kThreads * kPosts;
  std::vector<std::jthread> threads;
  for (int thread = 0; thread < kThreads; ++thread) {
    threads.emplace_back([&, thread] {
      for (int i = 0; i < kPosts; ++i) {
        loop_->Post([&, thread, i] {
          seen[static_cast<size_t>(thread)].push_back(i);
          if (--left == 0) loop_->Stop();
        });
      }
    });
  }
  ASSERT_TRUE(loop_->Run());
  for (const auto& order : seen) {
    ASSERT_EQ(order.size(), size_t{kPosts});
    EXPECT_TRUE(std::is_sorted(order.begin(), order.end()));
  }
}

TEST_F(EventLoopTest, StopFromAnotherThreadWakesTheLoop) {
  const std::jthread stopper([&] { loop_->Stop(); });
  EXPECT_TRUE(loop_->Run());
}

TEST_F(EventLoopTest, ATaskMayPostAnother) {
  int calls = 0;
  loop_->Post([&] { loop_->Post([&] { ++calls, loop_->Stop(); }); });
  ASSERT_TRUE(loop_->Run());
  EXPECT_EQ(calls, 1);
}

}  // namespace
}  // namespace base
