#include "vmm/virtio/queue.h"

#include <gtest/gtest.h>

#include "tests/support/fake_queue.h"

namespace vmm::virtio {
namespace {

using testing_support::FakeQueue;

constexpr uint16_t kSize = 8;

class QueueTest : public testing::Test {
 protected:
  static std::unique_ptr<GuestMemory> Memory() {
    auto memory = GuestMemory::Create(1 << 20);
    CHECK(memory.has_value());
    return std::move(*memory);
  }
  Queue Make(bool event_idx = false) {
    auto queue = Queue::Create(*memory_, fake_.config(), kSize, event_idx);
    CHECK(queue.has_value());
    return std::move(*queue);
  }

  std::unique_ptr<GuestMemory> memory_ = Memory();
  FakeQueue fake_{*memory_, 0x1000, kSize};
};

TEST_F(QueueTest, ChainKeepsReadableAndWritablePartsApart) {
  Queue queue = Make();
  const uint16_t head = fake_.Add({"he", "llo"}, {4, 2});
  auto chain = queue.Pop();
  ASSERT_TRUE(chain && *chain);
  EXPECT_EQ((*chain)->head, head);
  EXPECT_EQ((*chain)->readable_bytes, 5U);
  EXPECT_EQ((*chain)->writable_bytes, 6U);
  std::string text(5, '\0');
  EXPECT_EQ(CopyFrom((*chain)->readable, 0, std::as_writable_bytes(std::span(text))), 5U);
  EXPECT_EQ(text, "hello");
  EXPECT_EQ(CopyTo((*chain)->writable, 2, std::as_bytes(std::span("abcdefg", 7))), 4U);
  queue.Push(head, 6);
  auto used = fake_.TakeUsed();
  ASSERT_TRUE(used);
  EXPECT_EQ(used->length, 6U);
  EXPECT_EQ(used->bytes.substr(2), "abcd");
}

TEST_F(QueueTest, EmptyQueueGivesNothing) {
  Queue queue = Make();
  auto chain = queue.Pop();
  ASSERT_TRUE(chain);
  EXPECT_FALSE(*chain);
}

TEST_F(QueueTest, RejectsLoopOfDescriptors) {
  Queue queue = Make();
  fake_.SetDescriptor(0, 0x20000, 1, kDescriptorNext, 1);
  fake_.SetDescriptor(1, 0x20000, 1, kDescriptorNext, 0);
  fake_.Offer(0);
  EXPECT_FALSE(queue.Pop());
}

TEST_F(QueueTest, RejectsHeadOutsideTheTable) {
  Queue queue = Make();
  fake_.Offer(kSize);
  EXPECT_FALSE(queue.Pop());
}

TEST_F(QueueTest, RejectsNextOutsideTheTable) {
  Queue queue = Make();
  fake_.SetDescriptor(0, 0x20000, 1, kDescriptorNext, 0xffff);
  fake_.Offer(0);
  EXPECT_FALSE(queue.Pop());
}

TEST_F(QueueTest, RejectsBufferOutsideRam) {
  for (const uint64_t address : {uint64_t{1} << 20, GuestMemory::kHoleStart, ~uint64_t{0}}) {
    FakeQueue fake(*memory_, 0x1000, kSize);
    Queue queue = Make();
    fake.SetDescriptor(0, address, 1, 0);
    fake.Offer(0);
    EXPECT_FALSE(queue.Pop()) << address;
  }
}

TEST_F(QueueTest, RejectsBufferThatRunsPastRam) {
  Queue queue = Make();
  fake_.SetDescriptor(0, (1 << 20) - 1, 2, 0);
  fake_.Offer(0);
  EXPECT_FALSE(queue.Pop());
}

TEST_F(QueueTest, RejectsReadableAfterWritable) {
  Queue queue = Make();
  fake_.SetDescriptor(0, 0x20000, 1, kDescriptorNext | kDescriptorWrite, 1);
  fake_.SetDescriptor(1, 0x20000, 1, 0);
  fake_.Offer(0);
  EXPECT_FALSE(queue.Pop());
}

TEST_F(QueueTest, RejectsIndirectDescriptor) {
  Queue queue = Make();
  fake_.SetDescriptor(0, 0x20000, 16, kDescriptorIndirect);
  fake_.Offer(0);
  EXPECT_FALSE(queue.Pop());
}

TEST_F(QueueTest, RejectsAvailableIndexBeyondTheQueue) {
  Queue queue = Make();
  fake_.SetAvailableIndex(kSize + 1);
  EXPECT_FALSE(queue.Pop());
}

TEST_F(QueueTest, RejectsChainOfTooManyBytes) {
  auto memory = GuestMemory::Create(Queue::kMaxChainBytes);
  ASSERT_TRUE(memory);
  FakeQueue fake(**memory, 0x1000, kSize);
  auto queue = Queue::Create(**memory, fake.config(), kSize, false);
  ASSERT_TRUE(queue);
  const auto half = static_cast<uint32_t>(Queue::kMaxChainBytes / 2);
  fake.SetDescriptor(0, 0, half, kDescriptorNext, 1);
  fake.SetDescriptor(1, 0, half + 1, 0);
  fake.Offer(0);
  EXPECT_FALSE(queue->Pop());
}

TEST_F(QueueTest, AcceptsEmptyDescriptor) {
  Queue queue = Make();
  fake_.SetDescriptor(0, 0x20000, 0, 0);
  fake_.Offer(0);
  auto chain = queue.Pop();
  ASSERT_TRUE(chain && *chain);
  EXPECT_TRUE((*chain)->readable.empty());
}

TEST_F(QueueTest, RejectsRingsThatBreakTheRules) {
  const auto refused = [&](auto change) {
    QueueConfig config = fake_.config();
    change(config);
    return !Queue::Create(*memory_, config, kSize, false);
  };
  EXPECT_TRUE(refused([](QueueConfig& c) { c.size = 0; }));
  EXPECT_TRUE(refused([](QueueConfig& c) { c.size = 3; }));
  EXPECT_TRUE(refused([](QueueConfig& c) { c.size = 16; }));
  EXPECT_TRUE(refused([](QueueConfig& c) { c.descriptors.value += 8; }));
  EXPECT_TRUE(refused([](QueueConfig& c) { c.driver.value += 1; }));
  EXPECT_TRUE(refused([](QueueConfig& c) { c.device.value += 2; }));
  EXPECT_TRUE(refused([](QueueConfig& c) { c.descriptors.value = (1 << 20) - 16; }));
  EXPECT_TRUE(refused([](QueueConfig& c) { c.device.value = ~uint64_t{3}; }));
}

TEST_F(QueueTest, IndexesWrap) {
  Queue queue = Make();
  for (int i = 0; i < 0x10000 + 3; ++i) {
    const uint16_t head = fake_.Add({"x"}, {});
    auto chain = queue.Pop();
    ASSERT_TRUE(chain && *chain) << i;
    queue.Push((*chain)->head, 0);
    auto used = fake_.TakeUsed();
    ASSERT_TRUE(used) << i;
    ASSERT_EQ(used->head, head);
  }
}

TEST_F(QueueTest, UndoPopGivesTheSameChainAgain) {
  Queue queue = Make();
  fake_.Add({"x"}, {});
  const uint16_t second = fake_.Add({"y"}, {});
  ASSERT_TRUE(queue.Pop());
  ASSERT_EQ((*queue.Pop())->head, second);
  queue.UndoPop();
  EXPECT_EQ((*queue.Pop())->head, second);
}

TEST_F(QueueTest, SignalsUnlessTheDriverDeclines) {
  Queue queue = Make();
  EXPECT_FALSE(queue.TakeSignal());
  fake_.Add({"x"}, {});
  queue.Push((*queue.Pop())->head, 0);
  EXPECT_TRUE(queue.TakeSignal());
  EXPECT_FALSE(queue.TakeSignal());
  fake_.SetAvailableFlags(kAvailableNoInterrupt);
  fake_.Add({"x"}, {});
  queue.Push((*queue.Pop())->head, 0);
  EXPECT_FALSE(queue.TakeSignal());
}

TEST_F(QueueTest, EventIdxSignalsAtTheWantedElementOnly) {
  Queue queue = Make(true);
  fake_.SetUsedEvent(1);
  fake_.Add({"x"}, {});
  queue.Push((*queue.Pop())->head, 0);
  EXPECT_FALSE(queue.TakeSignal());
  fake_.Add({"x"}, {});
  queue.Push((*queue.Pop())->head, 0);
  EXPECT_TRUE(queue.TakeSignal());
  ASSERT_TRUE(queue.Pop());
  EXPECT_EQ(fake_.AvailableEvent(), 2);
}

}  // namespace
}  // namespace vmm::virtio
