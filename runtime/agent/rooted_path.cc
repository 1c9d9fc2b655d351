#include "runtime/agent/rooted_path.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <climits>
#include <deque>
#include <vector>

namespace agent {
namespace {

constexpr int kMaxLinks = 40;  // as the kernel, MAXSYMLINKS

std::deque<std::string> Split(std::string_view path) {
  std::deque<std::string> parts;
  while (!path.empty()) {
    const size_t slash = std::min(path.find('/'), path.size());
    if (slash > 0 && path.substr(0, slash) != ".") parts.emplace_back(path.substr(0, slash));
    path.remove_prefix(std::min(slash + 1, path.size()));
  }
  return parts;
}

base::Result<base::UniqueFd> Duplicate(base::BorrowedFd fd) {
  base::UniqueFd copy(fcntl(fd.get(), F_DUPFD_CLOEXEC, 0));
  if (!copy) return base::ErrnoError("duplicate descriptor {}", fd.get());
  return copy;
}

base::Result<base::UniqueFd> OpenName(base::BorrowedFd directory, const std::string& name) {
  base::UniqueFd fd(openat(directory.get(), name.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
  if (!fd) return base::ErrnoError("open \"{}\"", name);
  return fd;
}

// The walk of one path. `passed` holds the root and every directory below it that was entered.
class Walk {
 public:
  Walk(std::string_view path, PathKind kind, bool links_allowed)
      : path_(path), kind_(kind), links_allowed_(links_allowed), rest_(Split(path)) {}

  base::Result<base::UniqueFd> Run(base::BorrowedFd root) {
    passed_.push_back(TRY(Duplicate(root)));
    while (!rest_.empty()) {
      const std::string name = std::move(rest_.front());
      rest_.pop_front();
      if (name == "..") {
        if (passed_.size() > 1) passed_.pop_back();
        continue;
      }
      TRY(Step(name), "make \"{}\" below the root", path_);
      if (end_) return std::move(end_);
    }
    return std::move(passed_.back());
  }

 private:
  base::Result<void> Step(const std::string& name) {
    const base::UniqueFd& parent = passed_.back();
    const bool last = rest_.empty();
    base::Result<base::UniqueFd> fd = OpenName(parent, name);
    if (!fd) {
      if (fd.error().error_number() != ENOENT) return std::move(fd.error());
      fd = TRY(Make(parent, name, last));
    }
    struct stat status {};
    if (fstat(fd->get(), &status) != 0) return base::ErrnoError("stat \"{}\"", name);
    if (S_ISLNK(status.st_mode)) return Follow(*fd, name);
    if (S_ISDIR(status.st_mode)) {
      passed_.push_back(std::move(*fd));
    } else if (last) {
      end_ = std::move(*fd);
    } else {
      return base::MakeError(base::Code::kFailedPrecondition, "\"{}\" is not a directory", name);
    }
    return base::Ok();
  }

  base::Result<base::UniqueFd> Make(base::BorrowedFd parent, const std::string& name, bool last) {
    if (last && kind_ == PathKind::kFile) {
      const base::UniqueFd made(
          openat(parent.get(), name.c_str(), O_CREAT | O_WRONLY | O_NOFOLLOW | O_CLOEXEC, 0644));
      if (!made) return base::ErrnoError("create file \"{}\"", name);
    } else if (mkdirat(parent.get(), name.c_str(), 0755) != 0 && errno != EEXIST) {
      return base::ErrnoError("mkdir \"{}\"", name);
    }
    return OpenName(parent, name);
  }

  base::Result<void> Follow(base::BorrowedFd link, const std::string& name) {
    if (!links_allowed_) {
      return base::MakeError(base::Code::kInvalidArgument,
                             "\"{}\" is a symbolic link, a directory is wanted", name);
    }
    if (++links_ > kMaxLinks) {
      return base::MakeError(base::Code::kInvalidArgument, "more than {} symbolic links",
                             kMaxLinks);
    }
    char target[PATH_MAX];
    const ssize_t size = readlinkat(link.get(), "", target, sizeof target);
    if (size < 0) return base::ErrnoError("read link \"{}\"", name);
    const std::string_view text(target, static_cast<size_t>(size));
    if (text.starts_with('/')) passed_.resize(1);
    std::deque<std::string> ahead = Split(text);
    rest_.insert(rest_.begin(), ahead.begin(), ahead.end());
    return base::Ok();
  }

  const std::string_view path_;
  const PathKind kind_;
  const bool links_allowed_;
  std::deque<std::string> rest_;
  std::vector<base::UniqueFd> passed_;
  base::UniqueFd end_;
  int links_ = 0;
};

}  // namespace

base::Result<base::UniqueFd> OpenOrCreate(base::BorrowedFd root, std::string_view path,
                                          PathKind kind) {
  return Walk(path, kind, true).Run(root);
}

base::Result<base::UniqueFd> OpenOrCreateNoLinks(base::BorrowedFd root, std::string_view path) {
  return Walk(path, PathKind::kDirectory, false).Run(root);
}

base::Result<ParentAndName> OpenParent(base::BorrowedFd root, std::string_view path) {
  while (path.ends_with('/')) path.remove_suffix(1);
  const size_t slash = path.rfind('/');
  const std::string_view name = slash == std::string_view::npos ? path : path.substr(slash + 1);
  if (name.empty() || name == "." || name == "..") {
    return base::MakeError(base::Code::kInvalidArgument, "\"{}\" does not end in a name", path);
  }
  const std::string_view parent = slash == std::string_view::npos ? "" : path.substr(0, slash);
  return ParentAndName{TRY(OpenOrCreate(root, parent, PathKind::kDirectory)), std::string(name)};
}

}  // namespace agent
