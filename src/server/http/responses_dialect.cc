#include "server/http/responses_dialect.h"

#include <utility>

#include "base/clock.h"
#include "server/http/request_id.h"
#include "server/http/responses_request.h"
#include "server/http/responses_response.h"

namespace hadal::server {

Result<ParsedRequest> ParseResponses(Json body, const RequestRules& rules) {
  HADAL_TRY(ResponsesRequest parsed, ParseResponsesRequest(std::move(body), rules));
  ParsedRequest out;
  out.writer = std::make_unique<ResponsesWriter>(
      ResponsesHead{.id = "resp_" + NewUuid(),
                    .created = UnixSeconds(),
                    .model = parsed.request.model,
                    .echo = std::move(parsed.echo),
                    .stream = parsed.stream,
                    .logprobs = parsed.request.sampling.logprobs});
  out.request = std::move(parsed.request);
  out.in_client_words = [shape = std::move(parsed.shape)](Error error) {
    return InResponsesWords(shape, std::move(error));
  };
  return out;
}

}  // namespace hadal::server
