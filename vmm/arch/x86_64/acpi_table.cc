#include "vmm/arch/x86_64/acpi_table.h"

#include <cstring>

namespace vmm::acpi {

namespace {

// ACPI 6.5, 5.2.6, "System Description Table Header".
struct [[gnu::packed]] TableHeader {
  char signature[4];          // 0
  uint32_t length;            // 4
  uint8_t revision;           // 8
  uint8_t checksum;           // 9
  char oem_id[6];             // 10
  char oem_table_id[8];       // 16
  uint32_t oem_revision;      // 24
  char creator_id[4];         // 28
  uint32_t creator_revision;  // 32
};
static_assert(sizeof(TableHeader) == 36);

}  // namespace

uint8_t Checksum(const void* data, size_t size) {
  uint8_t sum = 0;
  const auto* bytes = static_cast<const uint8_t*>(data);
  for (size_t i = 0; i < size; ++i) sum = static_cast<uint8_t>(sum + bytes[i]);
  return static_cast<uint8_t>(0u - sum);
}

std::string HeaderRoom() { return std::string(sizeof(TableHeader), '\0'); }

std::string Finish(std::string bytes, const char (&signature)[5], uint8_t revision) {
  TableHeader header = {};
  std::memcpy(header.signature, signature, 4);
  header.length = static_cast<uint32_t>(bytes.size());
  header.revision = revision;
  std::memcpy(header.oem_id, "PINION", 6);
  std::memcpy(header.oem_table_id, "PINIONVM", 8);
  header.oem_revision = 1;
  std::memcpy(header.creator_id, "PNON", 4);
  header.creator_revision = 1;
  std::memcpy(bytes.data(), &header, sizeof(header));
  header.checksum = Checksum(bytes.data(), bytes.size());
  std::memcpy(bytes.data(), &header, sizeof(header));
  return bytes;
}

}  // namespace vmm::acpi
