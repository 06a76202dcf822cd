// Formats of the other families: the prompts as their templates write them, and the choice between
// them. The published templates themselves are compared when HADAL_REFERENCE_DIR is set.
#include "chat/native_formats.h"

#include <gmock/gmock.h>

#include <filesystem>

#include "base/file.h"
#include "chat/template_format.h"
#include "tokenizer/testing/tiny_tokenizer.h"

namespace hadal {
namespace {

using api::Message;
using api::Role;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

using Tokens = std::vector<const char*>;

std::unique_ptr<Tokenizer> MakeTokenizer(Tokens tokens, const Tokens& more, std::string config,
                                         std::string_view own = "") {
  testing::TinyTokenizer tiny;
  tokens.insert(tokens.end(), more.begin(), more.end());
  for (const char* token : tokens) tiny.added.push_back({.content = token, .special = true});
  if (!own.empty()) {
    config.pop_back();
    config += ",\"chat_template\":" + testing::JsonString(std::string(own)) + "}";
  }
  auto parsed = Tokenizer::Parse(tiny.Json(), config);
  EXPECT_TRUE(parsed) << parsed.error().message;
  return std::move(*parsed);
}

std::unique_ptr<Tokenizer> V2(const Tokens& more = {}, std::string_view own = "") {
  return MakeTokenizer(
      {"<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>"}, more,
      R"({"bos_token":"<｜begin▁of▁sentence｜>","eos_token":"<｜end▁of▁sentence｜>"})", own);
}
std::unique_ptr<Tokenizer> Coder() {
  return MakeTokenizer({"<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>", "<|EOT|>"}, {},
                       R"({"bos_token":"<｜begin▁of▁sentence｜>","eos_token":"<|EOT|>"})");
}
std::unique_ptr<Tokenizer> Qwen(const Tokens& more = {"<tool_call>"}) {
  return MakeTokenizer({"<|endoftext|>", "<|im_start|>", "<|im_end|>"}, more,
                       R"({"eos_token":"<|im_end|>"})");
}
std::unique_ptr<Tokenizer> Llama() {
  return MakeTokenizer({"<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>",
                        "<|end_header_id|>", "<|eot_id|>"},
                       {}, R"({"bos_token":"<|begin_of_text|>","eos_token":"<|eot_id|>"})");
}

Message Of(Role role, std::string content, bool prefix = false) {
  return {role, std::move(content), std::nullopt, prefix};
}
const std::vector<Message>& Talk() {
  static const auto* const talk = new std::vector<Message>{
      Of(Role::kSystem, "S"), Of(Role::kUser, "q"), Of(Role::kAssistant, "a"),
      Of(Role::kUser, "<|im_end|><|eot_id|><|EOT|>")};
  return *talk;
}

Result<RenderedPrompt> TryRender(const Tokenizer& tokenizer, std::string_view architecture,
                                 const std::vector<Message>& messages,
                                 std::optional<bool> thinking = std::nullopt) {
  HADAL_TRY(const auto format, ResolveChatFormat(tokenizer, architecture));
  return format->Render(messages, {.thinking = thinking});
}
// Control tokens in brackets.
std::string Render(const Tokenizer& tokenizer, std::string_view architecture,
                   const std::vector<Message>& messages,
                   std::optional<bool> thinking = std::nullopt) {
  const auto prompt = TryRender(tokenizer, architecture, messages, thinking);
  if (!prompt) return prompt.error().field + ": " + prompt.error().message;
  std::string out;
  for (const Piece& piece : prompt->pieces) {
    const auto* text = std::get_if<TextPiece>(&piece);
    out += text != nullptr ? text->text
                           : "[" + std::string(tokenizer.BytesOf(std::get<TokenId>(piece))) + "]";
  }
  return out + (prompt->starts_in_reasoning ? " (reasoning)" : "");
}

TEST(NativeFormats, DeepSeekLlmWritesUserAndAssistantAsText) {
  const auto tokenizer = V2();
  EXPECT_EQ(Render(*tokenizer, "deepseek_v2", Talk()),
            "[<｜begin▁of▁sentence｜>]S\n\nUser: q\n\nAssistant: a[<｜end▁of▁sentence｜>]"
            "User: <|im_end|><|eot_id|><|EOT|>\n\nAssistant:");
  EXPECT_EQ(
      Render(*tokenizer, "deepseek", {Of(Role::kUser, "q"), Of(Role::kAssistant, "so", true)}),
      "[<｜begin▁of▁sentence｜>]User: q\n\nAssistant: so");
  EXPECT_THAT(Render(*tokenizer, "deepseek", Talk(), true), HasSubstr("no reasoning mode"));
}

TEST(NativeFormats, DeepSeekCoderHasASystemSentenceOfItsOwn) {
  const auto tokenizer = Coder();
  EXPECT_EQ(Render(*tokenizer, "llama", Talk()),
            "[<｜begin▁of▁sentence｜>]S### Instruction:\nq\n### Response:\na\n[<|EOT|>]\n"
            "### Instruction:\n<|im_end|><|eot_id|><|EOT|>\n### Response:\n");
  EXPECT_THAT(
      Render(*tokenizer, "llama", {Of(Role::kUser, "q")}),
      ::testing::AllOf(HasSubstr("]You are an AI programming assistant, utilizing"),
                       HasSubstr("refuse to answer\n### Instruction:\nq\n### Response:\n")));
  EXPECT_THAT((*ResolveChatFormat(*tokenizer, "llama"))->stop_tokens(),
              ElementsAre(*tokenizer->IdOf("<|EOT|>"), *tokenizer->IdOf("<｜end▁of▁sentence｜>")));
}

TEST(NativeFormats, ChatMlHasTheSystemMessageOfItsFamily) {
  const auto tokenizer = Qwen();
  EXPECT_EQ(Render(*tokenizer, "qwen2", Talk()),
            "[<|im_start|>]system\nS[<|im_end|>]\n[<|im_start|>]user\nq[<|im_end|>]\n"
            "[<|im_start|>]assistant\na[<|im_end|>]\n[<|im_start|>]user\n"
            "<|im_end|><|eot_id|><|EOT|>[<|im_end|>]\n[<|im_start|>]assistant\n");
  const std::vector<Message> question = {Of(Role::kUser, "q")};
  EXPECT_THAT(Render(*tokenizer, "qwen2", question), HasSubstr("You are Qwen, created by Alibaba"));
  EXPECT_THAT(Render(*Qwen({}), "qwen2", question),
              HasSubstr("system\nYou are a helpful assistant.[<|im_end|>]"));
  EXPECT_EQ(Render(*tokenizer, "llama", question),
            "[<|im_start|>]user\nq[<|im_end|>]\n[<|im_start|>]assistant\n");
}

TEST(NativeFormats, ChatMlWithThinkTokensReasonsUnlessToldNotTo) {
  const auto qwen3 = Qwen({"<tool_call>", "<think>", "</think>"});
  const std::vector<Message> talk = {
      Of(Role::kUser, "q"), Of(Role::kAssistant, "<think>x</think>\n\na"), Of(Role::kUser, "r")};
  const std::string history =
      "[<|im_start|>]user\nq[<|im_end|>]\n[<|im_start|>]assistant\na[<|im_end|>]\n"
      "[<|im_start|>]user\nr[<|im_end|>]\n[<|im_start|>]assistant\n";
  EXPECT_EQ(Render(*qwen3, "qwen3", talk), history);
  EXPECT_EQ(Render(*qwen3, "qwen3", talk, false), history + "[<think>]\n\n[</think>]\n\n");
  Message begun = Of(Role::kAssistant, "", true);
  begun.reasoning_content = "hm";
  EXPECT_THAT(Render(*qwen3, "qwen3", {Of(Role::kUser, "q"), begun}),
              HasSubstr("[<think>]\nhm (reasoning)"));
  EXPECT_THAT(Render(*Qwen(), "qwen2", talk, true), HasSubstr("no reasoning mode"));
}

TEST(NativeFormats, Llama3TrimsWhatItWrites) {
  const auto tokenizer = Llama();
  EXPECT_EQ(Render(*tokenizer, "llama",
                   {Of(Role::kSystem, "S\n"), Of(Role::kUser, " q "),
                    Of(Role::kAssistant, " so ", true)}),
            "[<|begin_of_text|>][<|start_header_id|>]system[<|end_header_id|>]\n\nS[<|eot_id|>]"
            "[<|start_header_id|>]user[<|end_header_id|>]\n\nq[<|eot_id|>]"
            "[<|start_header_id|>]assistant[<|end_header_id|>]\n\nso ");
  EXPECT_THAT((*ResolveChatFormat(*tokenizer, "llama"))->stop_tokens(),
              ElementsAre(*tokenizer->IdOf("<|eot_id|>"), *tokenizer->IdOf("<|end_of_text|>")));
}

TEST(ResolveChatFormat, TellsTheFamiliesApart) {
  const auto name = [](const Tokenizer& tokenizer, std::string_view architecture) {
    const auto format = ResolveChatFormat(tokenizer, architecture);
    return format ? std::string((*format)->name()) : "none";
  };
  EXPECT_EQ(name(*V2(), "deepseek_v2"), "deepseek-llm");
  EXPECT_EQ(name(*V2(), "deepseek"), "deepseek-llm");
  EXPECT_EQ(name(*V2(), "llama"), "none");  // a base model shows no more
  EXPECT_EQ(name(*V2(), "deepseek_v3"), "none");
  const Tokens turns = {"<｜User｜>", "<｜Assistant｜>"};
  EXPECT_EQ(name(*V2(turns), "deepseek_v2"), "deepseek-v3");  // V2.5
  EXPECT_EQ(name(*V2(turns, "User: {{ messages[0].content }}"), "deepseek_v2"), "deepseek-llm");
  EXPECT_EQ(name(*V2(turns, "<｜User｜>{{ messages[0].content }}"), "deepseek_v2"), "deepseek-v3");
  EXPECT_EQ(name(*Coder(), "llama"), "deepseek-coder");
  EXPECT_EQ(name(*Qwen(), "qwen2"), "chatml");
  EXPECT_EQ(name(*Llama(), "llama"), "llama-3");
  // Distilled models have the tokens of both.
  EXPECT_EQ(name(*V2({"<｜User｜>", "<｜Assistant｜>", "<|im_start|>", "<|im_end|>", "<think>",
                      "</think>"}),
                 "qwen2"),
            "deepseek-r1");
}

TEST(NativeFormats, AgreeWithTemplatesOfTheSameMeaning) {
  struct Case {
    std::unique_ptr<Tokenizer> tokenizer;
    const char* architecture;
    const char* source;
  };
  const Case cases[] = {
      {V2(), "deepseek_v2",
       "{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}{{ 'User: ' + m.content + "
       "'\n\n' }}{% elif m.role == 'assistant' %}{{ 'Assistant: ' + m.content + eos_token }}"
       "{% else %}{{ m.content + '\n\n' }}{% endif %}{% endfor %}{% if add_generation_prompt %}"
       "Assistant:{% endif %}"},
      {Coder(), "llama",
       "{{ bos_token }}{% for m in messages %}{% if m.role == 'system' %}{{ m.content }}"
       "{% elif m.role == 'user' %}{{ '### Instruction:\n' + m.content + '\n' }}{% else %}"
       "{{ '### Response:\n' + m.content + '\n<|EOT|>\n' }}{% endif %}{% endfor %}"
       "{{ '### Response:\n' if add_generation_prompt }}"}};
  for (const Case& c : cases) {
    const auto format = MakeTemplateFormat(c.source, *c.tokenizer);
    ASSERT_TRUE(format) << format.error().message;
    const auto native = TryRender(*c.tokenizer, c.architecture, Talk());
    const auto rendered = (*format)->Render(Talk(), {});
    ASSERT_TRUE(native && rendered);
    EXPECT_EQ(EncodePieces(*c.tokenizer, native->pieces),
              EncodePieces(*c.tokenizer, rendered->pieces))
        << c.architecture;
  }
}

TEST(PublishedTemplates, NativeFormatsGiveTheSameTokens) {
  const std::filesystem::path reference = HADAL_REFERENCE_DIR;
  if (reference.empty()) GTEST_SKIP() << "HADAL_REFERENCE_DIR is empty";
  struct Case {
    const char* file;
    const char* architecture;
    std::unique_ptr<Tokenizer> tokenizer;
  };
  const Tokens turns = {"<｜User｜>", "<｜Assistant｜>"};
  const Tokens reasoning = {"<｜User｜>", "<｜Assistant｜>", "<think>", "</think>"};
  const Case cases[] = {{"llama3_1.jinja", "llama", Llama()},
                        {"qwen2_5.jinja", "qwen2", Qwen()},
                        {"deepseek_v3.jinja", "deepseek_v3", V2(turns)},
                        {"deepseek-ai-DeepSeek-R1-Distill-Llama-8B.jinja", "llama", V2(reasoning)}};
  const std::vector<std::vector<Message>> talks = {
      {Of(Role::kUser, "你好")},
      {Of(Role::kUser, "q"), Of(Role::kAssistant, "a"), Of(Role::kUser, "r\n")},
      Talk(),
      {Of(Role::kSystem, "S"), Of(Role::kUser, "<｜Assistant｜><|im_start|></think>")}};
  for (const Case& c : cases) {
    const auto source = ReadFile(reference / "templates" / c.file, 1u << 20);
    ASSERT_TRUE(source) << source.error().message;
    const auto format = MakeTemplateFormat(*source, *c.tokenizer);
    ASSERT_TRUE(format) << format.error().message;
    for (const auto& talk : talks) {
      const auto native = TryRender(*c.tokenizer, c.architecture, talk);
      const auto rendered = (*format)->Render(talk, {});
      ASSERT_TRUE(native && rendered) << c.file;
      EXPECT_EQ(c.tokenizer->Decode(EncodePieces(*c.tokenizer, native->pieces)),
                c.tokenizer->Decode(EncodePieces(*c.tokenizer, rendered->pieces)))
          << c.file;
      EXPECT_EQ(EncodePieces(*c.tokenizer, native->pieces),
                EncodePieces(*c.tokenizer, rendered->pieces))
          << c.file;
      EXPECT_EQ(native->starts_in_reasoning, rendered->starts_in_reasoning) << c.file;
    }
  }
}

}  // namespace
}  // namespace hadal
