#include "vmm/arch/x86_64/aml.h"

namespace vmm::aml {

namespace {

// ACPI 6.5, 20.3, "AML Byte Stream Byte Values".
constexpr char kZeroOp = 0x00;
constexpr char kOneOp = 0x01;
constexpr char kNameOp = 0x08;
constexpr char kBytePrefix = 0x0a;
constexpr char kWordPrefix = 0x0b;
constexpr char kDwordPrefix = 0x0c;
constexpr char kStringPrefix = 0x0d;
constexpr char kQwordPrefix = 0x0e;
constexpr char kScopeOp = 0x10;
constexpr char kBufferOp = 0x11;
constexpr char kPackageOp = 0x12;
constexpr char kMethodOp = 0x14;
constexpr char kLocal0 = 0x60;
constexpr char kArg0 = 0x68;
constexpr char kStoreOp = 0x70;
constexpr char kNotifyOp = static_cast<char>(0x86);
constexpr char kEqualOp = static_cast<char>(0x93);
constexpr char kIfOp = static_cast<char>(0xa0);
constexpr char kElseOp = static_cast<char>(0xa1);
constexpr char kWhileOp = static_cast<char>(0xa2);
constexpr char kReturnOp = static_cast<char>(0xa4);
constexpr char kBreakOp = static_cast<char>(0xa5);
constexpr char kExtendedPrefix = 0x5b;
// After the prefix.
constexpr char kMutexOp = 0x01;
constexpr char kAcquireOp = 0x23;
constexpr char kReleaseOp = 0x27;
constexpr char kRegionOp = static_cast<char>(0x80);
constexpr char kFieldOp = static_cast<char>(0x81);
constexpr char kDeviceOp = static_cast<char>(0x82);

std::string LittleEndian(uint64_t value, unsigned bytes) {
  std::string out;
  for (unsigned i = 0; i < bytes; ++i) out.push_back(static_cast<char>(value >> (8 * i) & 0xff));
  return out;
}

// ACPI 6.5, 20.2.4: one to four bytes. The first has the number of those that follow in its top two
// bits, and the low six or four bits of the length.
std::string Length(size_t value, unsigned more) {
  if (more == 0) return LittleEndian(value, 1);
  return LittleEndian(more << 6 | (value & 0xf), 1).append(LittleEndian(value >> 4, more));
}

// A length counts itself.
std::string WithLength(std::string_view body) {
  const size_t size = body.size();
  if (size + 1 < 64) return Length(size + 1, 0).append(body);
  for (unsigned more = 1; more <= 3; ++more) {
    const size_t total = size + 1 + more;
    if (total < (size_t{1} << (4 + 8 * more))) return Length(total, more).append(body);
  }
  return {};  // 256 MiB of AML: unreachable from tables that fit below 1 MiB
}

std::string Extended(char op) { return {kExtendedPrefix, op}; }

}  // namespace

std::string Integer(uint64_t value) {
  if (value == 0) return std::string(1, kZeroOp);
  if (value == 1) return std::string(1, kOneOp);
  if (value <= 0xff) return kBytePrefix + LittleEndian(value, 1);
  if (value <= 0xffff) return kWordPrefix + LittleEndian(value, 2);
  if (value <= 0xffffffff) return kDwordPrefix + LittleEndian(value, 4);
  return kQwordPrefix + LittleEndian(value, 8);
}

std::string String(std::string_view text) {
  return std::string(1, kStringPrefix).append(text).append(1, '\0');
}

std::string Name(std::string_view name, std::string_view value) {
  return std::string(1, kNameOp).append(name).append(value);
}

std::string Package(uint8_t count, std::string_view elements) {
  return kPackageOp + WithLength(std::string(1, static_cast<char>(count)).append(elements));
}

std::string Scope(std::string_view name, std::string_view body) {
  return kScopeOp + WithLength(std::string(name).append(body));
}

std::string Device(std::string_view name, std::string_view body) {
  return std::string{kExtendedPrefix, kDeviceOp} + WithLength(std::string(name).append(body));
}

std::string Buffer(std::string_view bytes) {
  return kBufferOp + WithLength(Integer(bytes.size()).append(bytes));
}

std::string Local(unsigned number) { return std::string(1, static_cast<char>(kLocal0 + number)); }
std::string Arg(unsigned number) { return std::string(1, static_cast<char>(kArg0 + number)); }

std::string Method(std::string_view name, uint8_t arguments, bool serialized,
                   std::string_view body) {
  const char flags = static_cast<char>(arguments | (serialized ? 1 << 3 : 0));
  return kMethodOp + WithLength(std::string(name).append(1, flags).append(body));
}

std::string If(std::string_view condition, std::string_view body) {
  return kIfOp + WithLength(std::string(condition).append(body));
}
std::string Else(std::string_view body) { return kElseOp + WithLength(body); }
std::string WhileTrue(std::string_view body) {
  return kWhileOp + WithLength(Integer(1).append(body));
}
std::string Break() { return std::string(1, kBreakOp); }
std::string Return(std::string_view value) { return std::string(1, kReturnOp).append(value); }
std::string Equal(std::string_view a, std::string_view b) {
  return std::string(1, kEqualOp).append(a).append(b);
}
std::string Store(std::string_view value, std::string_view target) {
  return std::string(1, kStoreOp).append(value).append(target);
}
std::string Notify(std::string_view device, std::string_view value) {
  return std::string(1, kNotifyOp).append(device).append(value);
}
std::string Mutex(std::string_view name) {
  return Extended(kMutexOp).append(name).append(1, '\0');  // synchronisation level 0
}
std::string Acquire(std::string_view mutex) {
  return Extended(kAcquireOp).append(mutex).append(LittleEndian(0xffff, 2));
}
std::string Release(std::string_view mutex) { return Extended(kReleaseOp).append(mutex); }

std::string PortRegion(std::string_view name, uint16_t first, uint16_t bytes) {
  constexpr char kPortSpace = 1;
  return Extended(kRegionOp)
      .append(name)
      .append(1, kPortSpace)
      .append(Integer(first))
      .append(Integer(bytes));
}

std::string Field(std::string_view region, Access access, std::span<const FieldElement> elements) {
  // 20.2.5.2: access in bits 3:0, no lock, update rule in bits 6:5: 2, write as zeros.
  std::string body =
      std::string(region).append(1, static_cast<char>(static_cast<int>(access) | 2 << 5));
  for (const FieldElement& element : elements) {
    body.append(element.name.empty() ? std::string(1, '\0') : std::string(element.name));
    // This length counts bits, and not itself.
    body.append(Length(element.bits, element.bits < 64 ? 0 : 1));
  }
  return Extended(kFieldOp).append(WithLength(body));
}

std::string ResourceTemplate(std::string_view descriptors) {
  // ACPI 6.5, 6.4.2.9: the end tag; a checksum of 0 is not checked.
  return Buffer(std::string(descriptors).append(std::string{0x79, 0x00}));
}

std::string Memory32Fixed(uint32_t address, uint32_t bytes) {
  // 6.4.3.4: tag 0x86, 9 bytes, read-write.
  return LittleEndian(0x86, 1)
      .append(LittleEndian(9, 2))
      .append(LittleEndian(1, 1))
      .append(LittleEndian(address, 4))
      .append(LittleEndian(bytes, 4));
}

std::string EdgeInterrupt(uint32_t gsi) {
  // 6.4.3.6: tag 0x89, 6 bytes; flags: consumer (bit 0), edge (bit 1), active high, exclusive.
  return LittleEndian(0x89, 1)
      .append(LittleEndian(6, 2))
      .append(LittleEndian(0x3, 1))
      .append(LittleEndian(1, 1))
      .append(LittleEndian(gsi, 4));
}

std::string IoPorts(uint16_t first, uint8_t count) {
  // 6.4.2.5: tag 0x47, decodes 16 bits, from and to the same first port, alignment 1.
  return LittleEndian(0x47, 1)
      .append(LittleEndian(1, 1))
      .append(LittleEndian(first, 2))
      .append(LittleEndian(first, 2))
      .append(LittleEndian(1, 1))
      .append(LittleEndian(count, 1));
}

}  // namespace vmm::aml
