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
constexpr char kExtendedPrefix = 0x5b;
constexpr char kDeviceOp = static_cast<char>(0x82);

std::string LittleEndian(uint64_t value, unsigned bytes) {
  std::string out;
  for (unsigned i = 0; i < bytes; ++i) out.push_back(static_cast<char>(value >> (8 * i) & 0xff));
  return out;
}

// ACPI 6.5, 20.2.4: one to four bytes, which count themselves. The first has the number of those
// that follow in its top two bits, and the low six or four bits of the length.
std::string WithLength(std::string_view body) {
  const size_t size = body.size();
  if (size + 1 < 64) return LittleEndian(size + 1, 1).append(body);
  for (unsigned more = 1; more <= 3; ++more) {
    const size_t total = size + 1 + more;
    if (total < (size_t{1} << (4 + 8 * more))) {
      std::string out = LittleEndian(more << 6 | (total & 0xf), 1);
      return out.append(LittleEndian(total >> 4, more)).append(body);
    }
  }
  return {};  // 256 MiB of AML: unreachable from tables that fit below 1 MiB
}

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

std::string ResourceTemplate(std::string_view descriptors) {
  // ACPI 6.5, 6.4.2.9: the end tag; a checksum of 0 is not checked.
  const std::string bytes = std::string(descriptors).append(std::string{0x79, 0x00});
  return kBufferOp + WithLength(Integer(bytes.size()).append(bytes));
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
