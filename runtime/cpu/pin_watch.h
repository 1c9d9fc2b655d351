// Hears of changes in the pin registry (rule R7: every shim watches it), by inotify(7).
//
// Thread rule: bound to the loop's thread. Ownership: its callback is not called once it is gone.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "runtime/base/event_loop.h"
#include "runtime/base/result.h"

namespace cpu {

class PinWatch {
 public:
  // `directory` is the registry's, which comes and goes; its parent must be there. `changed` is
  // called once for any number of changes that came together.
  static base::Result<std::unique_ptr<PinWatch>> Create(base::EventLoop& loop,
                                                        const std::string& directory,
                                                        std::function<void()> changed);
  PinWatch(const PinWatch&) = delete;
  PinWatch& operator=(const PinWatch&) = delete;

 private:
  PinWatch(std::string directory, std::function<void()> changed);
  base::Result<void> Begin(base::EventLoop& loop);
  void WatchDirectory();
  void OnEvents();

  std::string directory_;
  std::string name_;  // its last part
  std::function<void()> changed_;
  base::UniqueFd inotify_;
  int parent_ = -1;
  base::Watch watch_;
};

}  // namespace cpu
