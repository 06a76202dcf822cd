#include "convert/made_up_vocabulary.h"

#include <set>
#include <span>
#include <string>
#include <vector>

#include "base/check.h"
#include "tokenizer/byte_level.h"

namespace hadal {
namespace {

// Token types of GGUF.
constexpr int64_t kNormal = 1, kControl = 3, kUserDefined = 4;

struct Control {
  TokenId id;
  std::string_view text;
  bool special = false;  // hidden when text is made of tokens
};

// The bars are U+FF5C, the low lines U+2581.
constexpr std::string_view kBos = "<｜begin▁of▁sentence｜>", kEos = "<｜end▁of▁sentence｜>";
constexpr std::string_view kUser = "<｜User｜>", kAssistant = "<｜Assistant｜>";

constexpr Control kLlm[] = {{100000, kBos, true}, {100001, kEos, true}};
constexpr Control kCoder[] = {{32013, kBos, true},       {32014, kEos, true},
                              {32015, "<｜fim▁hole｜>"}, {32016, "<｜fim▁begin｜>"},
                              {32017, "<｜fim▁end｜>"},  {32021, "<|EOT|>", true}};
constexpr Control kV3[] = {{0, kBos, true},
                           {1, kEos, true},
                           {2, "<｜▁pad▁｜>", true},
                           {128800, "<｜fim▁hole｜>"},
                           {128801, "<｜fim▁begin｜>"},
                           {128802, "<｜fim▁end｜>"},
                           {128803, kUser},
                           {128804, kAssistant},
                           {128805, "<|EOT|>", true},
                           {128806, "<｜tool▁calls▁begin｜>"},
                           {128807, "<｜tool▁calls▁end｜>"},
                           {128808, "<｜tool▁call▁begin｜>"},
                           {128809, "<｜tool▁call▁end｜>"},
                           {128810, "<｜tool▁outputs▁begin｜>"},
                           {128811, "<｜tool▁outputs▁end｜>"},
                           {128812, "<｜tool▁output▁begin｜>"},
                           {128813, "<｜tool▁output▁end｜>"},
                           {128814, "<｜tool▁sep｜>"}};
constexpr Control kThink[] = {{128798, "<think>"}, {128799, "</think>"}};
constexpr Control kSearch[] = {{128796, "<｜search▁begin｜>"}, {128797, "<｜search▁end｜>"}};
constexpr Control kQwen[] = {{151643, kEos, true}, {151644, kUser},     {151645, kAssistant},
                             {151646, kBos, true}, {151647, "<|EOT|>"}, {151648, "<think>"},
                             {151649, "</think>"}};
constexpr Control kLlama[] = {{128000, kBos, true}, {128001, kEos, true}, {128011, kUser},
                              {128012, kAssistant}, {128013, "<think>"},  {128014, "</think>"}};
constexpr Control kQwen3[] = {{151643, kBos, true}, {151645, kEos, true}, {151667, "<think>"},
                              {151668, "</think>"}, {151669, kUser},      {151670, kAssistant}};

// Chat templates: the prompt formats of the families, nothing more.
#define HADAL_TURNS                                                                       \
  "{{ bos_token }}{% for m in messages %}{% if m['role'] == 'system' %}"                  \
  "{{ m['content'] }}{% elif m['role'] == 'user' %}{{ '<｜User｜>' + m['content'] }}"     \
  "{% else %}{{ '<｜Assistant｜>' + m['content'] + '<｜end▁of▁sentence｜>' }}{% endif %}" \
  "{% endfor %}"
constexpr std::string_view kV3Template =
    HADAL_TURNS "{% if add_generation_prompt %}{{ '<｜Assistant｜>' }}{% endif %}";
constexpr std::string_view kR1Template =
    HADAL_TURNS "{% if add_generation_prompt %}{{ '<｜Assistant｜><think>\\n' }}{% endif %}";
constexpr std::string_view kV31Template = HADAL_TURNS
    "{% if add_generation_prompt %}{{ '<｜Assistant｜>' }}{% if thinking %}{{ '<think>' }}"
    "{% else %}{{ '</think>' }}{% endif %}{% endif %}";
#undef HADAL_TURNS
constexpr std::string_view kLlmTemplate =
    "{{ bos_token }}{% for m in messages %}{% if m['role'] == 'user' %}"
    "{{ 'User: ' + m['content'] + '\\n\\n' }}{% elif m['role'] == 'assistant' %}"
    "{{ 'Assistant: ' + m['content'] + eos_token }}{% else %}{{ m['content'] + '\\n\\n' }}"
    "{% endif %}{% endfor %}{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}";
constexpr std::string_view kCoderTemplate =
    "{{ bos_token }}{% for m in messages %}{% if m['role'] == 'user' %}"
    "{{ '### Instruction:\\n' + m['content'] + '\\n' }}{% elif m['role'] == 'assistant' %}"
    "{{ '### Response:\\n' + m['content'] + '\\n<|EOT|>\\n' }}{% else %}{{ m['content'] + '\\n' }}"
    "{% endif %}{% endfor %}{% if add_generation_prompt %}{{ '### Response:\\n' }}{% endif %}";

struct Family {
  std::string_view name, pre, chat_template;
  VocabularyEnds ends;
  std::span<const Control> controls;
  std::span<const Control> more, still_more;
  bool add_bos = true;
};

const Family& FamilyOf(std::string_view name) {
  static const Family families[] = {
      {"llm", "deepseek-llm", kLlmTemplate, {100000, 100001}, kLlm, {}, {}},
      {"coder", "deepseek-coder", kCoderTemplate, {32013, 32021}, kCoder, {}, {}},
      {"v3", "deepseek-v3", kV3Template, {0, 1}, kV3, {}, {}},
      {"r1", "deepseek-v3", kR1Template, {0, 1}, kV3, kThink, {}},
      {"v3.1", "deepseek-v3", kV31Template, {0, 1}, kV3, kThink, kSearch},
      {"r1-qwen", "deepseek-r1-qwen", kR1Template, {151646, 151643}, kQwen, {}, {}},
      {"r1-llama", "llama-bpe", kR1Template, {128000, 128001}, kLlama, {}, {}},
      {"r1-qwen3", "qwen2", kR1Template, {151643, 151645}, kQwen3, {}, {}},
  };
  for (const Family& f : families) {
    if (f.name == name) return f;
  }
  CHECK(false);  // names come from PublishedShapes()
  return families[0];
}

// Texts that merges build up from their bytes, so that English, Chinese and code are short.
constexpr std::string_view kWords[] = {
    " the",    " of",    " and",   " to",    " in",    " is",     " that",   " for",      " it",
    " was",    " on",    " are",   " as",    " with",  " be",     " at",     " this",     " have",
    " from",   " or",    " one",   " had",   " by",    " but",    " not",    " what",     " all",
    " were",   " we",    " when",  " your",  " can",   " said",   " there",  " use",      " an",
    " each",   " which", " she",   " do",    " how",   " their",  " if",     " will",     " up",
    " other",  " about", " out",   " many",  " then",  " them",   " these",  " so",       " some",
    " her",    " would", " make",  " like",  " him",   " into",   " time",   " has",      " look",
    " two",    " more",  " write", " go",    " see",   " number", " no",     " way",      " could",
    " people", " my",    " than",  " first", " water", " been",   " call",   " who",      " model",
    " now",    " find",  " long",  " down",  " day",   " did",    " get",    " come",     " made",
    " may",    " part",  " you",   " he",    " his",   " they",   " answer", " question", " return",
    "ing",     "ion",    "ed",     "er",     "es",     "ly",      "ment",    "able",      "tion",
    "The",     "What",   "How",    "int",    "void",   "self",    "def",     "class",     "import",
    "的",      "一",     "是",     "不",     "了",     "人",      "我",      "在",        "有",
    "他",      "这",     "中",     "大",     "来",     "上",      "国",      "个",        "到",
    "说",      "们",     "为",     "子",     "和",     "你",      "地",      "出",        "道",
    "也",      "时",     "年",     "什么",   "可以",   "问题",    "  ",      "    ",      "\n\n",
};

// Pronounceable and never equal for different n below 10^6: three syllables, after a space.
std::string Filler(size_t n) {
  constexpr std::string_view kConsonants = "bcdfghjklmnpqrstvwxz", kVowels = "aeiou";
  std::string word = ByteLevelChar(' ');
  for (int i = 0; i < 3; ++i, n /= 100) {
    word += kConsonants[n % 100 / 5];
    word += kVowels[n % 5];
  }
  return word;
}

class Maker {
 public:
  Maker(const Family& family, int64_t size)
      : family_(family), tokens_(static_cast<size_t>(size)), types_(tokens_.size(), kNormal) {}

  Status Make() {
    for (const auto& list : {family_.controls, family_.more, family_.still_more}) {
      for (const Control& c : list) {
        const auto id = static_cast<size_t>(c.id);
        if (id >= tokens_.size()) {
          return Fail(ErrorCode::kInvalidArgument,
                      "a vocabulary of {} ids has no room for {} at id {}", tokens_.size(), c.text,
                      c.id);
        }
        tokens_[id] = c.text;
        types_[id] = c.special ? kControl : kUserDefined;
        known_.emplace(c.text);
      }
    }
    AddBytes();
    for (const std::string_view word : kWords) AddWord(word);
    for (size_t n = 0; next_ < tokens_.size(); ++n) Add(Filler(n));
    return {};
  }

  void Write(GgufMetadata& m) {
    m.Add("tokenizer.ggml.model", GgufValue::Text("gpt2"));
    m.Add("tokenizer.ggml.pre", GgufValue::Text(std::string(family_.pre)));
    m.Add("tokenizer.ggml.tokens", GgufValue::Texts(std::move(tokens_)));
    m.Add("tokenizer.ggml.token_type", GgufValue::I32s(std::move(types_)));
    m.Add("tokenizer.ggml.merges", GgufValue::Texts(std::move(merges_)));
    m.Add("tokenizer.ggml.bos_token_id", GgufValue::U32(family_.ends.bos));
    m.Add("tokenizer.ggml.eos_token_id", GgufValue::U32(family_.ends.eos));
    m.Add("tokenizer.ggml.padding_token_id", GgufValue::U32(family_.ends.eos));
    m.Add("tokenizer.ggml.add_bos_token", GgufValue::Bool(family_.add_bos));
    m.Add("tokenizer.ggml.add_eos_token", GgufValue::Bool(false));
    m.Add("tokenizer.chat_template", GgufValue::Text(std::string(family_.chat_template)));
  }

 private:
  // Takes the next free id; nothing when the token is there already or no id is left.
  void Add(std::string token) {
    while (next_ < tokens_.size() && !tokens_[next_].empty()) ++next_;
    if (next_ == tokens_.size() || !known_.insert(token).second) return;
    tokens_[next_++] = std::move(token);
  }

  // Printable ASCII first, as published vocabularies do.
  void AddBytes() {
    for (int b = '!'; b <= '~'; ++b) Add(ByteLevelChar(static_cast<uint8_t>(b)));
    for (int b = 0; b < 256; ++b) Add(ByteLevelChar(static_cast<uint8_t>(b)));
  }

  // One merge per byte: what is built so far and the next byte.
  void AddWord(std::string_view word) {
    std::string built = ByteLevelChar(static_cast<uint8_t>(word[0]));
    for (size_t i = 1; i < word.size(); ++i) {
      const std::string next = ByteLevelChar(static_cast<uint8_t>(word[i]));
      const std::string pair = built + " " + next;
      built += next;
      Add(built);
      if (known_.contains(built) && merged_.insert(pair).second) merges_.push_back(pair);
    }
  }

  const Family& family_;
  std::vector<std::string> tokens_, merges_;
  std::vector<int64_t> types_;
  std::set<std::string, std::less<>> known_, merged_;
  size_t next_ = 0;
};

}  // namespace

VocabularyEnds EndsOfVocabulary(std::string_view vocabulary) { return FamilyOf(vocabulary).ends; }

Status AddMadeUpVocabulary(std::string_view vocabulary, int64_t size, GgufMetadata* metadata) {
  constexpr int64_t kMaxSize = 1'000'000;  // distinct fillers
  if (size < 1 || size > kMaxSize) {
    return Fail(ErrorCode::kInvalidArgument, "a vocabulary of {} ids; 1 to {} can be made", size,
                kMaxSize);
  }
  Maker maker(FamilyOf(vocabulary), size);
  HADAL_OK(maker.Make());
  maker.Write(*metadata);
  return {};
}

}  // namespace hadal
