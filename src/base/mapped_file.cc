#include "base/mapped_file.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <mutex>
#include <vector>

namespace hadal {
namespace {

constexpr size_t kPage = 4096;

// The only process-wide state in Hadal: a signal handler can be given no argument. Entries are
// atomics, so that the handler reads them safely while another thread opens or closes a file.
struct Slot {
  std::atomic<uintptr_t> begin{0};  // 0 = free
  std::atomic<uintptr_t> end{0};
  std::atomic<bool> damaged{false};
};
constexpr uintptr_t kTaken = UINTPTR_MAX;  // as `begin`: no address is in it yet
constexpr int kSlots = 1024;               // DeepSeek-V3 ships 163 shards
Slot g_slots[kSlots];
struct sigaction g_previous;

void OnSigbus(int signal, siginfo_t* info, void* context) {
  const auto address = reinterpret_cast<uintptr_t>(info->si_addr);
  for (auto& slot : g_slots) {
    const uintptr_t begin = slot.begin.load(std::memory_order_acquire);
    const uintptr_t end = slot.end.load(std::memory_order_acquire);
    if (begin == 0 || address < begin || address >= end) continue;
    const uintptr_t page = address & ~uintptr_t{kPage - 1};
    slot.damaged.store(true, std::memory_order_release);
    // All that follows is cut off too. One mapping for it, because the system allows a process
    // only some 65 000, and one page at a time could need more.
    void* p = mmap(reinterpret_cast<void*>(page), end - page, PROT_READ,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    if (p != MAP_FAILED) return;
  }
  if (g_previous.sa_flags & SA_SIGINFO) {
    if (g_previous.sa_sigaction != nullptr) return g_previous.sa_sigaction(signal, info, context);
  }
  sigaction(SIGBUS, &g_previous, nullptr);  // not ours: die as without us
}

void InstallHandler() {
  static std::once_flag once;
  std::call_once(once, [] {
    struct sigaction action = {};
    action.sa_sigaction = OnSigbus;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    sigemptyset(&action.sa_mask);
    sigaction(SIGBUS, &action, &g_previous);
  });
}

int TakeSlot(const std::byte* data, size_t size) {
  const auto begin = reinterpret_cast<uintptr_t>(data);
  const uintptr_t mapped = (size + kPage - 1) & ~(kPage - 1);
  for (int i = 0; i < kSlots; ++i) {
    uintptr_t free_slot = 0;
    if (!g_slots[i].begin.compare_exchange_strong(free_slot, kTaken)) continue;
    g_slots[i].damaged.store(false);
    g_slots[i].end.store(begin + mapped);
    g_slots[i].begin.store(begin, std::memory_order_release);
    return i;
  }
  return -1;
}

}  // namespace

Result<std::unique_ptr<MappedFile>> MappedFile::Open(const std::filesystem::path& path) {
  InstallHandler();
  // Without O_NONBLOCK a FIFO would wait for its writer before it can be refused.
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) {
    return Fail(errno == ENOENT ? ErrorCode::kNotFound : ErrorCode::kIo, "{}: open failed: {}",
                path.string(), std::strerror(errno));
  }
  struct stat st;
  if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_size <= 0) {
    close(fd);
    return Fail(ErrorCode::kBadFile, "{}: empty or not a regular file", path.string());
  }
  const auto size = static_cast<size_t>(st.st_size);
  void* data = mmap(nullptr, size, PROT_READ, MAP_PRIVATE, fd, 0);
  const int map_errno = errno;
  if (data == MAP_FAILED) {
    close(fd);
    return Fail(ErrorCode::kIo, "{}: mmap of {} bytes failed: {}", path.string(), size,
                std::strerror(map_errno));
  }
  std::unique_ptr<MappedFile> file(new MappedFile());
  file->path_ = path;
  file->data_ = static_cast<const std::byte*>(data);
  file->size_ = size;
  file->written_ = st.st_mtim;
  file->fd_ = fd;
  file->slot_ = TakeSlot(file->data_, size);
  if (file->slot_ < 0) return Fail(ErrorCode::kBadFile, "more than {} files are mapped", kSlots);
  return file;
}

MappedFile::~MappedFile() {
  if (fd_ >= 0) close(fd_);
  // The slot first: the addresses may be another file's as soon as they are unmapped.
  if (slot_ >= 0) {
    g_slots[slot_].end.store(0);
    g_slots[slot_].begin.store(0, std::memory_order_release);
  }
  if (data_ != nullptr) munmap(const_cast<std::byte*>(data_), size_);
}

// A cut inside the last page raises no signal: the kernel shows zeros there. The size tells.
bool MappedFile::damaged() const {
  if (slot_ >= 0 && g_slots[slot_].damaged.load(std::memory_order_acquire)) return true;
  struct stat st;
  return fstat(fd_, &st) != 0 || static_cast<size_t>(st.st_size) < size_ ||
         st.st_mtim.tv_sec != written_.tv_sec || st.st_mtim.tv_nsec != written_.tv_nsec;
}

MappedFile::Pages MappedFile::PagesOf(std::span<const std::byte> bytes) const {
  const auto begin = static_cast<size_t>(bytes.data() - data_);
  return {begin & ~(kPage - 1), (begin + bytes.size() + kPage - 1) & ~(kPage - 1)};
}

bool MappedFile::AllowPast() const { return fcntl(fd_, F_SETFL, O_DIRECT) == 0; }

bool MappedFile::ReadPast(Pages pages, std::byte* out) const {
  size_t got = 0;
  // Only at the end of the file may a read be short.
  while (got < pages.bytes() && got % kPage == 0) {
    const ssize_t n =
        pread(fd_, out + got, pages.bytes() - got, static_cast<off_t>(pages.begin + got));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;
    got += static_cast<size_t>(n);
  }
  return pages.begin + got >= std::min(pages.end, size_);
}

bool MappedFile::Cached(Pages pages) const {
  std::vector<unsigned char> in_core(pages.bytes() / kPage);
  if (mincore(At(pages.begin), pages.bytes(), in_core.data()) != 0) return true;
  return std::ranges::all_of(in_core, [](unsigned char c) { return (c & 1) != 0; });
}

void MappedFile::Populate(Pages pages) const {
#if defined(MADV_POPULATE_READ)
  if (madvise(At(pages.begin), pages.bytes(), MADV_POPULATE_READ) == 0) return;
#endif
  madvise(At(pages.begin), pages.bytes(), MADV_WILLNEED);
}

void MappedFile::Release(Pages pages) const {
  // A refusal costs memory, nothing else.
  madvise(At(pages.begin), pages.bytes(), MADV_DONTNEED);
}

}  // namespace hadal
