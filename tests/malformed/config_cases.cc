// config.json whose values cannot be, for a dense and for a latent mixture-of-experts model.
#include <fmt/format.h>

#include "malformed_case.h"
#include "tiny_models.h"

namespace hadal::malformed {
namespace {

// The value of `key` becomes `value`; an empty value takes the key out.
std::string WithKey(const std::string& config, const std::string& key, const std::string& value) {
  const size_t at = config.find('"' + key + '"');
  EXPECT_NE(at, std::string::npos) << key;
  size_t end = config.find(config[config.find(':', at) + 2] == '[' ? ']' : ',', at);
  if (end == std::string::npos) end = config.find('}', at);
  if (config[end] == ']') ++end;
  const std::string member = value.empty() ? "\"ignored_key\": 0" : '"' + key + "\": " + value;
  return config.substr(0, at) + member + config.substr(end);
}

Case Of(const std::string& name, std::string config, bool latent) {
  return {"config.json " + name, Reader::kModel, Must::kBeRefused, "",
          [config = std::move(config), latent] {
            TinyCheckpoint t = latent ? TinyLatent() : TinyDense();
            t.config = config;
            return FilesOf(t);
          }};
}

const std::vector<std::string>& BadNumbers() {
  static const std::vector<std::string> kBad = {"0",
                                                "-1",
                                                "2147483648",
                                                "9223372036854775807",
                                                "18446744073709551616",
                                                "1e300",
                                                "1.5",
                                                "\"4\"",
                                                "[]",
                                                "{}",
                                                "true"};
  return kBad;
}

void AddNumbers(Cases* all) {
  const std::string dense = TinyDense().config, latent = TinyLatent().config;
  for (const char* key : {"vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers",
                          "num_attention_heads", "num_key_value_heads", "head_dim"}) {
    for (const std::string& bad : BadNumbers()) {
      all->push_back(Of(fmt::format("with {} {}", key, bad), WithKey(dense, key, bad), false));
    }
  }
  for (const char* key :
       {"kv_lora_rank", "qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim", "n_routed_experts",
        "num_experts_per_tok", "moe_intermediate_size", "n_group", "topk_group"}) {
    for (const std::string& bad : BadNumbers()) {
      all->push_back(Of(fmt::format("with {} {}", key, bad), WithKey(latent, key, bad), true));
    }
  }
  for (const char* key :
       {"vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "model_type"}) {
    all->push_back(Of(fmt::format("without {}", key), WithKey(dense, key, ""), false));
  }
}

void AddContradictions(Cases* all) {
  const std::string dense = TinyDense().config, latent = TinyLatent().config;
  const struct {
    const char *key, *value;
  } of_dense[] = {
      {"num_key_value_heads", "3"},
      {"num_key_value_heads", "8"},
      {"head_dim", "7"},
      {"num_attention_heads", "5"},
      {"rms_norm_eps", "0"},
      {"rms_norm_eps", "-1e-6"},
      {"rms_norm_eps", "2"},
      {"rms_norm_eps", "\"x\""},
      {"rope_theta", "0"},
      {"rope_theta", "-1"},
      {"rope_theta", "1e400"},
      {"eos_token_id", "[37]"},
      {"eos_token_id", "[-1]"},
      {"eos_token_id", "[3.5]"},
      {"eos_token_id", "[\"3\"]"},
      {"max_position_embeddings", "0"},
      {"max_position_embeddings", "-1"},
      {"max_position_embeddings", "1.5"},
      {"model_type", "\"gpt2\""},
      {"model_type", "1"},
      {"model_type", "null"},
      {"num_hidden_layers", "1"},
      {"num_hidden_layers", "3"},
      {"vocab_size", "38"},
      {"hidden_size", "32"},
      {"intermediate_size", "40"},
  };
  for (const auto& [key, value] : of_dense) {
    all->push_back(Of(fmt::format("with {} {}", key, value), WithKey(dense, key, value), false));
  }
  const struct {
    const char *key, *value;
  } of_latent[] = {
      {"num_experts_per_tok", "7"},
      {"topk_group", "3"},
      {"n_group", "4"},
      {"first_k_dense_replace", "-1"},
      {"first_k_dense_replace", "3"},
      {"qk_rope_head_dim", "3"},
      {"n_shared_experts", "-1"},
      {"routed_scaling_factor", "1e400"},
      {"routed_scaling_factor", "\"x\""},
      {"norm_topk_prob", "1"},
      {"q_lora_rank", "-1"},
      {"q_lora_rank", "2147483648"},
      {"num_nextn_predict_layers", "-1"},
  };
  for (const auto& [key, value] : of_latent) {
    all->push_back(
        Of(fmt::format("of experts with {} {}", key, value), WithKey(latent, key, value), true));
  }
}

void AddTexts(Cases* all) {
  const std::string dense = TinyDense().config;
  for (const size_t n : {size_t{1}, dense.size() / 3, dense.size() - 1}) {
    all->push_back(Of(fmt::format("truncated at {}", n), dense.substr(0, n), false));
  }
  all->push_back(Of("that is empty", "", false));
  all->push_back(Of("that is an array", "[]", false));
  all->push_back(Of("that is a text", "\"x\"", false));
  all->push_back(Of("of 100000 brackets", std::string(100'000, '['), false));
  all->push_back(Of("of 2 MB", dense + std::string(2u << 20, ' '), false));
  all->push_back(Of("not UTF-8", WithKey(dense, "model_type", "\"ll\xff\""), false));
  all->push_back(
      Of("with a key twice", dense.substr(0, dense.rfind('}')) + ", \"hidden_size\": 25}", false));
}

}  // namespace

Cases ConfigCases() {
  Cases all;
  AddNumbers(&all);
  AddContradictions(&all);
  AddTexts(&all);
  return all;
}

}  // namespace hadal::malformed
