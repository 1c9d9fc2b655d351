// The log of a bundle. Thread rule: once, before there are threads.
#pragma once

namespace shim {

// `log` in the working directory is a fifo that containerd made and reads; without one, stderr
// stays the log.
void OpenBundleLog(bool debug);

}  // namespace shim
