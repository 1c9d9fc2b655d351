#include "vmm/jail/policy.h"

namespace vmm::jail {

using Op = base::SeccompCondition::Op;

base::Result<void> AllowCalls(base::SeccompFilter& filter, std::span<const char* const> names) {
  for (const char* name : names) TRY(filter.Add(base::SeccompAction::Allow(), name));
  return base::Ok();
}

base::Result<void> AllowIfArgument(base::SeccompFilter& filter, const char* name, unsigned argument,
                                   uint32_t value) {
  const base::SeccompCondition condition{
      .argument = argument, .op = Op::kMaskedEqual, .value = value, .mask = 0xffffffff};
  return filter.Add(base::SeccompAction::Allow(), name, {&condition, 1});
}

base::Result<void> AllowWithoutBits(base::SeccompFilter& filter, const char* name,
                                    unsigned argument, uint32_t bits) {
  const base::SeccompCondition condition{
      .argument = argument, .op = Op::kMaskedEqual, .value = 0, .mask = bits};
  return filter.Add(base::SeccompAction::Allow(), name, {&condition, 1});
}

}  // namespace vmm::jail
