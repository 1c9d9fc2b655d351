// virtio-blk (virtio 1.2, 5.2): a raw file or block device. Requests are served on the reactor,
// with no copy: the guest's buffers are the kernel's.
#include <fcntl.h>
#include <linux/virtio_blk.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <cstring>
#include <memory>
#include <utility>

#include "vmm/virtio/devices.h"
#include "vmm/virtio/request_device.h"

namespace vmm::virtio {
namespace {

constexpr uint16_t kQueueSizes[] = {256};
constexpr uint64_t kSectorBytes = 512;
// A request has two descriptors beside its data (header, status).
constexpr uint32_t kMaxSegments = kQueueSizes[0] - 2;
// virtio 1.2, 5.2.6: the answer to GET_ID, NUL-padded.
constexpr char kId[VIRTIO_BLK_ID_BYTES] = "pinion";

// virtio 1.2, 5.2.4 "Device configuration layout", as far as our features reach.
struct BlkConfig {
  uint64_t capacity;  // 0x00, in sectors
  uint32_t size_max;  // 0x08, without F_SIZE_MAX
  uint32_t seg_max;   // 0x0c
};
static_assert(sizeof(BlkConfig) == 16 && offsetof(BlkConfig, seg_max) == 12);
static_assert(sizeof(virtio_blk_outhdr) == 16);

class BlkDevice final : public RequestDevice {
 public:
  BlkDevice(base::UniqueFd file, bool read_only, uint64_t sectors)
      : file_(std::move(file)), read_only_(read_only), sectors_(sectors) {
    const BlkConfig config{.capacity = sectors, .size_max = 0, .seg_max = kMaxSegments};
    std::memcpy(config_.data(), &config, sizeof(config));
  }

  std::string_view name() const override { return "blk"; }
  DeviceType type() const override { return DeviceType::kBlock; }
  uint64_t features() const override {
    return kFeatureVersion1 | kFeatureEventIdx | 1ull << VIRTIO_BLK_F_SEG_MAX |
           1ull << VIRTIO_BLK_F_FLUSH | (read_only_ ? 1ull << VIRTIO_BLK_F_RO : 0);
  }
  std::span<const uint16_t> queue_sizes() const override { return kQueueSizes; }
  std::span<const std::byte> config() const override { return config_; }

 private:
  struct Outcome {
    uint8_t status = VIRTIO_BLK_S_IOERR;
    size_t written = 0;  // to the writable data
  };

  base::Result<size_t> Handle(const Chain& chain) override {
    if (chain.writable_bytes == 0) {
      return base::MakeError(base::Code::kInvalidArgument, "no room for the status byte");
    }
    const size_t room = chain.writable_bytes - 1;
    const Outcome outcome = Serve(chain, room);
    const std::byte status{outcome.status};
    CopyTo(chain.writable, room, {&status, 1});
    // virtio 1.2, 2.7.8.2: the length covers only bytes written from the first on.
    return outcome.written == room ? chain.writable_bytes : outcome.written;
  }

  Outcome Serve(const Chain& chain, size_t room) {
    virtio_blk_outhdr header;
    if (CopyFrom(chain.readable, 0, std::as_writable_bytes(std::span(&header, 1))) !=
        sizeof(header)) {
      return {};
    }
    switch (header.type) {
      case VIRTIO_BLK_T_IN:
        return Transfer(true, header.sector, chain.writable, 0, room);
      case VIRTIO_BLK_T_OUT:
        if (read_only_) return {};
        return Transfer(false, header.sector, chain.readable, sizeof(header),
                        chain.readable_bytes - sizeof(header));
      case VIRTIO_BLK_T_FLUSH:
        return {.status = fdatasync(file_.get()) == 0 ? uint8_t{VIRTIO_BLK_S_OK}
                                                      : uint8_t{VIRTIO_BLK_S_IOERR}};
      case VIRTIO_BLK_T_GET_ID: {
        const size_t length = std::min(room, sizeof(kId));
        CopyTo(chain.writable, 0, std::as_bytes(std::span(kId)).first(length));
        return {.status = VIRTIO_BLK_S_OK, .written = length};
      }
      default:
        return {.status = VIRTIO_BLK_S_UNSUPP};
    }
  }

  Outcome Transfer(bool read, uint64_t sector, std::span<const iovec> buffers, size_t skip,
                   size_t length) {
    const uint64_t count = length / kSectorBytes;
    if (length % kSectorBytes != 0 || sector > sectors_ || count > sectors_ - sector) return {};
    size_t done = 0;
    while (done < length) {
      Subrange(buffers, skip + done, length - done, parts_);
      const int parts = static_cast<int>(std::min<size_t>(parts_.size(), IOV_MAX));
      const auto at = static_cast<off_t>(sector * kSectorBytes + done);
      const ssize_t moved = read ? preadv(file_.get(), parts_.data(), parts, at)
                                 : pwritev(file_.get(), parts_.data(), parts, at);
      if (moved < 0 && errno == EINTR) continue;
      // 0: the image shrank under us.
      if (moved <= 0) return {.written = read ? done : 0};
      done += static_cast<size_t>(moved);
    }
    return {.status = VIRTIO_BLK_S_OK, .written = read ? done : 0};
  }

  const base::UniqueFd file_;
  const bool read_only_;
  const uint64_t sectors_;
  std::array<std::byte, sizeof(BlkConfig)> config_;
  std::vector<iovec> parts_;  // of the request at hand
};

}  // namespace

base::Result<std::unique_ptr<VirtioDevice>> MakeBlk(base::UniqueFd file, bool read_only) {
  const int flags = fcntl(file.get(), F_GETFL);
  if (flags < 0) return base::ErrnoError("disk descriptor {}", file.get());
  if (!read_only && (flags & O_ACCMODE) != O_RDWR) {
    return base::MakeError(base::Code::kInvalidArgument,
                           "disk descriptor {}: not open for reading and writing", file.get());
  }
  // Works for files and for block devices alike.
  const off_t bytes = lseek(file.get(), 0, SEEK_END);
  if (bytes < 0) return base::ErrnoError("size of disk descriptor {}", file.get());
  const uint64_t sectors = static_cast<uint64_t>(bytes) / kSectorBytes;
  return std::unique_ptr<VirtioDevice>(
      std::make_unique<BlkDevice>(std::move(file), read_only, sectors));
}

}  // namespace vmm::virtio
