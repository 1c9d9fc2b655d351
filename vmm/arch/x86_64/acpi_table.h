// What every ACPI table is made of. Thread rule: reentrant.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace vmm::acpi {

// The bytes of a packed structure.
template <class T>
std::string BytesOf(const T& value) {
  return std::string(reinterpret_cast<const char*>(&value), sizeof(value));
}

// What makes the bytes' sum 0.
uint8_t Checksum(const void* data, size_t size);

// As many zeros as a table's header has bytes: a table starts with it, and Finish fills it in.
std::string HeaderRoom();
std::string Finish(std::string bytes, const char (&signature)[5], uint8_t revision);

}  // namespace vmm::acpi
