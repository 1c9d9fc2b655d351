// Arithmetic on numbers that a guest chose. Thread rule: reentrant.
#pragma once

#include <concepts>

#include "runtime/base/result.h"

namespace vmm {

// a + b, or kOutOfRange when the type cannot hold it.
template <std::unsigned_integral T>
base::Result<T> CheckedAdd(T a, T b) {
  T out;
  if (__builtin_add_overflow(a, b, &out)) {
    return base::MakeError(base::Code::kOutOfRange, "{:#x} + {:#x} overflows", a, b);
  }
  return out;
}

// a * b, or kOutOfRange when the type cannot hold it.
template <std::unsigned_integral T>
base::Result<T> CheckedMul(T a, T b) {
  T out;
  if (__builtin_mul_overflow(a, b, &out)) {
    return base::MakeError(base::Code::kOutOfRange, "{:#x} * {:#x} overflows", a, b);
  }
  return out;
}

}  // namespace vmm
