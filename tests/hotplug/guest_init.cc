// /init of a guest whose CPUs come and go: one busy thread a CPU of the possible machine, and this
// one, which brings every CPU that is present online and says each change of the set on the serial
// line, "online LIST". The kernel's command line says after how many growths it powers off
// (rounds=N).
#include <fcntl.h>
#include <sys/io.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

namespace {

constexpr unsigned short kSerialPort = 0x3f8;
constexpr char kCpus[] = "/sys/devices/system/cpu/";

void Say(const std::string& text) {
  for (const char byte : text + "\n") outb(static_cast<unsigned char>(byte), kSerialPort);
}

std::string ReadFile(const std::string& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return {};
  char text[4096];
  const ssize_t got = read(fd, text, sizeof(text));
  close(fd);
  std::string line(text, got > 0 ? static_cast<size_t>(got) : 0);
  while (!line.empty() && line.back() == '\n') line.pop_back();
  return line;
}

void Online(int cpu) {
  const std::string path = kCpus + ("cpu" + std::to_string(cpu)) + "/online";
  if (ReadFile(path) != "0") return;
  const int fd = open(path.c_str(), O_WRONLY | O_CLOEXEC);
  if (fd < 0) return;
  if (write(fd, "1", 1) != 1) Say("cpu " + std::to_string(cpu) + ": " + strerror(errno));
  close(fd);
}

int Rounds() {
  const std::string words = ReadFile("/proc/cmdline");
  const size_t at = words.find("rounds=");
  return at == std::string::npos ? 1 : atoi(words.c_str() + at + strlen("rounds="));
}

}  // namespace

int main() {
  mkdir("/proc", 0755);
  mkdir("/sys", 0755);
  mount("proc", "/proc", "proc", 0, nullptr);
  mount("sys", "/sys", "sysfs", 0, nullptr);
  if (iopl(3) != 0) return 1;
  const long cpus = sysconf(_SC_NPROCESSORS_CONF);
  const int rounds = Rounds();
  static std::atomic<unsigned long> work = 0;
  std::vector<std::thread> load;
  for (long i = 0; i < cpus; ++i) {
    load.emplace_back([] {
      while (true) {
        ++work;
        if (work % 4096 == 0) std::this_thread::yield();
      }
    });
  }
  Say("possible " + ReadFile(std::string(kCpus) + "possible"));
  int growths = 0;
  std::string last;
  while (true) {
    for (int cpu = 1; cpu < 16; ++cpu) Online(cpu);
    const std::string online = ReadFile(std::string(kCpus) + "online");
    if (online != last) {
      Say("online " + online);
      if (last == "0") ++growths;
      last = online;
      // The host has the last word: it sees the machine shrink once more, and then end.
      if (growths == rounds && online == "0") break;
    }
    usleep(20'000);
  }
  reboot(RB_POWER_OFF);
  return 1;
}
