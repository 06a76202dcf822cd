#include "convert/random_weights.h"

#include <array>
#include <cstring>

#include "base/check.h"

namespace hadal {
namespace {

constexpr uint64_t Mix(uint64_t x) {  // finaliser of SplitMix64 (Steele, Lea, Flood 2014)
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}
constexpr uint64_t kGamma = 0x9e3779b97f4a7c15u;

class Stream {
 public:
  explicit Stream(uint64_t key) : state_(key) {}
  uint64_t Next() { return Mix(state_ += kGamma); }

 private:
  uint64_t state_;
};

uint64_t HashOf(std::string_view text) {  // FNV-1a
  uint64_t h = 0xcbf29ce484222325u;
  for (const char c : text) h = (h ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
  return h;
}

constexpr uint64_t Repeat(uint64_t byte) { return byte * 0x0101010101010101u; }

// Codes of `Bits` bits, 1 .. 2^Bits - 1, symmetric about 2^(Bits - 1): one plus the sum of two
// numbers of Bits - 1 bits. Eight at a time, one per byte.
template <int Bits>
void Codes(Stream& random, int n, uint8_t* out) {
  constexpr uint64_t kMask = Repeat((1u << (Bits - 1)) - 1);
  for (int i = 0; i < n; i += 8) {
    const uint64_t a = random.Next();
    const uint64_t b = 2 * (Bits - 1) <= 8 ? a >> (Bits - 1) : random.Next();
    const uint64_t codes = (a & kMask) + (b & kMask) + Repeat(1);
    std::memcpy(out + i, &codes, 8);
  }
}
// Their standard deviation: two uniform numbers of m values have variance (m * m - 1) / 12 each.
template <int Bits>
constexpr float Deviation() {
  constexpr double kVariance = ((1 << (Bits - 1)) * (1 << (Bits - 1)) - 1) / 6.0;
  double root = kVariance;  // Newton: std::sqrt is not constexpr
  for (int i = 0; i < 40; ++i) root = (root + kVariance / root) / 2;
  return static_cast<float>(root);
}

void PutF16(float value, std::byte* out) {
  const uint16_t bits = FloatToF16(value);
  std::memcpy(out, &bits, 2);
}

std::byte Nibbles(uint8_t low, uint8_t high) {
  return static_cast<std::byte>((low & 15) | (high & 15) << 4);
}

void Q8_0(Stream& random, float deviation, std::byte* out) {
  uint8_t q[32];
  Codes<8>(random, 32, q);
  PutF16(deviation / Deviation<8>(), out);
  for (int i = 0; i < 32; ++i) out[2 + i] = static_cast<std::byte>(q[i] ^ 0x80);
}

void Q4_0(Stream& random, float deviation, std::byte* out) {
  uint8_t q[32];
  Codes<4>(random, 32, q);
  PutF16(deviation / Deviation<4>(), out);
  for (int i = 0; i < 16; ++i) out[2 + i] = Nibbles(q[i], q[i + 16]);
}

void Q5_0(Stream& random, float deviation, std::byte* out) {
  uint8_t q[32];
  Codes<5>(random, 32, q);
  PutF16(deviation / Deviation<5>(), out);
  uint32_t high = 0;
  for (int i = 0; i < 32; ++i) high |= static_cast<uint32_t>(q[i] >> 4) << i;
  std::memcpy(out + 2, &high, 4);
  for (int i = 0; i < 16; ++i) out[6 + i] = Nibbles(q[i], q[i + 16]);
}

// The scale that Q4_K and Q5_K give all eight sub-blocks: of 63; its minimum is the same, so that
// dmin = d * middle code makes the codes symmetric.
constexpr int kSubScale = 48;

void PutSubScales(std::byte* out) {  // eight 6-bit scales and eight 6-bit minima, packed in 12
  constexpr auto kScale = static_cast<uint8_t>(kSubScale);
  constexpr auto kTop = static_cast<uint8_t>(kScale | (kScale >> 4) << 6);  // of sub-block i + 4
  for (int i = 0; i < 8; ++i) out[i] = static_cast<std::byte>(kTop);
  for (int i = 8; i < 12; ++i) out[i] = Nibbles(kScale, kScale);
}

void SuperHeader(float deviation, float code_deviation, int middle, std::byte* out) {
  const uint16_t d = FloatToF16(deviation / (code_deviation * kSubScale));
  std::memcpy(out, &d, 2);
  PutF16(F16ToFloat(d) * static_cast<float>(middle), out + 2);
  PutSubScales(out + 4);
}

void Q4_K(Stream& random, float deviation, std::byte* out) {
  uint8_t q[256];
  Codes<4>(random, 256, q);
  SuperHeader(deviation, Deviation<4>(), 8, out);
  for (int i = 0; i < 128; ++i) {
    const int at = i / 32 * 64 + i % 32;
    out[16 + i] = Nibbles(q[at], q[at + 32]);
  }
}

void Q5_K(Stream& random, float deviation, std::byte* out) {
  uint8_t q[256];
  Codes<5>(random, 256, q);
  SuperHeader(deviation, Deviation<5>(), 16, out);
  for (int i = 0; i < 32; ++i) {
    int high = 0;
    for (int part = 0; part < 8; ++part) high |= (q[part * 32 + i] >> 4) << part;
    out[16 + i] = static_cast<std::byte>(high);
  }
  for (int i = 0; i < 128; ++i) {
    const int at = i / 32 * 64 + i % 32;
    out[48 + i] = Nibbles(q[at], q[at + 32]);
  }
}

void Q6_K(Stream& random, float deviation, std::byte* out) {
  constexpr int kScale = 96;
  uint8_t q[256];
  Codes<6>(random, 256, q);
  for (int half = 0; half < 2; ++half) {
    const uint8_t* h = q + 128 * half;
    for (int i = 0; i < 64; ++i) out[64 * half + i] = Nibbles(h[i], h[i + 64]);
    for (int i = 0; i < 32; ++i) {
      const int high = h[i] >> 4 | h[i + 32] >> 4 << 2 | h[i + 64] >> 4 << 4 | h[i + 96] >> 4 << 6;
      out[128 + 32 * half + i] = static_cast<std::byte>(high);
    }
  }
  for (int i = 0; i < 16; ++i) out[192 + i] = static_cast<std::byte>(kScale);
  PutF16(deviation / (Deviation<6>() * kScale), out + 208);
}

using BlockMaker = void (*)(Stream& random, float deviation, std::byte* out);

BlockMaker MakerOf(QuantType type) {
  switch (type) {
    case QuantType::kQ8_0:
      return Q8_0;
    case QuantType::kQ4_0:
      return Q4_0;
    case QuantType::kQ5_0:
      return Q5_0;
    case QuantType::kQ4_K:
      return Q4_K;
    case QuantType::kQ5_K:
      return Q5_K;
    case QuantType::kQ6_K:
      return Q6_K;
    default:
      break;
  }
  CHECK(false);  // only encodable types are chosen
  return nullptr;
}

// Near normal: the sum of four random bytes, mean 510. Two per draw.
constexpr float kByteSumDeviation = 147.80f;  // sqrt(4 * (256^2 - 1) / 12)

float ByteSum(uint32_t bits) {
  const uint32_t pairs = (bits & 0x00ff00ffu) + ((bits >> 8) & 0x00ff00ffu);
  return static_cast<float>(static_cast<int32_t>((pairs & 0xffffu) + (pairs >> 16)) - 510);
}

template <class T, class Store>
void PlainRow(Stream& random, float mean, float deviation, int64_t cols, std::byte* out,
              Store store) {
  const float scale = deviation / kByteSumDeviation;
  for (int64_t i = 0; i < cols; i += 2) {
    const uint64_t bits = random.Next();
    T pair[2] = {store(mean + scale * ByteSum(static_cast<uint32_t>(bits))),
                 store(mean + scale * ByteSum(static_cast<uint32_t>(bits >> 32)))};
    std::memcpy(out + i * static_cast<int64_t>(sizeof(T)), pair,
                sizeof(T) * (i + 1 < cols ? 2u : 1u));
  }
}

// e4m3 holds the integers up to 16 exactly; 16 times them uses more of its range.
constexpr float kFp8Unit = 16;

const std::array<uint8_t, 32>& Fp8Codes() {
  static const std::array<uint8_t, 32> codes = [] {
    std::array<uint8_t, 32> c{};
    for (int i = 0; i < 32; ++i) {
      c[static_cast<size_t>(i)] = FloatToF8E4M3(kFp8Unit * static_cast<float>(i - 16));
    }
    return c;
  }();
  return codes;
}

void Fp8Row(Stream& random, int64_t cols, std::byte* out) {
  const auto& table = Fp8Codes();
  uint8_t q[8];
  for (int64_t i = 0; i < cols; i += 8) {
    Codes<5>(random, 8, q);
    for (int64_t j = 0; j < 8 && i + j < cols; ++j) {
      out[i + j] = static_cast<std::byte>(table[q[j]]);
    }
  }
}

}  // namespace

RandomTensor::RandomTensor(uint64_t seed, std::string_view name, double mean, double deviation)
    : key_(Mix(Mix(seed) ^ HashOf(name))),
      mean_(static_cast<float>(mean)),
      deviation_(static_cast<float>(deviation)) {}

void RandomTensor::Row(const TensorType& type, int64_t row, int64_t cols, std::byte* out) const {
  Stream random(Mix(key_ + static_cast<uint64_t>(row)));
  if (const auto* quant = std::get_if<QuantType>(&type)) {
    const BlockMaker make = MakerOf(*quant);
    const QuantTraits& traits = TraitsOf(*quant);
    for (int64_t i = 0; i < cols / traits.elements; ++i) {
      make(random, deviation_, out + i * traits.bytes);
    }
    return;
  }
  switch (std::get<DType>(type)) {
    case DType::kF32:
      return PlainRow<float>(random, mean_, deviation_, cols, out, [](float v) { return v; });
    case DType::kBf16:
      return PlainRow<uint16_t>(random, mean_, deviation_, cols, out, FloatToBf16);
    case DType::kF16:
      return PlainRow<uint16_t>(random, mean_, deviation_, cols, out, FloatToF16);
    case DType::kF8E4M3:
      return Fp8Row(random, cols, out);
    default:
      CHECK(false);  // no weights are stored in the others
  }
}

void RandomTensor::Rows(const TensorType& type, int64_t row0, int64_t n, int64_t cols,
                        std::byte* out) const {
  const int64_t bytes = BytesOf(type, 1, cols);
  for (int64_t r = 0; r < n; ++r) Row(type, row0 + r, cols, out + r * bytes);
}

void RandomTensor::Fp8Scales(int64_t row, int64_t n, float* out) const {
  Stream random(Mix(~key_ + static_cast<uint64_t>(row)));
  const float scale = deviation_ / (Deviation<5>() * kFp8Unit);
  for (int64_t i = 0; i < n; ++i) {  // 0.75 .. 1.25 of it, so that mixed-up scales show
    out[i] = scale * (0.75f + static_cast<float>(random.Next() >> 40) * 0x1p-25f);
  }
}

}  // namespace hadal
