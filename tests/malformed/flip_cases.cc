// Files that were right until a few of their bits or bytes changed, from fixed seeds. Many still
// are right afterwards; none may end the process.
#include <fmt/format.h>

#include <random>

#include "base/file.h"
#include "gguf_draft.h"
#include "malformed_case.h"
#include "tiny_gguf.h"
#include "tiny_models.h"
#include "tokenizer/testing/tiny_tokenizer.h"

namespace hadal::malformed {
namespace {

// Mostly single bits, sometimes whole bytes, a cut or a doubled piece; in the first `reach` bytes.
std::string Flipped(std::string bytes, size_t reach, unsigned seed) {
  std::mt19937 random(seed * 7919 + static_cast<unsigned>(reach));
  const auto below = [&](size_t n) { return n == 0 ? 0 : random() % n; };
  const size_t changes = 1 + below(4);
  for (size_t i = 0; i < changes && !bytes.empty(); ++i) {
    const size_t at = below(std::min(reach, bytes.size()));
    switch (below(8)) {
      case 0:
        bytes[at] = static_cast<char>(random());
        break;
      case 1:
        bytes[at] = '\xff';
        break;
      case 2:
        bytes.erase(at, 1 + below(8));
        break;
      case 3:
        bytes.insert(at, bytes.substr(at, 1 + below(16)));
        break;
      default:
        bytes[at] = static_cast<char>(bytes[at] ^ 1 << below(8));
    }
  }
  return bytes;
}

// Variants of one file of a right set.
void Add(Cases* all, const std::string& what, Reader reader, const std::string& open, Files files,
         size_t index, size_t reach, unsigned count) {
  for (unsigned seed = 1; seed <= count; ++seed) {
    all->push_back({fmt::format("{} changed by seed {}", what, seed), reader, Must::kNotCrash, open,
                    [files, index, reach, seed] {
                      Files changed = files;
                      changed[index].second = Flipped(changed[index].second, reach, seed);
                      return changed;
                    }});
  }
}

std::string SmallGguf() {
  GgufDraft d;
  d.Text("general.architecture", "llama").U32("llama.block_count", 2);
  d.Set("general.alignment", 4, LittleEndian<uint32_t>(64));
  d.alignment = 64;
  d.tensors.push_back({"token_embd.weight", {32, 4}, 8, std::string(4 * 34, 'q')});
  d.tensors.push_back({"output_norm.weight", {32}, 0, std::string(128, 'n')});
  d.tensors.push_back({"blk.0.attn_q.weight", {256, 2}, 12, std::string(288, 'k')});
  return d.Build();
}

}  // namespace

Cases FlipCases() {
  Cases all;
  Add(&all, "gguf container", Reader::kGguf, "x.gguf", {{"x.gguf", SmallGguf()}}, 0, 400, 100);
  for (const bool latent : {false, true}) {
    const Files files = FilesOf(latent ? TinyLatent() : TinyDense());
    const std::string kind = latent ? "latent" : "dense";
    Add(&all, "config.json of a " + kind + " model", Reader::kModel, "", files, 0, 2000, 40);
    Add(&all, "safetensors header of a " + kind + " model", Reader::kModel, "", files, 1, 3000, 40);
    Add(&all, "safetensors data of a " + kind + " model", Reader::kModel, "", files, 1, 1 << 20,
        10);
  }
  for (const GgufDraft& d : {TinyDenseGguf(), TinyLatentGguf()}) {
    const std::string kind = d.pairs[0].value.substr(8);
    const Files files = {{"x.gguf", d.Build()}};
    Add(&all, "gguf of " + kind, Reader::kModel, "x.gguf", files, 0, 9000, 60);
    Add(&all, "gguf data of " + kind, Reader::kModel, "x.gguf", files, 0, 1 << 20, 20);
  }
  Add(&all, "gguf vocabulary", Reader::kTokenizer, "x.gguf", {{"x.gguf", TinyDenseGguf().Build()}},
      0, 6000, 60);
  hadal::testing::TinyTokenizer tiny;
  tiny.merges = {{"a", "b"}, {"ab", "c"}};
  Add(&all, "tokenizer.json", Reader::kTokenizer, "", {{"tokenizer.json", tiny.Json()}}, 0, 6000,
      60);
  return all;
}

}  // namespace hadal::malformed
