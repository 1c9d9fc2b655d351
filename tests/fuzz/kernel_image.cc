// A guest kernel that is none, or is one with a few fields spoilt: it is refused, or what is said
// of it holds for RAM, and an initrd beside it overlaps nothing. Byte 0 picks what the rest is: the
// file itself, or changes (two bytes of offset, one of how many, the bytes) to an ELF file or a
// bzImage that is right.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <span>
#include <string>

#include "tests/support/kernel_images.h"
#include "vmm/loader/initrd.h"
#include "vmm/loader/kernel.h"

namespace {

constexpr uint64_t kMemoryBytes = 64 << 20;

std::string Spoilt(std::string image, std::span<const uint8_t> changes) {
  while (changes.size() >= 3) {
    const size_t offset = (changes[0] | size_t{changes[1]} << 8) % image.size();
    const size_t room = std::min(changes.size() - 3, image.size() - offset);
    const size_t length = std::min<size_t>(changes[2] % 16, room);
    std::memcpy(image.data() + offset, changes.data() + 3, length);
    changes = changes.subspan(3 + length);
  }
  return image;
}

std::string Image(std::span<const uint8_t> input) {
  const std::span<const uint8_t> rest = input.subspan(1);
  switch (input[0] % 3) {
    case 0:
      return std::string(reinterpret_cast<const char*>(rest.data()), rest.size());
    case 1:
      return Spoilt(testing_support::MakeElf(), rest);
    default:
      return Spoilt(testing_support::MakeBzImage(), rest);
  }
}

void Require(bool condition) {
  if (!condition) abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  static const auto memory = std::move(*vmm::GuestMemory::Create(kMemoryBytes));
  const std::string image = Image({data, size});
  const auto kernel =
      vmm::LoadKernel(std::as_bytes(std::span(image.data(), image.size())), *memory);
  if (!kernel) return 0;
  Require(kernel->start >= vmm::kLowestKernelAddress && kernel->start < kernel->end);
  Require(kernel->end <= kMemoryBytes);
  Require(kernel->entry >= kernel->start && kernel->entry < kernel->end);
  Require(kernel->setup_header.size() <= sizeof(setup_header));
  const auto initrd = vmm::PlaceInitrd(uint64_t{image.size()} << (data[0] % 16), *kernel, *memory);
  if (!initrd) return 0;
  Require(initrd->start + initrd->size <= kMemoryBytes);
  Require(initrd->start + initrd->size <= kernel->start || initrd->start >= kernel->end);
  return 0;
}
