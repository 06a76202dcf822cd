#include "service/replay_store.h"

#include <gtest/gtest.h>

namespace hadal {
namespace {

api::Message Call(std::string arguments, std::string id = "call_00_x") {
  api::Message message;
  message.role = api::Role::kAssistant;
  message.content = "Let me see.";
  message.tool_calls = {{std::move(id), "f", std::move(arguments)}};
  return message;
}

api::Message Written() {
  api::Message message = Call("{\"a\": 1}");
  message.reasoning_content = "because";
  message.reasoning_ids = {1, 2};
  message.answer_ids = {3, 4, 5};
  return message;
}

TEST(ReplayStore, GivesAnAnswerItsTokensHoweverItsArgumentsAreSpaced) {
  ReplayStore store(1 << 20);
  store.Put("t", Written());
  std::vector<api::Message> messages = {Call("{ \"a\" :1}")};
  store.Fill("t", messages);
  EXPECT_EQ(messages[0].answer_ids, (std::vector<int32_t>{3, 4, 5}));
  EXPECT_EQ(messages[0].reasoning_ids, (std::vector<int32_t>{1, 2}));
  EXPECT_EQ(messages[0].reasoning_content, "because") << "also when the caller left it out";
  EXPECT_EQ(store.counts().found, 1u);
}

TEST(ReplayStore, WhatACallerChangedIsNotTheModelsAnswer) {
  ReplayStore store(1 << 20);
  store.Put("t", Written());
  std::vector<api::Message> messages = {Call("{\"a\": 2}"), Call("{\"a\": 1}", "other"),
                                        Call("{\"a\": 1}")};
  messages[2].content = "Changed.";
  store.Fill("t", messages);
  for (const api::Message& message : messages) EXPECT_TRUE(message.answer_ids.empty());
  std::vector<api::Message> of_another = {Call("{\"a\": 1}")};
  store.Fill("u", of_another);
  EXPECT_TRUE(of_another[0].answer_ids.empty()) << "tenants do not see each other";
  std::vector<api::Message> thought = {Call("{\"a\": 1}")};
  thought[0].reasoning_content = "another thought";
  store.Fill("t", thought);
  EXPECT_FALSE(thought[0].answer_ids.empty());
  EXPECT_TRUE(thought[0].reasoning_ids.empty());
  EXPECT_EQ(thought[0].reasoning_content, "another thought");
}

TEST(ReplayStore, IsBoundedAndForgetsTheLeastRecentlyUsed) {
  ReplayStore store(4000);
  for (int i = 0; i < 50; ++i) {
    api::Message answer = Written();
    answer.tool_calls[0].id = std::to_string(i);
    store.Put("t", std::move(answer));
    std::vector<api::Message> first = {Call("{\"a\": 1}", "0")};
    store.Fill("t", first);
    EXPECT_FALSE(first[0].answer_ids.empty()) << i;
    EXPECT_LE(store.counts().bytes, 4000u);
  }
  std::vector<api::Message> old = {Call("{\"a\": 1}", "1")};
  store.Fill("t", old);
  EXPECT_TRUE(old[0].answer_ids.empty());
}

}  // namespace
}  // namespace hadal
