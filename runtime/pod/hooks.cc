#include "runtime/pod/hooks.h"

#include <algorithm>
#include <chrono>

#include "runtime/base/run_program.h"

namespace pod {
namespace {

constexpr std::chrono::seconds kDefaultLimit{300};
constexpr int64_t kLongestSeconds = 86400;

}  // namespace

base::Result<void> RunHooks(const std::vector<oci::Hook>& hooks, const oci::State& state) {
  const std::string input = oci::Serialise(state);
  for (const oci::Hook& hook : hooks) {
    base::SubprocessOptions options;
    options.program = hook.path;
    options.argv = hook.args.empty() ? std::vector<std::string>{hook.path} : hook.args;
    options.env = hook.env;
    options.cwd = state.bundle;
    const std::chrono::seconds limit(
        std::min(hook.timeout_seconds.value_or(kDefaultLimit.count()), kLongestSeconds));
    TRY(base::RunProgram(options, input, limit), "hook");
  }
  return base::Ok();
}

}  // namespace pod
