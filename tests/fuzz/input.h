// The input as a list of choices, taken from its front; zeros once it has run out.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>

class Input {
 public:
  Input(const uint8_t* data, size_t size) : data_(data), size_(size) {}

  bool empty() const { return size_ == 0; }
  uint8_t Byte() {
    if (size_ == 0) return 0;
    --size_;
    return *data_++;
  }
  uint16_t Word() {
    const unsigned high = Byte();
    return static_cast<uint16_t>(high << 8 | Byte());
  }
  // A byte tells how many.
  std::string Bytes() {
    const size_t count = std::min(size_t{Byte()}, size_);
    std::string bytes(reinterpret_cast<const char*>(data_), count);
    data_ += count;
    size_ -= count;
    return bytes;
  }

 private:
  const uint8_t* data_;
  size_t size_;
};
