#include "kernels/blocks_fixture.h"
#ifdef HADAL_CUDA_EMULATED_TESTS
#include "kernels/cuda/emulated/emulator.h"
#endif

namespace hadal::kernels_test {
namespace {

class AttentionOnEveryBackend : public OnEveryBackend {};

// A card has a cache of FP8 too.
std::vector<Config> AttentionConfigs() {
  std::vector<Config> configs = AllConfigs();
  if (kProcessor != Processor::kCpu) {
    configs.push_back({Isa::kRef, WeightFormat::kBf16, DType::kF8E4M3});
  }
  return configs;
}

struct Shape3 {
  int heads, kv_heads, dim;
};

struct Sequences {
  std::vector<int> contexts, rows;  // per sequence
  int total = 0;
  std::vector<int> lengths;
};

Sequences MakeSequences(std::vector<int> contexts, std::vector<int> rows) {
  Sequences s{std::move(contexts), std::move(rows), 0, {}};
  for (size_t i = 0; i < s.rows.size(); ++i) {
    s.total += s.rows[i];
    s.lengths.push_back(s.contexts[i] + s.rows[i]);
  }
  return s;
}

// The card rounds prompts when one of its weights is rounded.
std::unique_ptr<Backend> MakeWithWeight(const Config& c, int threads) {
  auto backend = Make(c, threads);
  if (kProcessor != Processor::kCpu) (void)PrepareStack(*backend, std::vector<float>(64), 1, 8, 8);
  return backend;
}

// Rows of answers, and of prompts where these are computed in another way.
std::vector<bool> Kinds(const Backend& backend) {
  return backend.rounds_prompts() ? std::vector<bool>{false, true} : std::vector<bool>{false};
}
constexpr double kRounded = 4e-3;  // of probabilities and values to bf16

std::vector<SeqChunk> Chunks(const Sequences& s, const PagedCache& cache, bool prompt = false) {
  std::vector<SeqChunk> chunks;
  int32_t row = 0;
  for (size_t i = 0; i < s.rows.size(); ++i) {
    chunks.push_back({row, s.rows[i], s.contexts[i], cache.blocks(i), prompt});
    row += s.rows[i];
  }
  return chunks;
}

std::vector<double> Oracle(const Shape3& shape, const Sequences& s, const std::vector<float>& q,
                           const PagedCache& k, const PagedCache& v, double scale) {
  const int group = shape.heads / shape.kv_heads, dim = shape.dim;
  std::vector<double> out;
  int row = 0;
  for (size_t seq = 0; seq < s.rows.size(); ++seq) {
    for (int r = 0; r < s.rows[seq]; ++r, ++row) {
      for (int h = 0; h < shape.heads; ++h) {
        const int at = h / group * dim, n = s.contexts[seq] + r + 1;
        std::vector<double> p(static_cast<size_t>(n));
        double largest = -1e300, sum = 0;
        for (int j = 0; j < n; ++j) {
          double dot = 0;
          for (int d = 0; d < dim; ++d) {
            dot += double{q[static_cast<size_t>((row * shape.heads + h) * dim + d)]} *
                   k.Row(seq, j)[at + d];
          }
          p[static_cast<size_t>(j)] = dot * scale;
          largest = std::max(largest, dot * scale);
        }
        for (double& x : p) sum += x = std::exp(x - largest);
        for (int d = 0; d < dim; ++d) {
          double o = 0;
          for (int j = 0; j < n; ++j) o += p[static_cast<size_t>(j)] * v.Row(seq, j)[at + d];
          out.push_back(o / sum);
        }
      }
    }
  }
  return out;
}

std::vector<float> Attend(Backend& backend, const Shape3& shape, std::vector<float> q,
                          PagedCache& k, PagedCache& v, const std::vector<SeqChunk>& chunks) {
  const auto rows = static_cast<int64_t>(q.size()) / (shape.heads * shape.dim);
  std::vector<float> out = Poison(static_cast<int64_t>(q.size()));
  GqaArgs args;
  args.q = View(q, {rows, shape.heads, shape.dim});
  args.k = k.view();
  args.v = v.view();
  args.n_heads = shape.heads;
  args.n_kv_heads = shape.kv_heads;
  args.head_dim = shape.dim;
  args.scale = 1.0f / std::sqrt(static_cast<float>(shape.dim));
  args.out = View(out, {rows, shape.heads, shape.dim});
  backend.Attention(args, chunks);
  return out;
}

TEST_P(AttentionOnEveryBackend, AgreesWithDoubleForAllHeadShapes) {
  Random random(1);
  auto backend = MakeWithWeight(GetParam(), 2);
  const Shape3 shapes[] = {{1, 1, 16}, {4, 4, 32},  {6, 2, 24},  {7, 1, 64},
                           {8, 2, 80}, {12, 2, 96}, {5, 5, 128}, {4, 1, 192}};
  for (const Shape3& shape : shapes) {
    const Sequences s = MakeSequences({0, random.Int(1, 200), 63, 64, 600},
                                      {random.Int(1, 80), 1, random.Int(1, 3), 1, 5});
    const KvRow of_token{shape.kv_heads * shape.dim, shape.dim};
    PagedCache k(GetParam().kv, of_token, random.Int(1, 33), s.lengths, random),
        v(k, of_token, random);
    const std::vector<float> q = random.Normals(s.total * shape.heads * shape.dim);
    const auto expected = Oracle(shape, s, q, k, v, 1.0 / std::sqrt(shape.dim));
    for (const bool prompt : Kinds(*backend)) {
      const std::vector<float> out = Attend(*backend, shape, q, k, v, Chunks(s, k, prompt));
      EXPECT_LT(RelativeError(out, expected), prompt ? kRounded : 1e-5)
          << shape.heads << " heads of " << shape.dim << (prompt ? ", prompt" : "");
    }
  }
}

TEST_P(AttentionOnEveryBackend, LongContextsAgreeWithDouble) {
  Random random(2);
  auto backend = MakeWithWeight(GetParam(), 3);
  const Shape3 shape{4, 2, 32};
  const Sequences s = MakeSequences({2600, 511, 512}, {1, 1, 2});
  PagedCache k(GetParam().kv, {64, 32}, 16, s.lengths, random), v(k, {64, 32}, random);
  const std::vector<float> q = random.Normals(s.total * 4 * 32, 3);
  const auto expected = Oracle(shape, s, q, k, v, 1 / std::sqrt(32.0));
  for (const bool prompt : Kinds(*backend)) {
    const std::vector<float> out = Attend(*backend, shape, q, k, v, Chunks(s, k, prompt));
    EXPECT_LT(RelativeError(out, expected), prompt ? kRounded : 1e-5) << prompt;
  }
}

// Kernels are chosen by the number of query vectors: a row alone, or rows that make every number of
// vectors from 1 to 48, give the same bits.
TEST_P(AttentionOnEveryBackend, GroupsOfEverySizeAgreeWithDoubleAndWithARowAlone) {
  Random random(12);
  auto backend = MakeWithWeight(GetParam(), 2);
  for (int group = 1; group <= 16; ++group) {
    const Shape3 shape{2 * group, 2, group % 3 == 0 ? 21 : group % 3 == 1 ? 128 : 40};
    const int64_t width = int64_t{2} * group * shape.dim;
    const Sequences s = MakeSequences({130, 60}, {3, 2});
    const KvRow of_token{2 * shape.dim, shape.dim};
    PagedCache k(GetParam().kv, of_token, 16, s.lengths, random), v(k, of_token, random);
    const std::vector<float> q = random.Normals(s.total * width);
    const std::vector<float> all = Attend(*backend, shape, q, k, v, Chunks(s, k));
    EXPECT_LT(RelativeError(all, Oracle(shape, s, q, k, v, 1 / std::sqrt(shape.dim))), 1e-5)
        << group;
    for (int row = 0; row < 3; ++row) {
      const std::vector<float> part(q.begin() + row * width, q.begin() + (row + 1) * width);
      const std::vector<float> expected(all.begin() + row * width, all.begin() + (row + 1) * width);
      const SeqChunk c{0, 1, 130 + row, k.blocks(0), false};
      ASSERT_EQ(Attend(*backend, shape, part, k, v, {c}), expected) << group << " row " << row;
    }
  }
}

// A score of minus infinity weighs nothing; one that is not a number spoils the rows that see it.
TEST_P(AttentionOnEveryBackend, NonFiniteScoresStayWithTheRowsThatSeeThem) {
  Random random(13);
  auto backend = MakeWithWeight(GetParam(), 2);
  const float inf = std::numeric_limits<float>::infinity();
  for (int group : {1, 6, 12}) {
    const Shape3 shape{group, 1, 32};
    const Sequences s = MakeSequences({100}, {2});
    PagedCache k(GetParam().kv, {32, 32}, 16, s.lengths, random), v(k, {32, 32}, random);
    std::vector<float> q = random.Normals(s.total * group * 32);
    for (size_t i = 0; i < q.size(); i += 32) q[i] = 1;  // times -infinity
    const bool holds_infinity = GetParam().kv != DType::kF8E4M3;
    if (holds_infinity) k.Set(0, 70, 0, -inf);
    const std::vector<float> without = Attend(*backend, shape, q, k, v, Chunks(s, k));
    if (holds_infinity) {
      v.Set(0, 70, 5, 1000);
      EXPECT_EQ(Attend(*backend, shape, q, k, v, Chunks(s, k)), without) << group;
    }
    for (const float x : without) EXPECT_TRUE(std::isfinite(x)) << group;
    k.Set(0, 101, 3, std::numeric_limits<float>::quiet_NaN());
    const std::vector<float> out = Attend(*backend, shape, q, k, v, Chunks(s, k));
    const auto half = static_cast<std::ptrdiff_t>(out.size() / 2);
    EXPECT_TRUE(std::equal(out.begin(), out.begin() + half, without.begin())) << group;
    for (auto x = out.begin() + half; x != out.end(); ++x) EXPECT_TRUE(std::isnan(*x)) << group;
  }
}

// A prompt gives the same bits in chunks of any size, alone or beside others, on any threads.
TEST_P(AttentionOnEveryBackend, ChunkingBatchingAndThreadsDoNotChangeABit) {
  Random random(3);
  const Shape3 shape{6, 2, 48};
  const int length = kProcessor == Processor::kCpu ? 1100 : 200;
  const Sequences s = MakeSequences({0, 700}, {length, 1});
  PagedCache k(GetParam().kv, {96, 48}, 16, s.lengths, random), v(k, {96, 48}, random);
  const std::vector<float> q = random.Normals(s.total * 6 * 48);
  const int64_t width = 6 * 48;
  auto one = MakeWithWeight(GetParam(), 1), three = MakeWithWeight(GetParam(), 3);
  for (const bool prompt : Kinds(*one)) {
    const std::vector<float> all = Attend(*one, shape, q, k, v, Chunks(s, k, prompt));
    EXPECT_EQ(all, Attend(*three, shape, q, k, v, Chunks(s, k, prompt)));
    for (int chunk : {1, 7, 16, length / 2 - 50}) {
      for (int first = 0; first < length; first += chunk) {
        if (chunk == 1 && first % 97 != 0 && first != length - 1) continue;  // a sample is enough
        const int n = std::min(chunk, length - first);
        const SeqChunk c{0, n, first, k.blocks(0), prompt};
        const std::vector<float> part(q.begin() + first * width, q.begin() + (first + n) * width);
        const std::vector<float> expected(all.begin() + first * width,
                                          all.begin() + (first + n) * width);
        Backend& backend = first % 2 == 0 ? *three : *one;
        ASSERT_EQ(Attend(backend, shape, part, k, v, {c}), expected) << chunk << " from " << first;
      }
    }
  }
}

// Answers beside prompts in a step get what they get alone.
TEST_P(AttentionOnEveryBackend, RowsOfBothKindsDoNotDisturbEachOther) {
  Random random(9);
  auto backend = MakeWithWeight(GetParam(), 2);
  const Shape3 shape{4, 2, 32};
  const Sequences s = MakeSequences({70, 0, 300}, {1, 40, 50});
  PagedCache k(GetParam().kv, {64, 32}, 16, s.lengths, random), v(k, {64, 32}, random);
  const std::vector<float> q = random.Normals(s.total * 128);
  std::vector<SeqChunk> chunks = Chunks(s, k, true);
  const std::vector<float> prompts = Attend(*backend, shape, q, k, v, chunks);
  chunks[0].prompt = false;
  const std::vector<float> both = Attend(*backend, shape, q, k, v, chunks);
  const std::vector<float> answers = Attend(*backend, shape, q, k, v, Chunks(s, k));
  EXPECT_TRUE(std::equal(both.begin(), both.begin() + 128, answers.begin()));
  EXPECT_TRUE(std::equal(both.begin() + 128, both.end(), prompts.begin() + 128));
  EXPECT_EQ(prompts != answers, backend->rounds_prompts());
}

// Rows that see few keys more or less than a whole number of tiles or parts.
TEST_P(AttentionOnEveryBackend, PartsOfEveryLengthAgreeWithDouble) {
  Random random(14);
  auto backend = MakeWithWeight(GetParam(), 2);
  for (const Shape3& shape : {Shape3{3, 1, 128}, Shape3{16, 1, 64}, Shape3{16, 16, 16}}) {
    const Sequences s = MakeSequences({0, 15, 16, 62, 63, 64, 65, 191, 1022, 1023, 1024, 1100},
                                      {1, 1, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1});
    const KvRow of_token{shape.kv_heads * shape.dim, shape.dim};
    PagedCache k(GetParam().kv, of_token, 7, s.lengths, random), v(k, of_token, random);
    const std::vector<float> q = random.Normals(s.total * shape.heads * shape.dim);
    const auto expected = Oracle(shape, s, q, k, v, 1 / std::sqrt(shape.dim));
    for (const bool prompt : Kinds(*backend)) {
      const std::vector<float> out = Attend(*backend, shape, q, k, v, Chunks(s, k, prompt));
      EXPECT_LT(RelativeError(out, expected), prompt ? kRounded : 1e-5) << prompt;
    }
  }
}

// A step with chunks of both kinds: many short prompts, and long ones whose rows fill several tiles
// and begin inside a tile of keys. A long one alone, for which there are smaller blocks, gets the
// same bits.
TEST_P(AttentionOnEveryBackend, ManyChunksAgreeWithDoubleAndWithAChunkAlone) {
  Random random(16);
  auto backend = MakeWithWeight(GetParam(), 2);
  const Shape3 shape{4, 2, 64};
  for (const int short_ones : {33, 70}) {
    std::vector<int> contexts = {40, 0, 100, 0, 63}, rows = {1, 1, 129, 130, 33};
    for (int i = 0; i < short_ones; ++i) {
      contexts.push_back(i % 3 == 0 ? i : 0);
      rows.push_back(1 + i % 4);
    }
    const Sequences s = MakeSequences(contexts, rows);
    PagedCache k(GetParam().kv, {128, 64}, 5, s.lengths, random), v(k, {128, 64}, random);
    const std::vector<float> q = random.Normals(s.total * 256);
    std::vector<SeqChunk> chunks = Chunks(s, k, true);
    chunks[0].prompt = chunks[1].prompt = false;
    const std::vector<float> all = Attend(*backend, shape, q, k, v, chunks);
    EXPECT_LT(RelativeError(all, Oracle(shape, s, q, k, v, 0.125)),
              backend->rounds_prompts() ? kRounded : 1e-5);
    const std::vector<float> part(q.begin() + 2 * 256, q.begin() + 131 * 256);
    const std::vector<float> expected(all.begin() + 2 * 256, all.begin() + 131 * 256);
    SeqChunk alone = chunks[2];
    alone.first_row = 0;
    EXPECT_EQ(Attend(*backend, shape, part, k, v, {alone}), expected);
  }
}

// So many rows that a block takes several parts of the long one.
TEST_P(AttentionOnEveryBackend, ALongRowBesideManyShortOnesGetsWhatItGetsAlone) {
  Random random(18);
  auto backend = MakeWithWeight(GetParam(), 2);
  const Shape3 shape{2, 1, 16};
  std::vector<int> contexts(1100, 0), rows(1100, 1);
  contexts[500] = 900;
  const Sequences s = MakeSequences(contexts, rows);
  PagedCache k(GetParam().kv, {16, 16}, 16, s.lengths, random), v(k, {16, 16}, random);
  const std::vector<float> q = random.Normals(s.total * 32);
  const std::vector<float> all = Attend(*backend, shape, q, k, v, Chunks(s, k));
  EXPECT_LT(RelativeError(all, Oracle(shape, s, q, k, v, 0.25)), 1e-5);
  const std::vector<float> part(q.begin() + 500 * 32, q.begin() + 501 * 32);
  const std::vector<float> expected(all.begin() + 500 * 32, all.begin() + 501 * 32);
  EXPECT_EQ(Attend(*backend, shape, part, k, v, {{0, 1, 900, k.blocks(500), false}}), expected);
}

TEST_P(AttentionOnEveryBackend, LargeScoresDoNotOverflow) {
  Random random(4);
  auto backend = MakeWithWeight(GetParam(), 1);
  const Shape3 shape{2, 1, 16};
  const Sequences s = MakeSequences({100}, {3});
  PagedCache k(GetParam().kv, {16, 16}, 8, s.lengths, random), v(k, {16, 16}, random);
  const std::vector<float> q = random.Normals(s.total * 2 * 16, 1000);
  const std::vector<float> out = Attend(*backend, shape, q, k, v, Chunks(s, k));
  EXPECT_LT(RelativeError(out, Oracle(shape, s, q, k, v, 0.25)), 1e-3);
}

// Weights that are rounded beside a cache that is not: its keys and values are rounded for prompts.
TEST(CardAttention, PromptsOverAFloat32CacheAreRounded) {
  if (kProcessor == Processor::kCpu) GTEST_SKIP() << "of the card's kernels";
  Random random(17);
  auto backend = MakeWithWeight({Isa::kRef, WeightFormat::kBf16, DType::kF32}, 1);
  ASSERT_TRUE(backend->rounds_prompts());
  const Shape3 shape{4, 2, 40};
  const Sequences s = MakeSequences({70, 0, 30}, {1, 20, 9});
  PagedCache k(DType::kF32, {80}, 16, s.lengths, random), v(k, {80}, random);
  const std::vector<float> q = random.Normals(s.total * 160);
  std::vector<SeqChunk> chunks = Chunks(s, k, true);
  chunks[0].prompt = false;
  const std::vector<float> out = Attend(*backend, shape, q, k, v, chunks);
  const double error = RelativeError(out, Oracle(shape, s, q, k, v, 1 / std::sqrt(40.0)));
  EXPECT_LT(error, kRounded);
  EXPECT_GT(error, 1e-5);
}

#ifdef HADAL_CUDA_EMULATED_TESTS
// A recorded step is launched for contexts up to a power of two: its attention follows the contexts
// of the step that is replayed, also into further parts of the keys.
TEST(CardAttention, RecordedStepsFollowTheContexts) {
  Random random(19);
  auto card = NewEmulatedCudaBackend({.weights = WeightFormat::kBf16, .kv_dtype = DType::kBf16});
  ASSERT_TRUE(card.has_value());
  Backend& backend = **card;
  const Shape3 shape{4, 2, 32};
  const std::vector<TokenId> tokens(2);
  PagedCache k(DType::kBf16, {64}, 16, {140, 140}, random), v(k, {64}, random);
  std::vector<float> q = random.Normals(256), out(256);
  GqaArgs args;
  args.q = View(q, {2, 4, 32});
  args.k = k.view();
  args.v = v.view();
  args.n_heads = 4;
  args.n_kv_heads = 2;
  args.head_dim = 32;
  args.scale = 0.2f;
  args.out = View(out, {2, 4, 32});
  for (const int context : {100, 101, 66, 126, 127, 128, 70, 139}) {
    const Sequences s = MakeSequences({context, 139 - context / 2}, {1, 1});
    const std::vector<SeqChunk> chunks = Chunks(s, k);
    const std::vector<int32_t> numbers = {0, 1};
    const StepInput step{tokens, numbers, numbers, chunks, numbers};
    std::vector<float> scores(256);
    const Status done = backend.RunStep(step, {7, 16}, scores.data(), [&] {
      backend.Attention(args, chunks);
      return args.out;
    });
    ASSERT_TRUE(done.has_value());
    EXPECT_LT(RelativeError(scores, Oracle(shape, s, q, k, v, 0.2f)), 1e-5) << context;
  }
}
#endif

INSTANTIATE_TEST_SUITE_P(Gqa, AttentionOnEveryBackend, testing::ValuesIn(AttentionConfigs()),
                         ConfigName);

// ---- MLA

class MlaOnEveryBackend : public OnEveryBackend {};

struct MlaProblem {
  int heads, nope, rope, lora, v_dim;
  std::vector<float> kv_b, uk, uv;  // kv_b [heads * (nope + v)][lora]

  MlaProblem(Random& random, int heads_in, int nope_in, int rope_in, int lora_in, int v_in)
      : heads(heads_in), nope(nope_in), rope(rope_in), lora(lora_in), v_dim(v_in) {
    kv_b = random.Normals(int64_t{heads} * (nope + v_dim) * lora,
                          1 / std::sqrt(static_cast<float>(lora)));
    for (int h = 0; h < heads; ++h) {
      for (int c = 0; c < lora; ++c) {
        for (int n = 0; n < nope; ++n) uk.push_back(B(kv_b, h, n, c));
      }
      for (int n = nope; n < nope + v_dim; ++n) {
        for (int c = 0; c < lora; ++c) uv.push_back(B(kv_b, h, n, c));
      }
    }
  }
  float B(const std::vector<float>& w, int h, int n, int c) const {
    return w[static_cast<size_t>((h * (nope + v_dim) + n) * lora + c)];
  }
  float scale() const { return 1.0f / std::sqrt(static_cast<float>(nope + rope)); }
  KvRow row() const { return {lora + rope, 128, rope}; }

  // The decompressed definition, in double.
  std::vector<double> Expected(const Config& config, const Sequences& s,
                               const std::vector<float>& q, const PagedCache& cache) const {
    const std::vector<float> w = AsStored(kv_b, config);
    std::vector<double> out(static_cast<size_t>(s.total * heads * v_dim));
    for (int h = 0; h < heads; ++h) {
      int row = 0;
      for (size_t seq = 0; seq < s.rows.size(); ++seq) {
        const int n_keys = s.lengths[seq];
        std::vector<std::vector<double>> kv;  // keys and values of this head
        for (int j = 0; j < n_keys; ++j) {
          std::vector<double>& e = kv.emplace_back(static_cast<size_t>(nope + v_dim));
          for (int n = 0; n < nope + v_dim; ++n) {
            for (int c = 0; c < lora; ++c) {
              e[static_cast<size_t>(n)] += double{B(w, h, n, c)} * cache.Row(seq, j)[c];
            }
          }
        }
        for (int r = 0; r < s.rows[seq]; ++r, ++row) {
          const float* qh = q.data() + (row * heads + h) * (nope + rope);
          double sum = 0, largest = -1e300;
          std::vector<double> p;
          for (int j = 0; j <= s.contexts[seq] + r; ++j) {
            double dot = 0;
            for (int d = 0; d < nope; ++d)
              dot += qh[d] * kv[static_cast<size_t>(j)][static_cast<size_t>(d)];
            for (int d = 0; d < rope; ++d)
              dot += double{qh[nope + d]} * cache.Row(seq, j)[lora + d];
            p.push_back(dot * scale());
            largest = std::max(largest, p.back());
          }
          for (double& x : p) sum += x = std::exp(x - largest);
          for (size_t j = 0; j < p.size(); ++j) {
            for (int d = 0; d < v_dim; ++d) {
              out[static_cast<size_t>((row * heads + h) * v_dim + d)] +=
                  p[j] / sum * kv[j][static_cast<size_t>(nope + d)];
            }
          }
        }
      }
    }
    return out;
  }
};

struct PreparedMla {
  WeightPtr uk, uv, kv_b;
  PreparedMla(Backend& b, const MlaProblem& p)
      : uk(PrepareStack(b, p.uk, p.heads, p.lora, p.nope)),
        uv(PrepareStack(b, p.uv, p.heads, p.v_dim, p.lora)),
        kv_b(PrepareStack(b, p.kv_b, 1, p.heads * (p.nope + p.v_dim), p.lora)) {}
};

std::vector<float> RunMla(Backend& backend, const MlaProblem& p, const PreparedMla& w,
                          std::vector<float> q, PagedCache& cache,
                          const std::vector<SeqChunk>& chunks, MlaForm form) {
  const auto rows = static_cast<int64_t>(q.size()) / (p.heads * (p.nope + p.rope));
  std::vector<float> out = Poison(rows * p.heads * p.v_dim);
  MlaArgs args;
  args.q = View(q, {rows, p.heads, p.nope + p.rope});
  args.latent = cache.view();
  args.uk = w.uk.get();
  args.uv = w.uv.get();
  args.kv_b = w.kv_b.get();
  args.n_heads = p.heads;
  args.nope = p.nope;
  args.rope = p.rope;
  args.kv_lora = p.lora;
  args.v_dim = p.v_dim;
  args.scale = p.scale();
  args.form = form;
  args.out = View(out, {rows, p.heads, p.v_dim});
  backend.MlaAttention(args, chunks);
  return out;
}

TEST_P(MlaOnEveryBackend, BothFormsAgreeWithDouble) {
  Random random(5);
  auto backend = Make(GetParam(), 2);
  const int shapes[][5] = {{4, 32, 16, 64, 32}, {3, 24, 8, 40, 20}, {5, 128, 64, 136, 128}};
  for (const auto& d : shapes) {
    const MlaProblem p(random, d[0], d[1], d[2], d[3], d[4]);
    const PreparedMla w(*backend, p);
    const bool small = kProcessor != Processor::kCpu;
    const Sequences s =
        MakeSequences({0, small ? 150 : 300, 63, small ? 120 : 530},
                      {small ? random.Int(20, 25) : random.Int(65, 90), 1, 2, small ? 5 : 40});
    PagedCache cache(GetParam().kv, p.row(), random.Int(1, 33), s.lengths, random);
    const std::vector<float> q = random.Normals(s.total * p.heads * (p.nope + p.rope));
    const std::vector<double> expected = p.Expected(GetParam(), s, q, cache);
    for (const bool prompt : Kinds(*backend)) {
      for (MlaForm form : {MlaForm::kAbsorbed, MlaForm::kDecompressed, MlaForm::kAuto}) {
        const auto out = RunMla(*backend, p, w, q, cache, Chunks(s, cache, prompt), form);
        EXPECT_LT(RelativeError(out, expected), prompt
                                                    ? std::max(kRounded, GetParam().tolerance() * 2)
                                                    : GetParam().tolerance() * 2)
            << "form " << static_cast<int>(form) << ", lora " << p.lora << " prompt " << prompt;
      }
    }
  }
}

// Whole numbers times a power of two are the same in blocks along either side, so that all three
// matrices can be in blocks and still belong together.
BlockMatrix WholeNumberBlocks(const std::vector<float>& values, int64_t cols, float step) {
  BlockMatrix m{QuantType::kQ8_0, static_cast<int64_t>(values.size()) / cols, cols, {}};
  m.bytes.resize(static_cast<size_t>(m.rows * m.row_bytes()));
  for (int64_t b = 0; b < m.blocks(); ++b) {
    m.SetHalf(b, 0, FloatToF16(step));
    for (int64_t i = 0; i < 32; ++i) {
      const auto q = static_cast<int>(values[static_cast<size_t>(32 * b + i)] / step);
      m.bytes[static_cast<size_t>(34 * b + 2 + i)] = static_cast<std::byte>(q);
    }
  }
  return m;
}

TEST_P(MlaOnEveryBackend, BothFormsAgreeWithDoubleOnMatricesInBlocks) {
  Random random(8);
  auto backend = Make(GetParam(), 2);
  MlaProblem p(random, 3, 32, 16, 64, 24);
  constexpr float kStep = 1.0f / 256;
  for (std::vector<float>* w : {&p.kv_b, &p.uk, &p.uv}) {
    for (float& x : *w) x = std::nearbyint(std::clamp(x, -0.49f, 0.49f) / kStep) * kStep;
  }
  const BlockMatrix kv_b = WholeNumberBlocks(p.kv_b, p.lora, kStep);
  ASSERT_EQ(kv_b.Decoded(), p.kv_b);
  const BlockMatrix uk = WholeNumberBlocks(p.uk, p.nope, kStep);
  const BlockMatrix uv = WholeNumberBlocks(p.uv, p.lora, kStep);
  PreparedMla w(*backend, p);
  w.uk = PrepareBlockStack(*backend, uk, p.heads);
  w.uv = PrepareBlockStack(*backend, uv, p.heads);
  w.kv_b = PrepareBlockStack(*backend, kv_b, 1);
  const Sequences s = MakeSequences({0, 300, 63}, {70, 1, 9});
  PagedCache cache(GetParam().kv, p.row(), 16, s.lengths, random);
  const std::vector<float> q = random.Normals(s.total * p.heads * (p.nope + p.rope));
  const Config exact{GetParam().isa, WeightFormat::kF32, GetParam().kv};
  const std::vector<double> expected = p.Expected(exact, s, q, cache);
  for (MlaForm form : {MlaForm::kAbsorbed, MlaForm::kDecompressed}) {
    const auto out = RunMla(*backend, p, w, q, cache, Chunks(s, cache), form);
    EXPECT_LT(RelativeError(out, expected), 5e-5) << "form " << static_cast<int>(form);
  }
}

TEST_P(MlaOnEveryBackend, AutoTakesTheFormByWhatARowIsNotByItsChunk) {
  Random random(6);
  auto backend = Make(GetParam(), 2);
  // The expanded form would be cheaper from 32 * (16 + 16) / (2 * 32 - 16 - 16) = 32 rows on.
  const MlaProblem p(random, 2, 16, 8, 32, 16);
  const PreparedMla w(*backend, p);
  const Sequences s = MakeSequences({10, 10, 10}, {32, 33, 1});
  PagedCache cache(GetParam().kv, p.row(), 8, s.lengths, random);
  const std::vector<float> q = random.Normals(s.total * 2 * 24);
  auto chunks = Chunks(s, cache);
  chunks.back().prompt = true;
  const auto absorbed = RunMla(*backend, p, w, q, cache, chunks, MlaForm::kAbsorbed);
  const auto expanded = RunMla(*backend, p, w, q, cache, chunks, MlaForm::kDecompressed);
  const auto chosen = RunMla(*backend, p, w, q, cache, chunks, MlaForm::kAuto);
  const auto same = [&](const std::vector<float>& other, int row0, int n) {
    return std::equal(chosen.begin() + row0 * 32, chosen.begin() + (row0 + n) * 32,
                      other.begin() + row0 * 32);
  };
  EXPECT_TRUE(same(absorbed, 0, 65));
  EXPECT_TRUE(same(expanded, 65, 1));
  const bool exact = kProcessor != Processor::kCpu && !backend->rounds_prompts();
  EXPECT_EQ(same(absorbed, 65, 1), exact);  // the card has the other form for rounded rows only
  auto forced = Make(GetParam(), 1, MlaForm::kDecompressed);
  const PreparedMla w2(*forced, p);
  EXPECT_EQ(RunMla(*forced, p, w2, q, cache, chunks, MlaForm::kAuto), expanded);
}

TEST_P(MlaOnEveryBackend, ChunkingBatchingAndThreadsDoNotChangeABit) {
  Random random(7);
  const MlaProblem p(random, kProcessor == Processor::kCpu ? 6 : 3, 32, 16, 80, 24);
  auto one = Make(GetParam(), 1), three = Make(GetParam(), 3);
  const PreparedMla w1(*one, p), w3(*three, p);
  const int length = kProcessor == Processor::kCpu ? 600 : 70;
  const Sequences s = MakeSequences({0, kProcessor == Processor::kCpu ? 700 : 130}, {length, 1});
  PagedCache cache(GetParam().kv, p.row(), 16, s.lengths, random);
  const int64_t width = p.heads * 48, out_width = p.heads * 24;
  const std::vector<float> q = random.Normals(s.total * width);
  const std::vector<bool> kinds = Kinds(*one);
  for (size_t i = 0; i < 2 * kinds.size(); ++i) {
    const bool prompt = kinds[i / 2];
    const MlaForm form = i % 2 == 0 ? MlaForm::kAbsorbed : MlaForm::kDecompressed;
    const auto all = RunMla(*one, p, w1, q, cache, Chunks(s, cache, prompt), form);
    EXPECT_EQ(all, RunMla(*three, p, w3, q, cache, Chunks(s, cache, prompt), form));
    for (int chunk : {1, 7, 16, length / 2}) {
      for (int first = 0; first < length; first += chunk) {
        if (chunk < length / 2 && first % 97 != 0 && first + chunk < length) continue;
        const int n = std::min(chunk, length - first);
        const std::vector<float> part(q.begin() + first * width, q.begin() + (first + n) * width);
        const std::vector<float> expected(all.begin() + first * out_width,
                                          all.begin() + (first + n) * out_width);
        const SeqChunk c{0, n, first, cache.blocks(0), prompt};
        ASSERT_EQ(RunMla(*three, p, w3, part, cache, {c}, form), expected)
            << chunk << " from " << first << " form " << static_cast<int>(form);
      }
    }
  }
}

// DeepSeek's columns, for which there are kernels of their own: the error of a step, whose last row
// gets the same bits alone.
double ErrorOfLatents(Backend& backend, const Config& config, int heads, const Sequences& s,
                      float spread = 1, int block_tokens = 16) {
  Random random(15);
  const MlaProblem p(random, heads, 16, 64, 512, 16);
  const PreparedMla w(backend, p);
  PagedCache cache(config.kv, p.row(), block_tokens, s.lengths, random);
  const int64_t width = heads * 80, out_width = heads * 16;
  const std::vector<float> q = random.Normals(s.total * width, spread);
  const auto all = RunMla(backend, p, w, q, cache, Chunks(s, cache), MlaForm::kAbsorbed);
  const int row = s.total - 1;
  const std::vector<float> part(q.begin() + row * width, q.end());
  const std::vector<float> expected(all.begin() + row * out_width, all.end());
  const SeqChunk c{0, 1, s.contexts.back(), cache.blocks(s.rows.size() - 1), false};
  EXPECT_EQ(RunMla(backend, p, w, part, cache, {c}, MlaForm::kAbsorbed), expected) << heads;
  return RelativeError(all, p.Expected(config, s, q, cache));
}

// Any number of heads, rows that see whole parts of the keys or not.
TEST_P(MlaOnEveryBackend, LatentsOfDeepSeekAgreeWithDoubleAndWithARowAlone) {
  auto backend = Make(GetParam(), 2);
  for (const int heads : {3, 16, 21, 40}) {
    const int longest = heads == 3 ? 1024 : 158;  // beyond 1024 keys parts are twice as long
    const Sequences s = MakeSequences({0, 31, 63, 127, longest - 1, longest}, {1, 2, 1, 2, 1, 1});
    EXPECT_LT(ErrorOfLatents(*backend, GetParam(), heads, s), GetParam().tolerance() * 2) << heads;
  }
}

// Blocks of the cache from which the copy engine can take eight rows at a time, and others.
TEST_P(MlaOnEveryBackend, LatentsInBlocksOfAnySizeAgreeWithDouble) {
  if (kProcessor == Processor::kCpu) GTEST_SKIP() << "of the card's kernels";
  auto backend = Make(GetParam(), 2);
  const Sequences s = MakeSequences({63, 157}, {2, 1});
  for (const int block_tokens : {8, 12, 24, 64}) {
    EXPECT_LT(ErrorOfLatents(*backend, GetParam(), 33, s, 1, block_tokens),
              GetParam().tolerance() * 2)
        << block_tokens;
  }
}

// Parts of several tiles, whose largest scores grow by much from one to the next.
TEST_P(MlaOnEveryBackend, LatentsOfManyKeysAgreeWithDouble) {
  if (kProcessor == Processor::kCpu) GTEST_SKIP() << "of the card's kernels";
  auto backend = Make(GetParam(), 2);
  const Sequences s = MakeSequences({1500, 1100}, {1, 1});
  const double error = ErrorOfLatents(*backend, GetParam(), 33, s, 10);
  EXPECT_LT(error, GetParam().tolerance() * 2);
  RecordProperty("error", fmt::format("{:.2e}", error));
}

// The same of rounded answers, which have other rows of the matrix unit.
TEST_P(MlaOnEveryBackend, RoundedLatentsOfManyKeysAgreeWithDouble) {
  if (kProcessor == Processor::kCpu) GTEST_SKIP() << "of the card's kernels";
  auto backend =
      MakeCuda({.weights = GetParam().format, .kv_dtype = GetParam().kv, .round_answers = true});
  const double error = ErrorOfLatents(*backend, GetParam(), 70, MakeSequences({1300}, {1}), 10);
  EXPECT_LT(error, kRounded * 4);  // of scores ten times as large
  RecordProperty("error", fmt::format("{:.2e}", error));
}

TEST_P(MlaOnEveryBackend, RoundedAnswersAreThoseOfManyHeads) {
  if (kProcessor == Processor::kCpu) GTEST_SKIP() << "of the card's kernels";
  const Sequences s = MakeSequences({0, 100, 310}, {1, 1, 1});
  const auto error = [&](int heads, bool rounded) {
    auto backend = MakeCuda(
        {.weights = GetParam().format, .kv_dtype = GetParam().kv, .round_answers = rounded});
    return ErrorOfLatents(*backend, GetParam(), heads, s);
  };
  EXPECT_EQ(error(32, true), error(32, false));
  const double exact = error(70, false), rounded = error(70, true);
  EXPECT_LT(exact, GetParam().tolerance() * 2);
  EXPECT_LT(rounded, kRounded);
  if (GetParam().kv != DType::kF32) EXPECT_GT(rounded, 10 * exact);
  RecordProperty("error", fmt::format("{:.2e}", rounded));
}

#ifdef HADAL_CUDA_EMULATED_TESTS
// Cards without the matrix instructions of warpgroups have kernels of their own.
TEST_P(MlaOnEveryBackend, LatentsOfDeepSeekAgreeWithDoubleWithoutWarpgroups) {
  const SmallCard card;
  auto backend = Make(GetParam(), 2);
  for (const int heads : {3, 16, 21}) {
    const Sequences s = MakeSequences({0, 31, 63, 127, 157, 158}, {1, 2, 1, 2, 1, 1});
    EXPECT_LT(ErrorOfLatents(*backend, GetParam(), heads, s), GetParam().tolerance() * 2) << heads;
  }
}
#endif

INSTANTIATE_TEST_SUITE_P(Mla, MlaOnEveryBackend, testing::ValuesIn(AttentionConfigs()), ConfigName);

}  // namespace
}  // namespace hadal::kernels_test
