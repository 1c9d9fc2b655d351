// Removing what a pod left on the host, from its record alone: the one way in which it is done,
// after a failed Create, at Shutdown, and by `delete` after a crash.
//
// Thread rule: reentrant, blocks for well under a second. Idempotent.
#pragma once

#include "runtime/base/result.h"
#include "runtime/pod/state_directory.h"

namespace pod {

// In the bundle: the run_dir, if it is not the default one. `delete` knows no configuration.
inline constexpr const char* kRunDirFile = "pinion-run-dir";

// Ends the recorded processes, unmounts, removes cgroups and the directory. Goes on after a
// failure; the first is returned, and then the directory stays, for another try.
base::Result<void> RemovePod(StateDirectory& state);

// Kills `process` if it is still the one that was recorded, and waits for its end, 3 s at most.
base::Result<void> EndProcess(const ProcessRecord& process);

}  // namespace pod
