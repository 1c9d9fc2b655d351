// How the machine ends. The agent is PID 1: if it ended, the kernel would panic, so every end of
// its own is a power-off. Thread rule: reentrant; the crash handler is async-signal-safe.
#pragma once

namespace agent {

// Flushes file systems and powers the machine off. Outside a PID 1 it only ends the program.
[[noreturn]] void PowerOff();

// SIGSEGV, SIGBUS, SIGFPE, SIGILL and SIGABRT of the agent become one kernel log line and a
// power-off.
void InstallCrashHandlers();

}  // namespace agent
