#include "runtime/shim/task_service.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <functional>
#include <utility>
#include <vector>

#include "agent-proto/proto/containerd/events.pb.h"
#include "agent-proto/proto/containerd/options.pb.h"
#include "agent-proto/ttrpc/testing_link.h"
#include "runtime/shim/fake_pod.h"

namespace shim {
namespace {

using base::Code;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr const char* kService = "containerd.task.v2.Task";

class RecordingSink : public EventSink {
 public:
  void Publish(std::string topic, std::string type, std::string event) override {
    topics.push_back(topic);
    types.push_back(std::move(type));
    bodies.push_back(std::move(event));
  }
  std::vector<std::string> topics, types, bodies;
};

// The service behind its socket, as containerd sees it.
class TaskServiceTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto loop = base::EventLoop::Create();
    ASSERT_TRUE(loop);
    loop_ = std::move(*loop);
    service_ = std::make_unique<TaskService>(pod_, sink_, MetricsVersion::kV2,
                                             [this](std::function<void()> freed) {
                                               ++shutdowns_;
                                               if (freed) freed_.push_back(std::move(freed));
                                               if (!hold_shutdown_) AnswerShutdowns();
                                             });
    service_->RegisterIn(table_);
    auto link = ttrpc::TestingLink::Create(*loop_, table_);
    ASSERT_TRUE(link);
    link_ = std::move(*link);
  }

  void AnswerShutdowns() {
    for (const auto& freed : std::exchange(freed_, {})) freed();
  }
  void Turn() { ASSERT_TRUE(loop_->RunOnce(std::chrono::milliseconds(10))); }

  template <class Response, class Request>
  ttrpc::TestingLink::Answer<Response> Begin(const char* method, const Request& request) {
    return link_->Begin<Response>(kService, method, request);
  }
  template <class Response, class Request>
  base::Result<Response> Call(const char* method, const Request& request,
                              const char* service = kService) {
    return link_->Call<Response>(service, method, request);
  }
  template <class Request>
  static Request WithId(const std::string& id) {
    Request request;
    request.set_id(id);
    return request;
  }
  static task::CreateTaskRequest CreateRequest(const std::string& id = "c") {
    auto request = WithId<task::CreateTaskRequest>(id);
    request.set_bundle("/bundle");
    request.set_stdout("/out");
    return request;
  }
  Code Create(const std::string& id = "c") {
    const auto created = Call<task::CreateTaskResponse>("Create", CreateRequest(id));
    return created ? Code::kOk : created.error().code();
  }
  Code Start(const std::string& id = "c") {
    const auto started = Call<task::StartResponse>("Start", WithId<task::StartRequest>(id));
    return started ? Code::kOk : started.error().code();
  }
  Code Delete(const std::string& id = "c") {
    const auto deleted = Call<task::DeleteResponse>("Delete", WithId<task::DeleteRequest>(id));
    return deleted ? Code::kOk : deleted.error().code();
  }

  FakePod pod_;
  RecordingSink sink_;
  std::unique_ptr<base::EventLoop> loop_;
  ttrpc::ServiceTable table_;
  std::unique_ptr<TaskService> service_;
  std::unique_ptr<ttrpc::TestingLink> link_;
  int shutdowns_ = 0;
  bool hold_shutdown_ = false;                // until AnswerShutdowns
  std::vector<std::function<void()>> freed_;  // who waits for that
};

TEST_F(TaskServiceTest, ALifeInOrder) {
  EXPECT_EQ(Create(), Code::kOk);
  EXPECT_EQ(Start(), Code::kOk);
  service_->OnPodEvent(pod_.End("c", 7));
  const auto deleted = Call<task::DeleteResponse>("Delete", WithId<task::DeleteRequest>("c"));
  ASSERT_TRUE(deleted);
  EXPECT_EQ(deleted->exit_status(), 7u);
  EXPECT_EQ(deleted->pid(), 100u);
  EXPECT_EQ(deleted->exited_at().seconds(), 1000);
  EXPECT_THAT(sink_.topics,
              ElementsAre("/tasks/create", "/tasks/start", "/tasks/exit", "/tasks/delete"));
  EXPECT_THAT(sink_.types,
              ElementsAre("containerd.events.TaskCreate", "containerd.events.TaskStart",
                          "containerd.events.TaskExit", "containerd.events.TaskDelete"));
  containerd::events::TaskExit exit;
  ASSERT_TRUE(exit.ParseFromString(sink_.bodies[2]));
  EXPECT_EQ(exit.container_id(), "c");
  EXPECT_EQ(exit.id(), "c");
  EXPECT_EQ(exit.exit_status(), 7u);
}

TEST_F(TaskServiceTest, BothVersionsAreServed) {
  for (const char* service : {"containerd.task.v2.Task", "containerd.task.v3.Task"}) {
    const auto answer =
        Call<task::ConnectResponse>("Connect", WithId<task::ConnectRequest>("none"), service);
    ASSERT_TRUE(answer) << service;
    EXPECT_EQ(answer->shim_pid(), static_cast<uint32_t>(getpid()));
    EXPECT_EQ(answer->task_pid(), 0u);  // unknown is no error here
  }
}

TEST_F(TaskServiceTest, UnknownContainersAreNotFound) {
  const auto state = Call<task::StateResponse>("State", WithId<task::StateRequest>("x"));
  ASSERT_FALSE(state);
  EXPECT_EQ(state.error().code(), Code::kNotFound);
  EXPECT_THAT(state.error().Message(), HasSubstr("container not created"));
  EXPECT_EQ(Start("x"), Code::kNotFound);
  EXPECT_EQ(Delete("x"), Code::kNotFound);
  EXPECT_EQ(Call<task::WaitResponse>("Wait", WithId<task::WaitRequest>("x")).error().code(),
            Code::kNotFound);
  EXPECT_EQ(Call<containerd::Empty>("Kill", WithId<task::KillRequest>("x")).error().code(),
            Code::kNotFound);
  EXPECT_EQ(Call<task::PidsResponse>("Pids", WithId<task::PidsRequest>("x")).error().code(),
            Code::kNotFound);
}

TEST_F(TaskServiceTest, CreateIsChecked) {
  EXPECT_EQ(Create("../x"), Code::kInvalidArgument);
  auto request = CreateRequest();
  request.set_bundle("relative");
  EXPECT_EQ(Call<task::CreateTaskResponse>("Create", request).error().code(),
            Code::kInvalidArgument);
  request = CreateRequest();
  request.set_checkpoint("/checkpoint");
  EXPECT_EQ(Call<task::CreateTaskResponse>("Create", request).error().code(), Code::kUnimplemented);
  EXPECT_THAT(pod_.created, IsEmpty());
}

TEST_F(TaskServiceTest, CreateHandsOverWhatWasSent) {
  auto request = CreateRequest();
  containerd::Mount* mount = request.add_rootfs();
  mount->set_type("overlay");
  mount->set_source("overlay");
  mount->add_options("lowerdir=/a:/b");
  containerd::options::RuntimeOptions options;
  options.set_config_path("/etc/other.toml");
  request.mutable_options()->set_type_url("runtimeoptions.v1.Options");
  request.mutable_options()->set_value(options.SerializeAsString());
  ASSERT_TRUE(Call<task::CreateTaskResponse>("Create", request));
  const pod::CreateRequest& created = pod_.created.at(0);
  EXPECT_EQ(created.rootfs.at(0).type, "overlay");
  EXPECT_EQ(created.rootfs.at(0).options.at(0), "lowerdir=/a:/b");
  EXPECT_EQ(created.config_toml_path, "/etc/other.toml");
  EXPECT_EQ(created.stdout_path, "/out");
}

TEST_F(TaskServiceTest, OptionsOfAnotherRuntimeAreIgnored) {
  auto request = CreateRequest();
  request.mutable_options()->set_type_url("containerd.runc.v1.Options");
  request.mutable_options()->set_value("\xff");
  EXPECT_TRUE(Call<task::CreateTaskResponse>("Create", request));
  request = CreateRequest("d");
  request.mutable_options()->set_type_url("runtimeoptions.v1.Options");
  request.mutable_options()->set_value("\xff");
  EXPECT_EQ(Call<task::CreateTaskResponse>("Create", request).error().code(),
            Code::kInvalidArgument);
}

TEST_F(TaskServiceTest, AFailedCreateLeavesNoEvent) {
  pod_.create_error = "exec: \"nothing\": executable file not found in $PATH";
  const auto created = Call<task::CreateTaskResponse>("Create", CreateRequest());
  ASSERT_FALSE(created);
  EXPECT_THAT(created.error().Message(), HasSubstr("executable file not found"));
  service_->OnPodEvent({pod::Event::Kind::kExit, "c", "", pod::ExitInfo{1, 1, {}}});
  EXPECT_THAT(sink_.topics, IsEmpty());
}

TEST_F(TaskServiceTest, ASecondCreateDoesNotDisturbTheFirst) {
  EXPECT_EQ(Create(), Code::kOk);
  EXPECT_EQ(Create(), Code::kAlreadyExists);
  EXPECT_EQ(Start(), Code::kOk);
  service_->OnPodEvent(pod_.End("c", 0));
  EXPECT_THAT(sink_.topics, ElementsAre("/tasks/create", "/tasks/start", "/tasks/exit"));
}

TEST_F(TaskServiceTest, AnExitWaitsForTheStartEvent) {
  EXPECT_EQ(Create(), Code::kOk);
  pod_.hold = true;
  const auto started = Begin<task::StartResponse>("Start", WithId<task::StartRequest>("c"));
  while (pod_.held.empty()) Turn();
  service_->OnPodEvent(pod_.End("c", 3));
  EXPECT_THAT(sink_.topics, ElementsAre("/tasks/create"));
  pod_.held.at(0)();
  while (!*started) Turn();
  EXPECT_TRUE((*started)->has_value());
  EXPECT_THAT(sink_.topics, ElementsAre("/tasks/create", "/tasks/start", "/tasks/exit"));
}

TEST_F(TaskServiceTest, AnExitWaitsForTheCreateEvent) {
  pod_.hold = true;
  const auto created = Begin<task::CreateTaskResponse>("Create", CreateRequest());
  while (pod_.held.empty()) Turn();
  service_->OnPodEvent(pod_.End("c", 137));
  EXPECT_THAT(sink_.topics, IsEmpty());
  pod_.held.at(0)();
  while (!*created) Turn();
  EXPECT_THAT(sink_.topics, ElementsAre("/tasks/create", "/tasks/exit"));
}

TEST_F(TaskServiceTest, OneExitWhateverIsReported) {
  EXPECT_EQ(Create(), Code::kOk);
  EXPECT_EQ(Start(), Code::kOk);
  const pod::Event exit = pod_.End("c", 0);
  service_->OnPodEvent(exit);
  service_->OnPodEvent(exit);
  EXPECT_EQ(Delete(), Code::kOk);
  service_->OnPodEvent(exit);
  EXPECT_THAT(sink_.topics,
              ElementsAre("/tasks/create", "/tasks/start", "/tasks/exit", "/tasks/delete"));
}

TEST_F(TaskServiceTest, DeleteBringsAnExitThatWasNotReportedYet) {
  EXPECT_EQ(Create(), Code::kOk);
  EXPECT_EQ(Start(), Code::kOk);
  const pod::Event exit = pod_.End("c", 9);
  EXPECT_EQ(Delete(), Code::kOk);
  service_->OnPodEvent(exit);
  EXPECT_THAT(sink_.topics,
              ElementsAre("/tasks/create", "/tasks/start", "/tasks/exit", "/tasks/delete"));
}

TEST_F(TaskServiceTest, DeletingWhatNeverStartedIsNoExit) {
  EXPECT_EQ(Create(), Code::kOk);
  EXPECT_EQ(Delete(), Code::kOk);
  EXPECT_THAT(sink_.topics, ElementsAre("/tasks/create", "/tasks/delete"));
}

TEST_F(TaskServiceTest, WrongStatesAreRefused) {
  EXPECT_EQ(Create(), Code::kOk);
  EXPECT_EQ(Start(), Code::kOk);
  EXPECT_EQ(Start(), Code::kFailedPrecondition);
  EXPECT_EQ(Delete(), Code::kFailedPrecondition);
  service_->OnPodEvent(pod_.End("c", 0));
  EXPECT_EQ(Start(), Code::kFailedPrecondition);
  EXPECT_EQ(Delete(), Code::kOk);
  EXPECT_EQ(Delete(), Code::kNotFound);
  EXPECT_THAT(sink_.topics,
              ElementsAre("/tasks/create", "/tasks/start", "/tasks/exit", "/tasks/delete"));
}

TEST_F(TaskServiceTest, ManyWaitForOneExit) {
  EXPECT_EQ(Create(), Code::kOk);
  const auto first = Begin<task::WaitResponse>("Wait", WithId<task::WaitRequest>("c"));
  const auto second = Begin<task::WaitResponse>("Wait", WithId<task::WaitRequest>("c"));
  EXPECT_EQ(Start(), Code::kOk);
  while (pod_.waiters.size() < 2) Turn();
  EXPECT_FALSE(*first);
  service_->OnPodEvent(pod_.End("c", 5));
  while (!*first || !*second) Turn();
  EXPECT_EQ((**first)->exit_status(), 5u);
  EXPECT_EQ((**second)->exited_at().nanos(), 5);
  EXPECT_EQ(Call<task::WaitResponse>("Wait", WithId<task::WaitRequest>("c"))->exit_status(), 5u);
}

TEST_F(TaskServiceTest, StateEchoesAndCarriesTheExit) {
  EXPECT_EQ(Create(), Code::kOk);
  auto state = Call<task::StateResponse>("State", WithId<task::StateRequest>("c"));
  ASSERT_TRUE(state);
  EXPECT_EQ(state->status(), task::STATUS_CREATED);
  EXPECT_EQ(state->stdout(), "/out");
  EXPECT_EQ(state->bundle(), "/bundle");
  EXPECT_FALSE(state->has_exited_at());
  service_->OnPodEvent(pod_.End("c", 2));
  state = Call<task::StateResponse>("State", WithId<task::StateRequest>("c"));
  EXPECT_EQ(state->status(), task::STATUS_STOPPED);
  EXPECT_EQ(state->exit_status(), 2u);
  EXPECT_TRUE(state->has_exited_at());
}

TEST_F(TaskServiceTest, KillPidsAndCloseIOReachThePod) {
  EXPECT_EQ(Create(), Code::kOk);
  auto kill = WithId<task::KillRequest>("c");
  kill.set_signal(9);
  kill.set_all(true);
  EXPECT_TRUE(Call<containerd::Empty>("Kill", kill));
  EXPECT_EQ(pod_.signals.at(0), std::pair(9u, true));
  const auto pids = Call<task::PidsResponse>("Pids", WithId<task::PidsRequest>("c"));
  ASSERT_TRUE(pids);
  EXPECT_EQ(pids->processes_size(), 3);
  EXPECT_GT(pids->processes(2).pid(), 4u << 20);
  EXPECT_EQ(pids->processes(0).pid(), 100u);
  EXPECT_FALSE(pids->processes(0).has_info());
  EXPECT_EQ(pids->processes(1).info().type_url(), "containerd.runc.v1.ProcessDetails");
  containerd::options::ProcessDetails details;
  ASSERT_TRUE(details.ParseFromString(pids->processes(1).info().value()));
  EXPECT_EQ(details.exec_id(), "e");
  auto close = WithId<task::CloseIORequest>("c");
  EXPECT_TRUE(Call<containerd::Empty>("CloseIO", close));
  EXPECT_EQ(pod_.stdin_closed, 0);
  close.set_stdin(true);
  EXPECT_TRUE(Call<containerd::Empty>("CloseIO", close));
  EXPECT_EQ(pod_.stdin_closed, 1);
}

TEST_F(TaskServiceTest, ShutdownWaitsForTheLastContainer) {
  EXPECT_EQ(Create("a"), Code::kOk);
  EXPECT_EQ(Create("b"), Code::kOk);
  EXPECT_TRUE(Call<containerd::Empty>("Shutdown", WithId<task::ShutdownRequest>("a")));
  EXPECT_EQ(shutdowns_, 0);
  EXPECT_EQ(Delete("a"), Code::kOk);
  EXPECT_EQ(shutdowns_, 0);
  EXPECT_EQ(Delete("b"), Code::kOk);  // nobody asks again
  EXPECT_EQ(shutdowns_, 1);
  EXPECT_EQ(Create("c"), Code::kUnavailable);
}

TEST_F(TaskServiceTest, ShutdownDuringACreateThatFailsIsNotForgotten) {
  pod_.hold = true;
  pod_.create_error = "called off";
  const auto created = Begin<task::CreateTaskResponse>("Create", CreateRequest());
  while (pod_.held.empty()) Turn();
  EXPECT_TRUE(Call<containerd::Empty>("Shutdown", WithId<task::ShutdownRequest>("c")));
  EXPECT_EQ(shutdowns_, 0);
  pod_.held.at(0)();
  while (!*created) Turn();
  EXPECT_EQ(shutdowns_, 1);
}

TEST_F(TaskServiceTest, ShutdownOfAnEmptyPodIsAtOnce) {
  EXPECT_TRUE(Call<containerd::Empty>("Shutdown", WithId<task::ShutdownRequest>("a")));
  EXPECT_EQ(shutdowns_, 1);
}

// containerd takes machine, mounts and socket for gone when it has the answer.
TEST_F(TaskServiceTest, ShutdownIsAnsweredAtTheEndThatADeleteBegan) {
  hold_shutdown_ = true;
  EXPECT_EQ(Create("a"), Code::kOk);
  EXPECT_TRUE(Call<containerd::Empty>("Shutdown", WithId<task::ShutdownRequest>("a")));
  EXPECT_EQ(Delete("a"), Code::kOk);
  EXPECT_EQ(shutdowns_, 1);
  const auto first = Begin<containerd::Empty>("Shutdown", WithId<task::ShutdownRequest>("a"));
  const auto second = Begin<containerd::Empty>("Shutdown", WithId<task::ShutdownRequest>("a"));
  while (freed_.size() < 2) Turn();
  EXPECT_FALSE(*first);
  EXPECT_FALSE(*second);
  AnswerShutdowns();
  while (!*first || !*second) Turn();
  EXPECT_TRUE((*first)->has_value());
  EXPECT_TRUE((*second)->has_value());
}

TEST_F(TaskServiceTest, OutOfMemoryIsAnEvent) {
  service_->OnPodEvent({pod::Event::Kind::kOom, "c", "", std::nullopt});
  EXPECT_THAT(sink_.topics, ElementsAre("/tasks/oom"));
}

TEST_F(TaskServiceTest, AnExecsLifeInOrder) {
  ASSERT_EQ(Create(), Code::kOk);
  ASSERT_EQ(Start(), Code::kOk);
  task::ExecProcessRequest exec;
  exec.set_id("c");
  exec.set_exec_id("e");
  exec.set_terminal(true);
  exec.set_stdout("/exec-out");
  exec.mutable_spec()->set_value("{}");
  ASSERT_TRUE(Call<containerd::Empty>("Exec", exec));
  EXPECT_EQ(Call<containerd::Empty>("Exec", exec).error().code(), Code::kAlreadyExists);
  EXPECT_EQ(pod_.execs.at(0).process_json, "{}");
  EXPECT_TRUE(pod_.execs.at(0).terminal);
  auto state = WithId<task::StateRequest>("c");
  state.set_exec_id("e");
  EXPECT_EQ(Call<task::StateResponse>("State", state)->status(), task::STATUS_CREATED);
  EXPECT_EQ(Call<task::StateResponse>("State", state)->exec_id(), "e");
  auto start = WithId<task::StartRequest>("c");
  start.set_exec_id("e");
  ASSERT_TRUE(Call<task::StartResponse>("Start", start));
  service_->OnPodEvent(pod_.End("c", 3, "e"));
  auto remove = WithId<task::DeleteRequest>("c");
  remove.set_exec_id("e");
  const auto deleted = Call<task::DeleteResponse>("Delete", remove);
  ASSERT_TRUE(deleted);
  EXPECT_EQ(deleted->exit_status(), 3u);
  EXPECT_EQ(Call<task::DeleteResponse>("Delete", remove).error().code(), Code::kNotFound);
  EXPECT_THAT(sink_.topics, ElementsAre("/tasks/create", "/tasks/start", "/tasks/exec-added",
                                        "/tasks/exec-started", "/tasks/exit"));
  containerd::events::TaskExit exit;
  ASSERT_TRUE(exit.ParseFromString(sink_.bodies[4]));
  EXPECT_EQ(exit.container_id(), "c");
  EXPECT_EQ(exit.id(), "e");
}

TEST_F(TaskServiceTest, AnExecThatCannotStartHasNoExit) {
  ASSERT_EQ(Create(), Code::kOk);
  ASSERT_EQ(Start(), Code::kOk);
  task::ExecProcessRequest exec;
  exec.set_id("c");
  exec.set_exec_id("e");
  ASSERT_TRUE(Call<containerd::Empty>("Exec", exec));
  pod_.start_error = "exec: \"nosuch\": executable file not found in $PATH";
  auto start = WithId<task::StartRequest>("c");
  start.set_exec_id("e");
  EXPECT_THAT(Call<task::StartResponse>("Start", start).error().Message(),
              HasSubstr("executable file not found"));
  EXPECT_THAT(sink_.topics, ElementsAre("/tasks/create", "/tasks/start", "/tasks/exec-added"));
}

TEST_F(TaskServiceTest, ExecIdsAreChecked) {
  ASSERT_EQ(Create(), Code::kOk);
  for (const std::string& id : {std::string("a/b"), std::string(300, 'x'), std::string()}) {
    task::ExecProcessRequest exec;
    exec.set_id("c");
    exec.set_exec_id(id);
    EXPECT_EQ(Call<containerd::Empty>("Exec", exec).error().code(), Code::kInvalidArgument) << id;
  }
  EXPECT_EQ(Create(std::string(300, 'x')), Code::kInvalidArgument);
  EXPECT_EQ(Create("a/b"), Code::kInvalidArgument);
  EXPECT_THAT(pod_.execs, IsEmpty());
  EXPECT_THAT(sink_.topics, ElementsAre("/tasks/create"));
}

TEST_F(TaskServiceTest, PausedAndResumedAreEventsOnce) {
  ASSERT_EQ(Create(), Code::kOk);
  EXPECT_EQ(Call<containerd::Empty>("Pause", WithId<task::PauseRequest>("c")).error().code(),
            Code::kFailedPrecondition);
  ASSERT_EQ(Start(), Code::kOk);
  ASSERT_TRUE(Call<containerd::Empty>("Pause", WithId<task::PauseRequest>("c")));
  EXPECT_EQ(Call<task::StateResponse>("State", WithId<task::StateRequest>("c"))->status(),
            task::STATUS_PAUSED);
  EXPECT_FALSE(Call<containerd::Empty>("Pause", WithId<task::PauseRequest>("c")));
  ASSERT_TRUE(Call<containerd::Empty>("Resume", WithId<task::ResumeRequest>("c")));
  EXPECT_FALSE(Call<containerd::Empty>("Resume", WithId<task::ResumeRequest>("c")));
  EXPECT_THAT(sink_.topics,
              ElementsAre("/tasks/create", "/tasks/start", "/tasks/paused", "/tasks/resumed"));
}

TEST_F(TaskServiceTest, SizeResourcesAndMetricsReachThePod) {
  ASSERT_EQ(Create(), Code::kOk);
  auto resize = WithId<task::ResizePtyRequest>("c");
  resize.set_width(80);
  resize.set_height(24);
  EXPECT_TRUE(Call<containerd::Empty>("ResizePty", resize));
  EXPECT_EQ(pod_.sizes.at(0), std::pair(80u, 24u));
  auto update = WithId<task::UpdateTaskRequest>("c");
  update.mutable_resources()->set_value(R"({"memory":{"limit":1}})");
  EXPECT_TRUE(Call<containerd::Empty>("Update", update));
  EXPECT_EQ(pod_.updates.at(0), R"({"memory":{"limit":1}})");
  const auto stats = Call<task::StatsResponse>("Stats", WithId<task::StatsRequest>("c"));
  ASSERT_TRUE(stats);
  EXPECT_EQ(stats->stats().type_url(), "io.containerd.cgroups.v2.Metrics");
}

TEST_F(TaskServiceTest, UnknownContainersAreNotFoundByEveryCall) {
  const auto code_of = [&]<class Request>(const char* method, Request) {
    return Call<containerd::Empty>(method, WithId<Request>("x")).error().code();
  };
  EXPECT_EQ(code_of("ResizePty", task::ResizePtyRequest()), Code::kNotFound);
  EXPECT_EQ(code_of("Pause", task::PauseRequest()), Code::kNotFound);
  EXPECT_EQ(code_of("Resume", task::ResumeRequest()), Code::kNotFound);
  EXPECT_EQ(code_of("Update", task::UpdateTaskRequest()), Code::kNotFound);
  EXPECT_EQ(code_of("Stats", task::StatsRequest()), Code::kNotFound);
  EXPECT_EQ(code_of("Checkpoint", task::CheckpointTaskRequest()), Code::kNotFound);
  task::ExecProcessRequest exec;
  exec.set_id("x");
  exec.set_exec_id("e");
  EXPECT_EQ(Call<containerd::Empty>("Exec", exec).error().code(), Code::kNotFound);
}

TEST_F(TaskServiceTest, CheckpointSaysWhyNot) {
  ASSERT_EQ(Create(), Code::kOk);
  const auto answer =
      Call<containerd::Empty>("Checkpoint", WithId<task::CheckpointTaskRequest>("c"));
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code(), Code::kUnimplemented);
  EXPECT_THAT(answer.error().Message(), HasSubstr("cannot checkpoint"));
}

TEST_F(TaskServiceTest, UnknownMethodsAndServicesAreUnimplemented) {
  EXPECT_EQ(Call<containerd::Empty>("Nothing", WithId<task::PauseRequest>("c")).error().code(),
            Code::kUnimplemented);
  EXPECT_EQ(Call<containerd::Empty>("Pause", WithId<task::PauseRequest>("c"), "no.such.Service")
                .error()
                .code(),
            Code::kUnimplemented);
}

TEST_F(TaskServiceTest, TenThousandWaitsAreAnsweredOrForgotten) {
  ASSERT_EQ(Create(), Code::kOk);
  ASSERT_EQ(Start(), Code::kOk);
  // A client that asks and hangs up: its calls end with its connection.
  auto impatient = ttrpc::TestingLink::Create(*loop_, table_);
  ASSERT_TRUE(impatient);
  for (int i = 0; i < 10000; ++i) {
    (*impatient)->Begin<task::WaitResponse>(kService, "Wait", WithId<task::WaitRequest>("c"));
  }
  while (pod_.waiters.size() < 10000) Turn();
  impatient->reset();
  while (!pod_.waiters.front().first.expired()) Turn();
  for (const auto& [caller, done] : pod_.waiters) EXPECT_TRUE(caller.expired());
  const auto patient = Begin<task::WaitResponse>("Wait", WithId<task::WaitRequest>("c"));
  while (pod_.waiters.size() < 10001) Turn();
  service_->OnPodEvent(pod_.End("c", 4));
  while (!*patient) Turn();
  EXPECT_EQ((**patient)->exit_status(), 4u);
}

TEST_F(TaskServiceTest, UnknownFieldsArePassedOverAndGarbageIsInvalid) {
  ASSERT_EQ(Create(), Code::kOk);
  // The fields 3 to 6 of an Exec mean nothing in a State.
  task::ExecProcessRequest larger;
  larger.set_id("c");
  larger.set_terminal(true);
  larger.set_stdout("/out");
  EXPECT_TRUE(Call<task::StateResponse>("State", larger));
  // An Any where a StateRequest is due: field 1 is no UTF-8 there.
  containerd::Any garbage;
  garbage.set_value("c");
  garbage.mutable_type_url()->assign("\xff\xfe");
  EXPECT_FALSE(Call<task::StateResponse>("State", garbage));
  EXPECT_TRUE(Call<task::StateResponse>("State", WithId<task::StateRequest>("c")));
}

}  // namespace
}  // namespace shim
