#include "runtime/pod/process_stdio.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <map>
#include <thread>

#include "runtime/base/file.h"
#include "runtime/base/socket.h"

namespace pod {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class StdioTest : public ::testing::Test {
 protected:
  void SetUp() override {
    loop_ = std::move(*base::EventLoop::Create());
    char path[] = "/tmp/stdio_test.XXXXXX";
    ASSERT_NE(mkdtemp(path), nullptr);
    dir_ = path;
    for (const char* name : {"in", "out", "err"}) {
      ASSERT_EQ(mkfifo((dir_ + "/" + name).c_str(), 0700), 0);
    }
  }
  void TearDown() override { std::filesystem::remove_all(dir_); }

  // Turns the loop until `condition` holds; gives up after many turns.
  template <class Condition>
  bool Until(Condition condition) {
    for (int i = 0; i < 2000; ++i) {
      if (condition()) return true;
      if (!loop_->RunOnce(milliseconds(5))) return false;
    }
    return false;
  }
  Stdio::Paths AllPaths() const {
    return {.in = dir_ + "/in", .out = dir_ + "/out", .err = "fifo://" + dir_ + "/err"};
  }
  base::UniqueFd OpenReader(const char* name) {
    return base::UniqueFd(open((dir_ + "/" + name).c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  }
  // What a client has read so far; eof_ when the writers have gone.
  std::string Read(base::BorrowedFd fd) {
    std::string text(1 << 20, '\0');
    const ssize_t size = read(fd.get(), text.data(), text.size());
    eof_ = size == 0;
    text.resize(size > 0 ? static_cast<size_t>(size) : 0);
    return text;
  }
  // Attaches a guest's end of `kind` and gives it.
  base::UniqueFd Attach(Stdio& stdio, StreamKind kind) {
    auto pair = base::SocketPair(SOCK_STREAM | SOCK_NONBLOCK);
    EXPECT_TRUE(stdio.Attach(kind, std::move(pair->first), {}));
    return std::move(pair->second);
  }
  void OpenAll(Stdio& stdio) {
    bool open = false;
    stdio.Open([&](base::Result<void> result) {
      EXPECT_TRUE(result);
      open = true;
    });
    ASSERT_TRUE(Until([&] { return open; }));
  }

  std::unique_ptr<base::EventLoop> loop_;
  std::string dir_;
  bool eof_ = false;
};

TEST_F(StdioTest, CreateWaitsForTheReaders) {
  Stdio stdio(*loop_, AllPaths());
  bool open = false;
  stdio.Open([&](base::Result<void> result) { open = result.has_value(); });
  const base::UniqueFd out = OpenReader("out");
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(loop_->RunOnce(milliseconds(5)));
  EXPECT_FALSE(open) << "nobody reads stderr yet";
  const base::UniqueFd err = OpenReader("err");
  EXPECT_TRUE(Until([&] { return open; }));
}

TEST_F(StdioTest, WaitingForAReaderCanBeCalledOff) {
  bool called = false;
  {
    Stdio stdio(*loop_, AllPaths());
    stdio.Open([&](base::Result<void>) { called = true; });
    ASSERT_TRUE(loop_->RunOnce(milliseconds(5)));
  }
  const base::UniqueFd out = OpenReader("out");
  const base::UniqueFd err = OpenReader("err");
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(loop_->RunOnce(milliseconds(5)));
  EXPECT_FALSE(called);
}

TEST_F(StdioTest, OutputPassesWholeAndEndsInBand) {
  Stdio stdio(*loop_, AllPaths());
  const base::UniqueFd out = OpenReader("out");
  const base::UniqueFd err = OpenReader("err");
  OpenAll(stdio);
  const base::UniqueFd guest = Attach(stdio, StreamKind::kStdout);
  std::string sent;
  for (int i = 0; i < 50000; ++i) sent += static_cast<char>(i * 7 + i / 256);
  const std::string frames = stream::Encode(sent) + stream::EncodeEof();
  size_t written = 0;
  std::string got;
  EXPECT_TRUE(Until([&] {
    if (written < frames.size()) {
      const ssize_t size =
          send(guest.get(), frames.data() + written, frames.size() - written, MSG_NOSIGNAL);
      if (size > 0) written += static_cast<size_t>(size);
    }
    got += Read(out);
    return got.size() >= sent.size() && eof_;
  }));
  EXPECT_EQ(got, sent);
}

// A vanished reader: nothing is lost, nothing breaks; the guest is held up.
TEST_F(StdioTest, ReaderMayVanishAndComeBack) {
  Stdio stdio(*loop_, AllPaths());
  base::UniqueFd out = OpenReader("out");
  const base::UniqueFd err = OpenReader("err");
  OpenAll(stdio);
  const base::UniqueFd guest = Attach(stdio, StreamKind::kStdout);
  out.Reset();
  const std::string chunk = stream::Encode(std::string(64 << 10, 'x'));
  size_t sent = 0;
  size_t position = 0;
  int stalls = 0;
  while (stalls < 20) {
    const ssize_t size =
        send(guest.get(), chunk.data() + position, chunk.size() - position, MSG_NOSIGNAL);
    if (size > 0) {
      position += static_cast<size_t>(size);
      if (position == chunk.size()) {
        sent += 64 << 10;
        position = 0;
      }
      stalls = 0;
    } else {
      ++stalls;
    }
    ASSERT_TRUE(loop_->RunOnce(milliseconds(1)));
    ASSERT_LT(sent, size_t{8} << 20) << "memory is not bounded";
  }
  out = OpenReader("out");
  size_t got = 0;
  EXPECT_TRUE(Until([&] {
    got += Read(out).size();
    return got >= sent;
  }));
}

TEST_F(StdioTest, BrokenFrameEndsTheStreamOnly) {
  Stdio stdio(*loop_, AllPaths());
  const base::UniqueFd out = OpenReader("out");
  const base::UniqueFd err = OpenReader("err");
  OpenAll(stdio);
  const base::UniqueFd guest = Attach(stdio, StreamKind::kStdout);
  const base::UniqueFd guest_err = Attach(stdio, StreamKind::kStderr);
  ASSERT_EQ(send(guest.get(), "\xff\xff\xff\xff", 4, MSG_NOSIGNAL), 4);
  EXPECT_TRUE(Until([&] {
    Read(out);
    return eof_;
  }));
  const std::string frame = stream::Encode("still here");
  ASSERT_GT(send(guest_err.get(), frame.data(), frame.size(), MSG_NOSIGNAL), 0);
  std::string got;
  EXPECT_TRUE(Until([&] {
    got += Read(err);
    return got == "still here";
  }));
}

TEST_F(StdioTest, StreamsNobodyAskedForAreRefused) {
  Stdio stdio(*loop_, {.out = dir_ + "/out"});
  const base::UniqueFd out = OpenReader("out");
  OpenAll(stdio);
  const base::UniqueFd guest = Attach(stdio, StreamKind::kStdout);
  for (const StreamKind kind : {StreamKind::kStdout, StreamKind::kStderr, StreamKind::kStdin}) {
    auto pair = base::SocketPair(SOCK_STREAM | SOCK_NONBLOCK);
    EXPECT_FALSE(stdio.Attach(kind, std::move(pair->first), {}));
  }
}

TEST_F(StdioTest, InputReachesTheGuestAndEndsOnCloseIo) {
  Stdio stdio(*loop_, AllPaths());
  const base::UniqueFd out = OpenReader("out");
  const base::UniqueFd err = OpenReader("err");
  OpenAll(stdio);
  base::UniqueFd client(open((dir_ + "/in").c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC));
  ASSERT_TRUE(client.valid());
  ASSERT_EQ(write(client.get(), "hello", 5), 5);
  const base::UniqueFd guest = Attach(stdio, StreamKind::kStdin);
  stream::Decoder decoder;
  std::string got;
  bool end = false;
  const auto pull = [&] {
    char buffer[4096];
    const ssize_t size = recv(guest.get(), buffer, sizeof buffer, MSG_DONTWAIT);
    if (size > 0) decoder.Push({buffer, static_cast<size_t>(size)});
    while (auto frame = *decoder.Next()) {
      end = end || frame->eof;
      got += frame->bytes;
    }
  };
  EXPECT_TRUE(Until([&] {
    pull();
    return got == "hello";
  }));
  client.Reset();
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(loop_->RunOnce(milliseconds(2)));
  pull();
  EXPECT_FALSE(end) << "our writer keeps it open until CloseIO";
  stdio.CloseInput();
  EXPECT_TRUE(Until([&] {
    pull();
    return end;
  }));
}

TEST_F(StdioTest, DrainingEndsAtItsLimit) {
  Stdio stdio(*loop_, AllPaths());
  const base::UniqueFd out = OpenReader("out");
  const base::UniqueFd err = OpenReader("err");
  OpenAll(stdio);
  const base::UniqueFd guest = Attach(stdio, StreamKind::kStdout);
  bool drained = false;
  stdio.WhenDrained(milliseconds(50), [&] { drained = true; });
  EXPECT_TRUE(Until([&] { return drained; }));
  Read(out);
  EXPECT_TRUE(eof_);
}

TEST_F(StdioTest, NothingConnectedOpensAndDrainsAtOnce) {
  Stdio stdio(*loop_, {});
  OpenAll(stdio);
  bool drained = false;
  stdio.WhenDrained(seconds(10), [&] { drained = true; });
  EXPECT_TRUE(Until([&] { return drained; }));
}

TEST_F(StdioTest, ALogFileIsMadeAndTakesBothOutputs) {
  const std::string file = dir_ + "/made/for/it.log";
  Stdio stdio(*loop_, {.out = "file://" + file, .err = {}});
  OpenAll(stdio);
  ASSERT_TRUE(stdio.wants(StreamKind::kStderr)) << "whatever stderr says";
  for (const StreamKind kind : {StreamKind::kStdout, StreamKind::kStderr}) {
    const base::UniqueFd guest = Attach(stdio, kind);
    ASSERT_TRUE(base::WriteAll(guest, stream::Encode("line\n") + stream::EncodeEof()));
  }
  bool drained = false;
  stdio.WhenDrained(seconds(60), [&] { drained = true; });
  ASSERT_TRUE(Until([&] { return drained; }));
  EXPECT_EQ(*base::ReadFile(file), "line\nline\n");
}

// A logging program in two lines of shell.
class LogProgramTest : public StdioTest {
 protected:
  std::string Script(const std::string& body) {
    const std::string path = dir_ + "/logger";
    EXPECT_TRUE(base::WriteFileAtomic(path, "#!/bin/sh\n" + body + "\n", 0755));
    return path;
  }
  std::optional<base::Result<void>> Open(Stdio& stdio) {
    std::optional<base::Result<void>> opened;
    stdio.Open([&](base::Result<void> result) { opened = std::move(result); });
    EXPECT_TRUE(Until([&] { return opened.has_value(); }));
    return opened;
  }
};

TEST_F(LogProgramTest, ItReadsBothOutputsAndKnowsWhose) {
  const std::string script =
      Script("exec 5>&-; echo $CONTAINER_ID $CONTAINER_NAMESPACE $* >" + dir_ + "/log; cat <&3 >>" +
             dir_ + "/log; cat <&4 >>" + dir_ + "/log");
  Stdio stdio(
      *loop_,
      {.out = "binary://" + script + "?a=b%20c&d=e", .err = {}, .id = "the-id", .ns = "the-ns"});
  ASSERT_TRUE(*Open(stdio));
  for (const auto& [kind, text] :
       {std::pair(StreamKind::kStdout, "out\n"), std::pair(StreamKind::kStderr, "err\n")}) {
    const base::UniqueFd guest = Attach(stdio, kind);
    ASSERT_TRUE(base::WriteAll(guest, stream::Encode(text) + stream::EncodeEof()));
  }
  bool drained = false;
  stdio.WhenDrained(seconds(60), [&] { drained = true; });
  ASSERT_TRUE(Until([&] { return drained; })) << "it must have ended by then";
  EXPECT_EQ(*base::ReadFile(dir_ + "/log"), "the-id the-ns a b c d e\nout\nerr\n");
}

TEST_F(LogProgramTest, OneThatFailsBeforeItIsReadyFailsTheOpening) {
  Stdio stdio(*loop_, {.out = "binary://" + dir_ + "/absent", .err = {}});
  const auto absent = Open(stdio);
  ASSERT_FALSE(*absent);
  EXPECT_EQ(absent->error().code(), base::Code::kNotFound);
}

// The client's side of streams, without a client: the other ends of the pipes.
class FakeStreams : public ClientStreams {
 public:
  base::Result<OpenedStream> OpenOutput(const std::string& id) override { return Open(id, 0, 1); }
  base::Result<OpenedStream> OpenInput(const std::string& id) override { return Open(id, 1, 0); }

  std::map<std::string, base::UniqueFd> ends;
  std::map<std::string, std::function<void()>> taken;
  int open = 0;
  int inputs_closed = 0;

 private:
  class Hold : public ClientStream {
   public:
    Hold(FakeStreams& streams, std::string id) : streams_(streams), id_(std::move(id)) {
      ++streams_.open;
    }
    ~Hold() override { --streams_.open; }
    void WhenTaken(std::function<void()> done) override { streams_.taken[id_] = std::move(done); }
    void CloseInput() override { ++streams_.inputs_closed; }

   private:
    FakeStreams& streams_;
    const std::string id_;
  };

  base::Result<OpenedStream> Open(const std::string& id, int ours, int theirs) {
    if (ends.count(id) != 0) return base::MakeError(base::Code::kAlreadyExists, "{}", id);
    int pipe[2];
    if (pipe2(pipe, O_CLOEXEC | O_NONBLOCK) != 0) return base::ErrnoError("pipe2");
    ends[id] = base::UniqueFd(pipe[ours]);
    return OpenedStream{std::make_unique<Hold>(*this, id), base::UniqueFd(pipe[theirs])};
  }
};

class StreamStdioTest : public StdioTest {
 protected:
  static std::string Uri(const std::string& id) {
    return "ttrpc+unix:///run/containerd/s/0123?streaming_id=" + id;
  }
  static Stdio::Paths StreamPaths() {
    return {.in = Uri("c-stdin"), .out = Uri("c-stdout"), .err = Uri("c-stderr")};
  }
  FakeStreams streams_;
};

TEST_F(StreamStdioTest, EachStreamIsJoined) {
  {
    Stdio stdio(*loop_, StreamPaths(), &streams_);
    OpenAll(stdio);
    EXPECT_EQ(streams_.open, 3);
    for (const auto& [kind, id] :
         {std::pair(StreamKind::kStdout, "c-stdout"), std::pair(StreamKind::kStderr, "c-stderr")}) {
      const base::UniqueFd guest = Attach(stdio, kind);
      ASSERT_TRUE(base::WriteAll(guest, stream::Encode(id) + stream::EncodeEof()));
      std::string got;
      ASSERT_TRUE(Until([&] {
        got += Read(streams_.ends.at(id));
        return eof_;
      }));
      EXPECT_EQ(got, id);
    }
    const base::UniqueFd guest = Attach(stdio, StreamKind::kStdin);
    ASSERT_TRUE(base::WriteAll(streams_.ends.at("c-stdin"), "in"));
    streams_.ends.at("c-stdin").Reset();
    const std::string wanted = stream::Encode("in") + stream::EncodeEof();
    std::string got;
    ASSERT_TRUE(Until([&] {
      got += Read(guest);
      return got.size() >= wanted.size();
    }));
    EXPECT_EQ(got, wanted);
    stdio.CloseInput();
    EXPECT_EQ(streams_.inputs_closed, 1);
  }
  EXPECT_EQ(streams_.open, 0) << "a deleted process has none";
}

TEST_F(StreamStdioTest, TakenMeansThatTheClientsHaveReadTheEnd) {
  Stdio stdio(*loop_, StreamPaths(), &streams_);
  OpenAll(stdio);
  for (const StreamKind kind : {StreamKind::kStdout, StreamKind::kStderr}) {
    ASSERT_TRUE(base::WriteAll(Attach(stdio, kind), stream::EncodeEof()));
  }
  bool taken = false;
  stdio.WhenTaken(seconds(600), [&] { taken = true; });
  streams_.taken.at("c-stdout")();
  EXPECT_FALSE(taken);
  streams_.taken.at("c-stderr")();
  EXPECT_TRUE(taken);
}

TEST_F(StreamStdioTest, TakingEndsAtItsLimit) {
  Stdio stdio(*loop_, StreamPaths(), &streams_);
  OpenAll(stdio);
  const base::UniqueFd guest = Attach(stdio, StreamKind::kStdout);
  bool taken = false;
  stdio.WhenTaken(milliseconds(20), [&] { taken = true; });
  EXPECT_FALSE(taken);
  EXPECT_TRUE(Until([&] { return taken; }));
}

TEST_F(StreamStdioTest, WithoutStreamsNothingIsWaitedFor) {
  Stdio stdio(*loop_, {.out = "file:///dev/null"}, &streams_);
  OpenAll(stdio);
  const base::UniqueFd guest = Attach(stdio, StreamKind::kStdout);
  bool taken = false;
  stdio.WhenTaken(seconds(600), [&] { taken = true; });
  EXPECT_TRUE(taken) << "at once";
}

TEST_F(StreamStdioTest, AStreamThatCannotBeHadFailsTheOpening) {
  streams_.ends["c-stderr"] = base::UniqueFd();
  for (ClientStreams* streams : std::initializer_list<ClientStreams*>{&streams_, nullptr}) {
    Stdio stdio(*loop_, StreamPaths(), streams);
    std::optional<base::Code> code;
    stdio.Open([&](base::Result<void> result) { code = result.error().code(); });
    ASSERT_TRUE(Until([&] { return code.has_value(); }));
    EXPECT_EQ(*code, streams == nullptr ? base::Code::kUnimplemented : base::Code::kAlreadyExists);
  }
}

TEST(StdioUri, SchemesPathsAndArguments) {
  EXPECT_EQ(ParseStdioUri("fifo:///a%20b")->path, "/a%20b");
  EXPECT_EQ(ParseStdioUri("/a")->path, "/a");
  EXPECT_EQ(ParseStdioUri("file:///a%20b")->path, "/a b");
  const auto binary = ParseStdioUri("binary:///x/y?k=v&flag=&e=%26+");
  ASSERT_TRUE(binary);
  EXPECT_EQ(binary->path, "/x/y");
  EXPECT_EQ(binary->arguments, (std::vector<std::string>{"k", "v", "flag", "e", "& "}));
  const auto stream = ParseStdioUri("ttrpc+unix:///run/s/0?x=y&streaming_id=a-stdout");
  ASSERT_TRUE(stream);
  EXPECT_EQ(stream->stream_id, "a-stdout");
  EXPECT_FALSE(stream->takes_both());
  EXPECT_TRUE(stream->arguments.empty());
  for (const char* bad : {"gopher:///x", "ttrpc+unix:///s",
                          "ttrpc+unix:///s?streaming_id=", "ttrpc+unix://s?streaming_id=a",
                          "grpc+unix:///s?streaming_id=a", "file://relative", "binary://",
                          "file:///%0", "file:///%00", "binary:///x?%zz=1"}) {
    EXPECT_EQ(ParseStdioUri(bad).error().code(), base::Code::kInvalidArgument) << bad;
  }
}

TEST_F(StdioTest, OnlyStdoutNamesAFileOrAProgram) {
  for (const Stdio::Paths& paths : {Stdio::Paths{.in = "file:///x"},
                                    Stdio::Paths{.out = dir_ + "/out", .err = "binary:///x"}}) {
    Stdio stdio(*loop_, paths);
    std::optional<base::Code> code;
    stdio.Open([&](base::Result<void> result) { code = result.error().code(); });
    ASSERT_TRUE(Until([&] { return code.has_value(); }));
    EXPECT_EQ(*code, base::Code::kInvalidArgument);
  }
}

TEST_F(StdioTest, QuarterOfAGigabyteArrivesWholeInBoundedMemory) {
  constexpr size_t kTotal = 256 << 20;
  Stdio stdio(*loop_, {.out = "file:///dev/null"});
  OpenAll(stdio);
  const base::UniqueFd guest = Attach(stdio, StreamKind::kStdout);
  std::thread writer([&] {
    ASSERT_EQ(fcntl(guest.get(), F_SETFL, 0), 0);
    const std::string frame = stream::Encode(std::string(32 << 10, 'x'));
    for (size_t sent = 0; sent < kTotal; sent += 32 << 10) {
      ASSERT_TRUE(base::WriteAll(guest, frame));
    }
    ASSERT_TRUE(base::WriteAll(guest, stream::EncodeEof()));
  });
  bool drained = false;
  stdio.WhenDrained(seconds(600), [&] { drained = true; });
  while (!drained) ASSERT_TRUE(loop_->RunOnce(milliseconds(50)));
  writer.join();
}

TEST_F(StdioTest, MissingFifoIsAnError) {
  Stdio stdio(*loop_, {.out = dir_ + "/nowhere"});
  bool failed = false;
  stdio.Open([&](base::Result<void> result) { failed = !result; });
  EXPECT_TRUE(Until([&] { return failed; }));
}

}  // namespace
}  // namespace pod
