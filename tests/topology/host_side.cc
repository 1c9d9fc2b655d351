// Boots the guest of each case and judges what it says of its CPUs. Runs where KVM is, as root:
//
//   topology_host_side --vmm FILE --initrd FILE --kernel NAME=FILE... --seed N --count K
//                      [--filter GLOB] [--parallel N] [--directory DIR] [--console]
//
// A line a case, "PASS|FAIL e2e/topology-NUMBER (SECONDS s) [reason]". Case NUMBER is shown as an
// Intel or an AMD machine and boots one of the kernels, in turn. Exit status 1 if any failed.
#include <fnmatch.h>
#include <getopt.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "runtime/base/file.h"
#include "runtime/cpu/cpu_set.h"
#include "tests/topology/boot.h"
#include "tests/topology/view.h"

namespace {

using Clock = std::chrono::steady_clock;

struct Options {
  topology::BootOptions boot;
  std::vector<std::pair<std::string, std::string>> kernels;
  uint64_t seed = 1;
  uint32_t count = 8;
  uint32_t parallel = 1;
  std::string filter = "*";
};

bool Parse(int argc, char** argv, Options& options) {
  constexpr option kOptions[] = {
      {"vmm", required_argument, nullptr, 'v'},      {"initrd", required_argument, nullptr, 'i'},
      {"kernel", required_argument, nullptr, 'k'},   {"seed", required_argument, nullptr, 's'},
      {"count", required_argument, nullptr, 'c'},    {"filter", required_argument, nullptr, 'f'},
      {"parallel", required_argument, nullptr, 'p'}, {"directory", required_argument, nullptr, 'd'},
      {"console", no_argument, nullptr, 't'},        {nullptr, 0, nullptr, 0}};
  for (int code; (code = getopt_long(argc, argv, "", kOptions, nullptr)) != -1;) {
    const std::string value = optarg != nullptr ? optarg : "";
    if (code == 'v') options.boot.vmm = value;
    if (code == 'i') options.boot.initrd = value;
    if (code == 'k') {
      const size_t equals = value.find('=');
      if (equals == std::string::npos) return false;
      options.kernels.emplace_back(value.substr(0, equals), value.substr(equals + 1));
    }
    if (code == 's') options.seed = strtoull(value.c_str(), nullptr, 10);
    if (code == 'c') options.count = static_cast<uint32_t>(strtoul(value.c_str(), nullptr, 10));
    if (code == 'f') options.filter = value;
    if (code == 'p') options.parallel = static_cast<uint32_t>(strtoul(value.c_str(), nullptr, 10));
    if (code == 'd') options.boot.directory = value;
    if (code == 't') options.boot.talks = true;
    if (code == '?') return false;
  }
  return !options.kernels.empty() && !options.boot.vmm.empty() && !options.boot.initrd.empty() &&
         options.parallel > 0 && optind == argc;
}

uint32_t HostNodes() {
  auto text = base::ReadFile("/sys/devices/system/node/online");
  auto nodes = text ? cpu::CpuSet::Parse(*text) : base::Result<cpu::CpuSet>(cpu::CpuSet{0});
  return nodes && !nodes->empty() ? static_cast<uint32_t>(nodes->size()) : 1;
}

class Runner {
 public:
  explicit Runner(Options options) : options_(std::move(options)), host_nodes_(HostNodes()) {}

  int Run() {
    std::vector<std::thread> workers;
    for (uint32_t i = 0; i < options_.parallel; ++i) workers.emplace_back([this] { Work(); });
    for (std::thread& worker : workers) worker.join();
    return failed_ ? 1 : 0;
  }

 private:
  void Work() {
    for (uint32_t number; (number = next_++) < options_.count;) {
      const std::string name = fmt::format("topology-{}", number);
      if (fnmatch(options_.filter.c_str(), name.c_str(), 0) == 0) One(number, name);
    }
  }

  void One(uint32_t number, const std::string& name) {
    const auto start = Clock::now();
    // Not number alone: worked cases have every fourth number, and are to meet all four as well.
    const uint32_t turn = number + number / 4;
    const auto& [kernel, file] = options_.kernels[turn % options_.kernels.size()];
    const bool amd = turn / 2 % 2 == 1;
    const std::string variant = fmt::format("{} {}", kernel, amd ? "AMD" : "Intel");
    auto made = topology::MakeCase(options_.seed, number);
    if (!made) return Say(name, start, variant, made.error().Message());
    topology::BootOptions boot = options_.boot;
    boot.kernel = file;
    boot.amd = amd;
    boot.directory += "/" + name;
    auto dump = topology::Boot(boot, *made, host_nodes_);
    // A guest that does not come up is the emulation's or the vmm's to explain, not this test's
    // question: once more, and said. What a guest that came up says is judged once.
    if (!dump) {
      Note(name, variant, "begun anew: " + dump.error().Message() + LastWords(boot));
      dump = topology::Boot(boot, *made, host_nodes_);
    }
    if (!dump) return Say(name, start, variant, dump.error().Trail());
    const auto same = topology::Compare(*made, *dump);
    Say(name, start, fmt::format("{} {} vCPUs", variant, made->plan.vcpus.size()),
        same ? "" : same.error().Message() + "\n" + made->text + "\n" + *dump);
  }

  // The end of the console of a guest that talks.
  static std::string LastWords(const topology::BootOptions& boot) {
    constexpr size_t kShown = 4096;
    if (!boot.talks) return "";
    const std::string said = base::ReadFile(boot.directory + "/console").value_or("");
    return "\n" + said.substr(said.size() - std::min(said.size(), kShown));
  }

  void Note(const std::string& name, const std::string& variant, const std::string& text) {
    const std::lock_guard lock(mutex_);
    printf("note: %s %s: %s\n", name.c_str(), variant.c_str(), text.c_str());
    fflush(stdout);
  }

  void Say(const std::string& name, Clock::time_point start, const std::string& variant,
           const std::string& failure) {
    const auto seconds =
        std::chrono::duration_cast<std::chrono::seconds>(Clock::now() - start).count();
    const std::lock_guard lock(mutex_);
    printf("%s e2e/%s (%lld s) %s%s%s\n", failure.empty() ? "PASS" : "FAIL", name.c_str(),
           static_cast<long long>(seconds), variant.c_str(), failure.empty() ? "" : ": ",
           failure.c_str());
    if (!failure.empty()) {
      printf("again: tests/run e2e --filter %s --seed %llu --count %u\n", name.c_str(),
             static_cast<unsigned long long>(options_.seed), options_.count);
      failed_ = true;
    }
    fflush(stdout);
  }

  const Options options_;
  const uint32_t host_nodes_;
  std::atomic<uint32_t> next_ = 0;
  std::atomic<bool> failed_ = false;
  std::mutex mutex_;
};

}  // namespace

int main(int argc, char** argv) {
  Options options;
  options.boot.directory = "/tmp/topology";
  if (!Parse(argc, argv, options)) {
    fprintf(stderr, "%s: wrong usage; see the head of host_side.cc\n", argv[0]);
    return 2;
  }
  return Runner(std::move(options)).Run();
}
