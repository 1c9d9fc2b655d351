#include <gtest/gtest.h>

#include <algorithm>

#include "tests/support/fake_queue.h"
#include "vmm/virtio/devices.h"

namespace vmm::virtio {
namespace {

using testing_support::FakeHost;
using testing_support::FakeQueue;

class RngTest : public testing::Test {
 protected:
  void SetUp() override {
    memory_ = std::move(*GuestMemory::Create(1 << 20));
    loop_ = std::move(*base::EventLoop::Create());
    fake_ = std::make_unique<FakeQueue>(*memory_, 0, 64);
    host_ = std::make_unique<FakeHost>(*memory_, *loop_);
    const QueueSetup setups[] = {fake_->setup()};
    ASSERT_TRUE(device_->Activate(*host_, {.features = kFeatureVersion1, .queues = setups}));
  }
  std::unique_ptr<GuestMemory> memory_;
  std::unique_ptr<base::EventLoop> loop_;
  std::unique_ptr<FakeQueue> fake_;
  std::unique_ptr<FakeHost> host_;
  std::unique_ptr<VirtioDevice> device_ = MakeRng();
};

TEST_F(RngTest, FillsTheBuffer) {
  fake_->Add({}, {32, 32});
  ASSERT_TRUE(device_->Notify(0));
  auto used = fake_->TakeUsed();
  ASSERT_TRUE(used);
  EXPECT_EQ(used->length, 64U);
  EXPECT_NE(used->bytes, std::string(64, '\0'));
  EXPECT_EQ(host_->signals, 1);
}

TEST_F(RngTest, HugeRequestIsBounded) {
  fake_->Add({}, {65536, 65536});
  ASSERT_TRUE(device_->Notify(0));
  EXPECT_EQ(fake_->TakeUsed()->length, 4096U);
}

TEST_F(RngTest, RequestWithoutWritableBufferGetsNothing) {
  fake_->Add({"please"}, {});
  ASSERT_TRUE(device_->Notify(0));
  EXPECT_EQ(fake_->TakeUsed()->length, 0U);
}

TEST_F(RngTest, NotifyOfAQueueThatIsNotThereDoesNothing) { EXPECT_TRUE(device_->Notify(7)); }

TEST_F(RngTest, NotifyAfterResetTouchesNothing) {
  fake_->Add({}, {32});
  device_->Reset();
  EXPECT_TRUE(device_->Notify(0));
  EXPECT_FALSE(fake_->TakeUsed());
}

TEST_F(RngTest, FullQueueGivesTheReactorBackAndAsksAgain) {
  for (int i = 0; i < 64; ++i) fake_->Add({}, {1});
  ASSERT_TRUE(device_->Notify(0));
  EXPECT_EQ(host_->again, std::vector<size_t>{0});
}

}  // namespace
}  // namespace vmm::virtio
