//go:build torch

#include "guard.h"

#include <ATen/ATen.h>
#include <c10/core/CPUAllocator.h>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <mutex>
#include <unordered_map>

#include <sys/mman.h>

namespace {

// From here on a tensor has a block of its own; smaller ones are the C heap's.
constexpr size_t kLarge = 128 << 10;
// From here on a block is made of huge pages where the kernel has them.
constexpr size_t kHuge = 4 << 20;

// Blocks keeps the memory of large tensors that were freed for the next ones
// of about their size: the kernel would zero every page of it again. (glibc's
// heap can be told to keep memory too, but then holes between small things
// that stay are lost to large ones: a pack of 16,384 tokens took three times
// its memory.) All blocks together are at most 9/8 of what was in use at once.
class Blocks final : public at::Allocator {
 public:
  at::DataPtr allocate(size_t n) override {
    if (n == 0) return {nullptr, nullptr, &Blocks::release, at::kCPU};
    void *p = n < kLarge ? std::aligned_alloc(64, (n + 63) / 64 * 64) : large(n);
    TORCH_CHECK(p != nullptr, "can't allocate memory: ", n, " bytes for a tensor");
    return {p, p, &Blocks::release, at::kCPU};
  }

  at::DeleterFnPtr raw_deleter() const override { return &Blocks::release; }
  void copy_data(void *to, const void *from, size_t n) const override { default_copy_data(to, from, n); }

  void trim() {
    std::lock_guard<std::mutex> lock(mutex_);
    shrink(0);
    most_ = in_use_;
  }

  static Blocks &all() {
    static Blocks *blocks = new Blocks; // outlives every tensor
    return *blocks;
  }

 private:
  static void release(void *p) {
    if (p != nullptr && !all().give_back(p)) std::free(p);
  }

  // Sizes are rounded by an eighth at most, so that packs of about one length
  // share blocks. What of a block is never touched takes no memory.
  static size_t rounded(size_t n) {
    size_t step = 4096;
    while (step * 16 <= n) step *= 2;
    return (n + step - 1) / step * step;
  }

  void *large(size_t n) {
    std::lock_guard<std::mutex> lock(mutex_);
    size_t size = rounded(n);
    auto fit = idle_.lower_bound(size);
    if (fit != idle_.end() && fit->first <= 2 * size) {
      void *p = fit->second;
      use(fit->first), unused_ -= fit->first;
      idle_.erase(fit);
      return p;
    }
    size_t most = most_ / 8 * 9, whole = in_use_ + size;
    shrink(most > whole ? most - whole : 0);
    void *p = map(size);
    if (p == MAP_FAILED) {
      shrink(0);
      p = map(size);
    }
    if (p == MAP_FAILED) return nullptr;
    if (size >= kHuge) madvise(p, size, MADV_HUGEPAGE); // or else not: it is only faster
    sizes_[p] = size;
    use(size);
    return p;
  }

  bool give_back(void *p) {
    std::lock_guard<std::mutex> lock(mutex_);
    auto it = sizes_.find(p);
    if (it == sizes_.end()) return false;
    idle_.emplace(it->second, p);
    in_use_ -= it->second, unused_ += it->second;
    return true;
  }

  void use(size_t size) {
    in_use_ += size;
    most_ = std::max(most_, in_use_);
  }

  // Gives idle blocks back to the kernel, the largest first, until at most so many bytes are left.
  void shrink(size_t most) {
    while (unused_ > most) {
      auto last = std::prev(idle_.end());
      munmap(last->second, last->first);
      sizes_.erase(last->second);
      unused_ -= last->first;
      idle_.erase(last);
    }
  }

  static void *map(size_t size) { return mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0); }

  std::mutex mutex_;
  std::multimap<size_t, void *> idle_;
  std::unordered_map<void *, size_t> sizes_; // of all blocks
  size_t in_use_ = 0, unused_ = 0;           // bytes of blocks
  size_t most_ = 0;                          // that were in use at once, since the last trim
};

} // namespace

extern "C" {

void jr_keep_memory(void) {
  c10::SetCPUAllocator(&Blocks::all());
}

void jr_trim_memory(void) {
  Blocks::all().trim();
}

} // extern "C"
