// pinionctl: a host's administrator asks what Pinion would do, and what it has done.
#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <exception>

#include "runtime/base/file.h"
#include "runtime/ctl/command.h"

namespace {

int Main(int argc, char** argv) {
  // A reader that goes away is an error of write(2), not a death by signal.
  signal(SIGPIPE, SIG_IGN);
  const auto output = ctl::Run(ctl::Arguments(argv + (argc > 0), argv + argc));
  if (!output) {
    std::fprintf(stderr, "pinionctl: %s\n", output.error().Message().c_str());
    return 1;
  }
  const auto written = base::WriteAll(base::BorrowedFd(STDOUT_FILENO), *output);
  if (written) return 0;
  std::fprintf(stderr, "pinionctl: standard output: %s\n", written.error().Message().c_str());
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  // Exit status 1 even where a library throws: memory that ran out, first of all.
  try {
    return Main(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "pinionctl: %s\n", error.what());
  }
  return 1;
}
