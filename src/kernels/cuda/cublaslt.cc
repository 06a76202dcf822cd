// libcublasLt behind MultiplyTiles, with the names looked up at run time so that no binary needs
// it.
//
// A row's bits must not depend on how many rows come with it, so one algorithm is chosen for a
// shape of weights, as for kUsualRows rows, without parts of k that are added afterwards, and used
// for every number of rows. Where that algorithm does not take a number of rows the answer is
// false, and the own kernel's sums, in another order, differ from the library's by float rounding:
// such a row may differ from the same row among others. None of the tiled algorithms is known to
// depend on the number of rows, but the library does not promise it. This holds for rows of prompts
// alone; rows of answers never come here. Whether the library is installed decides the bits of
// prompts as well.
#include "kernels/cuda/cublaslt.h"

#include <cuda_runtime_api.h>

#include "kernels/cuda/stream.h"

#if __has_include(<cublasLt.h>)
#include <cublasLt.h>
#include <dlfcn.h>

#include <map>
#include <optional>
#include <tuple>

namespace hadal::cuda {
namespace {

constexpr int64_t kUsualRows = 4096;
constexpr uint32_t kAlign = 16;  // bytes, of every row of every matrix

// What is called, by the types of the header.
struct Functions {
#define HADAL_FUNCTION(name) decltype(&::name) name = nullptr;
#define HADAL_FUNCTIONS(F)                \
  F(cublasLtCreate)                       \
  F(cublasLtDestroy)                      \
  F(cublasLtMatmul)                       \
  F(cublasLtMatmulAlgoCheck)              \
  F(cublasLtMatmulAlgoGetHeuristic)       \
  F(cublasLtMatmulDescCreate)             \
  F(cublasLtMatmulDescDestroy)            \
  F(cublasLtMatmulDescSetAttribute)       \
  F(cublasLtMatmulPreferenceCreate)       \
  F(cublasLtMatmulPreferenceDestroy)      \
  F(cublasLtMatmulPreferenceSetAttribute) \
  F(cublasLtMatrixLayoutCreate)           \
  F(cublasLtMatrixLayoutDestroy)
  HADAL_FUNCTIONS(HADAL_FUNCTION)
#undef HADAL_FUNCTION

  bool Find(void* library) {
#define HADAL_FUNCTION(name)                                         \
  name = reinterpret_cast<decltype(&::name)>(dlsym(library, #name)); \
  if (name == nullptr) return false;
    HADAL_FUNCTIONS(HADAL_FUNCTION)
#undef HADAL_FUNCTION
#undef HADAL_FUNCTIONS
    return true;
  }
};

void* Data(const Output& out) {
  return out.rounded != nullptr ? static_cast<void*>(out.rounded) : out.data;
}

}  // namespace

class TilesLibrary {
 public:
  // Null where it is not installed. It stays open.
  static std::shared_ptr<TilesLibrary> Open() {
    for (const char* name : {"libcublasLt.so.13", "libcublasLt.so.12"}) {
      void* library = dlopen(name, RTLD_NOW | RTLD_LOCAL);
      if (library == nullptr) continue;
      auto opened = std::make_shared<TilesLibrary>();
      if (opened->call_.Find(library) &&
          opened->call_.cublasLtCreate(&opened->handle_) == CUBLAS_STATUS_SUCCESS) {
        return opened;
      }
    }
    return nullptr;
  }
  TilesLibrary() = default;
  TilesLibrary(const TilesLibrary&) = delete;
  TilesLibrary& operator=(const TilesLibrary&) = delete;
  ~TilesLibrary() {
    if (handle_ != nullptr) (void)call_.cublasLtDestroy(handle_);
  }

  bool Multiply(cudaStream_t stream, const Matrix& w, const uint16_t* x, int64_t rows,
                const Output& out) {
    const Key key{w.rows, w.cols, out.ld, out.bias != nullptr, out.rounded != nullptr};
    auto at = algorithms_.find(key);
    if (at == algorithms_.end()) at = algorithms_.emplace(key, Choose(w, out)).first;
    if (!at->second) return false;
    const Problem p(call_, w, rows, out);
    cublasLtMatmulHeuristicResult_t checked = {};
    if (!p.made || call_.cublasLtMatmulAlgoCheck(handle_, p.product, p.w, p.x, p.out, p.out,
                                                 &*at->second, &checked) != CUBLAS_STATUS_SUCCESS) {
      return false;
    }
    const float one = 1, zero = 0;
    return call_.cublasLtMatmul(handle_, p.product, &one, w.data, p.w, x, p.x, &zero, Data(out),
                                p.out, Data(out), p.out, &*at->second, nullptr, 0,
                                stream) == CUBLAS_STATUS_SUCCESS;
  }

 private:
  using Key = std::tuple<int64_t, int64_t, int64_t, bool, bool>;

  // The library's matrices have their columns contiguous, so this is out^T = w x^T.
  struct Problem {
    const Functions& call;
    cublasLtMatmulDesc_t product = nullptr;
    cublasLtMatrixLayout_t w = nullptr, x = nullptr, out = nullptr;
    bool made = true;

    Problem(const Functions& functions, const Matrix& m, int64_t rows, const Output& to)
        : call(functions) {
      Try(call.cublasLtMatmulDescCreate(&product, CUBLAS_COMPUTE_32F, CUDA_R_32F));
      Set(CUBLASLT_MATMUL_DESC_TRANSA, CUBLAS_OP_T);
      if (to.bias != nullptr) {
        Set(CUBLASLT_MATMUL_DESC_EPILOGUE, CUBLASLT_EPILOGUE_BIAS);
        Set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, to.bias);
      }
      const auto n = static_cast<uint64_t>(m.rows), k = static_cast<uint64_t>(m.cols);
      const auto columns = static_cast<uint64_t>(rows);
      Try(call.cublasLtMatrixLayoutCreate(&w, CUDA_R_16BF, k, n, m.cols));
      Try(call.cublasLtMatrixLayoutCreate(&x, CUDA_R_16BF, k, columns, m.cols));
      const auto type = to.rounded != nullptr ? CUDA_R_16BF : CUDA_R_32F;
      Try(call.cublasLtMatrixLayoutCreate(&out, type, n, columns, to.ld));
    }
    Problem(const Problem&) = delete;
    Problem& operator=(const Problem&) = delete;
    ~Problem() {
      for (cublasLtMatrixLayout_t layout : {w, x, out}) {
        if (layout != nullptr) (void)call.cublasLtMatrixLayoutDestroy(layout);
      }
      if (product != nullptr) (void)call.cublasLtMatmulDescDestroy(product);
    }
    void Try(cublasStatus_t status) { made = made && status == CUBLAS_STATUS_SUCCESS; }
    template <class T>
    void Set(cublasLtMatmulDescAttributes_t attribute, const T& value) {
      if (made) {
        Try(call.cublasLtMatmulDescSetAttribute(product, attribute, &value, sizeof value));
      }
    }
  };

  std::optional<cublasLtMatmulAlgo_t> Choose(const Matrix& w, const Output& out) {
    const Problem p(call_, w, kUsualRows, out);
    cublasLtMatmulPreference_t wish = nullptr;
    if (!p.made || call_.cublasLtMatmulPreferenceCreate(&wish) != CUBLAS_STATUS_SUCCESS) return {};
    bool ok = true;
    const auto set = [&](cublasLtMatmulPreferenceAttributes_t attribute, uint32_t value) {
      ok = ok && call_.cublasLtMatmulPreferenceSetAttribute(wish, attribute, &value,
                                                            sizeof value) == CUBLAS_STATUS_SUCCESS;
    };
    set(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, CUBLASLT_REDUCTION_SCHEME_NONE);
    for (auto attribute :
         {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
          CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES}) {
      set(attribute, kAlign);
    }
    cublasLtMatmulHeuristicResult_t found = {};
    int count = 0;
    ok =
        ok && call_.cublasLtMatmulAlgoGetHeuristic(handle_, p.product, p.w, p.x, p.out, p.out, wish,
                                                   1, &found, &count) == CUBLAS_STATUS_SUCCESS;
    (void)call_.cublasLtMatmulPreferenceDestroy(wish);
    if (!ok || count == 0) return {};
    return found.algo;
  }

  Functions call_;
  cublasLtHandle_t handle_ = nullptr;
  std::map<Key, std::optional<cublasLtMatmulAlgo_t>> algorithms_;
};

// A rule of the shape alone: where a matrix of several types has its parts, too. What is rounded
// has no bias: the library would take one in bf16.
bool MultiplyByLibrary(Stream& s, const Matrix& w, const uint16_t* x, int64_t rows,
                       const Output& out) {
  if (s.dropping) return true;
  const bool rounded = out.rounded != nullptr;
  if (w.cols % 8 != 0 || out.ld % (rounded ? 8 : 4) != 0 || (rounded && out.bias != nullptr) ||
      reinterpret_cast<uintptr_t>(Data(out)) % kAlign != 0) {
    return false;
  }
  if (!s.tiles_sought) s.tiles = TilesLibrary::Open();
  s.tiles_sought = true;
  return s.tiles != nullptr && s.tiles->Multiply(s.handle, w, x, rows, out);
}

}  // namespace hadal::cuda

#else

namespace hadal::cuda {

bool MultiplyByLibrary(Stream&, const Matrix&, const uint16_t*, int64_t, const Output&) {
  return false;
}

}  // namespace hadal::cuda

#endif
