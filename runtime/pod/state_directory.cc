#include "runtime/pod/state_directory.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <functional>

#include "runtime/base/file.h"
#include "runtime/base/unique_fd.h"

namespace pod {
namespace {

using base::Code;
using base::MakeError;

constexpr size_t kMaxIdCharacters = 76;
constexpr size_t kMaxRecordBytes = 1 << 20;

bool IsAlphanumeric(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

// Held until it goes.
base::Result<base::UniqueFd> Lock(const std::string& run_dir) {
  base::UniqueFd fd = TRY(base::Open(run_dir + "/lock", O_RDWR | O_CREAT | O_NOFOLLOW, 0600));
  if (TEMP_FAILURE_RETRY(flock(fd.get(), LOCK_EX)) != 0)
    return base::ErrnoError("flock {}/lock", run_dir);
  return fd;
}

bool Exists(const std::string& path) { return access(path.c_str(), F_OK) == 0; }

template <class T>
bool ParseNumber(std::string_view text, T* value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *value);
  return error == std::errc() && end == text.data() + text.size();
}

std::vector<std::string_view> Words(std::string_view line, size_t at_most) {
  std::vector<std::string_view> words;
  while (words.size() + 1 < at_most) {
    const size_t space = line.find(' ');
    if (space == std::string_view::npos) break;
    words.push_back(line.substr(0, space));
    line.remove_prefix(space + 1);
  }
  words.push_back(line);
  return words;
}

constexpr std::string_view kKeys[] = {"uid", "process", "cgroup", "rootfs", "netns", "link"};

base::Result<void> ParseRecordLine(std::string_view line, Record* record) {
  const std::vector<std::string_view> words = Words(line, 4);
  const std::string_view key = words[0];
  if (key == "uid" && words.size() == 2) {
    if (ParseNumber(words[1], &record->uid)) return base::Ok();
  } else if (key == "process" && words.size() == 4) {
    ProcessRecord process{std::string(words[1]), 0, 0};
    if (ParseNumber(words[2], &process.pid) && process.pid > 1 &&
        ParseNumber(words[3], &process.start_ticks)) {
      record->processes.push_back(std::move(process));
      return base::Ok();
    }
  } else if (key == "cgroup" && words.size() >= 2) {
    record->cgroups.emplace_back(line.substr(key.size() + 1));
    return base::Ok();
  } else if (key == "rootfs" && words.size() >= 3) {
    const std::string id(words[1]);
    record->rootfs[id] = line.substr(key.size() + 1 + id.size() + 1);
    return base::Ok();
  } else if (key == "netns" && words.size() >= 3) {
    NetworkRecord network;
    if (ParseNumber(words[1], &network.identity)) {
      network.path = line.substr(key.size() + 1 + words[1].size() + 1);
      record->network = std::move(network);
      return base::Ok();
    }
  } else if (key == "link" && words.size() == 2 && record->network) {
    record->network->links.emplace_back(words[1]);
    return base::Ok();
  } else if (std::find(std::begin(kKeys), std::end(kKeys), key) == std::end(kKeys)) {
    return base::Ok();
  }
  return MakeError(Code::kInvalidArgument, "record: \"{}\" cannot be read", line);
}

}  // namespace

base::Result<void> CheckId(std::string_view what, std::string_view id) {
  const bool characters = std::all_of(id.begin(), id.end(), [](char c) {
    return IsAlphanumeric(c) || c == '.' || c == '_' || c == '-';
  });
  if (id.empty() || id.size() > kMaxIdCharacters || !characters || !IsAlphanumeric(id.front())) {
    return MakeError(Code::kInvalidArgument,
                     "{} \"{}\": must be 1 to {} letters, digits, '.', '_' or '-', and begin with "
                     "a letter or digit",
                     what, id.substr(0, 2 * kMaxIdCharacters), kMaxIdCharacters);
  }
  return base::Ok();
}

base::Result<ProcessRecord> DescribeProcess(std::string role, pid_t pid) {
  const std::string stat =
      TRY(base::ReadFile(fmt::format("/proc/{}/stat", pid), 4096), "process {}", pid);
  // comm, field 2, may hold anything, ")" too; the fields behind it are counted from its end.
  const size_t comm_end = stat.rfind(')');
  ProcessRecord record{std::move(role), pid, 0};
  if (comm_end != std::string::npos && comm_end + 2 < stat.size()) {
    const std::vector<std::string_view> fields =
        Words(std::string_view(stat).substr(comm_end + 2), 64);
    if (fields.size() > 19 && ParseNumber(fields[19], &record.start_ticks)) return record;
  }
  return MakeError(Code::kInternal, "/proc/{}/stat has no start time", pid);
}

std::string FormatRecord(const Record& record) {
  std::string text;
  if (record.uid != 0) text += fmt::format("uid {}\n", record.uid);
  for (const ProcessRecord& process : record.processes) {
    text += fmt::format("process {} {} {}\n", process.role, process.pid, process.start_ticks);
  }
  for (const std::string& cgroup : record.cgroups) text += fmt::format("cgroup {}\n", cgroup);
  for (const auto& [id, path] : record.rootfs) text += fmt::format("rootfs {} {}\n", id, path);
  if (record.network) {
    text += fmt::format("netns {} {}\n", record.network->identity, record.network->path);
    for (const std::string& link : record.network->links) text += fmt::format("link {}\n", link);
  }
  return text;
}

base::Result<Record> ParseRecord(std::string_view text) {
  Record record;
  while (!text.empty()) {
    const size_t end = text.find('\n');
    const std::string_view line = text.substr(0, end);
    if (!line.empty()) TRY(ParseRecordLine(line, &record));
    if (end == std::string_view::npos) break;
    text.remove_prefix(end + 1);
  }
  return record;
}

StateDirectory::StateDirectory(std::string run_dir, std::string ns, std::string pod)
    : run_dir_(std::move(run_dir)), ns_(std::move(ns)), pod_(std::move(pod)) {
  path_ = run_dir_ + "/" + ns_ + "/" + pod_;
}

base::Result<StateDirectory> StateDirectory::Make(const std::string& run_dir, const std::string& ns,
                                                  const std::string& pod, Uids uids) {
  TRY(CheckId("namespace", ns));
  TRY(CheckId("pod id", pod));
  if (ns == "uids" || ns == "cpus" || ns == "lock") {
    return MakeError(Code::kInvalidArgument, "namespace \"{}\": {}/{} has another use", ns, run_dir,
                     ns);
  }
  StateDirectory state(run_dir, ns, pod);
  TRY(base::MakeDirectories(run_dir, 0711));
  const base::UniqueFd lock = TRY(Lock(run_dir), "state directory");
  TRY(base::MakeDirectories(run_dir + "/" + ns, 0711));
  if (mkdir(state.path_.c_str(), 0711) != 0) {
    if (errno != EEXIST) return base::ErrnoError("mkdir {}", state.path_);
    return MakeError(Code::kAlreadyExists, "{} exists: a pod of this name runs, or was not removed",
                     state.path_);
  }
  base::Result<void> made = state.TakeUid(uids);
  if (made) made = state.Save();
  if (!made) {
    if (state.record_.uid != 0)
      unlink(fmt::format("{}/uids/{}", run_dir, state.record_.uid).c_str());
    unlink((state.path_ + "/record").c_str());
    rmdir(state.path_.c_str());
    rmdir((run_dir + "/" + ns).c_str());
    rmdir((run_dir + "/uids").c_str());
    return std::move(made.error());
  }
  return state;
}

// The lock is held. A uid belongs to the pod that its file names for as long as that pod's
// directory is there, because the directory goes last, after every process of that uid.
base::Result<void> StateDirectory::TakeUid(Uids uids) {
  const std::string owners = run_dir_ + "/uids";
  TRY(base::MakeDirectories(owners, 0700));
  // Begin anywhere: consecutive pods then do not share the cache lines of one user_struct, and a
  // full scan is rare.
  const uid_t start = static_cast<uid_t>(std::hash<std::string>()(ns_ + "/" + pod_) % uids.count);
  for (uid_t i = 0; i < uids.count; ++i) {
    const uid_t uid = uids.first + (start + i) % uids.count;
    const std::string file = fmt::format("{}/{}", owners, uid);
    const base::Result<std::string> owner = base::ReadFile(file, 4096);
    if (owner && !owner->empty() && Exists(run_dir_ + "/" + *owner)) continue;
    TRY(base::WriteFileAtomic(file, ns_ + "/" + pod_, 0600), "take {}", file);
    record_.uid = uid;
    return base::Ok();
  }
  return MakeError(Code::kResourceExhausted, "all {} uids from {} on are taken", uids.count,
                   uids.first);
}

base::Result<std::optional<StateDirectory>> StateDirectory::Find(const std::string& run_dir,
                                                                 const std::string& ns,
                                                                 const std::string& pod) {
  TRY(CheckId("namespace", ns));
  TRY(CheckId("pod id", pod));
  StateDirectory state(run_dir, ns, pod);
  if (!Exists(state.path_)) return std::optional<StateDirectory>();
  const base::Result<std::string> text = base::ReadFile(state.path_ + "/record", kMaxRecordBytes);
  // Without a record (the shim died before it wrote one) the directory is all there is.
  if (text) state.record_ = TRY(ParseRecord(*text), "{}", state.path_);
  return std::optional<StateDirectory>(std::move(state));
}

base::Result<void> StateDirectory::Save() const {
  TRY(base::WriteFileAtomic(path_ + "/record", FormatRecord(record_), 0600), "record of {}", path_);
  return base::Ok();
}

base::Result<void> StateDirectory::Remove() {
  if (!Exists(run_dir_)) return base::Ok();
  const base::UniqueFd lock = TRY(Lock(run_dir_));
  std::error_code ignored;
  for (std::filesystem::directory_iterator entry(path_, ignored), end; entry != end;
       entry.increment(ignored)) {
    // remove(3): unlink or rmdir, never deeper.
    if (remove(entry->path().c_str()) != 0 && errno != ENOENT) {
      return base::ErrnoError("remove {}", entry->path().string());
    }
  }
  if (rmdir(path_.c_str()) != 0 && errno != ENOENT) return base::ErrnoError("rmdir {}", path_);
  if (record_.uid != 0) unlink(fmt::format("{}/uids/{}", run_dir_, record_.uid).c_str());
  // These are others' too: they stay if anything is in them.
  rmdir((run_dir_ + "/" + ns_).c_str());
  rmdir((run_dir_ + "/uids").c_str());
  return base::Ok();
}

}  // namespace pod
