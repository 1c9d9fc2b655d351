// Real containers on the machine that builds: busybox on a tmpfs, in a private mount namespace of
// the test. Needs root and a cgroup v2 hierarchy; tests skip with the reason otherwise.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent-proto/stream/stream_codec.h"
#include "oci/spec.h"
#include "runtime/agent/container.h"
#include "runtime/agent/reaper.h"
#include "runtime/base/event_loop.h"

namespace agent {

// The host's end of one stream.
class HostStream {
 public:
  explicit HostStream(base::UniqueFd fd) : fd_(std::move(fd)) {}
  // Takes what is there; never blocks.
  void Read();
  void Send(const std::string& bytes);
  void SendEof();
  void Close() { fd_.Reset(); }
  bool ended() const { return ended_; }
  const std::string& text() const { return text_; }

 private:
  base::UniqueFd fd_;
  stream::Decoder decoder_;
  std::string text_;
  bool ended_ = false;
};

struct RunResult {
  std::optional<base::Error> error;  // of Create or Start
  uint32_t status = 0;
  std::string out;
  std::string err;
};

class ContainerTest : public testing::Test {
 protected:
  void SetUp() override;
  void TearDown() override;

  // As `ctr run` makes it, running `sh -c script`.
  oci::Spec ShellSpec(const std::string& script) const;
  // Creates, starts, waits, reads to the end of both streams, deletes.
  RunResult Run(const oci::Spec& spec);
  // The steps of Run.
  std::optional<base::Error> Create(const oci::Spec& spec, bool open_stdin = false);
  std::optional<base::Error> Start(const std::string& exec_id = "");
  uint32_t WaitForExit(const std::string& exec_id = "");
  std::optional<base::Error> Delete(const std::string& exec_id = "");
  // An exec of `process`, up to execve.
  std::optional<base::Error> Exec(const std::string& exec_id, const oci::Process& process,
                                  bool open_stdin = false);
  oci::Process ShellProcess(const std::string& script) const;
  // All of a stream, to its end.
  std::string ExecOutput(const std::string& exec_id, StreamKind kind = StreamKind::kStdout);
  // The answer to one call.
  std::optional<base::Error> Await(const std::function<void(Container::DoneCallback)>& call);
  void ReadToEnd(StreamKind kind);
  void Spin(const std::function<bool()>& until);

  std::string outside() const { return directory_; }  // what the root lies in
  std::string root() const { return directory_ + "/root"; }
  std::string cgroup_parent() const { return directory_ + "/cgroup/" + cgroup_name_; }

  std::unique_ptr<base::EventLoop> loop_;
  std::unique_ptr<Reaper> reaper_;
  std::unique_ptr<Environment> environment_;
  std::unique_ptr<Container> container_;
  std::map<StreamKind, std::unique_ptr<HostStream>> streams_;
  std::map<std::string, std::map<StreamKind, std::unique_ptr<HostStream>>> exec_streams_;

 private:
  std::string directory_;
  std::string cgroup_name_;
};

}  // namespace agent
