// How the shim's services are reached. Thread rule: a value.
#pragma once

namespace config {

enum class Transport { kTtrpc, kGrpc };

}  // namespace config
