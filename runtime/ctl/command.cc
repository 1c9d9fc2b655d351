#include "runtime/ctl/command.h"

#include "runtime/base/log.h"

namespace ctl {
namespace {

constexpr const char* kHelp =
    "Usage: pinionctl COMMAND\n"
    "  cpu plan      which vCPUs a container or pod would get on a host, and why\n"
    "  cpu picture   the same as a picture (SVG): the host beside the guest\n"
    "  pod list      the pods on this host\n"
    "  pod show      what the host's records tell of one: processes, CPU plan, pins, notes\n"
    "  --version\n"
    "pinionctl COMMAND --help says more. Exit status: 0, or 1 with an error on stderr.\n";

}  // namespace

base::Result<std::string> Run(const Arguments& arguments) {
  const std::string command = arguments.empty() ? "" : arguments[0];
  const Arguments rest(arguments.begin() + !arguments.empty(), arguments.end());
  if (command == "--help" || command == "-h" || command == "help") return std::string(kHelp);
  if (command == "--version" || command == "version") return "pinionctl " PINION_VERSION "\n";
  if (command == "cpu") return RunCpu(rest);
  if (command == "pod") return RunPod(rest);
  return base::MakeError(base::Code::kInvalidArgument, "\"{}\" is no command\n{}",
                         base::Escaped(command, 64), kHelp);
}

}  // namespace ctl
