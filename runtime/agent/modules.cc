#include "runtime/agent/modules.h"

#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <sstream>

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
  const base::Result<std::string> text = base::ReadFile(directory + "/order");
  if (!text) {
    if (text.error().error_number() != ENOENT) problems.push_back(text.error().Message());
    return problems;
  }
  const base::Result<std::vector<std::string>> names = ParseModuleOrder(*text);
  if (!names) return {names.error().Message()};
  for (const std::string& name : *names) {
    const base::Result<void> loaded = LoadModule(directory + "/" + name);
    if (!loaded) problems.push_back(loaded.error().Message());
  }
  return problems;
}

}  // namespace agent
