// MappedRegion owns one mmap(2) and unmaps it when it goes. Thread rule: a value; the bytes are
// shared with whoever else maps them.
#pragma once

#include <cstddef>
#include <span>

#include "runtime/base/result.h"
#include "runtime/base/unique_fd.h"

namespace base {

class MappedRegion {
 public:
  // `length` bytes of `fd` from `offset`; PROT_* and MAP_* as in mmap(2).
  static Result<MappedRegion> Map(BorrowedFd fd, size_t length, int protection, int flags,
                                  off_t offset = 0);
  static Result<MappedRegion> MapAnonymous(size_t length);

  MappedRegion() = default;
  MappedRegion(MappedRegion&& other) noexcept;
  MappedRegion& operator=(MappedRegion&& other) noexcept;
  MappedRegion(const MappedRegion&) = delete;
  MappedRegion& operator=(const MappedRegion&) = delete;
  ~MappedRegion();

  std::byte* data() const { return data_; }
  size_t size() const { return size_; }
  std::span<std::byte> bytes() const { return {data_, size_}; }

 private:
  MappedRegion(std::byte* data, size_t size) : data_(data), size_(size) {}
  std::byte* data_ = nullptr;
  size_t size_ = 0;
};

}  // namespace base
