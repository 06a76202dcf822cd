// The emulated card's stream: work runs when it is given, or is kept while a graph is captured.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

namespace hadal::cuda_emulated {

struct Stream {
  std::vector<std::function<void()>>* recording = nullptr;

  int64_t launches = 0;
  bool dropping = false;
  int processors = 4;
  int64_t many_blocks_from = 0;
  bool warpgroups = false;          // kernels of wgmma.h run
  size_t most_shared = 227 * 1024;  // bytes of shared memory that a block may have

  void Do(std::function<void()> work) {
    if (dropping) return;
    if (recording != nullptr) {
      recording->push_back(std::move(work));
    } else {
      work();
    }
  }
};

}  // namespace hadal::cuda_emulated
