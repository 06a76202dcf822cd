// The kernels that take a cache of bf16 as it lies, against the definition in double.
#include "kernels/backend_fixture.h"
#include "kernels/cpu/kernel_table.h"

namespace hadal::kernels_test {
namespace {

using cpu::RoundUp;

struct Level {
  std::string name;
  cpu::KernelTable table;
};

// Those that have such a kernel.
std::vector<Level> Levels() {
  std::vector<Level> levels;
#if defined(__x86_64__)
  const std::vector<Isa> isas = SupportedIsas();
  const auto add = [&](Isa isa, void (*fill)(cpu::KernelTable*), std::string name) {
    if (std::find(isas.begin(), isas.end(), isa) == isas.end()) return;
    cpu::KernelTable table = {};
    fill(&table);
    levels.push_back({std::move(name), table});
  };
  if (HasAvx512Bf16()) add(Isa::kAvx512, cpu::FillAvx512Bf16, "avx512_bf16");
  add(Isa::kAmxEmulated, cpu::FillAmxEmulated, "amx_emulated");
  add(Isa::kAmx, cpu::FillAmx, "amx");
#endif
  return levels;
}

// A segment whose rows are scattered, queries that are multiplied by the scale already.
struct Segment {
  int64_t n_keys, n_q, k_dim, v_dim;
  bool latent;  // values begin the keys
  std::vector<uint16_t> keys, values;
  std::vector<const void*> key_rows, value_rows;
  std::vector<float> q;
  std::vector<int32_t> seen;

  Segment(Random& random, int64_t keys_in, int64_t q_in, int64_t k_in, int64_t v_in)
      : n_keys(keys_in), n_q(q_in), k_dim(k_in), v_dim(v_in), latent(v_in <= k_in) {
    keys = Rows(random, k_dim, key_rows);
    if (latent) {
      value_rows = key_rows;
    } else {
      values = Rows(random, v_dim, value_rows);
    }
    q = random.Normals(n_q * k_dim, 2 / std::sqrt(static_cast<float>(k_dim)));
    for (int64_t i = 0; i < n_q; ++i) {
      const int kind = random.Int(0, 3);  // most see everything, some nothing
      seen.push_back(kind > 1 ? static_cast<int>(n_keys)
                              : random.Int(kind, static_cast<int>(n_keys)) * (i % 7 != 3));
    }
  }

  std::vector<uint16_t> Rows(Random& random, int64_t dim, std::vector<const void*>& rows) const {
    std::vector<int64_t> order(static_cast<size_t>(n_keys));
    std::iota(order.begin(), order.end(), 0);
    if (random.Int(0, 2) != 0) std::shuffle(order.begin(), order.end(), random.engine());
    std::vector<uint16_t> all;
    for (const float x : random.Normals(n_keys * dim)) all.push_back(FloatToBf16(x));
    for (const int64_t at : order) rows.push_back(all.data() + at * dim);
    return all;
  }
  static float At(const void* row, int64_t d) {
    return Bf16ToFloat(static_cast<const uint16_t*>(row)[d]);
  }
};

struct Result {
  std::vector<float> m, l, o;
};

// Vectors [first, first + n) in one call.
Result Attend(const cpu::KernelTable& table, const Segment& s, int64_t first, int64_t n) {
  std::vector<const float*> rows;
  for (int64_t i = 0; i < n; ++i) rows.push_back(s.q.data() + (first + i) * s.k_dim);
  std::vector<uint16_t> q(static_cast<size_t>(2 * RoundUp(n, 32) * s.k_dim), 0x7fc0);
  if (table.split_queries != nullptr) {
    table.split_queries(rows.data(), n, s.k_dim, q.data());
  } else {
    const std::vector<const void*> keys(rows.begin(), rows.end());
    table.pack_prompt_keys(keys.data(), false, static_cast<int>(n), 0, s.k_dim, s.k_dim, q.data());
  }
  const auto bytes = static_cast<size_t>(cpu::CachedSegmentSpace(s.k_dim, s.v_dim));
  auto space = Buffer::Allocate(bytes);
  CHECK(space.has_value());
  std::memset(space->data(), 0xff, bytes);
  Result out = {Poison(n), Poison(n), Poison(n * s.v_dim)};
  table.cached_attention({q.data(), s.key_rows.data(), s.value_rows.data(), s.seen.data() + first,
                          space->data(), out.m.data(), out.l.data(), out.o.data(), s.n_keys, n,
                          s.k_dim, s.v_dim, s.v_dim});
  return out;
}

struct Expected {
  double m = -std::numeric_limits<double>::infinity(), l = 0;
  std::vector<double> o;
};
Expected Definition(const Segment& s, int64_t i) {
  Expected e;
  std::vector<double> scores;
  for (int32_t j = 0; j < s.seen[static_cast<size_t>(i)]; ++j) {
    double dot = 0;
    for (int64_t d = 0; d < s.k_dim; ++d) {
      dot += double{s.q[static_cast<size_t>(i * s.k_dim + d)]} *
             Segment::At(s.key_rows[static_cast<size_t>(j)], d);
    }
    scores.push_back(dot);
    e.m = std::max(e.m, dot);
  }
  e.o.resize(static_cast<size_t>(s.v_dim));
  for (size_t j = 0; j < scores.size(); ++j) {
    const double p = std::exp(scores[j] - e.m);
    e.l += p;
    for (int64_t d = 0; d < s.v_dim; ++d) {
      e.o[static_cast<size_t>(d)] += p * Segment::At(s.value_rows[j], d);
    }
  }
  return e;
}

Segment RandomSegment(Random& random) {
  return {random, random.Int(1, random.Int(0, 3) == 0 ? 512 : 70), random.Int(1, 64),
          32 * random.Int(1, 8), 32 * random.Int(1, 8)};
}

TEST(CachedAttention, IsThereWhereTheCpuMultipliesPairs) {
  bool found = false;
  for (const Level& level : Levels()) {
    found |= level.name == "avx512_bf16";
    EXPECT_NE(level.table.cached_attention, nullptr) << level.name;
    EXPECT_GT(level.table.cached_least, 0) << level.name;
  }
  EXPECT_EQ(found, HasAvx512Bf16());
}

TEST(CachedAttention, AgreesWithDoubleOnRandomShapes) {
  for (const Level& level : Levels()) {
    Random random(31);
    for (int i = 0; i < 60; ++i) {
      const Segment s = i == 0 ? Segment(random, 511, 16, 576, 512) : RandomSegment(random);
      SCOPED_TRACE(fmt::format("{}: {} keys of {}, {} by {} vectors", level.name, s.n_keys, s.k_dim,
                               s.v_dim, s.n_q));
      const Result got = Attend(level.table, s, 0, s.n_q);
      std::vector<double> o;
      for (int64_t v = 0; v < s.n_q; ++v) {
        const Expected e = Definition(s, v);
        const auto at = static_cast<size_t>(v);
        if (e.l == 0) {
          EXPECT_EQ(got.m[at], e.m);
        } else {
          EXPECT_NEAR(got.m[at], e.m, 2e-5 * (1 + std::fabs(e.m)));
        }
        EXPECT_NEAR(got.l[at], e.l, 5e-5 * e.l);
        o.insert(o.end(), e.o.begin(), e.o.end());
      }
      EXPECT_LT(RelativeError(got.o, o), 2e-5);
    }
  }
}

// What a vector gets depends neither on those beside it nor on keys that it does not see.
TEST(CachedAttention, AVectorGetsTheSameBitsInAnyCompany) {
  for (const Level& level : Levels()) {
    Random random(32);
    for (int i = 0; i < 40; ++i) {
      Segment s = RandomSegment(random);
      SCOPED_TRACE(fmt::format("{}: {} keys of {}, {} by {} vectors", level.name, s.n_keys, s.k_dim,
                               s.v_dim, s.n_q));
      const Result all = Attend(level.table, s, 0, s.n_q);
      for (int part = 0; part < 8; ++part) {
        const int64_t first = random.Int(0, static_cast<int>(s.n_q) - 1);
        const int64_t n = random.Int(1, std::min<int>(20, static_cast<int>(s.n_q - first)));
        Segment few = s;
        const auto begin = s.seen.begin() + first;
        few.n_keys = std::max(1, *std::max_element(begin, begin + n));
        const Result got = Attend(level.table, few, first, n);
        const auto same = [&](const std::vector<float>& a, const std::vector<float>& b,
                              int64_t width) {
          return std::equal(a.begin(), a.end(), b.begin() + first * width);
        };
        EXPECT_TRUE(same(got.m, all.m, 1) && same(got.l, all.l, 1)) << first << " + " << n;
        EXPECT_TRUE(same(got.o, all.o, s.v_dim)) << first << " + " << n;
      }
    }
  }
}

// Vectors that see nothing, or scores of minus infinity only, weigh nothing.
TEST(CachedAttention, NothingSeenWeighsNothing) {
  for (const Level& level : Levels()) {
    Random random(33);
    Segment s(random, 37, 5, 64, 32);
    for (size_t j = 0; j < 37; ++j) s.keys[j * 64] = 0xff80;  // -inf
    for (size_t i = 0; i < 5; ++i) s.q[i * 64] = 1.001f;      // both parts are above 0
    s.seen = {37, 0, 12, 0, 1};
    const Result got = Attend(level.table, s, 0, 5);
    for (size_t i = 0; i < 5; ++i) {
      EXPECT_EQ(got.m[i], -std::numeric_limits<float>::infinity()) << level.name;
      EXPECT_EQ(got.l[i], 0) << level.name;
    }
  }
}

}  // namespace
}  // namespace hadal::kernels_test
