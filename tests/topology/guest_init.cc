// /init of a guest that says what it takes its CPUs for, and powers off. A line a CPU and a line a
// node, words in pairs:
//
//   cpu 3 apic 5 proc 5 pkgid 1 shifts 1,2,3 sharing d1:1,i1:1,u2:1,u3:3 core 2-3 die 2-3 package
//   2-3 cache d1:2-3,i1:2-3,u2:2-3,u3:2-3 node 0 cpus 0-3 distance 10,20 kib 63488 end
//
// apic, shifts (core, die, package) and sharing (ids less one, by type and level of cache) are what
// CPUID says when it is executed on that CPU; proc is /proc/cpuinfo's apicid; the rest is sysfs.
//
// It writes to the port of the serial line itself: a byte costs one exit then, where the kernel's
// console costs three, and no console has to be there.
#include <cpuid.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/io.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>

namespace {

constexpr unsigned short kSerialPort = 0x3f8;

void Say(const std::string& text) {
  for (const char byte : text) outb(static_cast<unsigned char>(byte), kSerialPort);
}

// Without the end of line; "-" if it is not there.
std::string ReadFile(const std::string& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return "-";
  std::string text;
  char part[4096];
  for (ssize_t got; (got = read(fd, part, sizeof(part))) > 0;) {
    text.append(part, static_cast<size_t>(got));
  }
  close(fd);
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return text.empty() ? "-" : text;
}

std::string Number(uint32_t value) { return std::to_string(value); }

struct Registers {
  uint32_t eax, ebx, ecx, edx;
};

Registers Cpuid(uint32_t leaf, uint32_t index = 0) {
  Registers r;
  __cpuid_count(leaf, index, r.eax, r.ebx, r.ecx, r.edx);
  return r;
}

// The bits of an id below those that number the core, the die and the package.
std::string Shifts() {
  const bool has_1f = Cpuid(0).eax >= 0x1f && (Cpuid(0x1f).ecx >> 8 & 0xff) != 0;
  const uint32_t leaf = has_1f ? 0x1f : 0xb;
  uint32_t core = 0, die = 0, last = 0;
  bool has_die = false;
  for (uint32_t index = 0; index < 8; ++index) {
    const Registers level = Cpuid(leaf, index);
    const uint32_t type = level.ecx >> 8 & 0xff;
    if (type == 0) break;
    if (type == 1) core = level.eax & 0x1f;
    if (type == 5) {
      die = last;
      has_die = true;
    }
    last = level.eax & 0x1f;
  }
  return Number(core) + "," + Number(has_die ? die : last) + "," + Number(last);
}

std::string Sharing() {
  const bool amd = Cpuid(0).ebx == 0x68747541;  // "Auth"
  const uint32_t leaf = amd ? 0x8000001d : 4;
  std::string all;
  for (uint32_t index = 0; index < 8; ++index) {
    const Registers cache = Cpuid(leaf, index);
    if ((cache.eax & 0x1f) == 0) break;
    const char type = " diu"[cache.eax & 3];
    all += (all.empty() ? "" : ",") + std::string(1, type) + Number(cache.eax >> 5 & 7) + ":" +
           Number(cache.eax >> 14 & 0xfff);
  }
  return all;
}

std::string Caches(const std::string& cpu) {
  std::string all;
  for (uint32_t index = 0; index < 8; ++index) {
    const std::string cache = cpu + "/cache/index" + Number(index);
    const std::string type = ReadFile(cache + "/type");
    if (type == "-") break;
    const char letter = type == "Data" ? 'd' : type == "Instruction" ? 'i' : 'u';
    // Lists have commas: semicolons between caches.
    all += (all.empty() ? "" : ";") + std::string(1, letter) + ReadFile(cache + "/level") + ":" +
           ReadFile(cache + "/shared_cpu_list");
  }
  return all.empty() ? "-" : all;
}

// "apicid" of each processor of /proc/cpuinfo.
std::string ApicIdOf(const std::string& cpuinfo, uint32_t cpu) {
  size_t at = cpuinfo.find("processor\t: " + Number(cpu) + "\n");
  if (at == std::string::npos) return "-";
  at = cpuinfo.find("\napicid\t\t: ", at);
  if (at == std::string::npos) return "-";
  return Number(static_cast<uint32_t>(atoi(cpuinfo.c_str() + at + strlen("\napicid\t\t: "))));
}

void DumpCpu(uint32_t number, const std::string& cpuinfo) {
  const std::string cpu = "/sys/devices/system/cpu/cpu" + Number(number);
  cpu_set_t mask;
  CPU_ZERO(&mask);
  CPU_SET(number, &mask);
  if (sched_setaffinity(0, sizeof(mask), &mask) != 0) return;
  Say("cpu " + Number(number) + " apic " + Number(Cpuid(0xb).edx) + " proc " +
      ApicIdOf(cpuinfo, number) + " pkgid " + ReadFile(cpu + "/topology/physical_package_id") +
      " shifts " + Shifts() + " sharing " + Sharing() + " core " +
      ReadFile(cpu + "/topology/core_cpus_list") + " die " +
      ReadFile(cpu + "/topology/die_cpus_list") + " package " +
      ReadFile(cpu + "/topology/package_cpus_list") + " cache " + Caches(cpu) + "\n");
}

bool DumpNode(uint32_t number) {
  const std::string node = "/sys/devices/system/node/node" + Number(number);
  std::string distance = ReadFile(node + "/distance");
  if (distance == "-") return false;
  for (char& byte : distance) byte = byte == ' ' ? ',' : byte;
  const std::string memory = ReadFile(node + "/meminfo");
  const size_t total = memory.find("MemTotal:");
  const long kib = total == std::string::npos ? 0 : atol(memory.c_str() + total + 9);
  Say("node " + Number(number) + " cpus " + ReadFile(node + "/cpulist") + " distance " + distance +
      " kib " + std::to_string(kib) + "\n");
  return true;
}

}  // namespace

int main() {
  mkdir("/proc", 0755);
  mkdir("/sys", 0755);
  mount("proc", "/proc", "proc", 0, nullptr);
  mount("sys", "/sys", "sysfs", 0, nullptr);
  if (iopl(3) == 0) {
    const std::string cpuinfo = ReadFile("/proc/cpuinfo");
    const long cpus = sysconf(_SC_NPROCESSORS_CONF);
    for (long cpu = 0; cpu < cpus; ++cpu) DumpCpu(static_cast<uint32_t>(cpu), cpuinfo);
    for (uint32_t node = 0; DumpNode(node); ++node) {
    }
    Say("end\n");
  }
  reboot(RB_POWER_OFF);
  return 1;
}
