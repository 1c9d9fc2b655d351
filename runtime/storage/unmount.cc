#include "runtime/storage/unmount.h"

#include <sys/mount.h>

#include <filesystem>
#include <system_error>

#include "runtime/base/file.h"

namespace storage {
namespace {

// A node may carry some thousands of mounts, of up to 4 KiB of overlay options each.
constexpr size_t kMountInfoLimitBytes = 256 << 20;
// A mount upon a mount upon a mount … by somebody who mounts as fast as we unmount.
constexpr int kMaxRounds = 64;

bool IsOctal(char c) { return c >= '0' && c <= '7'; }

// proc(5): space, tab, newline and backslash are \ooo.
std::string Decode(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 3 < text.size() && IsOctal(text[i + 1]) && IsOctal(text[i + 2]) &&
        IsOctal(text[i + 3])) {
      out += static_cast<char>((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 +
                               (text[i + 3] - '0'));
      i += 3;
    } else {
      out += text[i];
    }
  }
  return out;
}

// Field 5 of a line: "36 35 98:0 /mnt1 /mnt2 rw …".
std::string_view MountPointField(std::string_view line) {
  for (int skipped = 0; skipped < 4; ++skipped) {
    const size_t space = line.find(' ');
    if (space == std::string_view::npos) return {};
    line.remove_prefix(space + 1);
  }
  return line.substr(0, line.find(' '));
}

}  // namespace

base::Result<std::string> ReadMountInfo() {
  return base::ReadFile("/proc/self/mountinfo", kMountInfoLimitBytes);
}

std::vector<std::string> MountPointsBelow(std::string_view mountinfo,
                                          const std::string& directory) {
  std::vector<std::string> found;
  const std::string prefix = directory + "/";
  while (!mountinfo.empty()) {
    const size_t end = mountinfo.find('\n');
    std::string point = Decode(MountPointField(mountinfo.substr(0, end)));
    if (point == directory || point.starts_with(prefix)) found.push_back(std::move(point));
    if (end == std::string_view::npos) break;
    mountinfo.remove_prefix(end + 1);
  }
  return found;
}

base::Result<void> UnmountTree(const std::string& path) {
  // As mountinfo has it ("/var/run" is a link on most systems), without a look at the mount itself,
  // which may be of a file server that has died.
  std::error_code error;
  std::filesystem::path wanted = std::filesystem::path(path).lexically_normal();
  if (!wanted.has_filename()) wanted = wanted.parent_path();
  const std::filesystem::path parent = std::filesystem::canonical(
      wanted.has_parent_path() ? wanted.parent_path() : std::filesystem::path("."), error);
  const std::string directory = parent / wanted.filename();
  if (error == std::errc::no_such_file_or_directory) return base::Ok();
  if (error) return base::MakeError(base::Code::kUnknown, "unmount {}: {}", path, error.message());
  base::Result<void> result;
  for (int round = 0; round < kMaxRounds; ++round) {
    const std::string mountinfo = TRY(ReadMountInfo());
    const std::vector<std::string> points = MountPointsBelow(mountinfo, directory);
    if (points.empty()) return base::Ok();
    bool progress = false;
    for (auto point = points.rbegin(); point != points.rend(); ++point) {
      if (umount2(point->c_str(), MNT_DETACH | UMOUNT_NOFOLLOW) == 0) {
        progress = true;
      } else {
        // EINVAL, ENOENT: a detached parent took it along.
        result = base::ErrnoError("unmount {}", *point);
      }
    }
    if (!progress) return result;
  }
  return base::MakeError(base::Code::kUnavailable, "unmount {}: still mounted after {} rounds",
                         directory, kMaxRounds);
}

}  // namespace storage
