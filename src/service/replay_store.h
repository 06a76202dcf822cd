// Owns: the tokens of answers with tool calls, as the model wrote them, so that the next turn's
// prompt repeats them exactly and the prefix cache still fits; and their reasoning, for callers
// that do not send it back. An answer is known by its tenant, text and calls (ids, names, arguments
// as JSON values): one that a caller changed is not found and is rendered anew. Bounded in bytes;
// the least recently used go first. Thread rule: every method from any thread.
#pragma once

#include <cstdint>
#include <list>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "api/types.h"

namespace hadal {

class ReplayStore {
 public:
  explicit ReplayStore(size_t max_bytes) : max_bytes_(max_bytes) {}

  // answer: content, reasoning_content, tool_calls, reasoning_ids and answer_ids.
  void Put(std::string_view tenant, api::Message answer);
  // Gives the known answers among the messages their tokens, and their reasoning where it is left
  // out.
  void Fill(std::string_view tenant, std::vector<api::Message>& messages);

  struct Counts {
    size_t entries = 0, bytes = 0;
    uint64_t found = 0;
  };
  Counts counts() const;

 private:
  struct Entry {
    std::string key;
    api::Message answer;
    size_t bytes = 0;
  };
  void Evict();

  const size_t max_bytes_;
  mutable std::mutex mutex_;
  std::list<Entry> entries_;  // most recently used first
  std::map<std::string, std::list<Entry>::iterator, std::less<>> by_key_;
  size_t bytes_ = 0;
  uint64_t found_ = 0;
};

}  // namespace hadal
