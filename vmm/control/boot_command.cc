#include "vmm/control/boot_command.h"

#include <fcntl.h>
#include <getopt.h>

#include <charconv>
#include <chrono>
#include <cstdio>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "runtime/base/file.h"
#include "runtime/base/log.h"
#include "vmm/jail/jail.h"
#include "vmm/machine.h"

namespace vmm {

namespace {

constexpr int kPowerOffStatus = 0;
constexpr int kFailureStatus = 1;
constexpr int kUsageStatus = 2;
constexpr int kResetStatus = 3;

struct BootOptions {
  std::string kernel;
  std::string initrd;
  std::string append;
  uint32_t memory_mib = 256;
  uint32_t cores = 1;
  uint32_t threads = 1;
  uint32_t packages = 1;
  bool console = false;
  bool filters = true;
  CpuVendor vendor = CpuVendor::kHost;
  std::vector<std::string> disks;
};

base::Result<uint32_t> ParseNumber(std::string_view text, std::string_view what) {
  uint32_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value == 0) {
    return base::MakeError(base::Code::kInvalidArgument, "{}: \"{}\" is no number above 0", what,
                           text);
  }
  return value;
}

// cores=2,threads=2,packages=1
base::Result<void> ParseTopology(std::string_view text, BootOptions& options) {
  while (!text.empty()) {
    const size_t comma = text.find(',');
    const std::string_view item = text.substr(0, comma);
    text = comma == std::string_view::npos ? std::string_view() : text.substr(comma + 1);
    const size_t equals = item.find('=');
    const std::string_view key = item.substr(0, equals);
    const std::string_view value =
        equals == std::string_view::npos ? std::string_view() : item.substr(equals + 1);
    const uint32_t number = TRY(ParseNumber(value, "--topology"));
    if (key == "cores") {
      options.cores = number;
    } else if (key == "threads") {
      options.threads = number;
    } else if (key == "packages") {
      options.packages = number;
    } else {
      return base::MakeError(base::Code::kInvalidArgument,
                             "--topology: \"{}\": must be packages, cores or threads", key);
    }
  }
  return base::Ok();
}

base::Result<CpuVendor> ParseVendor(std::string_view text) {
  if (text == "host") return CpuVendor::kHost;
  if (text == "intel") return CpuVendor::kIntel;
  if (text == "amd") return CpuVendor::kAmd;
  return base::MakeError(base::Code::kInvalidArgument,
                         "--cpu-vendor: \"{}\": must be host, intel or amd", text);
}

enum OptionCode {
  kBoot = 1000,
  kKernel,
  kInitrd,
  kAppend,
  kMemory,
  kVcpus,
  kTopology,
  kConsole,
  kBlk,
  kVendor,
  kNoJail,
  kHelp
};

constexpr option kOptions[] = {
    {"boot", no_argument, nullptr, kBoot},
    {"kernel", required_argument, nullptr, kKernel},
    {"initrd", required_argument, nullptr, kInitrd},
    {"append", required_argument, nullptr, kAppend},
    {"memory", required_argument, nullptr, kMemory},
    {"vcpus", required_argument, nullptr, kVcpus},
    {"topology", required_argument, nullptr, kTopology},
    {"console", required_argument, nullptr, kConsole},
    {"blk", required_argument, nullptr, kBlk},
    {"cpu-vendor", required_argument, nullptr, kVendor},
    {"no-jail", no_argument, nullptr, kNoJail},
    {"help", no_argument, nullptr, kHelp},
    {nullptr, 0, nullptr, 0},
};

base::Result<void> ApplyOption(int code, std::string_view value, BootOptions& options) {
  switch (code) {
    case kKernel:
      options.kernel = value;
      return base::Ok();
    case kInitrd:
      options.initrd = value;
      return base::Ok();
    case kAppend:
      options.append = value;
      return base::Ok();
    case kMemory:
      options.memory_mib = TRY(ParseNumber(value, "--memory"));
      return base::Ok();
    case kVcpus:
      options.cores = TRY(ParseNumber(value, "--vcpus"));
      return base::Ok();
    case kTopology:
      return ParseTopology(value, options);
    case kConsole:
      if (value != "-") {
        return base::MakeError(base::Code::kInvalidArgument, "--console: only \"-\" is known");
      }
      options.console = true;
      return base::Ok();
    case kBlk:
      options.disks.emplace_back(value);
      return base::Ok();
    case kVendor:
      options.vendor = TRY(ParseVendor(value));
      return base::Ok();
    case kNoJail:
      options.filters = false;
      return base::Ok();
    default:
      return base::Ok();
  }
}

base::Result<BootOptions> ParseOptions(int argc, char** argv) {
  BootOptions options;
  int code;
  optind = 1;
  while ((code = getopt_long(argc, argv, "", kOptions, nullptr)) != -1) {
    if (code == '?') return base::MakeError(base::Code::kInvalidArgument, "see --help");
    TRY(ApplyOption(code, optarg != nullptr ? optarg : "", options));
  }
  if (optind < argc) {
    return base::MakeError(base::Code::kInvalidArgument, "\"{}\" is no option", argv[optind]);
  }
  if (options.kernel.empty()) {
    return base::MakeError(base::Code::kInvalidArgument, "--boot needs --kernel");
  }
  return options;
}

base::Result<DeviceConfig> OpenDisk(std::string path) {
  constexpr std::string_view kReadOnly = ":ro";
  const bool read_only =
      path.size() > kReadOnly.size() &&
      path.compare(path.size() - kReadOnly.size(), kReadOnly.size(), kReadOnly) == 0;
  if (read_only) path.resize(path.size() - kReadOnly.size());
  return DeviceConfig(BlkConfig{TRY(base::Open(path, read_only ? O_RDONLY : O_RDWR)), read_only});
}

base::Result<MachineConfig> MakeConfig(const BootOptions& options) {
  MachineConfig config;
  config.kernel = TRY(base::Open(options.kernel, O_RDONLY));
  if (!options.initrd.empty()) config.initrd = TRY(base::Open(options.initrd, O_RDONLY));
  if (options.console) {
    config.console = base::UniqueFd(fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3));
    if (!config.console) return base::ErrnoError("standard output");
  }
  config.command_line = options.append;
  config.memory_bytes = uint64_t{options.memory_mib} << 20;
  config.cpu_vendor = options.vendor;
  for (uint32_t package = 0; package < options.packages; ++package) {
    for (uint32_t core = 0; core < options.cores; ++core) {
      for (uint32_t thread = 0; thread < options.threads; ++thread) {
        config.vcpus.push_back({.package = package,
                                .core = core,
                                .thread = thread,
                                .l2 = package * options.cores + core,
                                .l3 = package});
      }
    }
  }
  for (const std::string& disk : options.disks) config.devices.push_back(TRY(OpenDisk(disk)));
  config.devices.emplace_back(RngConfig{});
  return config;
}

base::Result<Stop> RunMachine(const BootOptions& options) {
  const std::unique_ptr<base::EventLoop> loop = TRY(base::EventLoop::Create());
  std::optional<Stop> end;
  const auto start = std::chrono::steady_clock::now();
  MachineConfig config = TRY(MakeConfig(options));
  base::UniqueFd kvm = TRY(base::Open("/dev/kvm", O_RDWR));
  EmptyVm vm = TRY(EmptyVm::Create(std::move(kvm)));
  std::unique_ptr<Machine> machine = TRY(Machine::Create(
      std::move(vm), std::move(config), *loop,
      {.on_stopped =
           [&](const Stop& stop) {
             end = stop;
             loop->Stop();
           },
       .on_vsock_connect = [](uint32_t, uint32_t, base::UniqueFd) { return base::Ok(); }}));
  if (options.filters) TRY(jail::ApplyDeviceFilter());
  TRY(machine->Realise(options.filters ? jail::ApplyVcpuFilter : nullptr));
  const auto made = std::chrono::steady_clock::now();
  machine->Run();
  TRY(loop->Run());
  const auto done = std::chrono::steady_clock::now();
  const auto ms = [](auto span) {
    return std::chrono::duration_cast<std::chrono::milliseconds>(span).count();
  };
  fprintf(stderr, "%s",
          fmt::format("pinion-vmm: {}: {}; made in {} ms, ran {} ms\n", StopReasonName(end->reason),
                      base::Escaped(end->detail), ms(made - start), ms(done - made))
              .c_str());
  for (const auto& [kind, count] : machine->ExitCounts()) {
    fprintf(stderr, "%s", fmt::format("pinion-vmm: exits: {} {}\n", kind, count).c_str());
  }
  return std::move(*end);
}

}  // namespace

void PrintBootHelp() {
  printf(
      "  --boot --kernel FILE   run a guest without a shim: its serial port on standard output,\n"
      "                         exit status 0 power-off, 3 reset, 1 anything else\n"
      "      --initrd FILE      initial RAM disk\n"
      "      --append WORDS     more words for the kernel's command line\n"
      "      --memory MIB       RAM (256)\n"
      "      --vcpus N          one package of N cores of one thread (1)\n"
      "      --topology packages=P,cores=C,threads=T\n"
      "      --console -        serial port to standard output\n"
      "      --blk FILE[:ro]    a disk; may be given again\n"
      "      --cpu-vendor host|intel|amd\n"
      "      --no-jail          without the seccomp filters\n");
}

int BootCommand(int argc, char** argv) {
  base::Result<BootOptions> options = ParseOptions(argc, argv);
  if (!options) {
    fprintf(stderr, "pinion-vmm: %s\n", options.error().Message().c_str());
    return kUsageStatus;
  }
  const base::Result<Stop> stop = RunMachine(*options);
  if (!stop) {
    fprintf(stderr, "pinion-vmm: %s\n", stop.error().Message().c_str());
    return kFailureStatus;
  }
  if (stop->reason == StopReason::kPowerOff) return kPowerOffStatus;
  return stop->reason == StopReason::kReset ? kResetStatus : kFailureStatus;
}

}  // namespace vmm
