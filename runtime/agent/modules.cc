#include "runtime/agent/modules.h"

#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <sstream>
#include <utility>

#include "runtime/base/file.h"

namespace agent {
namespace {

base::Result<void> LoadModule(const std::string& path) {
  const base::UniqueFd fd = TRY(base::Open(path, O_RDONLY));
  if (syscall(SYS_finit_module, fd.get(), "", 0) != 0 && errno != EEXIST) {
    return base::ErrnoError("load module {}", path);
  }
  return base::Ok();
}

// The names in the order file; none where there is no such file.
base::Result<std::vector<std::string>> ReadOrder(const std::string& directory) {
  base::Result<std::string> text = base::ReadFile(directory + "/order");
  if (text) return ParseModuleOrder(*text);
  if (text.error().error_number() == ENOENT) return std::vector<std::string>{};
  return std::move(text.error());
}

}  // namespace

base::Result<std::vector<std::string>> ParseModuleOrder(const std::string& text) {
  std::vector<std::string> names;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    if (line.empty() || line[0] == '#') continue;
    if (line.find('/') != std::string::npos) {
      return base::MakeError(base::Code::kInvalidArgument,
                             "module \"{}\": a bare file name is wanted", line);
    }
    names.push_back(line);
  }
  return names;
}

std::vector<std::string> LoadModules(const std::string& directory) {
  std::vector<std::string> problems;
  const base::Result<std::vector<std::string>> names = ReadOrder(directory);
  if (!names) return {names.error().Message()};
  for (const std::string& name : *names) {
    const base::Result<void> loaded = LoadModule(directory + "/" + name);
    if (!loaded) problems.push_back(loaded.error().Message());
  }
  return problems;
}

std::vector<std::string> LoadModulesOnce(const std::string& directory) {
  std::vector<std::string> problems = LoadModules(directory);
  RemoveModules(directory);
  return problems;
}

void RemoveModules(const std::string& directory) {
  const base::Result<std::vector<std::string>> names = ReadOrder(directory);
  if (!names) return;
  for (const std::string& name : *names) unlink((directory + "/" + name).c_str());
  unlink((directory + "/order").c_str());
}

base::Result<void> CopyModules(const std::string& directory, const std::string& target) {
  std::vector<std::string> names = TRY(ReadOrder(directory));
  if (names.empty()) return base::Ok();
  TRY(base::MakeDirectories(target));
  names.emplace_back("order");
  for (const std::string& name : names) {
    const std::string content = TRY(base::ReadFile(directory + "/" + name));
    TRY(base::WriteFileAtomic(target + "/" + name, content));
  }
  return base::Ok();
}

}  // namespace agent
