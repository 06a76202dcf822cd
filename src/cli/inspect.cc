// hadal inspect: what a model on disk is, and what is wrong with it.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "cli/assemble.h"
#include "cli/commands.h"
#include "cli/inspection.h"
#include "cli/terminal.h"
#include "formats/json_text.h"
#include "tokenizer/utf8.h"

namespace hadal::cli {
namespace {

std::string Gigabytes(uint64_t bytes) {
  if (bytes < 1'000'000) return fmt::format("{} B", bytes);
  if (bytes < 1'000'000'000) return fmt::format("{:.1f} MB", static_cast<double>(bytes) / 1e6);
  return fmt::format("{:.2f} GB", static_cast<double>(bytes) / 1e9);
}

std::string Count(int64_t n) {
  if (n < 1'000'000) return fmt::format("{}", n);
  if (n < 1'000'000'000) return fmt::format("{:.1f} M", static_cast<double>(n) / 1e6);
  return fmt::format("{:.2f} B", static_cast<double>(n) / 1e9);
}

std::string RopeText(const RopeConfig& rope) {
  std::string out = fmt::format("theta {:g}, {}", rope.theta, NameOf(rope.type));
  if (!rope.frequency_divisors.empty()) out += ", frequency table";
  if (rope.type == RopeType::kDefault) return out;
  out += fmt::format(" x {:g}", rope.factor);
  if (rope.original_max_position_embeddings > 0) {
    out += fmt::format(" (from {})", rope.original_max_position_embeddings);
  }
  if (rope.mscale_all_dim) out += fmt::format(", mscale_all_dim {:g}", *rope.mscale_all_dim);
  if (rope.attn_factor) out += fmt::format(", attn_factor {:g}", *rope.attn_factor);
  return out;
}

double BitsPerWeight(const Inspection& i) {
  const int64_t weights = i.weights();
  return weights == 0 ? 0
                      : 8 * static_cast<double>(i.tensor_bytes()) / static_cast<double>(weights);
}

double ShareOf(const TypeShare& t, const Inspection& i) {
  const uint64_t all = i.tensor_bytes();
  return all == 0 ? 0 : static_cast<double>(t.bytes) / static_cast<double>(all);
}

// The report of `hadal quantize`; null when the text is none. Any file can hold any text there.
nlohmann::json LossReportOf(const std::string& text) {
  const auto report = ParseJson(text, {.max_bytes = 1 << 16, .max_depth = 8});
  return report && report->is_object() ? *report : nlohmann::json();
}

// One figure of the report, or "?".
std::string Figure(const nlohmann::json& report, const char* pointer, double scale = 1) {
  const nlohmann::json::json_pointer at(pointer);
  if (!report.contains(at) || !report[at].is_number()) return "?";
  return fmt::format("{:.4g}", scale * report[at].get<double>());
}

std::string LossText(const std::string& text) {
  constexpr size_t kMost = 200;
  const nlohmann::json report = LossReportOf(text);
  if (report.is_null()) return text.size() > kMost ? text.substr(0, kMost) + "..." : text;
  return fmt::format("KL {} nats, p99 {}, top-1 {} %, perplexity {} -> {}, {} positions",
                     Figure(report, "/text/kl_mean_nats"), Figure(report, "/text/kl_p99_nats"),
                     Figure(report, "/text/top1_agreement", 100),
                     Figure(report, "/text/perplexity/before"),
                     Figure(report, "/text/perplexity/after"), Figure(report, "/text/positions"));
}

class Table {
 public:
  explicit Table(const Shared& shared) : shared_(shared) {}
  void Print(const Inspection& i) const {
    PrintFile(i);
    if (i.config) PrintConfig(*i.config);
    PrintSizes(i);
    PrintVocabulary(i);
    if (!i.loss_json.empty()) Line("measured loss", "实测损失", LossText(i.loss_json));
    for (const std::string& note : i.notes) Line("note", "提示", note);
    for (const std::string& problem : i.problems) Line("PROBLEM", "问题", problem);
    Line(
        "result", "结论",
        i.problems.empty() ? shared_.T("runs", "可以运行") : shared_.T("does not run", "不能运行"));
  }

 private:
  void Line(const char* en, const char* zh, std::string_view value) const {
    const std::string_view label = shared_.T(en, zh);
    size_t columns = 0;  // a Chinese character begins with a byte from 0xe0 and is two wide
    for (const char c : label) {
      const auto byte = static_cast<unsigned char>(c);
      columns += byte >= 0xe0 ? 2 : byte < 0x80 ? 1 : 0;
    }
    fmt::print("{}{}{}\n", label, std::string(columns < 18 ? 18 - columns : 1, ' '),
               Printable(value, "\n    "));
  }

  void PrintFile(const Inspection& i) const {
    Line("path", "路径", i.path);
    if (i.format.empty()) return;
    Line("format", "格式",
         fmt::format("{}, {} {}, {}", i.format, i.files, shared_.T("file(s)", "个文件"),
                     Gigabytes(i.file_bytes)));
    if (!i.name.empty()) Line("name", "名称", i.name);
  }

  void PrintConfig(const ModelConfig& c) const {
    Line("architecture", "架构", c.model_type);
    Line("layers", "层数",
         fmt::format("{}, {} {}", c.num_hidden_layers, shared_.T("hidden size", "隐藏维度"),
                     c.hidden_size));
    if (c.is_mla()) {
      Line("attention", "注意力",
           fmt::format("MLA, {} {}, q_lora {}, kv_lora {}", c.num_attention_heads,
                       shared_.T("heads", "头"), c.q_lora_rank, c.kv_lora_rank));
    } else {
      Line("attention", "注意力",
           fmt::format("{} {}, {} KV, head_dim {}", c.num_attention_heads, shared_.T("heads", "头"),
                       c.num_key_value_heads, c.head_dim));
    }
    if (c.is_moe()) {
      Line("experts", "专家",
           fmt::format("{}, {} {}, {} {}", c.n_routed_experts, c.num_experts_per_tok,
                       shared_.T("per token", "个/token"), c.n_shared_experts,
                       shared_.T("shared", "个共享")));
    }
    Line("context", "上下文长度", fmt::format("{}", c.max_position_embeddings));
    Line("rope", "位置编码", RopeText(c.rope));
  }

  void PrintSizes(const Inspection& i) const {
    if (i.parameters > 0) {
      Line("parameters", "参数量",
           fmt::format("{}, {} {}", Count(i.parameters), Count(i.active_parameters),
                       shared_.T("active", "激活")));
    }
    if (i.kv_f32 > 0) {
      Line("KV per token", "每词元 KV",
           fmt::format("{} B f32, {} B bf16, {} B fp8", i.kv_f32, i.kv_bf16, i.kv_fp8));
    }
    if (i.resident_bytes > 0) {
      Line("memory", "内存",
           fmt::format("{} {}", Gigabytes(i.resident_bytes), shared_.T("of weights", "权重")));
    }
    if (i.from_file_bytes > 0) {
      Line("too large", "内存不足",
           fmt::format("{} {}", Gigabytes(i.from_file_bytes),
                       shared_.T("of weights do not fit now: read from the file at every use, slow",
                                 "权重此刻放不下：每次使用时从文件读取，速度较慢")));
    }
    if (i.types.empty()) return;
    Line("bits per weight", "每权重位数", fmt::format("{:.2f}", BitsPerWeight(i)));
    for (const TypeShare& t : i.types) {
      Line("tensors", "张量",
           fmt::format("{:8} {:6}  {:>10}  {:5.1f} %", t.type, t.tensors, Gigabytes(t.bytes),
                       100 * ShareOf(t, i)));
    }
  }

  void PrintVocabulary(const Inspection& i) const {
    if (i.vocabulary == 0) return;
    Line("vocabulary", "词表",
         fmt::format("{}, {} {}", i.vocabulary, shared_.T("pre-tokenizer", "预分词"),
                     i.pre_tokenizer.empty() ? shared_.T("of its own", "自定义")
                                             : i.pre_tokenizer.c_str()));
    std::string tokens;
    for (const auto& [text, id] : i.tokens) {
      tokens += fmt::format("{}{} {}", tokens.empty() ? "" : ", ", text, id);
    }
    Line("special tokens", "特殊词元", tokens);
    Line("chat format", "对话格式",
         fmt::format("{}, {}", i.chat_format.empty() ? shared_.T("none", "无") : i.chat_format,
                     i.has_template ? shared_.T("a template is embedded", "内含模板")
                                    : shared_.T("no template", "无模板")));
  }

  const Shared& shared_;
};

nlohmann::json ConfigJson(const ModelConfig& c) {
  nlohmann::json j = {
      {"layers", c.num_hidden_layers},
      {"hidden", c.hidden_size},
      {"heads", c.num_attention_heads},
      {"kv_heads", c.num_key_value_heads},
      {"context", c.max_position_embeddings},
      {"rope",
       {{"type", NameOf(c.rope.type)}, {"theta", c.rope.theta}, {"factor", c.rope.factor}}}};
  if (c.is_mla()) j["kv_lora_rank"] = c.kv_lora_rank;
  if (!c.is_mla()) j["head_dim"] = c.head_dim;
  if (c.is_moe()) {
    j["experts"] = c.n_routed_experts;
    j["experts_per_token"] = c.num_experts_per_tok;
    j["shared_experts"] = c.n_shared_experts;
  }
  return j;
}

nlohmann::json TokenizerJson(const Inspection& i) {
  nlohmann::json tokens = nlohmann::json::object();
  for (const auto& [text, id] : i.tokens) tokens[text] = id;
  return {{"size", i.vocabulary}, {"pre", RepairUtf8(i.pre_tokenizer)}, {"tokens", tokens}};
}

// Texts of files may be anything but UTF-8.
nlohmann::json Texts(const std::vector<std::string>& texts) {
  nlohmann::json j = nlohmann::json::array();
  for (const std::string& t : texts) j.push_back(RepairUtf8(t));
  return j;
}

nlohmann::json Json(const Inspection& i) {
  nlohmann::json j = {{"path", RepairUtf8(i.path)},
                      {"ok", i.problems.empty()},
                      {"problems", Texts(i.problems)},
                      {"notes", Texts(i.notes)}};
  if (!i.format.empty()) {
    j["format"] = i.format;
    j["files"] = i.files;
    j["file_bytes"] = i.file_bytes;
  }
  if (!i.name.empty()) j["name"] = RepairUtf8(i.name);
  if (i.config) {
    j["architecture"] = RepairUtf8(i.config->model_type);
    j["config"] = ConfigJson(*i.config);
  }
  if (i.parameters > 0) {
    j["parameters"] = i.parameters;
    j["active_parameters"] = i.active_parameters;
  }
  if (i.resident_bytes > 0) {
    j["weight_bytes"] = {{"resident", i.resident_bytes}, {"read_at_every_use", i.from_file_bytes}};
  }
  if (i.kv_f32 > 0)
    j["kv_bytes_per_token"] = {{"f32", i.kv_f32}, {"bf16", i.kv_bf16}, {"fp8", i.kv_fp8}};
  if (!i.types.empty()) {
    j["bits_per_weight"] = BitsPerWeight(i);
    for (const TypeShare& t : i.types) {
      j["types"].push_back({{"type", t.type},
                            {"tensors", t.tensors},
                            {"weights", t.weights},
                            {"bytes", t.bytes},
                            {"share", ShareOf(t, i)}});
    }
  }
  if (i.vocabulary > 0) {
    j["vocabulary"] = TokenizerJson(i);
    j["chat"] = {{"format", i.chat_format}, {"template", i.has_template}};
  }
  if (!i.loss_json.empty()) {
    const nlohmann::json report = LossReportOf(i.loss_json);
    j["loss"] = report.is_null() ? nlohmann::json(RepairUtf8(i.loss_json)) : report;
  }
  return j;
}

}  // namespace

int Inspect(const Shared& shared, const InspectOptions& options) {
  InspectSettings settings;
  settings.deep = options.deep;
  const auto backend = BackendOptionsOf(shared.config);
  const auto memory = WeightMemory(shared.config);
  if (!backend || !memory) return PrintError(shared, backend ? memory.error() : backend.error());
  settings.backend = *backend;
  settings.weight_memory = *memory;
  const Inspection found = InspectModel(options.path, settings);
  if (shared.json) {
    fmt::print("{}\n", Json(found).dump(2, ' ', false, nlohmann::json::error_handler_t::replace));
  } else {
    Table(shared).Print(found);
  }
  return found.problems.empty() ? 0 : 1;
}

}  // namespace hadal::cli
