// Which clause of the OCI runtime-spec governs a JSON path. Thread rule: reentrant.
#pragma once

#include <string_view>

namespace oci {

// "linux.resources.cpu.quota" → `OCI runtime-spec 1.2, config-linux.md "CPU"`. Never empty.
std::string_view ClauseOfPath(std::string_view path);
// The same for paths below `process`, as an exec's document has them.
std::string_view ClauseOfProcessPath(std::string_view path);

}  // namespace oci
