// A step on the card: what the host knows of it is placed and sent at once, its operations are
// enqueued or a recording of them is repeated, its logits come back.
#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

#include "kernels/cuda/cuda_backend.h"

namespace hadal::CUDA_NAMESPACE {
namespace {

constexpr size_t kAlign = 256;
constexpr size_t RoundUp(size_t n) { return (n + kAlign - 1) / kAlign * kAlign; }

}  // namespace

// ---- memory

// Memory of the backend, on the card.
class CudaMemory final : public Memory {
 public:
  CudaMemory(CudaBackend& backend, void* data, size_t size)
      : backend_(backend), data_(data), size_(size) {}
  ~CudaMemory() override {
    backend_.ForgetGraphs();  // they may hold its address
    backend_.device_->Free(data_);
  }
  void* data() override { return data_; }
  size_t size() const override { return size_; }

 private:
  CudaBackend& backend_;
  void* data_;
  size_t size_;
};

CudaBackend::CudaBackend(const CudaBackendOptions& options, std::unique_ptr<Device> device)
    : options_(options), device_(std::move(device)), pool_(std::max(1, options.threads)) {}

CudaBackend::~CudaBackend() {
  (void)device_->Synchronise();
  graphs_.clear();
  for (Block& b : scratch_) device_->Free(b.data);
  for (Arena* arena : {&step_arena_, &other_arena_}) {
    device_->FreeHost(arena->host.data);
    device_->Free(arena->card.data);
  }
  for (Block* b : {&logits_, &host_rows_}) device_->FreeHost(b->data);
}

std::string CudaBackend::description() const {
  const DeviceInfo d = device_->info();
  return fmt::format("{}, compute capability {}.{}, {} weights (blocks as stored)", d.name, d.major,
                     d.minor, NameOf(options_.weights));
}

Result<std::unique_ptr<Memory>> CudaBackend::Allocate(size_t bytes) {
  HADAL_TRY(void* data, device_->Allocate(std::max<size_t>(bytes, 1)));
  return std::make_unique<CudaMemory>(*this, data, bytes);
}

// Grown memory has another address, so recordings are forgotten. When there is none the step fails.
void CudaBackend::Grow(Block& block, size_t bytes, bool host) {
  if (block.size >= bytes || !error_) return;
  CHECK(recording_ == nullptr);  // a shape is computed once before it is recorded
  Remember(device_->Synchronise());
  if (!error_) return;
  ForgetGraphs();
  host ? device_->FreeHost(block.data) : device_->Free(block.data);
  block = {};
  auto data = host ? device_->AllocateHost(bytes) : device_->Allocate(bytes);
  if (data) {
    block = {*data, bytes};
  } else {
    Remember(tl::make_unexpected(data.error().In("work space")));
  }
}

// Keeps the first error of a step. What would still be enqueued is dropped: its memory may be too
// small or not there.
void CudaBackend::Remember(const Status& status) {
  if (status || !error_) return;
  error_ = status;
  device_->set_dropping(true);
}

// The first error since the last call, after all work is done.
Status CudaBackend::Finish() {
  Remember(device_->Synchronise());
  Remember(std::exchange(host_error_, Status{}));
  device_->set_dropping(false);
  return std::exchange(error_, Status{});
}

void* CudaBackend::Reserve(Scratch area, size_t bytes) {
  Grow(scratch_[area], bytes, false);
  return scratch_[area].data;
}

// ---- what the host knows of a step

void CudaBackend::Fit(Arena& arena, size_t bytes) {
  if (arena.card.size >= bytes) return;
  const size_t size = std::max(bytes, 2 * arena.card.size);
  Grow(arena.host, size, true);
  Grow(arena.card, size, false);
}

const int32_t* CudaBackend::Place(Arena& arena, std::span<const int32_t> values) {
  if (!error_) return nullptr;  // the arena did not fit
  CHECK(arena.used + values.size_bytes() <= arena.card.size);
  auto* host = static_cast<std::byte*>(arena.host.data) + arena.used;
  auto* card = static_cast<std::byte*>(arena.card.data) + arena.used;
  if (!values.empty()) std::memcpy(host, values.data(), values.size_bytes());
  arena.used += RoundUp(values.size_bytes());
  return reinterpret_cast<const int32_t*>(card);
}

void CudaBackend::Send(Arena& arena) {
  if (arena.used > 0 && error_) device_->ToDevice(arena.card.data, arena.host.data, arena.used);
}

const int32_t* CudaBackend::OnCard(std::span<const int32_t> values) {
  if (step_ != nullptr) {
    if (values.data() == step_->tokens.data()) return on_card_.tokens;
    if (values.data() == step_->positions.data()) return on_card_.positions;
    if (values.data() == step_->slots.data()) return on_card_.slots;
    if (values.data() == step_->logit_rows.data()) return on_card_.logit_rows;
  }
  CHECK(recording_ == nullptr);
  Fit(other_arena_, RoundUp(values.size_bytes()));
  Remember(device_->Synchronise());  // the arena may still be read
  other_arena_.used = 0;
  const int32_t* card = Place(other_arena_, values);
  Send(other_arena_);
  return card;
}

// What rows see; the tables of their sequences.
struct RowTables {
  std::vector<RowKeys> rows;
  std::vector<int32_t> tables;
  int32_t most = 0;

  RowTables(std::span<const SeqChunk> chunks, int32_t block_tokens) {
    for (const SeqChunk& c : chunks) {
      const auto end = static_cast<size_t>(c.first_row + c.n_rows);
      if (rows.size() < end) rows.resize(end);
      for (int32_t i = 0; i < c.n_rows; ++i) {
        rows[static_cast<size_t>(c.first_row + i)] = {c.context + i + 1, c.context,
                                                      static_cast<int32_t>(tables.size())};
      }
      const int32_t keys = c.context + c.n_rows;
      most = std::max(most, keys);
      tables.insert(tables.end(), c.blocks, c.blocks + (keys + block_tokens - 1) / block_tokens);
    }
  }
  size_t bytes() const {
    return RoundUp(rows.size() * sizeof(RowKeys)) + RoundUp(tables.size() * 4);
  }
};

RowIndex CudaBackend::PlaceIndex(Arena& arena, const RowTables& t, int32_t block_tokens) {
  const std::span rows(reinterpret_cast<const int32_t*>(t.rows.data()),
                       t.rows.size() * sizeof(RowKeys) / sizeof(int32_t));
  RowIndex index{.block_tokens = block_tokens, .most = t.most};
  index.rows = reinterpret_cast<const RowKeys*>(Place(arena, rows));
  index.tables = Place(arena, t.tables);
  return index;
}

RowIndex CudaBackend::IndexOf(std::span<const SeqChunk> chunks, int32_t block_tokens) {
  if (step_ != nullptr && chunks.data() == step_->chunks.data()) return on_card_.index;
  CHECK(recording_ == nullptr);
  const RowTables t(chunks, block_tokens);
  Fit(other_arena_, t.bytes());
  Remember(device_->Synchronise());
  other_arena_.used = 0;
  const RowIndex index = PlaceIndex(other_arena_, t, block_tokens);
  Send(other_arena_);
  return index;
}

// ---- the step

Status CudaBackend::RunStep(const StepInput& step, const StepCache& cache, const StepResult& result,
                            const std::function<Tensor()>& compute) {
  CHECK(result.logits != nullptr || result.temperatures.size() == step.logit_rows.size());
  const RowTables t(step.chunks, cache.block_tokens);
  const std::span temperatures(reinterpret_cast<const int32_t*>(result.temperatures.data()),
                               result.temperatures.size());
  Fit(step_arena_, 3 * RoundUp(step.tokens.size_bytes()) +
                       2 * RoundUp(step.logit_rows.size_bytes()) + t.bytes());
  step_arena_.used = 0;
  on_card_.tokens = Place(step_arena_, step.tokens);
  on_card_.positions = Place(step_arena_, step.positions);
  on_card_.slots = Place(step_arena_, step.slots);
  on_card_.logit_rows = Place(step_arena_, step.logit_rows);
  on_card_.temperatures = reinterpret_cast<const float*>(Place(step_arena_, temperatures));
  on_card_.index = PlaceIndex(step_arena_, t, cache.block_tokens);
  Send(step_arena_);

  step_ = &step;
  const auto scores = RunOrReplay(step, cache, result, compute);
  step_ = nullptr;
  rounded_ = {};
  normed_ = {};
  HADAL_OK(Finish());
  if (!scores) return tl::make_unexpected(scores.error());
  scores_ = *scores;
  if (scores_.data == nullptr) return {};
  if (result.logits != nullptr) {
    std::memcpy(result.logits, logits_.data, scores_.bytes());
  } else if (result.summaries != nullptr) {
    std::memcpy(result.summaries, logits_.data, step.logit_rows.size() * sizeof(RowSummary));
  }
  return {};
}

Status CudaBackend::ReadLogits(int64_t row, float* out) {
  CHECK(scores_.data != nullptr && row < scores_.shape[0]);
  const int64_t vocab = scores_.shape[1];
  device_->ToHost(out, scores_.f32() + row * vocab, static_cast<size_t>(vocab) * sizeof(float));
  return Finish();
}

Tensor CudaBackend::ComputeStep(const StepResult& result, const std::function<Tensor()>& compute) {
  const Tensor scores = compute();
  if (scores.data == nullptr) return scores;
  if (result.logits != nullptr) {
    Grow(logits_, scores.bytes(), true);
    if (error_) device_->ToHost(logits_.data, scores.data, scores.bytes());
    return scores;
  }
  const int64_t rows = scores.shape[0], vocab = scores.shape[1];
  const size_t bytes = static_cast<size_t>(rows) * sizeof(RowSummary);
  void* space = Reserve(kSummarySpace, static_cast<size_t>(SummarySpace(rows, vocab)));
  auto* summaries = static_cast<RowSummary*>(Reserve(kSummaries, bytes));
  Grow(logits_, bytes, true);
  if (!error_) return scores;
  Summarise(device_->stream(), scores.f32(), rows, vocab, on_card_.temperatures, space, summaries);
  device_->ToHost(logits_.data, summaries, bytes);
  return scores;
}

// A recording comes in pieces, each twice as long as the one before: the card begins with the short
// first one while the host is still sending the others.
void CudaBackend::BeginPiece(Recorded& recorded) {
  constexpr int kFirst = 32;
  device_->BeginCapture();
  recording_ = &recorded;
  piece_end_ = device_->launches() + (kFirst << std::min<size_t>(recorded.pieces.size(), 16));
}
void CudaBackend::EndPiece(Recorded& recorded) {
  recording_ = nullptr;
  auto piece = device_->EndCapture();
  if (piece) {
    recorded.pieces.push_back(std::move(*piece));
  } else {
    unrecorded_ = tl::make_unexpected(piece.error());
  }
}
// Between two operations of a step.
void CudaBackend::MayEndPiece() {
  if (recording_ == nullptr || !error_ || device_->launches() < piece_end_) return;
  Recorded& recorded = *recording_;
  EndPiece(recorded);
  if (unrecorded_) return BeginPiece(recorded);
  device_->set_dropping(true);  // the step will be computed from its beginning
}

// After a recording that failed: nothing of the step has run. The step is computed as if it were
// new, and so are all later ones of its kind.
Tensor CudaBackend::ComputeUnrecorded(Recorded& recorded, const StepResult& result,
                                      const std::function<Tensor()>& compute) {
  const Error error = std::exchange(unrecorded_, Status{}).error();
  fmt::print(stderr, "hadal: {}; such steps run without a recording\n", error.message);
  recorded.pieces.clear();
  recorded.refused = true;
  rounded_ = {};
  normed_ = {};
  const Status card = device_->Synchronise();  // forgets the recording's error
  if (!card && card.error().code == ErrorCode::kGpuLost) Remember(card);
  device_->set_dropping(!error_);
  return ComputeStep(result, compute);
}

// Steps of answers alone are recorded when they come a second time; a recording serves all contexts
// up to a power of two, by which its attention was launched.
Result<Tensor> CudaBackend::RunOrReplay(const StepInput& step, const StepCache& cache,
                                        const StepResult& result,
                                        const std::function<Tensor()>& compute) {
  const bool answers = std::ranges::all_of(
      step.chunks, [](const SeqChunk& c) { return c.n_rows == 1 && !c.prompt; });
  if (!options_.graphs || cache.id == 0 || !answers || !error_) return ComputeStep(result, compute);
  on_card_.index.most =
      static_cast<int32_t>(std::bit_ceil(static_cast<uint32_t>(on_card_.index.most)));
  const GraphKey key{step.tokens.size(), step.logit_rows.size(), on_card_.index.most, cache.id,
                     result.logits == nullptr};
  const auto [at, is_new] = graphs_.try_emplace(key);
  if (is_new) {
    const Tensor scores = ComputeStep(result, compute);
    if (error_) {
      graphs_.try_emplace(key);  // growing forgot it
    } else {
      graphs_.erase(key);  // not all of it was computed: memory may still have to grow
    }
    return scores;
  }
  Recorded& recorded = at->second;
  if (recorded.refused) return ComputeStep(result, compute);
  if (recorded.pieces.empty()) {
    BeginPiece(recorded);
    recorded.scores = ComputeStep(result, compute);
    if (recording_ != nullptr) EndPiece(recorded);
    if (!unrecorded_) return ComputeUnrecorded(recorded, result, compute);
    if (!error_) {
      recorded.pieces.clear();
      return recorded.scores;  // Finish gives the error
    }
  }
  for (const auto& piece : recorded.pieces) device_->Replay(*piece);
  return recorded.scores;
}

}  // namespace hadal::CUDA_NAMESPACE
