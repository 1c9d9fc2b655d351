// The commands as a user gives them: files in, text out.
#include "runtime/ctl/command.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include <filesystem>

#include "runtime/base/file.h"
#include "runtime/cpu/plan_json.h"
#include "runtime/cpu/testing_host.h"
#include "runtime/cpu/topology_json.h"
#include "runtime/pod/state_directory.h"

namespace ctl {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

class CommandTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = ::testing::TempDir() + "/pinionctl.XXXXXX";
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    root_ = pattern;
    host_ = Put("host.json", cpu::WriteTopologyJson(cpu::TwoPackages()));
  }
  void TearDown() override { fs::remove_all(root_); }

  std::string Put(const std::string& name, const std::string& text) {
    const std::string path = root_ + "/" + name;
    EXPECT_TRUE(base::WriteFileAtomic(path, text));
    return path;
  }
  std::string Spec(const std::string& name, const std::string& cpu,
                   const std::string& annotations = "") {
    return Put(name, R"({"ociVersion":"1.0.2","annotations":{)" + annotations +
                         R"(},"linux":{"resources":{"cpu":{)" + cpu + "}}}}");
  }
  static std::string Out(const Arguments& arguments) {
    const auto out = ctl::Run(arguments);
    EXPECT_TRUE(out) << out.error().Message();
    return out ? *out : "";
  }
  static std::string Refusal(const Arguments& arguments) {
    const auto out = ctl::Run(arguments);
    EXPECT_FALSE(out) << *out;
    return out ? "" : out.error().Message();
  }
  std::string Plan(const std::string& cpu) {
    return Out({"cpu", "plan", "--host", host_, "--spec", Spec("spec.json", cpu), "--json"});
  }
  std::string root_, host_;
};

TEST_F(CommandTest, APinnedPlanInFull) {
  EXPECT_EQ(
      Plan(R"("cpus":"2,6")"),
      R"({"vcpus":[{"index":0,"id":0,"package":0,"die":0,"cluster":0,"core":0,"thread":0,"l2":0,)"
      R"("l3":0,"node":0,"host_cpu":2,"affinity":"2"},{"index":1,"id":1,"package":1,"die":0,)"
      R"("cluster":0,"core":0,"thread":0,"l2":1,"l3":1,"node":1,"host_cpu":6,"affinity":"6"}],)"
      R"("mode":"pinned","cpu_max":null,"weight":null,"mems":"0-1","memory_mib":256,)"
      R"("housekeeping":"0-1,3-5,7-15","grow":"","notes":[]})"
      "\n");
}

TEST_F(CommandTest, AFloatingPlanHasNoPins) {
  EXPECT_THAT(
      Plan(R"("quota":250000,"period":100000,"shares":1024)"),
      AllOf(HasSubstr(R"("host_cpu":null,"affinity":"")"), HasSubstr(R"("mode":"floating")"),
            HasSubstr(R"("cpu_max":"250000 100000","weight":39,"mems":"")")));
}

TEST_F(CommandTest, SeveralSpecsAreOnePod) {
  const std::string cri = R"("io.kubernetes.cri.container-type":"container")";
  const std::string a = Spec("a.json", R"("cpus":"2-3","shares":2048,"quota":200000)", cri);
  const std::string b = Spec("b.json", R"("cpus":"0-1,4-15","shares":512,"quota":50000)", cri);
  const std::string pause =
      Spec("pause.json", R"("shares":2)", R"("io.kubernetes.cri.container-type":"sandbox")");
  const std::string plan = Out({"cpu", "plan", "--host", host_, "--spec", a, b, "--json"});
  EXPECT_THAT(plan, HasSubstr(R"("host_cpu":null,"affinity":"0-1,4-15"}],"mode":"mixed")"));
  EXPECT_EQ(plan, Out({"cpu", "plan", "--json", "--spec=" + a, "--spec", b, "--host=" + host_}));
  EXPECT_EQ(plan, Out({"cpu", "plan", "--spec", pause, a, "--spec", b, "--host", host_, "--json"}));
}

TEST_F(CommandTest, PolicyAndAnnotationsCount) {
  const std::string spec = Spec("s.json", R"("cpus":"2,10","quota":100000)");
  EXPECT_THAT(
      Refusal({"cpu", "plan", "--host", host_, "--spec", spec, "--policy", "pinning=required"}),
      HasSubstr("2 CPUs asked, limit allows 1"));
  const std::string hidden = Spec("h.json", R"("cpus":"2,10")", R"("io.pinion.cpu.smt":"hide")");
  EXPECT_THAT(Out({"cpu", "plan", "--host", host_, "--spec", hidden, "--policy=housekeeping=4",
                   "--policy", "max_vcpus=8", "--json"}),
              AllOf(HasSubstr(R"("core":1,"thread":0)"), HasSubstr(R"("housekeeping":"4")"),
                    HasSubstr("smt_hidden")));
  for (const char* policy : {"x=1", "pinning", "=1", "max_vcpus=-1", "smt=maybe"}) {
    EXPECT_THAT(Refusal({"cpu", "plan", "--host", host_, "--spec", spec, "--policy", policy}),
                HasSubstr("--policy"))
        << policy;
  }
}

TEST_F(CommandTest, WhatIsWrongIsNamed) {
  const std::string spec = Spec("s.json", R"("cpus":"99")");
  EXPECT_THAT(Refusal({"cpu", "plan", "--host", host_, "--spec", spec}),
              HasSubstr("CPU 99 is not online (online: 0-15)"));
  EXPECT_THAT(Refusal({"cpu", "plan", "--host", host_}), HasSubstr("--spec"));
  EXPECT_THAT(Refusal({"cpu", "plan", "--host", host_, "--spec"}), HasSubstr("without a value"));
  EXPECT_THAT(Refusal({"cpu", "plan", "--host", host_, "--spec", "/nowhere"}),
              HasSubstr("/nowhere"));
  EXPECT_THAT(Refusal({"cpu", "plan", "--host", "/nowhere", "--spec", spec}),
              HasSubstr("/nowhere"));
  EXPECT_THAT(Refusal({"cpu", "plan", "--host", spec, "--spec", spec}),
              HasSubstr("without an online CPU"));
  EXPECT_THAT(Refusal({"cpu", "plan", "--frob"}), HasSubstr("--frob"));
  EXPECT_THAT(Refusal({"cpu", "plane"}), HasSubstr("plane"));
  EXPECT_THAT(Refusal({}), HasSubstr("Usage"));
  EXPECT_THAT(Refusal({"cpu", "plan", "--host", host_, "--spec", Put("bad.json", "{\"linux\":")}),
              HasSubstr("bad.json: not JSON"));
}

TEST_F(CommandTest, HelpIsNoError) {
  for (const Arguments& arguments :
       {Arguments{"--help"}, Arguments{"cpu", "--help"}, Arguments{"cpu", "plan", "--help"},
        Arguments{"cpu", "picture", "-h"}}) {
    EXPECT_THAT(Out(arguments), StartsWith("Usage: pinionctl"));
  }
  EXPECT_THAT(Out({"--version"}), StartsWith("pinionctl 0"));
}

TEST_F(CommandTest, TheTableSaysWhy) {
  const std::string spec = Spec("s.json", R"("cpus":"0-3","quota":150000)");
  const std::string table = Out({"cpu", "plan", "--host", host_, "--spec", spec});
  EXPECT_THAT(table, HasSubstr("vcpus         2: the limit of 1.5 CPUs, rounded up"));
  EXPECT_THAT(table, HasSubstr("confined: every vCPU may use CPUs 0-3; not pinned: 4 CPUs asked, "
                               "limit allows 2"));
  EXPECT_THAT(table, HasSubstr("notes\n  not_pinned"));
}

TEST_F(CommandTest, ThePictureHasEveryCpuAndALineForEachPin) {
  const std::string spec = Spec("s.json", R"("cpus":"2,6,10")");
  const std::string svg = Out({"cpu", "picture", "--host", host_, "--spec", spec});
  EXPECT_THAT(svg, StartsWith("<svg "));
  EXPECT_THAT(svg, HasSubstr("</svg>\n"));
  const auto count = [&](const std::string& part) {
    size_t found = 0;
    for (size_t at = svg.find(part); at != std::string::npos; at = svg.find(part, at + 1)) ++found;
    return found;
  };
  EXPECT_EQ(count(" font-size=\"11\""), 16u + 3u + 8u);  // CPUs, vCPUs, packages and L3s of both
  for (const char* label : {">CPU 15<", ">vCPU 2<", ">package 1<"}) EXPECT_GT(count(label), 0u);
  EXPECT_EQ(count("<path "), 3u);
  EXPECT_EQ(count("nan"), 0u);
  const std::string floating = Spec("f.json", R"("quota":250000)");
  EXPECT_THAT(Out({"cpu", "picture", "--host", host_, "--spec", floating}),
              AllOf(HasSubstr("Guest, floating"), Not(HasSubstr("pinned to"))));
  // A band for each package, not for each place in it.
  const std::string confined = Spec("c.json", R"("cpus":"0-5,8-13","quota":250000)");
  const std::string bands = Out({"cpu", "picture", "--host", host_, "--spec", confined});
  size_t paths = 0;
  for (size_t at = 0; (at = bands.find("<path ", at)) != std::string::npos; ++at) ++paths;
  EXPECT_EQ(paths, 2u);
}

TEST_F(CommandTest, APodIsShownFromItsRecord) {
  const std::string run_dir = root_ + "/run";
  EXPECT_EQ(Out({"pod", "show", "--run-dir", run_dir}), "");
  auto state = pod::StateDirectory::Make(run_dir, "default", "demo", {1'900'000'000, 8});
  ASSERT_TRUE(state) << state.error().Message();
  state->record().cgroups = {"/default/demo"};
  state->record().processes = {{"vmm", getpid(), 1}};  // the pid was used again
  ASSERT_TRUE(state->Save());
  EXPECT_THAT(Out({"pod", "show", "--run-dir", run_dir}), HasSubstr("no CPU plan is on record"));
  cpu::CpuRequest request{.containers = {{.quota_us = 100000, .cpus = "2-3"}}, .memory_mib = 300};
  const auto plan = cpu::Plan(cpu::TwoPackages(), request, cpu::Policy{});
  ASSERT_TRUE(base::WriteFileAtomic(state->plan(), cpu::PlanToJson(*plan) + "\n"));

  const std::string text = Out({"pod", "show", "demo", "--run-dir", run_dir});
  EXPECT_THAT(text, HasSubstr("pod default/demo"));
  EXPECT_THAT(text, HasSubstr(fmt::format("pid {}, which has ended", getpid())));
  EXPECT_THAT(text, HasSubstr("note not_pinned"));
  EXPECT_THAT(text, HasSubstr("300 MiB"));
  EXPECT_THAT(Out({"pod", "show", "demo", "--json", "--run-dir", run_dir}),
              AllOf(StartsWith(R"({"namespace":"default","id":"demo","uid":19000000)"),
                    HasSubstr(R"("alive":false})"), HasSubstr(R"("plan":{"vcpus":[)"),
                    HasSubstr(R"("mode":"confined")")));
  EXPECT_THAT(Out({"pod", "list", "--run-dir=" + run_dir}),
              AllOf(HasSubstr("NAMESPACE"), HasSubstr("confined")));
  EXPECT_THAT(Refusal({"pod", "show", "other", "--run-dir", run_dir}),
              HasSubstr("no pod \"other\""));
  EXPECT_THAT(Refusal({"pod", "list", "x"}), HasSubstr("what is \"x\""));
  ASSERT_TRUE(base::WriteFileAtomic(state->plan(), "{"));
  EXPECT_THAT(Refusal({"pod", "show", "--run-dir", run_dir}), HasSubstr("plan.json: not JSON"));
}

// Exit status is 0 or 1, whatever happens.
TEST_F(CommandTest, TheProgramExitsWithZeroOrOne) {
  const char* program = getenv("PINIONCTL");
  if (program == nullptr) GTEST_SKIP() << "PINIONCTL is not set";
  const std::string spec = Spec("s.json", R"("cpus":"2")");
  const std::string plan =
      fmt::format("{} cpu plan --host {} --spec {} --json", program, host_, spec);
  const auto status = [](const std::string& command) {
    const int result = system((command + " 2>/dev/null").c_str());
    return WIFEXITED(result) ? WEXITSTATUS(result) : -1;
  };
  EXPECT_EQ(status(plan + " >/dev/null"), 0);
  EXPECT_EQ(status(plan + " >/dev/full"), 1);
  EXPECT_EQ(status(plan + " >&-"), 1);
  EXPECT_EQ(status(std::string(program) + " cpu plan --host /dev/zero --spec " + spec), 1);
  EXPECT_EQ(status(std::string(program) + " frob"), 1);
}

}  // namespace
}  // namespace ctl
