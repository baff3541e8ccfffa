// Preloaded, it answers for CUDA's runtime: the functions that the device module asks, for cards that
// are not there. And it guards libtorch's CPU half: what makes a tensor, seeds or counts devices
// before CUDA's half is open ends the process, since libtorch would keep CUDA off for good.
//
// STAND_IN_DRIVER: CUDA that the driver speaks, 13000 for 13.0 (the default); 0: no driver.
// STAND_IN_CARDS: cards (3). STAND_IN_CAPABILITY: theirs, 90 for 9.0 (the default).
// STAND_IN_MIG: 1 where they are parts of cards.
// STAND_IN_FREE: gigabytes free on each, "10,30,20" (the default).
// STAND_IN_DISPLAY: the card with a display (none). STAND_IN_BROKEN: cudaGetDeviceCount gives this.
// STAND_IN_GUARD: 1 to guard.
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>

namespace {
constexpr int RUNTIME = 13000;
int current = 0;
bool opened = false;

int number(const char* name, int otherwise) {
  const char* text = std::getenv(name);
  return text && *text ? std::atoi(text) : otherwise;
}
int driver() { return number("STAND_IN_DRIVER", RUNTIME); }
int cards() { return number("STAND_IN_CARDS", 3); }

void guard(const char* what) {
  if (number("STAND_IN_GUARD", 0) == 0 || opened) return;
  std::fprintf(stderr, "[guard: libtorch was asked for %s before CUDA's half was open]\n", what);
  std::abort();
}
template <typename Function> Function next(const char* name) {
  return reinterpret_cast<Function>(dlsym(RTLD_NEXT, name));
}
} // namespace

extern "C" {
void stand_in_opened() { opened = true; }

int cudaDriverGetVersion(int* version) { *version = driver(); return 0; }
int cudaRuntimeGetVersion(int* version) { *version = RUNTIME; return 0; }
int cudaGetDeviceCount(int* count) {
  if (int broken = number("STAND_IN_BROKEN", 0)) return broken;
  if (driver() < RUNTIME) return 35;
  *count = cards();
  return cards() == 0 ? 100 : 0;
}
int cudaGetDeviceProperties(void* properties, int device) {
  auto* bytes = static_cast<unsigned char*>(properties);
  const char* part = number("STAND_IN_MIG", 0) ? " MIG 1g.10gb" : "";
  std::snprintf(reinterpret_cast<char*>(bytes), 256, "Stand-in %d%s", device, part);
  std::memset(bytes + 256, 0x10 + device, 16);
  const std::size_t memory = 24000000000;
  std::memcpy(bytes + 288, &memory, sizeof memory);
  return 0;
}
int cudaDeviceGetAttribute(int* value, int attribute, int device) {
  const int capability = number("STAND_IN_CAPABILITY", 90);
  *value = attribute == 75   ? capability / 10
           : attribute == 76 ? capability % 10
           : attribute == 17 ? device == number("STAND_IN_DISPLAY", -1)
                             : 0;
  return 0;
}
int cudaSetDevice(int device) { current = device; return 0; }
int cudaMemGetInfo(std::size_t* free, std::size_t* total) {
  const char* text = std::getenv("STAND_IN_FREE");
  if (!text) text = "10,30,20";
  for (int card = 0; card < current && text; ++card) {
    text = std::strchr(text, ',');
    if (text) ++text;
  }
  *free = static_cast<std::size_t>(text ? std::atof(text) * 1e9 : 0);
  *total = 24000000000;
  return 0;
}
int cudaDeviceReset() {
  std::fprintf(stderr, "[card %d is given back]\n", current);
  return 0;
}
const char* cudaGetErrorName(int code) { return code == 802 ? "cudaErrorSystemNotReady" : "cudaErrorUnknown"; }
const char* cudaGetErrorString(int code) { return code == 802 ? "system not yet initialized" : "unknown error"; }

// c10::GetCPUAllocator(), at::detail::getDefaultCPUGenerator(), torch::cuda::device_count()
void* _ZN3c1015GetCPUAllocatorEv() {
  guard("a tensor");
  return next<void* (*)()>("_ZN3c1015GetCPUAllocatorEv")();
}
void* _ZN2at6detail22getDefaultCPUGeneratorEv() {
  guard("a seed");
  return next<void* (*)()>("_ZN2at6detail22getDefaultCPUGeneratorEv")();
}
std::size_t _ZN5torch4cuda12device_countEv() {
  guard("devices");
  return next<std::size_t (*)()>("_ZN5torch4cuda12device_countEv")();
}
}
