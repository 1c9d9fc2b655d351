// What the two sides of the device test agree on.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace plan {

inline constexpr char kFromHost[] = "written by the host";
inline constexpr char kTag[] = "pinion";
inline constexpr size_t kDiskBytes = 8 << 20;
inline constexpr size_t kFileBytes = 3 << 20;
inline constexpr uint32_t kEchoPort = 5000;
inline constexpr size_t kEchoBytes = 2 << 20;
inline constexpr int kManyStreams = 50;

// Bytes that differ from place to place.
inline std::string Pattern(size_t size) {
  std::string bytes(size, '\0');
  uint32_t state = 12345;
  for (char& byte : bytes) {
    state = state * 1664525 + 1013904223;
    byte = static_cast<char>(state >> 24);
  }
  return bytes;
}

}  // namespace plan
