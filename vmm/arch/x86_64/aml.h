// A writer of the little ACPI Machine Language that describes this machine (ACPI 6.5, chapter 20).
// Each function returns the encoding; they nest by concatenation. Thread rule: reentrant.
#pragma once

#include <cstdint>
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
// A buffer of resource descriptors with its end tag.
std::string ResourceTemplate(std::string_view descriptors);

// ACPI 6.5, 6.4: descriptors.
std::string Memory32Fixed(uint32_t address, uint32_t bytes);
// Edge-triggered, active high, not shared.
std::string EdgeInterrupt(uint32_t gsi);
std::string IoPorts(uint16_t first, uint8_t count);

}  // namespace vmm::aml
