// /init of a guest that tries each virtio device from the inside and says what it saw on the serial
// console, a line "probe: NAME ok" or "probe: NAME FAILED why". The other side is host_side.cc.
#include <fcntl.h>
#include <linux/vm_sockets.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <memory>
#include <string>
#include <thread>

#include "tests/vmm/plan.h"

namespace {

std::string failure;

bool Fail(const std::string& what) {
  failure = what + ": " + strerror(errno);
  return false;
}

int Open(const std::string& path, int flags) { return open(path.c_str(), flags | O_CLOEXEC, 0600); }

bool WriteAll(int fd, const std::string& bytes) {
  for (size_t done = 0; done < bytes.size();) {
    const ssize_t sent = write(fd, bytes.data() + done, bytes.size() - done);
    if (sent <= 0) return false;
    done += static_cast<size_t>(sent);
  }
  return true;
}

std::string ReadAll(int fd) {
  std::string all;
  char part[16384];
  for (ssize_t got; (got = read(fd, part, sizeof(part))) > 0;) {
    all.append(part, static_cast<size_t>(got));
  }
  return all;
}

void LoadModules() {
  std::ifstream order("/modules/order");
  for (std::string name; std::getline(order, name);) {
    const int fd = Open("/modules/" + name, O_RDONLY);
    if (fd < 0) continue;
    if (syscall(SYS_finit_module, fd, "", 0) != 0)
      printf("module %s: %s\n", name.c_str(), strerror(errno));
    close(fd);
  }
}

bool ProbeRng() {
  const int fd = Open("/dev/hwrng", O_RDONLY);
  if (fd < 0) return Fail("open /dev/hwrng");
  std::string bytes(4096, '\0');
  size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t got = read(fd, bytes.data() + done, bytes.size() - done);
    if (got <= 0) return Fail("read /dev/hwrng");
    done += static_cast<size_t>(got);
  }
  size_t zeroes = 0;
  for (const char byte : bytes) zeroes += byte == 0;
  return zeroes < 64 || Fail("random bytes are zeroes");
}

bool ProbeDisk() {
  const int fd = Open("/dev/vda", O_RDWR | O_DIRECT);
  if (fd < 0) return Fail("open /dev/vda");
  const size_t size = plan::kDiskBytes / 2;
  std::unique_ptr<void, decltype(&free)> memory(aligned_alloc(4096, size), free);
  char* const bytes = static_cast<char*>(memory.get());
  if (pread(fd, bytes, 4096, 0) != 4096) return Fail("read sector 0");
  if (strncmp(bytes, plan::kFromHost, strlen(plan::kFromHost)) != 0) return Fail("sector 0");
  memcpy(bytes, plan::Pattern(size).data(), size);
  if (pwrite(fd, bytes, size, plan::kDiskBytes / 2) != static_cast<ssize_t>(size))
    return Fail("write");
  if (fsync(fd) != 0) return Fail("flush");
  memset(bytes, 0, size);
  if (pread(fd, bytes, size, plan::kDiskBytes / 2) != static_cast<ssize_t>(size))
    return Fail("read back");
  return plan::Pattern(size) == std::string(bytes, size) || Fail("other bytes came back");
}

bool ProbeReadOnlyDisk() {
  std::ifstream flag("/sys/block/vdb/ro");
  std::string read_only;
  flag >> read_only;
  if (read_only != "1") return Fail("/sys/block/vdb/ro says " + read_only);
  const int fd = Open("/dev/vdb", O_RDONLY);
  if (fd < 0) return Fail("open /dev/vdb");
  std::string text(strlen(plan::kFromHost), '\0');
  if (pread(fd, text.data(), text.size(), 0) < 0 || text != plan::kFromHost)
    return Fail("sector 0");
  return true;
}

int Dial(uint32_t port) {
  const int fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_vm address{};
  address.svm_family = AF_VSOCK;
  address.svm_cid = VMADDR_CID_HOST;
  address.svm_port = port;
  if (connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0) {
    close(fd);
    return -1;
  }
  return fd;
}

// Everything comes back after our end of file, and the end of file after it.
bool ProbeEcho() {
  const int fd = Dial(plan::kEchoPort);
  if (fd < 0) return Fail("connect");
  const std::string sent = plan::Pattern(plan::kEchoBytes);
  std::thread writer([&] {
    WriteAll(fd, sent);
    shutdown(fd, SHUT_WR);
  });
  const std::string received = ReadAll(fd);
  writer.join();
  close(fd);
  errno = 0;
  return received == sent || Fail("echo of " + std::to_string(received.size()) + " bytes differs");
}

bool ProbeManyStreams() {
  for (int i = 0; i < plan::kManyStreams; ++i) {
    const int fd = Dial(plan::kEchoPort);
    if (fd < 0) return Fail("connect " + std::to_string(i));
    const std::string sent = "stream " + std::to_string(i);
    WriteAll(fd, sent);
    shutdown(fd, SHUT_WR);
    if (ReadAll(fd) != sent) return Fail("echo " + std::to_string(i));
    close(fd);
  }
  return true;
}

bool ProbeShare() {
  mkdir("/mnt", 0755);
  if (mount(plan::kTag, "/mnt", "virtiofs", 0, nullptr) != 0) return Fail("mount");
  int fd = Open("/mnt/from-host", O_RDONLY);
  if (fd < 0) return Fail("open from-host");
  if (ReadAll(fd) != plan::kFromHost) return Fail("from-host");
  close(fd);
  fd = Open("/mnt/from-guest", O_CREAT | O_WRONLY);
  if (fd < 0) return Fail("create from-guest");
  if (!WriteAll(fd, plan::Pattern(plan::kFileBytes))) return Fail("write from-guest");
  if (fsync(fd) != 0) return Fail("fsync from-guest");
  close(fd);
  return umount("/mnt") == 0 || Fail("umount");
}

void Probe(const char* name, bool (*probe)()) {
  if (probe()) {
    printf("probe: %s ok\n", name);
  } else {
    printf("probe: %s FAILED %s\n", name, failure.c_str());
  }
  fflush(stdout);
}

}  // namespace

int main() {
  for (const char* path : {"/dev", "/proc", "/sys"}) mkdir(path, 0755);
  mount("dev", "/dev", "devtmpfs", 0, nullptr);
  mount("proc", "/proc", "proc", 0, nullptr);
  mount("sys", "/sys", "sysfs", 0, nullptr);
  const int console = Open("/dev/console", O_RDWR);
  for (int fd = 0; fd < 3; ++fd) dup2(console, fd);
  LoadModules();
  Probe("rng", ProbeRng);
  Probe("blk", ProbeDisk);
  Probe("blk-read-only", ProbeReadOnlyDisk);
  Probe("vsock-echo", ProbeEcho);
  Probe("vsock-many", ProbeManyStreams);
  Probe("fs", ProbeShare);
  reboot(RB_POWER_OFF);
  return 1;
}
