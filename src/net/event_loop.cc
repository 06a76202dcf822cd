#include "net/event_loop.h"

#include <unistd.h>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <exception>
#include <utility>

namespace hadal {

namespace asio = boost::asio;
using boost::system::error_code;

struct EventLoop::Impl {
  asio::io_context context{1};
};

EventLoop::EventLoop() = default;

Result<std::unique_ptr<EventLoop>> EventLoop::New() {
  std::unique_ptr<EventLoop> loop(new EventLoop);
  try {
    loop->impl_ = std::make_unique<Impl>();
  } catch (const std::exception& e) {
    return Fail(ErrorCode::kIo, "the event loop did not start: {}", e.what());
  }
  return loop;
}

EventLoop::~EventLoop() = default;

void EventLoop::Run() {
  auto work = asio::make_work_guard(impl_->context);
  impl_->context.run();
  // Calls posted before Stop may hold the last reference to what they would act on.
  impl_->context.restart();
  impl_->context.poll();
}

void EventLoop::Stop() { impl_->context.stop(); }

void EventLoop::Post(std::function<void()> call) { asio::post(impl_->context, std::move(call)); }

void EventLoop::RunAfter(Duration delay, std::function<void()> call) {
  auto timer = std::make_shared<asio::steady_timer>(impl_->context, delay);
  timer->async_wait([timer, call = std::move(call)](error_code ec) {
    if (!ec) call();
  });
}

struct SocketWatch::Impl {
  asio::posix::stream_descriptor descriptor;
};

SocketWatch::SocketWatch(EventLoop& loop, int fd)
    : fd_(fd), impl_(new Impl{asio::posix::stream_descriptor(loop.impl_->context)}) {
  error_code ec;
  impl_->descriptor.assign(fd, ec);
  if (!ec) return;
  close(fd);
  fd_ = -1;
}

SocketWatch::~SocketWatch() { Close(); }

void SocketWatch::WaitReadable(std::function<void()> call) {
  impl_->descriptor.async_wait(asio::posix::descriptor_base::wait_read,
                               [call = std::move(call)](error_code ec) {
                                 if (ec != asio::error::operation_aborted) call();
                               });
}

void SocketWatch::WaitWritable(std::function<void()> call) {
  impl_->descriptor.async_wait(asio::posix::descriptor_base::wait_write,
                               [call = std::move(call)](error_code ec) {
                                 if (ec != asio::error::operation_aborted) call();
                               });
}

void SocketWatch::Close() {
  error_code ignored;
  impl_->descriptor.close(ignored);
}

}  // namespace hadal
