#include "net/response_writer.h"

#include <utility>

#include "net/response_state.h"

namespace hadal {

ResponseWriter::ResponseWriter(std::shared_ptr<ResponseState> state) : state_(std::move(state)) {}
ResponseWriter::~ResponseWriter() { state_->Abandon(); }

void ResponseWriter::Send(int status, const Headers& headers, std::string body) {
  state_->Send(status, headers, std::move(body));
}
void ResponseWriter::StartStream(int status, const Headers& headers) {
  state_->StartStream(status, headers);
}
bool ResponseWriter::Write(std::string_view bytes) { return state_->Write(bytes); }
void ResponseWriter::Finish() { state_->Finish(); }
size_t ResponseWriter::queued_bytes() const { return state_->queued_bytes(); }
bool ResponseWriter::closed() const { return state_->closed(); }
bool ResponseWriter::stalled() const { return state_->stalled(); }
void ResponseWriter::OnClose(std::function<void()> call) { state_->OnClose(std::move(call)); }

}  // namespace hadal
