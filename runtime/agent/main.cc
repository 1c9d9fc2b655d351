// pinion-agent: PID 1 of a Pinion guest.
#include <signal.h>
#include <time.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <memory>
#include <utility>

#include "agent-proto/proto/agent.pb.h"
#include "agent-proto/stream/ports.h"
#include "agent-proto/stream/stream_codec.h"
#include "agent-proto/ttrpc/dispatch.h"
#include "agent-proto/ttrpc/server.h"
#include "runtime/agent/agent_service.h"
#include "runtime/agent/boot.h"
#include "runtime/agent/container.h"
#include "runtime/agent/kmsg.h"
#include "runtime/agent/power.h"
#include "runtime/agent/reaper.h"
#include "runtime/agent/vsock.h"
#include "runtime/base/event_loop.h"
#include "runtime/base/file.h"

namespace agent {
namespace {

base::Result<base::UniqueFd> DialStream(const ProcessId& process, StreamKind kind,
                                        const std::string& token) {
  base::UniqueFd connection = TRY(DialHost(stream::kStreamPort));
  pinion::agent::v1::StreamHello hello;
  hello.set_container_id(process.container_id);
  hello.set_exec_id(process.exec_id);
  hello.set_kind(static_cast<pinion::agent::v1::StreamHello::Kind>(kind));
  hello.set_token(token);
  TRY(base::WriteAll(connection, stream::Encode(hello.SerializeAsString())), "stream hello");
  return connection;
}

int64_t UptimeMs() {
  timespec now{};
  clock_gettime(CLOCK_BOOTTIME, &now);
  return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

// The last words of a connection are in the guest's queues when the server has written them; the
// host ends the wait early by closing its end.
constexpr std::chrono::milliseconds kLastWords{50};

base::Result<void> Serve() {
  const std::unique_ptr<base::EventLoop> loop = TRY(base::EventLoop::Create());
  const std::unique_ptr<Reaper> reaper = TRY(Reaper::Create(*loop));
  std::string stream_token;
  const Environment environment{*loop, *reaper, std::string(kCgroupRoot) + "/pinion",
                                [&](const ProcessId& process, StreamKind kind) {
                                  return DialStream(process, kind, stream_token);
                                },
                                kNetworkModules};
  ttrpc::ServiceTable table;
  std::unique_ptr<ttrpc::Server> server;
  base::Timer power_off;
  AgentService service(
      environment,
      {.on_hello = [&](const std::string& token) { stream_token = token; },
       .on_shutdown =
           [&] { server->WhenFlushed([&] { power_off = loop->After(kLastWords, PowerOff); }); }});
  service.RegisterWith(table);
  server = std::make_unique<ttrpc::Server>(*loop, table);
  base::UniqueFd connection = TRY(DialHost(stream::kAgentPort));
  TRY(server->Serve(std::move(connection), [] {
    Kmsg(KmsgLevel::kInfo, "the host has closed its connection; powering off");
    PowerOff();
  }));
  Kmsg(KmsgLevel::kInfo, "serving {} ms after boot", UptimeMs());
  return loop->Run();
}

void Main() {
  const int64_t started_ms = UptimeMs();
  const base::Result<void> booted = BootGuest();
  InstallCrashHandlers();
  if (!booted) KmsgLine(KmsgLevel::kError, booted.error().Message());
  Kmsg(KmsgLevel::kInfo, "set up in {} ms", UptimeMs() - started_ms);
  signal(SIGPIPE, SIG_IGN);
  const base::Result<void> served = Serve();
  if (!served) KmsgLine(KmsgLevel::kError, served.error().Message());
  PowerOff();
}

}  // namespace
}  // namespace agent

int main() {
  if (getpid() != 1) {
    std::fputs("pinion-agent is PID 1 of a Pinion guest and does nothing else\n", stderr);
    return 1;
  }
  agent::Main();
  agent::PowerOff();
}
