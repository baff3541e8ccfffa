// Stands in for CUDA's half of libtorch on a machine without a card: registers itself with the CPU
// half as the real one does, and has as many devices as it is told. It computes nothing.
//
// STAND_IN_CARDS: devices (3). STAND_IN_LOAD_SECONDS: how long loading takes (0).
#include <ATen/detail/CUDAHooksInterface.h>
#include <cstdio>
#include <cstdlib>
#include <dlfcn.h>
#include <unistd.h>

namespace {
int number(const char* name, int otherwise) {
  const char* text = std::getenv(name);
  return text ? std::atoi(text) : otherwise;
}
} // namespace

namespace at {
// libtorch looks for hooks of this very name.
struct CUDAHooks : CUDAHooksInterface {
  CUDAHooks(CUDAHooksArgs) {}
  c10::DeviceIndex deviceCount() const override {
    return static_cast<c10::DeviceIndex>(number("STAND_IN_CARDS", 3));
  }
  bool hasCUDA() const override { return true; }
};
REGISTER_CUDA_HOOKS(CUDAHooks)
} // namespace at

extern "C" const char* which_cudnn() __attribute__((weak));

__attribute__((constructor)) static void loaded() {
  if (int seconds = number("STAND_IN_LOAD_SECONDS", 0)) sleep(static_cast<unsigned>(seconds));
  // The guard in the preloaded stand-in allows tensors from here on.
  if (auto* opened = reinterpret_cast<void (*)()>(dlsym(RTLD_DEFAULT, "stand_in_opened"))) opened();
  std::fprintf(stderr, "[stand-in for libtorch_cuda is loaded]\n");
  if (which_cudnn) std::fprintf(stderr, "[cuDNN of %s]\n", which_cudnn());
}
