// Weights on the card: what form each gets, and filling it: rows are made on the host, slice by
// slice, and copied.
#include <algorithm>
#include <cstring>

#include "core/dtype.h"
#include "kernels/cuda/block_planes.h"
#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/fp8_tiles.h"
#include "kernels/cuda/pack_planes.h"
#include "kernels/weight_source.h"

namespace hadal::CUDA_NAMESPACE {
namespace {

int64_t RowBytesOf(Form form, int64_t cols) { return cols * (form == Form::kF32 ? 4 : 2); }

QuantType TypeOf(Form form) {
  return static_cast<QuantType>(static_cast<int>(form) - static_cast<int>(Form::kBlocks));
}

int64_t PartBytes(Form form, int64_t rows, int64_t cols) {
  if (form == Form::kFp8) return fp8_tiles::BytesOfMatrix(rows, cols);
  if (!IsBlocks(form)) return block_planes::Whole(rows * RowBytesOf(form, cols));
  return block_planes::MatrixBytes(TypeOf(form), rows, cols);
}

// Rows of one matrix that lie together on the card and are made by one thread.
struct Piece {
  size_t matrix = 0;  // of the stack
  Form form = Form::kF32;
  int64_t row = 0, rows = 0;  // of the source
  int64_t at = 0, bytes = 0;  // of the stack: one piece ends where the next begins
  int64_t space = 0;          // bytes that making it takes
};

// All rows of a stack, in the order of its memory.
std::vector<Piece> PiecesOf(std::span<const WeightPart> parts, size_t count) {
  constexpr int64_t kPieceBytes = 128 << 10;          // stays in a core's cache while it is made
  constexpr int64_t kTile = block_planes::kTileRows;  // rows of blocks lie together
  std::vector<Piece> pieces;
  int64_t at = 0;
  for (size_t i = 0; i < count; ++i) {
    for (const WeightPart& part : parts) {
      const Matrix& m = part.matrix;
      const int64_t most =
          std::max<int64_t>(1, kPieceBytes / PartBytes(m.form, kTile, m.cols)) * kTile;
      const int64_t row_space = IsBlocks(m.form) ? RowBytes(TypeOf(m.form), m.cols) : m.cols * 4;
      for (int64_t row = 0; row < m.rows; row += most) {
        const int64_t n = std::min(most, m.rows - row), bytes = PartBytes(m.form, n, m.cols);
        pieces.push_back({i, m.form, part.first_row + row, n, at, bytes, n * row_space});
        at += bytes;
      }
    }
  }
  return pieces;
}

// Rows of FP8, from a multiple of 16 on.
void FillTiles(const WeightSource& source, int64_t row, int64_t n, uint8_t* to) {
  const int64_t bytes = fp8_tiles::TileBytes(source.cols);
  for (const int64_t end = row + n; row < end; row += fp8_tiles::kRows, to += bytes) {
    std::memset(to, 0, static_cast<size_t>(bytes));
    source.read_fp8(row, std::min<int64_t>(fp8_tiles::kRows, end - row), to,
                    reinterpret_cast<float*>(to + fp8_tiles::ScalesAt(source.cols)));
  }
}

// `space` has piece.space bytes, `to` piece.bytes.
void FillPiece(const WeightSource& source, const Piece& piece, std::byte* space, uint8_t* to) {
  const int64_t row = piece.row, n = piece.rows;
  if (IsBlocks(piece.form)) {
    source.read_blocks(row, n, space);
    block_planes::PackRows(TypeOf(piece.form), space, n, source.cols, to);
    return;
  }
  if (piece.form == Form::kFp8) return FillTiles(source, row, n, to);
  const int64_t used = n * RowBytesOf(piece.form, source.cols);
  std::memset(to + used, 0, static_cast<size_t>(piece.bytes - used));
  if (piece.form == Form::kF32) {
    source.decode(row, n, reinterpret_cast<float*>(to));
    return;
  }
  const DType type = piece.form == Form::kF16 ? DType::kF16 : DType::kBf16;
  if (source.read_stored && source.stored == type) {
    source.read_stored(row, n, reinterpret_cast<std::byte*>(to));
    return;
  }
  auto* values = reinterpret_cast<float*>(space);
  source.decode(row, n, values);
  auto* halves = reinterpret_cast<uint16_t*>(to);
  const int64_t count = n * source.cols;
  if (type == DType::kF16) {
    for (int64_t i = 0; i < count; ++i) halves[i] = FloatToF16(values[i]);
  } else {
    for (int64_t i = 0; i < count; ++i) halves[i] = FloatToBf16(values[i]);
  }
}

}  // namespace

Result<std::vector<CudaBackend::Part>> CudaBackend::PartsOf(std::span<const WeightSource> sources,
                                                            WeightUse use) const {
  HADAL_OK(CheckSources(sources));
  const int64_t rows = sources[0].rows;
  if (use == WeightUse::kMultiplyF32 || options_.weights == WeightFormat::kF32) {
    return std::vector<Part>{{rows, Form::kF32}};
  }
  const auto blocks = hadal::BlocksOf(sources);
  if (blocks.size() == 1 || (!blocks.empty() && use != WeightUse::kLookUp)) {
    std::vector<Part> parts;
    for (const BlockRows& b : blocks) {
      parts.push_back({b.rows, CUDA_NAMESPACE::BlocksOf(static_cast<int>(b.type))});
    }
    return parts;
  }
  if (use != WeightUse::kLookUp && HoldFp8(sources) && sources[0].cols % 16 == 0) {
    return std::vector<Part>{{rows, Form::kFp8}};
  }
  return std::vector<Part>{{rows, HoldF16(sources) ? Form::kF16 : Form::kBf16}};
}

Result<size_t> CudaBackend::BytesOf(std::span<const WeightSource> sources, WeightUse use) const {
  if (use == WeightUse::kHostExperts) {
    HADAL_TRY(const Backend* host, Host());
    return host->BytesOf(sources, WeightUse::kMultiply);
  }
  HADAL_TRY(const std::vector<Part> parts, PartsOf(sources, use));
  int64_t bytes = 0;
  for (const Part& p : parts) bytes += PartBytes(p.form, p.rows, sources[0].cols);
  return static_cast<size_t>(bytes) * sources.size();
}

Result<WeightPtr> CudaBackend::PrepareEmbedding(const WeightSource& source) {
  return Prepare({&source, 1}, WeightUse::kLookUp);
}

Result<WeightPtr> CudaBackend::Defer(std::span<const WeightSource> sources, WeightUse) {
  return FailField(ErrorCode::kOutOfMemory, sources[0].name,
                   "weights do not fit the card's memory; a part of them cannot stay in the file");
}

Result<WeightPtr> CudaBackend::Prepare(std::span<const WeightSource> sources, WeightUse use) {
  if (use == WeightUse::kHostExperts) return PrepareOnHost(sources);
  HADAL_TRY(const std::vector<Part> parts, PartsOf(sources, use));
  HADAL_TRY(const size_t bytes, BytesOf(sources, use));
  const size_t stride = bytes / sources.size();
  const int64_t cols = sources[0].cols;
  auto memory = Allocate(bytes);
  if (!memory) return tl::make_unexpected(memory.error().In(sources[0].name));
  std::vector<WeightPart> placed;
  int64_t row = 0, at = 0;
  for (const Part& p : parts) {
    placed.push_back({row,
                      {p.form, static_cast<uint8_t*>((*memory)->data()) + at, p.rows, cols,
                       static_cast<int64_t>(stride)}});
    row += p.rows;
    at += PartBytes(p.form, p.rows, cols);
  }
  HADAL_OK(UploadMatrices(sources, placed));
  const bool rounds = use == WeightUse::kMultiply && Rounds(parts, cols);
  rounds_a_weight_ = rounds_a_weight_ || rounds;
  return std::make_unique<CudaWeight>(static_cast<int64_t>(sources.size()), sources[0].rows, cols,
                                      std::move(placed), std::move(*memory), rounds);
}

// Slices of the weight, which may hold several matrices: one is made by all threads while those
// before it are copied.
Status CudaBackend::UploadMatrices(std::span<const WeightSource> sources,
                                   std::span<const WeightPart> parts) {
  const std::vector<Piece> pieces = PiecesOf(parts, sources.size());
  const int64_t space = std::ranges::max(pieces, {}, &Piece::space).space;
  const auto space_of_all = static_cast<size_t>(space * pool_.size());
  if (making_.size() < space_of_all) {
    HADAL_TRY(making_, Buffer::Allocate(space_of_all));
  }
  auto* const card = const_cast<uint8_t*>(parts[0].matrix.data);
  for (size_t first = 0, end = 0; first < pieces.size(); first = end) {
    const int64_t begin = pieces[first].at;
    size_t bytes = 0;
    do {
      bytes = static_cast<size_t>(pieces[end].at + pieces[end].bytes - begin);
      ++end;
    } while (end < pieces.size() &&
             bytes + static_cast<size_t>(pieces[end].bytes) <= WeightUpload::kSliceBytes);
    HADAL_TRY(uint8_t* const slice, upload_.Take(bytes));
    pool_.ForEach(static_cast<int>(end - first), [&](int task, int thread) {
      const Piece& piece = pieces[first + static_cast<size_t>(task)];
      FillPiece(sources[piece.matrix], piece,
                static_cast<std::byte*>(making_.data()) + thread * space, slice + piece.at - begin);
    });
    upload_.Send(card + begin, bytes);
  }
  return {};
}

Result<LinkUse> CudaBackend::EndLoad() {
  const LinkUse used = upload_.Finish();
  making_ = {};
  HADAL_OK(Finish());
  return used;
}

Result<std::unique_ptr<Memory>> CudaBackend::Upload(std::span<const float> values) {
  HADAL_TRY(auto memory, Allocate(values.size_bytes()));
  HADAL_TRY(uint8_t* const slice, upload_.Take(values.size_bytes()));
  std::ranges::copy(values, reinterpret_cast<float*>(slice));
  upload_.Send(memory->data(), values.size_bytes());
  return memory;
}

}  // namespace hadal::CUDA_NAMESPACE
