#include "service/replay_store.h"

#include "access/sha256.h"
#include "chat/tools/json_text.h"

namespace hadal {
namespace {

void AddPart(std::string& text, std::string_view part) {
  text += fmt::format("{} ", part.size());
  text += part;
}

// Arguments are compared as values: clients write the JSON in their own way.
std::string KeyOf(std::string_view tenant, const api::Message& answer) {
  std::string text;
  AddPart(text, tenant);
  AddPart(text, answer.content);
  for (const api::ToolCall& call : answer.tool_calls) {
    AddPart(text, call.id);
    AddPart(text, call.name);
    const auto arguments = RewriteJson(call.arguments);
    AddPart(text, arguments ? *arguments : call.arguments);
  }
  return Sha256Hex(text);
}

size_t BytesOf(const api::Message& answer) {
  size_t bytes = 512 + answer.reasoning_content.value_or("").size();
  return bytes + 4 * (answer.reasoning_ids.size() + answer.answer_ids.size());
}

}  // namespace

void ReplayStore::Put(std::string_view tenant, api::Message answer) {
  std::string key = KeyOf(tenant, answer);
  answer.content.clear();  // the key stands for them
  answer.tool_calls.clear();
  Entry entry{key, std::move(answer), 0};
  entry.bytes = BytesOf(entry.answer);
  const std::lock_guard lock(mutex_);
  if (by_key_.contains(key)) return;
  bytes_ += entry.bytes;
  entries_.push_front(std::move(entry));
  by_key_[std::move(key)] = entries_.begin();
  Evict();
}

void ReplayStore::Evict() {
  while (bytes_ > max_bytes_ && !entries_.empty()) {
    bytes_ -= entries_.back().bytes;
    by_key_.erase(entries_.back().key);
    entries_.pop_back();
  }
}

void ReplayStore::Fill(std::string_view tenant, std::vector<api::Message>& messages) {
  for (api::Message& message : messages) {
    if (message.tool_calls.empty()) continue;
    const std::string key = KeyOf(tenant, message);
    const std::lock_guard lock(mutex_);
    const auto found = by_key_.find(key);
    if (found == by_key_.end()) continue;
    ++found_;
    entries_.splice(entries_.begin(), entries_, found->second);
    const api::Message& known = found->second->answer;
    message.answer_ids = known.answer_ids;
    // Other reasoning than the model's own is the caller's to change.
    const std::string sent = message.reasoning_content.value_or("");
    if (!sent.empty() && sent != known.reasoning_content.value_or("")) continue;
    message.reasoning_content = known.reasoning_content;
    message.reasoning_ids = known.reasoning_ids;
  }
}

ReplayStore::Counts ReplayStore::counts() const {
  const std::lock_guard lock(mutex_);
  return {entries_.size(), bytes_, found_};
}

}  // namespace hadal
