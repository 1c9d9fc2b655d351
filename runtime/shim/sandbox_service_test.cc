#include "runtime/shim/sandbox_service.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "agent-proto/proto/containerd/metrics_v2.pb.h"
#include "agent-proto/ttrpc/testing_link.h"
#include "oci/spec.h"
#include "runtime/base/file.h"
#include "runtime/shim/fake_pod.h"

namespace shim {
namespace {

using base::Code;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr const char* kService = "containerd.runtime.sandbox.v1.Sandbox";
constexpr const char* kMethods[] = {"StartSandbox",  "Platform",    "StopSandbox",   "WaitSandbox",
                                    "SandboxStatus", "PingSandbox", "SandboxMetrics"};

// The service behind its socket, as containerd sees it.
class SandboxServiceTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char directory[] = "/tmp/sandbox_service_test.XXXXXX";
    ASSERT_NE(mkdtemp(directory), nullptr);
    bundle_ = directory;
    auto loop = base::EventLoop::Create();
    ASSERT_TRUE(loop);
    loop_ = std::move(*loop);
    service_ = std::make_unique<SandboxService>(pod_, MetricsVersion::kV2, "/etc/other.toml",
                                                [this](std::function<void()> freed) {
                                                  ++shutdowns_;
                                                  freed();
                                                });
    service_->RegisterIn(table_);
    auto link = ttrpc::TestingLink::Create(*loop_, table_);
    ASSERT_TRUE(link);
    link_ = std::move(*link);
  }
  void TearDown() override { std::filesystem::remove_all(bundle_); }

  void Turn() { ASSERT_TRUE(loop_->RunOnce(std::chrono::milliseconds(10))); }
  template <class Response, class Request>
  ttrpc::TestingLink::Answer<Response> Begin(const char* method, const Request& request) {
    return link_->Begin<Response>(kService, method, request);
  }
  template <class Response, class Request>
  base::Result<Response> Call(const char* method, const Request& request) {
    return link_->Call<Response>(kService, method, request);
  }
  template <class Request>
  static Request For(const std::string& id = "pod") {
    Request request;
    request.set_sandbox_id(id);
    return request;
  }
  sandbox::CreateSandboxRequest CreateRequest(const std::string& id = "pod") const {
    auto request = For<sandbox::CreateSandboxRequest>(id);
    request.set_bundle_path(bundle_);
    request.set_netns_path("/run/netns/x");
    return request;
  }
  Code Create() {
    const auto created = Call<sandbox::CreateSandboxResponse>("CreateSandbox", CreateRequest());
    return created ? Code::kOk : created.error().code();
  }
  base::Result<sandbox::StartSandboxResponse> Start() {
    return Call<sandbox::StartSandboxResponse>("StartSandbox", For<sandbox::StartSandboxRequest>());
  }
  sandbox::SandboxStatusResponse Status() {
    return Call<sandbox::SandboxStatusResponse>("SandboxStatus",
                                                For<sandbox::SandboxStatusRequest>())
        .value_or(sandbox::SandboxStatusResponse());
  }

  std::string bundle_;
  FakePod pod_;
  std::unique_ptr<base::EventLoop> loop_;
  ttrpc::ServiceTable table_;
  std::unique_ptr<SandboxService> service_;
  std::unique_ptr<ttrpc::TestingLink> link_;
  int shutdowns_ = 0;
};

TEST_F(SandboxServiceTest, ALifeInOrder) {
  EXPECT_EQ(Create(), Code::kOk);
  EXPECT_THAT(pod_.created, IsEmpty());  // the machine boots with StartSandbox
  EXPECT_EQ(Status().state(), "SANDBOX_NOTREADY");
  const auto started = Start();
  ASSERT_TRUE(started);
  EXPECT_EQ(started->pid(), 100u);
  EXPECT_GT(started->created_at().seconds(), 0);
  ASSERT_EQ(pod_.created.size(), 1u);
  EXPECT_EQ(pod_.created[0].id, "pod");
  EXPECT_EQ(pod_.created[0].bundle, bundle_);
  EXPECT_EQ(pod_.created[0].config_toml_path, "/etc/other.toml");
  EXPECT_EQ(Status().state(), "SANDBOX_READY");
  EXPECT_EQ(Status().pid(), 100u);
  EXPECT_EQ(Status().created_at().seconds(), started->created_at().seconds());
  EXPECT_FALSE(Status().has_exited_at());
  const auto wait =
      Begin<sandbox::WaitSandboxResponse>("WaitSandbox", For<sandbox::WaitSandboxRequest>());
  while (pod_.waiters.empty()) Turn();
  EXPECT_FALSE(*wait);
  EXPECT_TRUE(
      Call<sandbox::StopSandboxResponse>("StopSandbox", For<sandbox::StopSandboxRequest>()));
  EXPECT_THAT(pod_.signals, ElementsAre(std::pair(9u, true)));
  EXPECT_EQ(pod_.shutdowns, 1);  // the machine's memory is the host's again
  pod_.End("pod", 137);
  while (!*wait) Turn();
  EXPECT_EQ((**wait)->exit_status(), 137u);
  EXPECT_EQ(Status().state(), "SANDBOX_NOTREADY");
  EXPECT_EQ(Status().exited_at().seconds(), 1000);
  EXPECT_EQ(shutdowns_, 0);
  EXPECT_TRUE(Call<sandbox::ShutdownSandboxResponse>("ShutdownSandbox",
                                                     For<sandbox::ShutdownSandboxRequest>()));
  EXPECT_EQ(shutdowns_, 1);
}

TEST_F(SandboxServiceTest, CreateWritesTheSpecification) {
  ASSERT_EQ(Create(), Code::kOk);
  const auto text = base::ReadFile(bundle_ + "/config.json");
  ASSERT_TRUE(text);
  const auto spec = oci::Parse(*text);
  ASSERT_TRUE(spec);
  EXPECT_EQ(spec->annotations.at("io.kubernetes.cri.sandbox-id"), "pod");
}

TEST_F(SandboxServiceTest, CreateIsChecked) {
  auto request = CreateRequest("../x");
  EXPECT_EQ(Call<sandbox::CreateSandboxResponse>("CreateSandbox", request).error().code(),
            Code::kInvalidArgument);
  request = CreateRequest();
  request.set_bundle_path("relative");
  EXPECT_EQ(Call<sandbox::CreateSandboxResponse>("CreateSandbox", request).error().code(),
            Code::kInvalidArgument);
  request.set_bundle_path("/nonexistent/bundle");
  EXPECT_FALSE(Call<sandbox::CreateSandboxResponse>("CreateSandbox", request));
  ASSERT_EQ(Create(), Code::kOk);
  EXPECT_EQ(Create(), Code::kAlreadyExists);
}

TEST_F(SandboxServiceTest, AShimOfContainersTakesNoSandbox) {
  pod_.CreateContainer({.id = "c", .bundle = "/b"}, [](const base::Result<pid_t>&) {});
  EXPECT_EQ(Create(), Code::kAlreadyExists);
}

TEST_F(SandboxServiceTest, AnotherSandboxIsNotFoundByEveryCall) {
  ASSERT_EQ(Create(), Code::kOk);
  for (const char* method : kMethods) {
    const auto answer = Call<sandbox::PingResponse>(method, For<sandbox::PingRequest>("other"));
    ASSERT_FALSE(answer) << method;
    EXPECT_EQ(answer.error().code(), Code::kNotFound) << method;
    EXPECT_THAT(answer.error().Message(), HasSubstr("other")) << method;
  }
  EXPECT_EQ(Call<sandbox::ShutdownSandboxResponse>("ShutdownSandbox",
                                                   For<sandbox::ShutdownSandboxRequest>("other"))
                .error()
                .code(),
            Code::kNotFound);
  EXPECT_EQ(shutdowns_, 0);
}

TEST_F(SandboxServiceTest, AShimWithoutASandboxCanBeShutDown) {
  EXPECT_TRUE(Call<sandbox::ShutdownSandboxResponse>("ShutdownSandbox",
                                                     For<sandbox::ShutdownSandboxRequest>()));
  EXPECT_EQ(shutdowns_, 1);
}

TEST_F(SandboxServiceTest, WrongStatesAreRefused) {
  ASSERT_EQ(Create(), Code::kOk);
  EXPECT_EQ(Call<sandbox::WaitSandboxResponse>("WaitSandbox", For<sandbox::WaitSandboxRequest>())
                .error()
                .code(),
            Code::kNotFound);
  ASSERT_TRUE(Start());
  EXPECT_EQ(Start().error().code(), Code::kFailedPrecondition);
  EXPECT_TRUE(
      Call<sandbox::StopSandboxResponse>("StopSandbox", For<sandbox::StopSandboxRequest>()));
  EXPECT_EQ(Start().error().code(), Code::kFailedPrecondition);
  // Twice, as after a restart of containerd.
  EXPECT_TRUE(
      Call<sandbox::StopSandboxResponse>("StopSandbox", For<sandbox::StopSandboxRequest>()));
}

TEST_F(SandboxServiceTest, AFailedStartSaysWhyAndCanBeTriedAgain) {
  ASSERT_EQ(Create(), Code::kOk);
  pod_.create_error = "no kernel at /boot/vmlinux";
  const auto started = Start();
  ASSERT_FALSE(started);
  EXPECT_THAT(started.error().Message(), HasSubstr("/boot/vmlinux"));
  EXPECT_EQ(Status().state(), "SANDBOX_NOTREADY");
  pod_.create_error.reset();
  EXPECT_TRUE(Start());
}

TEST_F(SandboxServiceTest, PlatformPingAndMetrics) {
  ASSERT_EQ(Create(), Code::kOk);
  ASSERT_TRUE(Start());
  const auto platform =
      Call<sandbox::PlatformResponse>("Platform", For<sandbox::PlatformRequest>());
  ASSERT_TRUE(platform);
  EXPECT_EQ(platform->platform().os(), "linux");
#ifdef __x86_64__
  EXPECT_EQ(platform->platform().architecture(), "amd64");
#endif
  EXPECT_TRUE(Call<sandbox::PingResponse>("PingSandbox", For<sandbox::PingRequest>()));
  const auto metrics = Call<sandbox::SandboxMetricsResponse>("SandboxMetrics",
                                                             For<sandbox::SandboxMetricsRequest>());
  ASSERT_TRUE(metrics);
  EXPECT_EQ(metrics->metrics().id(), "pod");
  EXPECT_GT(metrics->metrics().timestamp().seconds(), 0);
  EXPECT_EQ(metrics->metrics().data().type_url(), "io.containerd.cgroups.v2.Metrics");
}

TEST_F(SandboxServiceTest, MetricsAreOfAllThePodsContainers) {
  ASSERT_EQ(Create(), Code::kOk);
  const auto before = Call<sandbox::SandboxMetricsResponse>("SandboxMetrics",
                                                            For<sandbox::SandboxMetricsRequest>());
  ASSERT_FALSE(before);  // not started
  EXPECT_EQ(before.error().code(), Code::kNotFound);
  ASSERT_TRUE(Start());
  pod_.CreateContainer({.id = "c", .bundle = "/b"}, [](const base::Result<pid_t>&) {});
  const auto metrics = Call<sandbox::SandboxMetricsResponse>("SandboxMetrics",
                                                             For<sandbox::SandboxMetricsRequest>());
  ASSERT_TRUE(metrics);
  ::io::containerd::cgroups::v2::Metrics numbers;
  ASSERT_TRUE(numbers.ParseFromString(metrics->metrics().data().value()));
  EXPECT_EQ(numbers.memory().usage(), 2 * 4096u);
}

}  // namespace
}  // namespace shim
