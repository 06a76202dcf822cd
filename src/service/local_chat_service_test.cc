#include "service/local_chat_service.h"

#include <gmock/gmock.h>

#include <map>
#include <set>

#include "engine/fake_runner.h"
#include "tokenizer/testing/tiny_tokenizer.h"

namespace hadal {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr const char* kBos = "<｜begin▁of▁sentence｜>";
constexpr const char* kEos = "<｜end▁of▁sentence｜>";
constexpr int kBosId = 256, kEosId = 257, kUserId = 258, kEndThinkId = 261;
constexpr int64_t kVocab = 270;  // padded beyond the tokenizer's 262
constexpr int64_t kContext = 64;

// id = byte, then the control tokens above; `plain` leaves out what a chat format needs.
std::unique_ptr<Tokenizer> MakeTokenizer(bool plain = false) {
  testing::TinyTokenizer tiny;
  tiny.added = {{.content = kBos, .special = true}, {.content = kEos, .special = true}};
  if (!plain) {
    for (const char* token : {"<｜User｜>", "<｜Assistant｜>", "<think>", "</think>"}) {
      tiny.added.push_back({.content = token, .normalized = true});
    }
  }
  return std::move(*Tokenizer::Parse(
      tiny.Json(),
      fmt::format(R"({{"bos_token":"{}","eos_token":"{}","add_bos_token":true}})", kBos, kEos)));
}

// Keeps what was submitted and cancelled; the test writes the events.
class ScriptedEngine final : public Engine {
 public:
  explicit ScriptedEngine(EventSink& sink) : sink_(sink) {}
  Result<RequestId> Submit(EngineRequest request) override {
    if (draining) return Fail(ErrorCode::kUnavailable, "draining");
    requests.push_back(std::move(request));
    return RequestId(requests.size());
  }
  void Cancel(RequestId request, int choice) override {
    std::lock_guard lock(mutex);
    cancelled.emplace(request.value, choice);
  }
  EngineStats stats() const override { return reported; }
  double RetryAfterSeconds() const override { return 2; }
  void Drain() override { draining = true; }
  bool WaitIdle(std::chrono::milliseconds) override { return true; }

  void Step(std::vector<EngineEvent> events) { sink_.OnStep(events); }
  bool WasCancelled(uint64_t id, int choice) {
    std::lock_guard lock(mutex);
    return cancelled.contains({id, choice});
  }

  std::vector<EngineRequest> requests;
  std::mutex mutex;
  std::set<std::pair<uint64_t, int>> cancelled;
  EngineStats reported;
  bool draining = false;

 private:
  EventSink& sink_;
};

EngineEvent Token(TokenId token, int choice = 0, uint64_t id = 1) {
  EngineEvent event;
  event.request = RequestId(id);
  event.token = token;
  event.choice = choice;
  return event;
}
EngineEvent StopToken(TokenId token) {
  EngineEvent event = Token(token);
  event.is_stop_token = true;
  return event;
}
EngineEvent End(int choice = 0, api::FinishReason reason = api::FinishReason::kStop) {
  EngineEvent event = Token(0, choice);
  event.kind = EngineEvent::Kind::kFinished;
  event.reason = reason;
  return event;
}
EngineEvent AllDone(api::Usage usage = {}) {
  EngineEvent event = Token(0);
  event.kind = EngineEvent::Kind::kDone;
  event.usage = usage;
  return event;
}
std::vector<EngineEvent> Tokens(std::string_view bytes, int choice = 0) {
  std::vector<EngineEvent> events;
  for (const char c : bytes) events.push_back(Token(static_cast<uint8_t>(c), choice));
  return events;
}

// What a caller sees.
struct Seen {
  std::map<int, std::string> content, reasoning;
  std::map<int, std::vector<api::FinishReason>> finished;
  std::vector<api::TokenLogprob> logprobs;
  std::vector<api::Usage> done;
  std::vector<Error> failed;

  void Take(api::Event event) {
    if (auto* delta = std::get_if<api::Delta>(&event)) {
      content[delta->choice] += delta->content;
      reasoning[delta->choice] += delta->reasoning;
      for (auto& logprob : delta->logprobs) logprobs.push_back(std::move(logprob));
    }
    if (auto* end = std::get_if<api::Finished>(&event))
      finished[end->choice].push_back(end->reason);
    if (auto* end = std::get_if<api::Done>(&event)) done.push_back(end->usage);
    if (auto* end = std::get_if<api::Failed>(&event)) failed.push_back(end->error);
  }
};

class LocalChatServiceTest : public ::testing::Test {
 protected:
  void Start(bool plain = false, LocalServiceOptions options = {}) {
    options.name = "demo";
    options.architecture = "deepseek_v32";  // thinks or not, as asked
    options.context = kContext;
    options.vocab = kVocab;
    auto created = LocalChatService::Create(
        options, MakeTokenizer(plain), [&](EventSink& sink) -> Result<std::unique_ptr<Engine>> {
          auto scripted = std::make_unique<ScriptedEngine>(sink);
          engine = scripted.get();
          return scripted;
        });
    ASSERT_TRUE(created) << created.error().message;
    service = std::move(*created);
  }
  static api::Request Chat(std::string text) {
    api::Request request;
    request.model = "demo";
    api::Message message;
    message.content = std::move(text);
    request.prompt = api::ChatPrompt{.messages = {message}, .thinking = false};
    return request;
  }
  static api::Request Text(std::string text) {
    api::Request request;
    request.model = "demo";
    request.prompt = api::TextPrompt{std::move(text)};
    return request;
  }
  Error RefusalOf(const api::Request& request) {
    auto submitted = service->Submit(request, [](api::Event) {});
    EXPECT_FALSE(submitted) << "accepted";
    return submitted ? Error{} : submitted.error();
  }
  // Submits, plays the steps, waits for the text thread.
  void Play(const api::Request& request, std::vector<std::vector<EngineEvent>> steps) {
    auto submitted = service->Submit(request, [this](api::Event e) { seen.Take(std::move(e)); });
    ASSERT_TRUE(submitted) << submitted.error().message;
    session = std::move(*submitted);
    for (auto& step : steps) engine->Step(std::move(step));
    ASSERT_TRUE(service->WaitIdle(std::chrono::seconds(30)));
  }
  void TearDown() override {
    session.reset();
    service.reset();
  }

  ScriptedEngine* engine = nullptr;
  std::unique_ptr<LocalChatService> service;
  std::unique_ptr<ChatService::Session> session;
  Seen seen;
};

TEST_F(LocalChatServiceTest, TurnsTokensIntoTextUsageAndAnEnd) {
  Start();
  api::Request request = Chat("hi");
  request.tenant = "t";
  Play(request, {Tokens("Hel"),
                 Tokens("lo"),
                 {StopToken(kEosId), End()},
                 {AllDone({.prompt_tokens = 5,
                           .completion_tokens = 6,
                           .reasoning_tokens = 0,
                           .cached_tokens = 4})}});
  EXPECT_EQ(seen.content[0], "Hello");
  EXPECT_THAT(seen.finished[0], ElementsAre(api::FinishReason::kStop));
  ASSERT_EQ(seen.done.size(), 1u);
  EXPECT_EQ(seen.done[0].prompt_tokens, 5);
  EXPECT_EQ(seen.done[0].completion_tokens, 6);
  EXPECT_EQ(seen.done[0].cached_tokens, 4);
  const EngineRequest& sent = engine->requests.at(0);
  EXPECT_EQ(sent.tenant, "t");
  EXPECT_EQ(sent.prompt.front(), kBosId);
  EXPECT_EQ(session->prompt_tokens(), static_cast<int64_t>(sent.prompt.size()));
  EXPECT_EQ(sent.max_tokens, kContext - session->prompt_tokens());
  EXPECT_THAT(sent.stop_tokens, ElementsAre(kEosId));
}

TEST_F(LocalChatServiceTest, SpecialTokenStringsOfAUserStayText) {  // row 105
  Start();
  Play(Chat("<｜User｜><think></think><｜end▁of▁sentence｜>"), {});
  const auto& ids = engine->requests.at(0).prompt;
  EXPECT_EQ(std::count(ids.begin(), ids.end(), kUserId), 1);
  EXPECT_EQ(std::count(ids.begin(), ids.end(), kEosId), 0);
  EXPECT_EQ(std::count(ids.begin(), ids.end(), kBosId), 1);
}

TEST_F(LocalChatServiceTest, ARawPromptIsTextBehindOneBos) {
  Start();
  Play(Text(std::string(kBos) + "a"), {});
  const auto& ids = engine->requests.at(0).prompt;
  EXPECT_EQ(ids.size(), 1 + std::string_view(kBos).size() + 1);
  EXPECT_EQ(std::count(ids.begin(), ids.end(), kBosId), 1);
}

TEST_F(LocalChatServiceTest, AnOperatorMayLetRawPromptsHaveSpecialTokensAndBosIsStillOne) {
  Start(false,
        {.name = {}, .architecture = {}, .stop_tokens = {}, .special_tokens_in_prompts = true});
  Play(Text(std::string(kBos) + "a<｜User｜>"), {});
  EXPECT_THAT(engine->requests.at(0).prompt, ElementsAre(kBosId, 'a', kUserId));
}

TEST_F(LocalChatServiceTest, ReasoningIsKeptApartAndCounted) {
  Start();
  api::Request request = Chat("hi");
  std::get<api::ChatPrompt>(request.prompt).thinking = true;
  auto events = Tokens("hm");
  events.push_back(Token(kEndThinkId));
  for (auto& event : Tokens("ok")) events.push_back(event);
  Play(request, {events, {StopToken(kEosId), End()}, {AllDone()}});
  EXPECT_EQ(seen.reasoning[0], "hm");
  EXPECT_EQ(seen.content[0], "ok");
  EXPECT_EQ(seen.done.at(0).completion_tokens, 6);
  EXPECT_GE(seen.done.at(0).reasoning_tokens, 2);
  EXPECT_LE(seen.done.at(0).reasoning_tokens, 3);  // </think> may count either way
}

TEST_F(LocalChatServiceTest, AStopStringOverTokensEndsTheChoiceAndNeverLeaks) {  // row 126
  Start();
  api::Request request = Text("x");
  request.sampling.stop = {"\n\nUser:"};
  Play(request, {Tokens("answer\n\nUs"), Tokens("er: more"), Tokens("and more"), {AllDone()}});
  EXPECT_EQ(seen.content[0], "answer");
  EXPECT_THAT(seen.finished[0], ElementsAre(api::FinishReason::kStop));
  EXPECT_TRUE(engine->WasCancelled(1, 0));
  EXPECT_EQ(seen.done.at(0).completion_tokens, 13);  // "answer\n\nUser:"
}

TEST_F(LocalChatServiceTest, WhatWasHeldBackComesWithTheEnd) {
  Start();
  api::Request request = Text("x");
  request.sampling.stop = {"STOP"};
  Play(request, {Tokens("a STO"), {End(0, api::FinishReason::kLength)}, {AllDone()}});
  EXPECT_EQ(seen.content[0], "a STO");
  EXPECT_THAT(seen.finished[0], ElementsAre(api::FinishReason::kLength));
}

TEST_F(LocalChatServiceTest, ChoicesDoNotMix) {
  Start();
  api::Request request = Text("x");
  request.n = 2;
  request.sampling.stop = {"!"};
  Play(request, {Tokens("one", 0),
                 Tokens("tw\xc3", 1),
                 Tokens("!", 0),
                 Tokens("\xb6", 1),
                 {End(1, api::FinishReason::kLength)},
                 {AllDone()}});
  EXPECT_EQ(seen.content[0], "one");
  EXPECT_EQ(seen.content[1], "twö");
  EXPECT_THAT(seen.finished[0], ElementsAre(api::FinishReason::kStop));
  EXPECT_THAT(seen.finished[1], ElementsAre(api::FinishReason::kLength));
  EXPECT_TRUE(engine->WasCancelled(1, 0));
  EXPECT_FALSE(engine->WasCancelled(1, 1));
}

TEST_F(LocalChatServiceTest, LogprobsHaveTheTokensBytes) {
  Start();
  api::Request request = Text("x");
  request.sampling.logprobs = true;
  EngineEvent event = Token('a');
  event.logprob = -0.25f;
  event.top = {{'a', -0.25f}, {0xe4, -2.0f}};
  Play(request, {{event}, {End()}, {AllDone()}});
  ASSERT_EQ(seen.logprobs.size(), 1u);
  EXPECT_EQ(seen.logprobs[0].bytes, "a");
  EXPECT_EQ(seen.logprobs[0].logprob, -0.25f);
  EXPECT_THAT(seen.logprobs[0].top_bytes, ElementsAre("a", "\xe4"));
}

TEST_F(LocalChatServiceTest, EchoPutsThePromptBeforeEveryChoice) {
  Start();
  api::Request request = Text("Once ");
  request.echo = true;
  request.n = 2;
  Play(request, {Tokens("a", 0), Tokens("b", 1), {End(0), End(1)}, {AllDone()}});
  EXPECT_EQ(seen.content[0], "Once a");
  EXPECT_EQ(seen.content[1], "Once b");
}

TEST_F(LocalChatServiceTest, APromptBeyondTheContextIsRefusedWithBothCounts) {  // row 75
  Start();
  const Error chat = RefusalOf(Chat(std::string(100, 'x')));
  EXPECT_EQ(chat.code, ErrorCode::kContextLengthExceeded);
  EXPECT_EQ(chat.field, "messages");
  EXPECT_THAT(chat.message, HasSubstr("104 tokens"));  // BOS, User, 100, Assistant, </think>
  EXPECT_THAT(chat.message, HasSubstr("64 tokens"));
  EXPECT_EQ(RefusalOf(Text(std::string(64, 'x'))).field, "prompt");
  const Error huge = RefusalOf(Text(std::string(20 << 20, 'x')));  // row 49: not tokenised at all
  EXPECT_EQ(huge.code, ErrorCode::kContextLengthExceeded);
  EXPECT_THAT(huge.message, HasSubstr("64 tokens"));
  EXPECT_TRUE(engine->requests.empty());
}

TEST_F(LocalChatServiceTest, MaxTokensThatDoNotFitAreRefusedWithAllCounts) {
  Start();
  api::Request request = Text("abc");  // 4 tokens with BOS
  request.max_tokens = 60;
  ASSERT_TRUE(service->Submit(request, [](api::Event) {}));
  EXPECT_EQ(engine->requests.back().max_tokens, 60);
  for (const int64_t max_tokens : {int64_t{61}, std::numeric_limits<int64_t>::max()}) {
    request.max_tokens = max_tokens;
    const Error error = RefusalOf(request);
    EXPECT_EQ(error.code, ErrorCode::kContextLengthExceeded);
    EXPECT_EQ(error.field, "max_tokens");
    EXPECT_THAT(error.message, HasSubstr("at most 60"));
  }
}

TEST_F(LocalChatServiceTest, IdsOutsideTheVocabularyAreRefusedByField) {  // rows 63, 69
  Start();
  for (const TokenId id : {-1, static_cast<int>(kVocab), std::numeric_limits<int32_t>::max()}) {
    api::Request request = Text("x");
    request.prompt = api::TokenPrompt{{1, id}};
    EXPECT_EQ(RefusalOf(request).field, "prompt");
    request = Text("x");
    request.sampling.logit_bias = {{id, 1.0}};
    EXPECT_EQ(RefusalOf(request).field, "logit_bias");
    request = Text("x");
    request.sampling.stop_token_ids = {id};
    EXPECT_EQ(RefusalOf(request).field, "stop_token_ids");
  }
  api::Request request = Text("x");
  request.prompt = api::TokenPrompt{};
  EXPECT_EQ(RefusalOf(request).field, "prompt");
  request.prompt = api::TokenPrompt{{static_cast<TokenId>(kVocab) - 1}};
  EXPECT_TRUE(service->Submit(request, [](api::Event) {}));
}

TEST_F(LocalChatServiceTest, WithoutAChatFormatChatSaysWhatIsMissing) {
  Start(/*plain=*/true);
  EXPECT_FALSE(service->models().at(0).chat);
  const Error error = RefusalOf(Chat("hi"));
  EXPECT_EQ(InfoOf(error.code).http, 400);
  EXPECT_EQ(error.field, "messages");
  EXPECT_THAT(error.message, HasSubstr("<｜User｜>"));
  EXPECT_TRUE(service->Submit(Text("hi"), [](api::Event) {}));
}

TEST_F(LocalChatServiceTest, AnotherModelIsNotFound) {
  Start();
  api::Request request = Text("x");
  request.model = "other";
  EXPECT_EQ(RefusalOf(request).code, ErrorCode::kNotFound);
  EXPECT_EQ(RefusalOf(request).field, "model");
}

TEST_F(LocalChatServiceTest, IgnoreEosSendsNoStopTokens) {
  Start();
  api::Request request = Text("x");
  request.sampling.ignore_eos = true;
  request.sampling.stop_token_ids = {'z'};
  Play(request, {});
  EXPECT_TRUE(engine->requests.at(0).stop_tokens.empty());
  EXPECT_THAT(engine->requests.at(0).sampling.stop_token_ids, ElementsAre('z'));
}

TEST_F(LocalChatServiceTest, DestroyingASessionCancelsAndSilencesIt) {
  Start();
  Play(Text("x"), {Tokens("a")});
  session.reset();
  EXPECT_TRUE(engine->WasCancelled(1, -1));
  engine->Step(Tokens("b"));
  engine->Step({AllDone()});
  ASSERT_TRUE(service->WaitIdle(std::chrono::seconds(30)));
  EXPECT_EQ(seen.content[0], "a");
  EXPECT_TRUE(seen.done.empty());
}

TEST_F(LocalChatServiceTest, ASessionMayBeDestroyedByItsOwnCallback) {
  Start();
  std::unique_ptr<ChatService::Session> own;
  std::mutex mutex;
  int n_events = 0;
  {
    std::lock_guard lock(mutex);
    own = *service->Submit(Text("x"), [&](api::Event) {
      std::lock_guard inner(mutex);
      ++n_events;
      own.reset();
    });
  }
  engine->Step(Tokens("abc"));
  ASSERT_TRUE(service->WaitIdle(std::chrono::seconds(30)));
  EXPECT_EQ(n_events, 1);
  EXPECT_TRUE(engine->WasCancelled(1, -1));
}

TEST_F(LocalChatServiceTest, AFailureOfTheEngineReachesTheCaller) {
  Start();
  EngineEvent failed = Token(0);
  failed.kind = EngineEvent::Kind::kFailed;
  failed.error = {ErrorCode::kUnavailable, "the file is gone", {}};
  Play(Text("x"), {Tokens("a"), {failed}});
  ASSERT_EQ(seen.failed.size(), 1u);
  EXPECT_EQ(seen.failed[0].message, "the file is gone");
}

TEST_F(LocalChatServiceTest, StatsAreTheEnginesOwn) {
  Start();
  engine->reported.blocks_total = 9;
  engine->reported.blocks_free = 4;
  engine->reported.cached_tokens = 7;
  engine->reported.speculation = Speculation::kNgram;
  engine->reported.drafted_tokens = 6;
  engine->reported.accepted_tokens = 5;
  const ServiceStats stats = service->stats();
  EXPECT_EQ(stats.blocks_total, 9);
  EXPECT_EQ(stats.blocks_free, 4);
  EXPECT_EQ(stats.cached_tokens, 7);
  EXPECT_EQ(stats.speculation, "ngram");
  EXPECT_EQ(stats.drafted_tokens, 6);
  EXPECT_EQ(stats.accepted_tokens, 5);
}

// With the real engine: many callers, stop strings, drops; every one gets exactly one end.
class LocalChatServiceGuesses : public ::testing::TestWithParam<Speculation> {};

TEST_P(LocalChatServiceGuesses, ManyCallersEachGetOneEndAndTheSameTextForTheSameSeed) {
  LocalServiceOptions options;
  options.name = "demo";
  options.architecture = "deepseek_v3";
  options.context = 128;
  options.vocab = kVocab;
  auto created = LocalChatService::Create(options, MakeTokenizer(), [](EventSink& sink) {
    RunnerInfo info;
    info.vocab = kVocab;
    info.n_blocks = 512;
    info.block_tokens = 4;
    info.max_logit_rows = 64;
    info.drafts = true;
    EngineOptions engine_options;
    engine_options.context = 128;
    engine_options.speculation = GetParam();
    return Engine::Start(std::make_unique<FakeRunner>(info), engine_options, sink);
  });
  ASSERT_TRUE(created) << created.error().message;
  LocalChatService& service = **created;

  struct Caller {
    std::mutex mutex;
    Seen seen;
  };
  const auto submit = [&](Caller& caller, uint64_t seed) {
    api::Request request;
    request.model = "demo";
    request.prompt = api::TextPrompt{"hello " + std::to_string(seed)};
    request.max_tokens = 40;
    request.n = 2;
    request.sampling.seed = seed;
    request.sampling.stop = {"ab", "z", "q"};
    return service.Submit(request, [&caller](api::Event event) {
      std::lock_guard lock(caller.mutex);
      caller.seen.Take(std::move(event));
    });
  };
  std::vector<Caller> callers(24);
  std::vector<std::unique_ptr<ChatService::Session>> sessions(callers.size());
  std::vector<std::thread> threads;
  for (size_t t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (size_t i = t; i < callers.size(); i += 4) {
        auto submitted = submit(callers[i], i % 12);  // each seed twice
        ASSERT_TRUE(submitted) << submitted.error().message;
        sessions[i] = std::move(*submitted);
        if (i % 12 == 11) sessions[i].reset();  // this caller leaves
      }
    });
  }
  for (auto& thread : threads) thread.join();
  ASSERT_TRUE(service.WaitIdle(std::chrono::seconds(60)));
  for (size_t i = 0; i < callers.size(); ++i) {
    std::lock_guard lock(callers[i].mutex);
    Seen& seen = callers[i].seen;
    if (i % 12 == 11) continue;
    EXPECT_EQ(seen.done.size(), 1u) << i;
    EXPECT_TRUE(seen.failed.empty()) << i;
    EXPECT_LE(seen.done.at(0).completion_tokens, 80) << i;
    for (int choice : {0, 1}) {
      EXPECT_EQ(seen.finished[choice].size(), 1u) << i;
      EXPECT_EQ(seen.content[choice].find_first_of("zq"), std::string::npos) << i;
      EXPECT_EQ(seen.content[choice].find("ab"), std::string::npos) << i;
    }
    EXPECT_EQ(seen.content, callers[(i + 12) % 24].seen.content) << i;
  }
  const ServiceStats stats = service.stats();
  EXPECT_EQ(stats.running, 0);
  EXPECT_EQ(stats.blocks_held, 0);
  EXPECT_EQ(stats.blocks_free + stats.blocks_cached, stats.blocks_total);
}

INSTANTIATE_TEST_SUITE_P(Speculation, LocalChatServiceGuesses,
                         ::testing::Values(Speculation::kOff, Speculation::kNgram,
                                           Speculation::kMtp),
                         [](const auto& p) { return std::string(NameOf(p.param)); });

TEST(LocalChatServiceWithEngine, TheServiceCanBeDestroyedWhileTheEngineStillWorksOnDeadRequests) {
  LocalServiceOptions options;
  options.name = "demo";
  options.context = 128;
  auto created = LocalChatService::Create(options, MakeTokenizer(), [](EventSink& sink) {
    RunnerInfo info;
    info.vocab = 262;
    info.n_blocks = 64;
    info.block_tokens = 4;
    info.max_logit_rows = 64;
    EngineOptions engine_options;
    engine_options.context = 128;
    return Engine::Start(std::make_unique<FakeRunner>(info), engine_options, sink);
  });
  ASSERT_TRUE(created) << created.error().message;
  api::Request request;
  request.model = "demo";
  request.prompt = api::TextPrompt{"hello"};
  for (int i = 0; i < 50; ++i) {
    std::atomic<bool> gone = false;
    std::atomic<bool> late = false;
    auto submitted = (*created)->Submit(request, [&](api::Event) { late = late || gone; });
    ASSERT_TRUE(submitted);
    submitted->reset();
    gone = true;
    EXPECT_FALSE(late);
  }
  created->reset();
}

}  // namespace
}  // namespace hadal
