#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/virtio_blk.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/support/fake_queue.h"
#include "vmm/virtio/devices.h"

namespace vmm::virtio {
namespace {

using testing_support::FakeHost;
using testing_support::FakeQueue;

constexpr size_t kSectors = 16;

class BlkTest : public testing::Test {
 protected:
  void SetUp() override {
    memory_ = std::move(*GuestMemory::Create(1 << 20));
    loop_ = std::move(*base::EventLoop::Create());
    fake_ = std::make_unique<FakeQueue>(*memory_, 0, 64);
    host_ = std::make_unique<FakeHost>(*memory_, *loop_);
    Start(false);
  }
  void Start(bool read_only) {
    base::UniqueFd file(memfd_create("disk", MFD_CLOEXEC));
    disk_ = file.get();
    std::string content(kSectors * 512 + 100, '.');
    content.replace(512, 4, "one!");
    ASSERT_EQ(pwrite(disk_, content.data(), content.size(), 0),
              static_cast<ssize_t>(content.size()));
    auto made = MakeBlk(std::move(file), read_only);
    ASSERT_TRUE(made);
    device_ = std::move(*made);
    const QueueSetup setups[] = {fake_->setup()};
    ASSERT_TRUE(device_->Activate(*host_, {.features = kFeatureVersion1, .queues = setups}));
  }
  static std::string Header(uint32_t type, uint64_t sector) {
    const virtio_blk_outhdr header{type, 0, sector};
    return std::string(reinterpret_cast<const char*>(&header), sizeof(header));
  }
  FakeQueue::Used Do(const std::vector<std::string>& out, const std::vector<uint32_t>& in) {
    fake_->Add(out, in);
    EXPECT_TRUE(device_->Notify(0));
    return fake_->TakeUsed().value_or(FakeQueue::Used{});
  }
  std::string Disk(size_t at, size_t length) {
    std::string bytes(length, '\0');
    EXPECT_EQ(pread(disk_, bytes.data(), length, static_cast<off_t>(at)),
              static_cast<ssize_t>(length));
    return bytes;
  }

  int disk_ = -1;  // the device's
  std::unique_ptr<GuestMemory> memory_;
  std::unique_ptr<base::EventLoop> loop_;
  std::unique_ptr<FakeQueue> fake_;
  std::unique_ptr<FakeHost> host_;
  std::unique_ptr<VirtioDevice> device_;
};

TEST_F(BlkTest, CapacityIsInWholeSectors) {
  uint64_t capacity;
  std::memcpy(&capacity, device_->config().data(), sizeof(capacity));
  EXPECT_EQ(capacity, kSectors);
}

TEST_F(BlkTest, ReadsSectors) {
  const auto used = Do({Header(VIRTIO_BLK_T_IN, 1)}, {256, 256, 1});
  EXPECT_EQ(used.length, 513U);
  EXPECT_EQ(used.bytes.substr(0, 5), "one!.");
  EXPECT_EQ(used.bytes[512], VIRTIO_BLK_S_OK);
}

TEST_F(BlkTest, StatusMayShareADescriptorWithData) {
  const auto used = Do({Header(VIRTIO_BLK_T_IN, 1)}, {513});
  EXPECT_EQ(used.bytes[512], VIRTIO_BLK_S_OK);
}

TEST_F(BlkTest, WritesSectorsWhereverTheHeaderEnds) {
  const std::string request = Header(VIRTIO_BLK_T_OUT, 2) + std::string(512, 'w');
  const auto used = Do({request.substr(0, 7), request.substr(7, 300), request.substr(307)}, {1});
  EXPECT_EQ(used.length, 1U);
  EXPECT_EQ(used.bytes[0], VIRTIO_BLK_S_OK);
  EXPECT_EQ(Disk(1023, 514), "." + std::string(512, 'w') + ".");
}

TEST_F(BlkTest, FlushAndGetId) {
  EXPECT_EQ(Do({Header(VIRTIO_BLK_T_FLUSH, 0)}, {1}).bytes[0], VIRTIO_BLK_S_OK);
  const auto used = Do({Header(VIRTIO_BLK_T_GET_ID, 0)}, {20, 1});
  EXPECT_STREQ(used.bytes.c_str(), "pinion");
  EXPECT_EQ(used.bytes[20], VIRTIO_BLK_S_OK);
}

TEST_F(BlkTest, ReadBeyondTheEndFails) {
  for (const uint64_t sector : {uint64_t{kSectors}, uint64_t{kSectors - 1}, ~uint64_t{0}}) {
    const auto used = Do({Header(VIRTIO_BLK_T_IN, sector)}, {1024, 1});
    EXPECT_EQ(used.bytes[1024], VIRTIO_BLK_S_IOERR) << sector;
    EXPECT_EQ(used.length, 0U);
  }
}

TEST_F(BlkTest, WriteBeyondTheEndNeverGrowsTheImage) {
  const auto used = Do({Header(VIRTIO_BLK_T_OUT, kSectors), std::string(512, 'w')}, {1});
  EXPECT_EQ(used.bytes[0], VIRTIO_BLK_S_IOERR);
  EXPECT_EQ(lseek(disk_, 0, SEEK_END), static_cast<off_t>(kSectors * 512 + 100));
}

TEST_F(BlkTest, PartOfASectorFails) {
  EXPECT_EQ(Do({Header(VIRTIO_BLK_T_IN, 0)}, {511, 1}).bytes[511], VIRTIO_BLK_S_IOERR);
}

TEST_F(BlkTest, WriteToReadOnlyDiskFails) {
  Start(true);
  EXPECT_TRUE(device_->features() & 1ull << VIRTIO_BLK_F_RO);
  EXPECT_EQ(Do({Header(VIRTIO_BLK_T_OUT, 0), std::string(512, 'w')}, {1}).bytes[0],
            VIRTIO_BLK_S_IOERR);
  EXPECT_EQ(Disk(0, 1), ".");
}

TEST_F(BlkTest, ShortHeaderFails) { EXPECT_EQ(Do({"short"}, {1}).bytes[0], VIRTIO_BLK_S_IOERR); }

TEST_F(BlkTest, UnknownRequestIsUnsupported) {
  EXPECT_EQ(Do({Header(0xdead, 0)}, {1}).bytes[0], VIRTIO_BLK_S_UNSUPP);
}

TEST_F(BlkTest, RequestWithoutStatusByteIsTheDriversFault) {
  fake_->Add({Header(VIRTIO_BLK_T_FLUSH, 0)}, {});
  EXPECT_FALSE(device_->Notify(0));
}

TEST_F(BlkTest, ImageThatShrankFailsTheRead) {
  ASSERT_EQ(ftruncate(disk_, 512), 0);
  const auto used = Do({Header(VIRTIO_BLK_T_IN, 0)}, {1024, 1});
  EXPECT_EQ(used.bytes[1024], VIRTIO_BLK_S_IOERR);
  EXPECT_EQ(used.length, 512U);
}

TEST(MakeBlk, WritableDiskNeedsAWritableDescriptor) {
  base::UniqueFd file(open("/proc/self/exe", O_RDONLY | O_CLOEXEC));
  EXPECT_FALSE(MakeBlk(std::move(file), false));
  EXPECT_FALSE(MakeBlk(base::UniqueFd(), true));
}

}  // namespace
}  // namespace vmm::virtio
