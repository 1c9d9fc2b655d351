#include "runtime/base/seccomp_filter.h"

#include <linux/audit.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <string>
#include <utility>

#include "runtime/base/unique_fd.h"

namespace base {
namespace {

constexpr unsigned kArgumentCount = 6;

uint32_t ToLibseccomp(SeccompAction action) {
  switch (action.kind) {
    case SeccompAction::Kind::kKillProcess:
      return SCMP_ACT_KILL_PROCESS;
    case SeccompAction::Kind::kKillThread:
      return SCMP_ACT_KILL_THREAD;
    case SeccompAction::Kind::kTrap:
      return SCMP_ACT_TRAP;
    case SeccompAction::Kind::kErrno:
      return SCMP_ACT_ERRNO(action.data);
    case SeccompAction::Kind::kTrace:
      return SCMP_ACT_TRACE(action.data);
    case SeccompAction::Kind::kLog:
      return SCMP_ACT_LOG;
    case SeccompAction::Kind::kAllow:
      return SCMP_ACT_ALLOW;
    case SeccompAction::Kind::kNotify:
      return SCMP_ACT_NOTIFY;
  }
  return SCMP_ACT_KILL_PROCESS;
}

scmp_compare ToLibseccomp(SeccompCondition::Op op) {
  switch (op) {
    case SeccompCondition::Op::kNotEqual:
      return SCMP_CMP_NE;
    case SeccompCondition::Op::kLess:
      return SCMP_CMP_LT;
    case SeccompCondition::Op::kLessOrEqual:
      return SCMP_CMP_LE;
    case SeccompCondition::Op::kEqual:
      return SCMP_CMP_EQ;
    case SeccompCondition::Op::kGreaterOrEqual:
      return SCMP_CMP_GE;
    case SeccompCondition::Op::kGreater:
      return SCMP_CMP_GT;
    case SeccompCondition::Op::kMaskedEqual:
      return SCMP_CMP_MASKED_EQ;
  }
  return SCMP_CMP_EQ;
}

// libseccomp returns -errno instead of setting errno.
Error LibseccompError(int result, std::string what) {
  errno = -result;
  return ErrnoError("{}", what);
}

Result<std::vector<scmp_arg_cmp>> Comparisons(std::span<const SeccompCondition> conditions) {
  std::vector<scmp_arg_cmp> comparisons;
  std::array<bool, kArgumentCount> used{};
  for (const SeccompCondition& condition : conditions) {
    if (condition.argument >= kArgumentCount) {
      return MakeError(Code::kInvalidArgument, "argument {}: a system call has 0 to {}",
                       condition.argument, kArgumentCount - 1);
    }
    if (std::exchange(used[condition.argument], true)) {
      return MakeError(Code::kInvalidArgument, "argument {}: compared twice in one rule",
                       condition.argument);
    }
    scmp_arg_cmp comparison{condition.argument, ToLibseccomp(condition.op), condition.value, 0};
    if (condition.op == SeccompCondition::Op::kMaskedEqual) {
      comparison.datum_a = condition.mask;
      comparison.datum_b = condition.value;
    }
    comparisons.push_back(comparison);
  }
  return comparisons;
}

}  // namespace

Result<SeccompAction> SeccompActionByOciName(std::string_view name, uint16_t data) {
  using Kind = SeccompAction::Kind;
  struct Row {
    std::string_view name;
    Kind kind;
  };
  static constexpr Row kRows[] = {
      {"SCMP_ACT_KILL", Kind::kKillThread},
      {"SCMP_ACT_KILL_THREAD", Kind::kKillThread},
      {"SCMP_ACT_KILL_PROCESS", Kind::kKillProcess},
      {"SCMP_ACT_TRAP", Kind::kTrap},
      {"SCMP_ACT_ERRNO", Kind::kErrno},
      {"SCMP_ACT_TRACE", Kind::kTrace},
      {"SCMP_ACT_LOG", Kind::kLog},
      {"SCMP_ACT_ALLOW", Kind::kAllow},
      {"SCMP_ACT_NOTIFY", Kind::kNotify},
  };
  for (const Row& row : kRows) {
    if (row.name != name) continue;
    const bool has_data = row.kind == Kind::kErrno || row.kind == Kind::kTrace;
    return SeccompAction{row.kind, has_data ? data : uint16_t{0}};
  }
  return MakeError(Code::kInvalidArgument, "seccomp action '{}': not one of SCMP_ACT_*", name);
}

Result<SeccompCondition::Op> SeccompOpByOciName(std::string_view name) {
  using Op = SeccompCondition::Op;
  struct Row {
    std::string_view name;
    Op op;
  };
  static constexpr Row kRows[] = {
      {"SCMP_CMP_NE", Op::kNotEqual},           {"SCMP_CMP_LT", Op::kLess},
      {"SCMP_CMP_LE", Op::kLessOrEqual},        {"SCMP_CMP_EQ", Op::kEqual},
      {"SCMP_CMP_GE", Op::kGreaterOrEqual},     {"SCMP_CMP_GT", Op::kGreater},
      {"SCMP_CMP_MASKED_EQ", Op::kMaskedEqual},
  };
  for (const Row& row : kRows) {
    if (row.name == name) return row.op;
  }
  return MakeError(Code::kInvalidArgument, "seccomp operator '{}': not one of SCMP_CMP_*", name);
}

// System call tables that an x86-64 kernel serves, each a range of numbers of an audit architecture
// (arch/x86/include/uapi/asm/unistd.h: x32 has bit 30 set).
struct CallTable {
  uint32_t libseccomp_arch;
  uint32_t audit_arch;
  uint32_t last;
};
constexpr CallTable kCallTables[] = {
    {SCMP_ARCH_X86_64, AUDIT_ARCH_X86_64, 0x3fffffff},
    {SCMP_ARCH_X32, AUDIT_ARCH_X86_64, 0xffffffff},
    {SCMP_ARCH_X86, AUDIT_ARCH_I386, 0xffffffff},
};

struct SeccompFilter::State {
  scmp_filter_ctx context = nullptr;
  SeccompAction default_action;
  std::array<uint32_t, std::size(kCallTables)> highest{};  // that a rule names; 0: none

  ~State() {
    if (context != nullptr) seccomp_release(context);
  }
};

SeccompFilter::SeccompFilter(std::unique_ptr<State> state) : state_(std::move(state)) {}
SeccompFilter::SeccompFilter(SeccompFilter&&) noexcept = default;
SeccompFilter& SeccompFilter::operator=(SeccompFilter&&) noexcept = default;
SeccompFilter::~SeccompFilter() = default;

Result<SeccompFilter> SeccompFilter::Create(SeccompAction default_action) {
  auto state = std::make_unique<State>();
  state->default_action = default_action;
  state->context = seccomp_init(ToLibseccomp(default_action));
  if (state->context == nullptr) {
    return MakeError(Code::kInternal, "seccomp_init: libseccomp refused the default action");
  }
  int result = seccomp_attr_set(state->context, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
  if (result != 0) return LibseccompError(result, "seccomp: set the foreign architecture action");
  // A binary tree instead of a list: an OCI profile names some 400 calls, and each call of the
  // container walks the program.
  result = seccomp_attr_set(state->context, SCMP_FLTATR_CTL_OPTIMIZE, 2);
  if (result != 0) return LibseccompError(result, "seccomp: set the optimisation level");
  return SeccompFilter(std::move(state));
}

Result<void> SeccompFilter::AddArchitecture(std::string_view name) {
  constexpr std::string_view kOciPrefix = "SCMP_ARCH_";
  std::string lower(name.starts_with(kOciPrefix) ? name.substr(kOciPrefix.size()) : name);
  std::transform(lower.begin(), lower.end(), lower.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  });
  const uint32_t token = seccomp_arch_resolve_name(lower.c_str());
  if (token == 0) {
    return MakeError(Code::kInvalidArgument, "seccomp architecture '{}': unknown", name);
  }
  const int result = seccomp_arch_add(state_->context, token);
  if (result != 0 && result != -EEXIST) {
    return LibseccompError(result, fmt::format("seccomp architecture '{}'", name));
  }
  return Ok();
}

Result<void> SeccompFilter::Add(SeccompAction action, std::string_view system_call,
                                std::span<const SeccompCondition> conditions) {
  const int number = seccomp_syscall_resolve_name(std::string(system_call).c_str());
  if (number == __NR_SCMP_ERROR) {
    return MakeError(Code::kNotFound, "system call '{}': unknown", system_call);
  }
  TRY(Add(action, number, conditions), "system call '{}'", system_call);
  for (size_t i = 0; i < std::size(kCallTables); ++i) {
    const int own = seccomp_syscall_resolve_name_arch(kCallTables[i].libseccomp_arch,
                                                      std::string(system_call).c_str());
    // Negative: it has none, or shares another's (socketcall).
    if (own >= 0) state_->highest[i] = std::max(state_->highest[i], static_cast<uint32_t>(own));
  }
  return Ok();
}

Result<void> SeccompFilter::Add(SeccompAction action, int system_call_number,
                                std::span<const SeccompCondition> conditions) {
  const std::vector<scmp_arg_cmp> comparisons = TRY(Comparisons(conditions));
  // libseccomp answers EACCES to a rule that repeats the default.
  if (action == state_->default_action) return Ok();
  const int result =
      seccomp_rule_add_array(state_->context, ToLibseccomp(action), system_call_number,
                             static_cast<unsigned>(comparisons.size()),
                             comparisons.empty() ? nullptr : comparisons.data());
  // EEXIST: an earlier rule says the same.
  if (result != 0 && result != -EEXIST) {
    return LibseccompError(result, fmt::format("seccomp rule for call {}", system_call_number));
  }
  return Ok();
}

Result<std::vector<sock_filter>> SeccompFilter::Export() const {
  // libseccomp 2.5 exports to a descriptor only.
  UniqueFd file(memfd_create("seccomp", MFD_CLOEXEC));
  if (!file) return ErrnoError("memfd_create for a seccomp program");
  const int result = seccomp_export_bpf(state_->context, file.get());
  if (result != 0) return LibseccompError(result, "seccomp: export the program");
  struct stat status {};
  if (fstat(file.get(), &status) != 0) return ErrnoError("fstat a seccomp program");
  const auto size = static_cast<size_t>(status.st_size);
  if (size == 0 || size % sizeof(sock_filter) != 0) {
    return MakeError(Code::kInternal, "seccomp program of {} bytes: not whole instructions", size);
  }
  std::vector<sock_filter> program(size / sizeof(sock_filter));
  if (pread(file.get(), program.data(), size, 0) != status.st_size) {
    return ErrnoError("read a seccomp program");
  }
  return program;
}

Result<std::vector<sock_filter>> SeccompFilter::ExportWithEnosys() const {
  std::vector<sock_filter> program;
  for (size_t i = 0; i < std::size(kCallTables); ++i) {
    const CallTable& table = kCallTables[i];
    // An architecture that the profile does not have is its foreign one, whatever the number.
    const bool served = seccomp_arch_exist(state_->context, table.libseccomp_arch) == 0;
    if (!served || state_->highest[i] == 0) continue;
    const sock_filter block[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, arch)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, table.audit_arch, 0, 4),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, table.last, 2, 0),
        BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, state_->highest[i], 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
    };
    program.insert(program.end(), std::begin(block), std::end(block));
  }
  const std::vector<sock_filter> rules = TRY(Export());
  program.insert(program.end(), rules.begin(), rules.end());
  return program;
}

Result<void> LoadSeccomp(std::span<const sock_filter> program, const SeccompLoadOptions& options) {
  if (program.empty() || program.size() > BPF_MAXINSNS) {
    return MakeError(Code::kInvalidArgument, "seccomp program of {} instructions: 1 to {}",
                     program.size(), BPF_MAXINSNS);
  }
  if (options.no_new_privileges && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
    return ErrnoError("prctl(PR_SET_NO_NEW_PRIVS)");
  }
  sock_fprog text{static_cast<unsigned short>(program.size()),
                  const_cast<sock_filter*>(program.data())};
  const unsigned flags =
      options.extra_flags | (options.all_threads ? SECCOMP_FILTER_FLAG_TSYNC : 0U);
  const long result = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &text);
  if (result < 0) return ErrnoError("seccomp(SECCOMP_SET_MODE_FILTER, {:#x})", flags);
  if (result > 0) {
    // With TSYNC the kernel answers the first thread that could not follow.
    return MakeError(Code::kFailedPrecondition,
                     "seccomp: thread {} has a filter of its own and cannot be covered", result);
  }
  return Ok();
}

}  // namespace base
