#include "runtime/cpu/pin_registry.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <memory>
#include <optional>

#include "runtime/base/file.h"
#include "runtime/base/log.h"

namespace cpu {
namespace {

using base::Code;

constexpr std::string_view kLockName = "lock";

struct Record {
  pid_t owner = 0;
  uint64_t start_ticks = 0;
  CpuSet cpus;
};

std::string Format(const Record& record) {
  return fmt::format("owner={} {}\ncpus={}\n", record.owner, record.start_ticks,
                     record.cpus.ToString());
}

template <class Number>
bool ParseNumber(std::string_view& text, Number& out) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  if (error != std::errc()) return false;
  text.remove_prefix(static_cast<size_t>(end - text.data()));
  return true;
}

// Exactly what Format writes; a record that was cut short is none.
std::optional<Record> Parse(std::string_view text) {
  Record record;
  const auto skip = [&](std::string_view word) {
    if (!text.starts_with(word)) return false;
    text.remove_prefix(word.size());
    return true;
  };
  if (!skip("owner=") || !ParseNumber(text, record.owner) || record.owner <= 0) return {};
  if (!skip(" ") || !ParseNumber(text, record.start_ticks)) return {};
  if (!skip("\ncpus=") || !text.ends_with('\n')) return {};
  auto cpus = CpuSet::Parse(text);
  if (!cpus || cpus->empty()) return {};
  record.cpus = std::move(*cpus);
  return record;
}

bool IsAlive(const Record& record) {
  const auto ticks = StartTicksOf(record.owner);
  return ticks && *ticks == record.start_ticks;
}

// The last pod to leave removes lock and directory: what was locked may by then be nobody's.
base::Result<base::UniqueFd> Lock(const std::string& directory) {
  const std::string path = fmt::format("{}/{}", directory, kLockName);
  for (;;) {
    TRY(base::MakeDirectories(directory, 0755));
    auto opened = base::Open(path, O_RDWR | O_CREAT, 0600);
    if (!opened && opened.error().error_number() == ENOENT) continue;
    base::UniqueFd fd = TRY(std::move(opened));
    while (flock(fd.get(), LOCK_EX) != 0) {
      if (errno != EINTR) return base::ErrnoError("lock {}", path);
    }
    struct stat locked {
    }, now{};
    if (fstat(fd.get(), &locked) != 0) return base::ErrnoError("stat {}", path);
    if (stat(path.c_str(), &now) == 0 && now.st_ino == locked.st_ino) return fd;
  }
}

struct DirCloser {
  void operator()(DIR* dir) const { closedir(dir); }
};

// "ns:pod" of every record; what WriteFileAtomic left after a crash ends in ".tmp".
base::Result<std::vector<std::string>> RecordNames(const std::string& directory) {
  const std::unique_ptr<DIR, DirCloser> dir(opendir(directory.c_str()));
  if (!dir) return base::ErrnoError("open {}", directory);
  std::vector<std::string> names;
  while (const dirent* entry = readdir(dir.get())) {
    const std::string_view name = entry->d_name;
    if (name.find(':') == std::string_view::npos || name.ends_with(".tmp")) continue;
    names.emplace_back(name);
  }
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace

base::Result<uint64_t> StartTicksOf(pid_t pid) {
  const std::string stat = TRY(base::ReadFile(fmt::format("/proc/{}/stat", pid), 4096));
  // The name, (2), may hold anything, blanks and brackets too: count from behind it.
  const size_t name_end = stat.rfind(')');
  std::string_view rest = stat;
  rest.remove_prefix(name_end == std::string::npos ? stat.size() : name_end + 1);
  for (int field = 2; field < 22; ++field) {
    const size_t blank = rest.find(' ');
    if (blank == std::string_view::npos) {
      return base::MakeError(Code::kInternal, "/proc/{}/stat makes no sense", pid);
    }
    // A zombie owns nothing any more.
    if (field == 3 && rest.starts_with('Z')) {
      return base::MakeError(Code::kNotFound, "process {} has ended", pid);
    }
    rest.remove_prefix(blank + 1);
  }
  uint64_t ticks = 0;
  if (ParseNumber(rest, ticks)) return ticks;
  return base::MakeError(Code::kInternal, "/proc/{}/stat makes no sense", pid);
}

std::string PinRegistry::FileOf(const std::string& pod) const {
  std::string name = pod;
  std::replace(name.begin(), name.end(), '/', ':');
  return directory_ + "/" + name;
}

// The lock is held.
base::Result<PinRegistry::View> PinRegistry::ReadOthers(const std::string& self) const {
  View view;
  size_t count = 0;
  for (const std::string& name : TRY(RecordNames(directory_))) {
    const std::string file = directory_ + "/" + name;
    if (file == FileOf(self)) continue;
    if (++count > kMaxPinRecords) {
      view.notes.push_back({"pin_records_many", fmt::format("more than {} records in {}: the rest "
                                                            "is passed over",
                                                            kMaxPinRecords, directory_)});
      break;
    }
    const auto text = base::ReadFile(file, kMaxPinRecordBytes);
    const auto record = text ? Parse(*text) : std::nullopt;
    if (!record) {
      view.notes.push_back({"pin_record_malformed", fmt::format("{} is no record of pinned CPUs",
                                                                base::Escaped(file, 256))});
      continue;
    }
    if (!IsAlive(*record)) {
      unlink(file.c_str());
      continue;
    }
    std::string pod = name;
    std::replace(pod.begin(), pod.end(), ':', '/');
    view.pins.push_back({std::move(pod), record->cpus});
  }
  return view;
}

// The lock is held. Everyone who held it does this: a reader may just have made the directory anew,
// after the last record went, or have removed the last record, of an owner that is dead.
base::Result<void> PinRegistry::RemoveIfEmpty() const {
  if (!TRY(RecordNames(directory_)).empty()) return base::Ok();
  unlink(fmt::format("{}/{}", directory_, kLockName).c_str());
  rmdir(directory_.c_str());
  return base::Ok();
}

base::Result<PinRegistry::View> PinRegistry::Others(const std::string& self) const {
  if (access(directory_.c_str(), F_OK) != 0) return View();  // nobody pins
  const base::UniqueFd lock = TRY(Lock(directory_));
  View view = TRY(ReadOthers(self));
  TRY(RemoveIfEmpty());
  return view;
}

base::Result<void> PinRegistry::Claim(const std::string& self, const PlanPins& plan) {
  const base::UniqueFd lock = TRY(Lock(directory_));
  const View others = TRY(ReadOthers(self));
  const CpuSet cpus = TRY(plan(others));
  if (cpus.empty()) {
    unlink(FileOf(self).c_str());
    return RemoveIfEmpty();
  }
  Record record;
  record.owner = getpid();
  record.start_ticks = TRY(StartTicksOf(record.owner));
  record.cpus = cpus;
  TRY(base::WriteFileAtomic(FileOf(self), Format(record), 0600), "record pinned CPUs");
  return base::Ok();
}

base::Result<void> PinRegistry::Release(const std::string& self) {
  if (access(directory_.c_str(), F_OK) != 0) return base::Ok();
  const base::UniqueFd lock = TRY(Lock(directory_));
  if (unlink(FileOf(self).c_str()) != 0 && errno != ENOENT) {
    return base::ErrnoError("remove {}", FileOf(self));
  }
  return RemoveIfEmpty();
}

}  // namespace cpu
