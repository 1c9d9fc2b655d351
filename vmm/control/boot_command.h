// `pinion-vmm --boot`: a guest without a shim, for development and tests. Its serial port goes to
// standard output, and the exit status tells how it ended.
#pragma once

namespace vmm {

// Returns the exit status: 0 power-off, 3 reset, 1 anything else, 2 wrong usage.
int BootCommand(int argc, char** argv);
void PrintBootHelp();

}  // namespace vmm
