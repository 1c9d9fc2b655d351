// A writer of the little ACPI Machine Language that describes this machine (ACPI 6.5, chapter 20).
// Each function returns the encoding; they nest by concatenation. Thread rule: reentrant.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace vmm::aml {

// `name`: four characters, or a root-relative one of five such as "\\_SB_".
std::string Name(std::string_view name, std::string_view value);
std::string Integer(uint64_t value);
std::string String(std::string_view text);
// Up to 255 elements, already encoded and joined in `elements`.
std::string Package(uint8_t count, std::string_view elements);
std::string Scope(std::string_view name, std::string_view body);
std::string Device(std::string_view name, std::string_view body);
std::string Buffer(std::string_view bytes);

// Code. A `target` or a term is a name, Local(n), Arg(n), or another encoded term.
std::string Local(unsigned number);
std::string Arg(unsigned number);
std::string Method(std::string_view name, uint8_t arguments, bool serialized,
                   std::string_view body);
std::string If(std::string_view condition, std::string_view body);
std::string Else(std::string_view body);
std::string WhileTrue(std::string_view body);
std::string Break();
std::string Return(std::string_view value);
std::string Equal(std::string_view a, std::string_view b);
std::string Store(std::string_view value, std::string_view target);
std::string Notify(std::string_view device, std::string_view value);
std::string Mutex(std::string_view name);
// Waits for ever.
std::string Acquire(std::string_view mutex);
std::string Release(std::string_view mutex);

// Registers at ports, and their fields. A field without a name leaves bits out.
struct FieldElement {
  std::string_view name;
  uint32_t bits;
};
enum class Access : uint8_t { kByte = 1, kDword = 3 };
std::string PortRegion(std::string_view name, uint16_t first, uint16_t bytes);
// What is written to one field is zeros for its neighbours.
std::string Field(std::string_view region, Access access, std::span<const FieldElement> elements);

// A buffer of resource descriptors with its end tag.
std::string ResourceTemplate(std::string_view descriptors);

// ACPI 6.5, 6.4: descriptors.
std::string Memory32Fixed(uint32_t address, uint32_t bytes);
// Edge-triggered, active high, not shared.
std::string EdgeInterrupt(uint32_t gsi);
std::string IoPorts(uint16_t first, uint8_t count);

}  // namespace vmm::aml
