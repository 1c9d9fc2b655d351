// What the guest wrote to its serial console: the last lines in memory, for errors; the beginning
// of it in a file, for people.
//
// Thread rule: reactor-bound. Trust: every byte is the guest's; it is escaped before it is shown.
#pragma once

#include <deque>
#include <memory>
#include <string>
#include <string_view>

#include "runtime/base/event_loop.h"
#include "runtime/base/result.h"
#include "runtime/base/unique_fd.h"
#include "runtime/pod/line_reader.h"

namespace pod {

class ConsoleLog {
 public:
  // The file is made anew and bounded to kMaxFileBytes.
  static base::Result<std::unique_ptr<ConsoleLog>> Create(base::EventLoop& loop,
                                                          const std::string& path);

  // The vmm's end; the caller closes it (TakeWriteEnd) once the vmm has it.
  base::UniqueFd TakeWriteEnd() { return std::move(write_end_); }

  // The last lines, escaped and indented, behind a heading; "" if the guest said nothing. Reads
  // what is still in the pipe first.
  std::string Tail();

 private:
  static constexpr size_t kMaxLines = 12;
  static constexpr size_t kMaxFileBytes = 4 << 20;

  void Add(std::string_view line);

  base::UniqueFd file_;
  base::UniqueFd write_end_;
  size_t file_bytes_ = 0;
  std::deque<std::string> last_;
  std::unique_ptr<LineReader> reader_;
};

}  // namespace pod
