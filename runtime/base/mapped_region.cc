#include "runtime/base/mapped_region.h"

#include <sys/mman.h>

#include <utility>

namespace base {

Result<MappedRegion> MappedRegion::Map(BorrowedFd fd, size_t length, int protection, int flags,
                                       off_t offset) {
  void* address = mmap(nullptr, length, protection, flags, fd.get(), offset);
  if (address == MAP_FAILED) return ErrnoError("mmap of {} bytes", length);
  return MappedRegion(static_cast<std::byte*>(address), length);
}

Result<MappedRegion> MappedRegion::MapAnonymous(size_t length) {
  return Map(BorrowedFd(), length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS);
}

MappedRegion::MappedRegion(MappedRegion&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

MappedRegion& MappedRegion::operator=(MappedRegion&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

MappedRegion::~MappedRegion() {
  if (data_ != nullptr) munmap(data_, size_);
}

}  // namespace base
