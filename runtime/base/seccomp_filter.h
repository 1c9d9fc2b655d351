// SeccompFilter builds a seccomp BPF program from rules; LoadSeccomp puts one over the caller.
//
// The only user of libseccomp. Conditions of one rule are ANDed; rules of one system call are ORed.
// Thread rule: a value, reentrant. Export and Add allocate, LoadSeccomp does not: it may be called
// between fork and exec.
#pragma once

#include <linux/filter.h>

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "runtime/base/result.h"

namespace base {

struct SeccompAction {
  enum class Kind { kKillProcess, kKillThread, kTrap, kErrno, kTrace, kLog, kAllow, kNotify };
  Kind kind = Kind::kKillProcess;
  uint16_t data = 0;  // the errno of kErrno, the message of kTrace; otherwise 0

  static constexpr SeccompAction Allow() { return {Kind::kAllow, 0}; }
  static constexpr SeccompAction Trap() { return {Kind::kTrap, 0}; }
  static constexpr SeccompAction KillProcess() { return {Kind::kKillProcess, 0}; }
  static constexpr SeccompAction Errno(uint16_t error) { return {Kind::kErrno, error}; }
  friend bool operator==(const SeccompAction&, const SeccompAction&) = default;
};

// OCI runtime-spec 1.2, config-linux.md "Seccomp": "SCMP_ACT_ERRNO" and its kin. `data` is used by
// ERRNO and TRACE only (errnoRet; EPERM by the specification when absent). kInvalidArgument for any
// other name.
Result<SeccompAction> SeccompActionByOciName(std::string_view name, uint16_t data);

struct SeccompCondition {
  enum class Op { kNotEqual, kLess, kLessOrEqual, kEqual, kGreaterOrEqual, kGreater, kMaskedEqual };
  unsigned argument = 0;  // 0..5
  Op op = Op::kEqual;
  uint64_t value = 0;
  uint64_t mask = 0;  // kMaskedEqual: (argument & mask) == value
};

// "SCMP_CMP_EQ" and its kin, of the same clause. For SCMP_CMP_MASKED_EQ, OCI's `value` is our mask
// and `valueTwo` our value.
Result<SeccompCondition::Op> SeccompOpByOciName(std::string_view name);

class SeccompFilter {
 public:
  // A filter for the native architecture alone; a call by any other kills the process.
  static Result<SeccompFilter> Create(SeccompAction default_action);
  SeccompFilter(SeccompFilter&&) noexcept;
  SeccompFilter& operator=(SeccompFilter&&) noexcept;
  ~SeccompFilter();

  // "x86" or OCI's "SCMP_ARCH_X86". Adding one twice is allowed. Add architectures before rules.
  Result<void> AddArchitecture(std::string_view name);

  // kNotFound if no architecture that libseccomp knows has a call of this name (OCI runtimes skip
  // those). A rule with the default action is dropped: it says nothing. At most one condition an
  // argument (kInvalidArgument).
  Result<void> Add(SeccompAction action, std::string_view system_call,
                   std::span<const SeccompCondition> conditions = {});
  // The same by the native number.
  Result<void> Add(SeccompAction action, int system_call_number,
                   std::span<const SeccompCondition> conditions = {});

  Result<std::vector<sock_filter>> Export() const;

  // The same behind a few instructions by which calls with numbers above the highest that a rule
  // names get ENOSYS, as under runc: a profile cannot mean calls that it is older than, libcs try
  // those first, and ENOSYS alone makes them fall back. Of the x86 family only, and only for rules
  // added by name; without any, as Export.
  Result<std::vector<sock_filter>> ExportWithEnosys() const;

 private:
  struct State;
  explicit SeccompFilter(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

struct SeccompLoadOptions {
  bool no_new_privileges = true;  // false needs CAP_SYS_ADMIN, seccomp(2)
  bool all_threads = false;       // SECCOMP_FILTER_FLAG_TSYNC
  unsigned extra_flags = 0;       // other SECCOMP_FILTER_FLAG_* (OCI "flags")
};

// Covers the calling thread (or all), for ever.
Result<void> LoadSeccomp(std::span<const sock_filter> program, const SeccompLoadOptions& options);

}  // namespace base
