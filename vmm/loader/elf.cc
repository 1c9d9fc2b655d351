// An ELF kernel: the segments go to their physical addresses; the entry is the one of the PVH note
// when there is one (Xen public/elfnote.h, XEN_ELFNOTE_PHYS32_ENTRY), else e_entry.
#include <elf.h>

#include <algorithm>
#include <cstring>
#include <optional>

#include "vmm/loader/kernel.h"

namespace vmm {

namespace {

constexpr uint16_t kMaxProgramHeaders = 64;
constexpr uint32_t kXenPhys32Entry = 18;

base::Error BadElf(std::string_view what) {
  return base::MakeError(base::Code::kInvalidArgument, "ELF kernel: {}", what);
}

// Bytes [offset, offset + length) of the file.
base::Result<std::span<const std::byte>> Part(std::span<const std::byte> image, uint64_t offset,
                                              uint64_t length) {
  if (offset > image.size() || length > image.size() - offset) {
    return base::MakeError(base::Code::kInvalidArgument,
                           "ELF kernel: bytes {:#x}+{:#x} are past the file's end {:#x}", offset,
                           length, image.size());
  }
  return image.subspan(static_cast<size_t>(offset), static_cast<size_t>(length));
}

template <class T>
base::Result<T> ReadAt(std::span<const std::byte> image, uint64_t offset) {
  const std::span<const std::byte> bytes = TRY(Part(image, offset, sizeof(T)));
  T value;
  std::memcpy(&value, bytes.data(), sizeof(T));
  return value;
}

base::Result<Elf64_Ehdr> ReadHeader(std::span<const std::byte> image) {
  const Elf64_Ehdr header = TRY(ReadAt<Elf64_Ehdr>(image, 0));
  if (header.e_ident[EI_CLASS] != ELFCLASS64) return BadElf("not 64-bit");
  if (header.e_ident[EI_DATA] != ELFDATA2LSB) return BadElf("not little-endian");
  if (header.e_machine != EM_X86_64) return BadElf("not for x86-64");
  if (header.e_type != ET_EXEC && header.e_type != ET_DYN) return BadElf("not an executable");
  if (header.e_phentsize != sizeof(Elf64_Phdr)) return BadElf("odd program header size");
  if (header.e_phnum == 0 || header.e_phnum > kMaxProgramHeaders) {
    return base::MakeError(base::Code::kInvalidArgument,
                           "ELF kernel: {} program headers: must be 1 to {}", header.e_phnum,
                           kMaxProgramHeaders);
  }
  return header;
}

base::Result<void> LoadSegment(std::span<const std::byte> image, const Elf64_Phdr& segment,
                               const GuestMemory& memory) {
  if (segment.p_filesz > segment.p_memsz) return BadElf("a segment larger in file than in memory");
  if (segment.p_paddr < kLowestKernelAddress) {
    return base::MakeError(base::Code::kInvalidArgument,
                           "ELF kernel: a segment at {:#x}, below 1 MiB", segment.p_paddr);
  }
  TRY(memory.Slice(GuestAddress{segment.p_paddr}, segment.p_memsz), "ELF kernel segment");
  const std::span<const std::byte> source = TRY(Part(image, segment.p_offset, segment.p_filesz));
  // The rest, .bss, is zero already: the memory is new.
  return memory.Fill(GuestAddress{segment.p_paddr}, source);
}

// ELF-64 Object File Format, "Note Section": name and descriptor are padded to 4 bytes.
base::Result<std::optional<uint64_t>> FindPvhEntry(std::span<const std::byte> image,
                                                   const Elf64_Phdr& segment) {
  const std::span<const std::byte> notes = TRY(Part(image, segment.p_offset, segment.p_filesz));
  uint64_t offset = 0;
  while (notes.size() - offset >= sizeof(Elf64_Nhdr)) {
    const Elf64_Nhdr note = TRY(ReadAt<Elf64_Nhdr>(notes, offset));
    const uint64_t name = offset + sizeof(note);
    const uint64_t descriptor = name + ((uint64_t{note.n_namesz} + 3) & ~uint64_t{3});
    const uint64_t next = descriptor + ((uint64_t{note.n_descsz} + 3) & ~uint64_t{3});
    if (next > notes.size()) return BadElf("a note that passes its segment's end");
    const bool xen = note.n_namesz == 4 && std::memcmp(notes.data() + name, "Xen", 4) == 0;
    if (xen && note.n_type == kXenPhys32Entry) {
      if (note.n_descsz == 8) return TRY(ReadAt<uint64_t>(notes, descriptor));
      if (note.n_descsz == 4) return uint64_t{TRY(ReadAt<uint32_t>(notes, descriptor))};
      return BadElf("a PVH entry note that is neither 4 nor 8 bytes long");
    }
    offset = next;
  }
  return std::optional<uint64_t>();
}

}  // namespace

bool IsElf(std::span<const std::byte> image) {
  return image.size() >= SELFMAG && std::memcmp(image.data(), ELFMAG, SELFMAG) == 0;
}

base::Result<LoadedKernel> LoadElf(std::span<const std::byte> image, const GuestMemory& memory) {
  const Elf64_Ehdr header = TRY(ReadHeader(image));
  LoadedKernel kernel;
  kernel.entry = header.e_entry;
  kernel.start = UINT64_MAX;
  bool entry_is_loaded = false;
  std::vector<Elf64_Phdr> segments;
  for (uint16_t i = 0; i < header.e_phnum; ++i) {
    const uint64_t offset = TRY(CheckedAdd(header.e_phoff, uint64_t{i} * sizeof(Elf64_Phdr)));
    const Elf64_Phdr segment = TRY(ReadAt<Elf64_Phdr>(image, offset));
    if (segment.p_type == PT_NOTE && kernel.entry_kind != KernelEntry::kPvh32) {
      const std::optional<uint64_t> pvh = TRY(FindPvhEntry(image, segment));
      if (pvh) {
        kernel.entry_kind = KernelEntry::kPvh32;
        kernel.entry = *pvh;
      }
    }
    if (segment.p_type == PT_LOAD && segment.p_memsz > 0) segments.push_back(segment);
  }
  for (const Elf64_Phdr& segment : segments) {
    TRY(LoadSegment(image, segment, memory));
    // LoadSegment has shown that the end does not wrap.
    const uint64_t end = segment.p_paddr + segment.p_memsz;
    kernel.start = std::min(kernel.start, segment.p_paddr);
    kernel.end = std::max(kernel.end, end);
    if (kernel.entry >= segment.p_paddr && kernel.entry < end) entry_is_loaded = true;
  }
  if (!entry_is_loaded) {
    return base::MakeError(base::Code::kInvalidArgument,
                           "ELF kernel: entry {:#x} is in no loaded segment", kernel.entry);
  }
  if (kernel.entry_kind == KernelEntry::kPvh32 && kernel.entry > UINT32_MAX) {
    return BadElf("a PVH entry above 4 GiB");
  }
  return kernel;
}

}  // namespace vmm
