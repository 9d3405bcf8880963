//go:build torch

// The CUDA half of libtorch is a library of its own, of gigabytes with what it
// needs: the program is not linked against it, and loads it when a device asks.

#include "guard.h"

#include <ATen/Context.h>
#include <ATen/Parallel.h>

#include <string>

#include <dlfcn.h>
#include <unistd.h>

namespace {

// The folder of libtorch_cpu.so, with a slash at its end.
std::string folder() {
  Dl_info info;
  TORCH_CHECK(dladdr(reinterpret_cast<void *>(&at::set_num_threads), &info) != 0, "cannot tell where libtorch_cpu.so was loaded from");
  std::string path(info.dli_fname);
  return path.substr(0, path.find_last_of('/') + 1);
}

// Only by its full path: one of another build found elsewhere would crash.
void load(const std::string &path) {
  TORCH_CHECK(access(path.c_str(), R_OK) == 0, "this libtorch has no CUDA half, ", path,
              " is not there: build with LIBTORCH=DIR, the torch folder of a PyTorch with CUDA, or use --device cpu");
  if (dlopen(path.c_str(), RTLD_NOW | RTLD_GLOBAL) != nullptr) return;
  std::string why(dlerror());
  TORCH_CHECK(false, "cannot load the CUDA half of libtorch, ", path, ": ", why,
              " (looked for beside it, in ../../nvidia/*/lib as in a PyTorch wheel, and in LD_LIBRARY_PATH)");
}

} // namespace

extern "C" char *jr_load_cuda(int *devices) {
  return jr::guard([&] {
    std::string dir = folder();
    // The smaller first: the name of what it lacks is the plainest.
    load(dir + "libc10_cuda.so");
    load(dir + "libtorch_cuda.so");
    const auto &hooks = at::detail::getCUDAHooks();
    // Whatever in libtorch asked for them first, before the half was there, has the
    // answer fixed.
    TORCH_CHECK(hooks.hasCUDART(), "libtorch has settled on the CPU in this process and cannot turn to CUDA any more");
    *devices = static_cast<int>(hooks.deviceCount());
  });
}
