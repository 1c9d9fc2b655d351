#include "runtime/pod/late_network.h"

#include <gmock/gmock.h>
#include <sys/eventfd.h>

#include <string>
#include <utility>

namespace pod {
namespace {

using base::Code;
using testing::ElementsAre;
using testing::IsEmpty;

JoinedNetwork OneCard() {
  JoinedNetwork network;
  network.survey.cards.emplace_back();
  network.taps.emplace_back(eventfd(0, EFD_CLOEXEC));
  return network;
}

class LateNetworkTest : public testing::Test {
 protected:
  void Join(const std::string& who) {
    late_.Join([this, who](base::Result<void> joined) {
      answers_.push_back(who + ": " + (joined ? "ok" : joined.error().Message()));
    });
  }
  void Found(base::Result<JoinedNetwork> found) { std::exchange(look_, nullptr)(std::move(found)); }
  void Plugged(base::Result<void> plugged) { std::exchange(plug_, nullptr)(std::move(plugged)); }

  size_t looks_ = 0;
  size_t plugs_ = 0;
  std::function<void(base::Result<JoinedNetwork>)> look_;  // that is under way
  LateNetwork::DoneCallback plug_;                         // the same
  std::vector<std::string> answers_;
  LateNetwork late_{[this](std::function<void(base::Result<JoinedNetwork>)> done) {
                      ++looks_;
                      look_ = std::move(done);
                    },
                    [this](const JoinedNetwork& network, LateNetwork::DoneCallback done) {
                      EXPECT_EQ(network.taps.size(), 1U);
                      ++plugs_;
                      plug_ = std::move(done);
                    }};
};

TEST_F(LateNetworkTest, TwoStartsAtOnceJoinItOnce) {
  Join("first");
  Join("while it looks");
  Found(OneCard());
  Join("while it plugs");
  EXPECT_THAT(answers_, IsEmpty());  // none starts without its network
  Plugged(base::Ok());
  Join("afterwards");
  EXPECT_THAT(answers_, ElementsAre("first: ok", "while it looks: ok", "while it plugs: ok",
                                    "afterwards: ok"));
  EXPECT_EQ(looks_, 1U);
  EXPECT_EQ(plugs_, 1U);
}

TEST_F(LateNetworkTest, WhoAskedAfterALookBeganDoesNotTakeItsNothing) {
  Join("first");
  Join("second");
  Join("third");
  Found(JoinedNetwork());
  EXPECT_THAT(answers_, ElementsAre("first: ok"));
  EXPECT_EQ(looks_, 2U);
  Found(OneCard());
  Plugged(base::Ok());
  EXPECT_THAT(answers_, ElementsAre("first: ok", "second: ok", "third: ok"));
  EXPECT_EQ(looks_, 2U);
}

TEST_F(LateNetworkTest, NothingYetIsLookedForAgain) {
  Join("first");
  Found(JoinedNetwork());
  Join("second");
  Found(OneCard());
  Plugged(base::Ok());
  EXPECT_THAT(answers_, ElementsAre("first: ok", "second: ok"));
}

TEST_F(LateNetworkTest, ALookThatFailedIsRepeated) {
  Join("first");
  Join("second");
  Found(base::MakeError(Code::kFailedPrecondition, "link eth0"));
  EXPECT_THAT(answers_, ElementsAre("first: link eth0"));
  Found(OneCard());
  Plugged(base::Ok());
  EXPECT_THAT(answers_, ElementsAre("first: link eth0", "second: ok"));
}

TEST_F(LateNetworkTest, AFailedPlugIsEverybodysAndFinal) {
  Join("first");
  Join("second");
  Found(OneCard());
  Plugged(base::MakeError(Code::kInternal, "device 5"));
  Join("third");
  EXPECT_THAT(answers_, ElementsAre("first: device 5", "second: device 5", "third: device 5"));
  EXPECT_EQ(looks_, 1U);
  EXPECT_EQ(plugs_, 1U);
}

}  // namespace
}  // namespace pod
