// Kernels of a few hundred bytes, right in every field that the loader looks at, for tests and fuzz
// targets that then spoil some.
#pragma once

#include <asm/bootparam.h>
#include <elf.h>

#include <cstdint>
#include <cstring>
#include <functional>
#include <string>

namespace testing_support {

// The file, field by field: one segment to load, one with a PVH note.
struct ElfParts {
  Elf64_Ehdr header = {};
  Elf64_Phdr load = {};
  Elf64_Phdr note = {};
  struct {
    Elf64_Nhdr header = {4, 4, 18};
    char name[4] = {'X', 'e', 'n', 0};
    uint32_t entry = 0x1000010;
  } xen;
  char code[16] = "kernel is here.";
};

inline std::string MakeElf(const std::function<void(ElfParts&)>& change = [](ElfParts&) {}) {
  ElfParts parts;
  std::memcpy(parts.header.e_ident, ELFMAG, SELFMAG);
  parts.header.e_ident[EI_CLASS] = ELFCLASS64;
  parts.header.e_ident[EI_DATA] = ELFDATA2LSB;
  parts.header.e_machine = EM_X86_64;
  parts.header.e_type = ET_EXEC;
  parts.header.e_phentsize = sizeof(Elf64_Phdr);
  parts.header.e_phoff = offsetof(ElfParts, load);
  parts.header.e_phnum = 2;
  parts.header.e_entry = 0x1000000;
  parts.load.p_type = PT_LOAD;
  parts.load.p_paddr = 0x1000000;
  parts.load.p_offset = offsetof(ElfParts, code);
  parts.load.p_filesz = 16;
  parts.load.p_memsz = 4096;
  parts.note.p_type = PT_NOTE;
  parts.note.p_offset = offsetof(ElfParts, xen);
  parts.note.p_filesz = sizeof(parts.xen);
  change(parts);
  return std::string(reinterpret_cast<const char*>(&parts), sizeof(parts));
}

inline std::string MakeBzImage(const std::function<void(setup_header&)>& change =
                                   [](setup_header&) {}) {
  setup_header header = {};
  header.setup_sects = 1;
  header.header = 0x53726448;
  header.version = 0x20f;
  header.xloadflags = XLF_KERNEL_64;
  header.pref_address = 0x1000000;
  header.init_size = 8 << 20;
  header.syssize = 1024 / 16;
  header.jump = static_cast<uint16_t>(0xeb | (0x26c - 0x202) << 8);
  change(header);
  std::string image(1024 + 1024, 'c');
  std::memcpy(image.data() + 0x1f1, &header, sizeof(header));
  return image;
}

}  // namespace testing_support
