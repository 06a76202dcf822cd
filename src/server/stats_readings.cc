#include "server/stats_readings.h"

namespace hadal::server {

std::vector<Reading> ReadingsOf(const ServiceStats& s) {
  const auto gauge = [](std::string_view name, std::string_view help, int64_t value) {
    return Reading{name, help, false, static_cast<double>(value)};
  };
  const auto counter = [](std::string_view name, std::string_view help, int64_t value) {
    return Reading{name, help, true, static_cast<double>(value)};
  };
  std::vector<Reading> readings = {
      gauge("hadal_requests_running", "Requests with a place in the batch.", s.running),
      gauge("hadal_requests_queued", "Requests waiting for a place.", s.queued),
      gauge("hadal_kv_blocks", "KV blocks of the pool.", s.blocks_total),
      gauge("hadal_kv_blocks_free", "KV blocks without content.", s.blocks_free),
      gauge("hadal_kv_blocks_cached", "KV blocks kept for prefixes, held by no sequence.",
            s.blocks_cached),
      gauge("hadal_kv_blocks_held", "KV blocks of running sequences.", s.blocks_held),
      gauge("hadal_batch_rows", "Token rows of the last step.", s.last_batch_rows),
      gauge("hadal_batch_sequences", "Sequences of the last step.", s.last_batch_sequences),
      counter("hadal_engine_steps_total", "Steps of the engine.", s.steps),
      counter("hadal_prompt_tokens_total", "Prompt tokens of admitted requests.", s.prompt_tokens),
      counter("hadal_generated_tokens_total", "Tokens sampled.", s.generated_tokens),
      counter("hadal_prefix_hit_tokens_total", "Prompt tokens served from the prefix cache.",
              s.cached_tokens),
      counter("hadal_preemptions_total", "Sequences sent back to the queue for lack of KV blocks.",
              s.preemptions),
      gauge("hadal_constraints", "Compiled formats of answers that are kept.", s.constraints),
      gauge("hadal_constraint_bytes", "Their memory.", s.constraint_bytes),
      counter("hadal_constraints_compiled_total", "Formats of answers compiled.",
              s.constraints_compiled),
      counter("hadal_constraint_hits_total", "Formats of answers found compiled.",
              s.constraint_hits),
      counter("hadal_replayed_answers_total",
              "Answers with tool calls whose own tokens stood in a later prompt.",
              s.replayed_answers),
      Reading{"hadal_engine_step_seconds_total", "Time spent in steps.", true,
              s.step_seconds_total},
  };
  if (s.speculation == "off") return readings;
  readings.push_back({"hadal_drafted_tokens_total", "Guessed tokens that a step checked.", true,
                      static_cast<double>(s.drafted_tokens), std::string(s.speculation)});
  readings.push_back({"hadal_accepted_tokens_total", "Guessed tokens that were right.", true,
                      static_cast<double>(s.accepted_tokens), std::string(s.speculation)});
  return readings;
}

}  // namespace hadal::server
