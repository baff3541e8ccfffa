// What the Rust binding of libtorch leaves out, on libtorch's device-generic interfaces: no symbol of
// CUDA is named here, so that a program linked with libtorch's CPU half alone starts without a driver.
//
// Every function returns 0, or 1 with the reason in `message`; no exception leaves this file. The Rust
// side (shim.rs) is the only caller.

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Context.h>
#include <ATen/core/CachingHostAllocator.h>
#include <ATen/core/Tensor.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/core/function_schema.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/randn.h>
#include <ATen/record_function.h>
#include <c10/core/Allocator.h>
#include <c10/core/CPUAllocator.h>
#include <c10/core/CachingDeviceAllocator.h>
#include <c10/core/Event.h>
#include <c10/core/GradMode.h>
#include <c10/core/StreamGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <c10/core/impl/alloc_cpu.h>
#include <c10/util/ThreadLocalDebugInfo.h>
#include <torch/csrc/autograd/custom_function.h>

#ifdef __linux__
#include <sys/mman.h>
#include <unistd.h>
#endif

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <tuple>
#include <unordered_map>
#include <vector>

namespace {

void tell(const char* text, char* message, size_t capacity) noexcept {
  if (capacity == 0) return;
  const size_t length = std::min(std::strlen(text), capacity - 1);
  std::memcpy(message, text, length);
  message[length] = '\0';
}

template <typename Body>
int guarded(char* message, size_t capacity, Body&& body) noexcept {
  try {
    body();
    return 0;
  } catch (const c10::Error& error) {
    tell(error.what_without_backtrace(), message, capacity);
  } catch (const std::exception& error) {
    tell(error.what(), message, capacity);
  } catch (...) {
    tell("an exception that says nothing", message, capacity);
  }
  return 1;
}

// Asks no hooks: libtorch keeps CUDA off for good once they have been asked before its CUDA half is there.
void require_cuda() {
  TORCH_CHECK(
      c10::impl::hasDeviceGuardImpl(c10::kCUDA),
      "CUDA is not open in this process: its half of libtorch has not been loaded");
}

c10::DeviceAllocator& allocator() {
  require_cuda();
  return *c10::getDeviceAllocator(c10::kCUDA);
}

c10::impl::VirtualGuardImpl cuda() {
  require_cuda();
  return c10::impl::VirtualGuardImpl(c10::kCUDA);
}

c10::Device card(int index) {
  return c10::Device(c10::kCUDA, static_cast<c10::DeviceIndex>(index));
}

// ---- Memory of the host, kept for the next tensor ----

// The system clears all memory that it hands out, which costs a fifth of the time of decoding where
// every layer's tensors are new. Large blocks are kept here instead, for tensors of nearly their size; what
// a tensor does not need of its block goes back to the system. What lives and what is kept together pass
// what was asked for at once before by a thirty-second part at the most: a process that keeps memory is
// hardly larger than one that does not.
class KeepingAllocator final : public c10::Allocator {
 public:
  static KeepingAllocator& only() {
    // Never destroyed: tensors may go after everything else.
    static auto* allocator = new KeepingAllocator;
    return *allocator;
  }

  c10::DataPtr allocate(size_t bytes) override {
    void* data = bytes < smallest ? c10::alloc_cpu(bytes) : take(bytes);
    c10::profiledCPUMemoryReporter().New(data, bytes);
    return {data, data, &drop, c10::Device(c10::kCPU)};
  }

  c10::DeleterFnPtr raw_deleter() const override { return &drop; }

  void copy_data(void* to, const void* from, size_t bytes) const override {
    default_copy_data(to, from, bytes);
  }

  void limit(size_t bytes) {
    const std::lock_guard<std::mutex> lock(mutex);
    most = bytes;
    make_room(bytes);
  }

  void release() {
    const std::lock_guard<std::mutex> lock(mutex);
    make_room(0);
    peak = live - waste;
  }

  size_t bytes_kept() {
    const std::lock_guard<std::mutex> lock(mutex);
    return kept;
  }

 private:
  // Smaller blocks the C library keeps by itself.
  static constexpr size_t smallest = size_t{2} << 20;

  std::mutex mutex;
  struct Block {
    size_t size, asked;
  };
  std::unordered_map<void*, Block> living;
  std::multimap<size_t, void*> free;
  // Bytes of blocks in use, how many of them nobody asked for, bytes of free blocks, the most that was
  // asked for at once, and the most that may be free.
  size_t live = 0, waste = 0, kept = 0, peak = 0, most = 0;

  void* take(size_t bytes) {
    const std::lock_guard<std::mutex> lock(mutex);
    size_t size = bytes;
    void* data = nullptr;
    const auto found = free.lower_bound(bytes);
    if (found != free.end() && found->first - bytes <= bytes / 4) {
      std::tie(size, data) = *found;
      free.erase(found);
      kept -= size;
      if (waste + (size - bytes) > peak / 32) size = shrink(data, size, bytes);
    } else {
      make_room(peak > live + bytes ? peak - live - bytes : 0);
      try {
        data = c10::alloc_cpu(bytes);
      } catch (...) {
        if (kept == 0) throw;
        make_room(0);
        data = c10::alloc_cpu(bytes);
      }
    }
    living.emplace(data, Block{size, bytes});
    live += size;
    waste += size - bytes;
    peak = std::max(peak, live - waste);
    return data;
  }

  // Gives the pages of a block back that lie behind its first `bytes`; their addresses stay its own. What
  // the block holds from then on.
  static size_t shrink(void* data, size_t size, size_t bytes) {
#ifdef __linux__
    const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
    const size_t begin = reinterpret_cast<size_t>(data);
    const size_t from = (begin + bytes + page - 1) / page * page, to = (begin + size) / page * page;
    if (from < to && madvise(reinterpret_cast<void*>(from), to - from, MADV_DONTNEED) == 0) return bytes;
#endif
    return size;
  }

  // Gives blocks back until at most so many bytes are kept: the smallest that is enough, else the largest.
  void make_room(size_t bytes) {
    while (kept > bytes) {
      auto gone = free.lower_bound(kept - bytes);
      if (gone == free.end()) --gone;
      kept -= gone->first;
      c10::free_cpu(gone->second);
      free.erase(gone);
    }
  }

  bool keep(void* data) {
    const std::lock_guard<std::mutex> lock(mutex);
    const auto found = living.find(data);
    if (found == living.end()) return false;
    const auto [size, asked] = found->second;
    living.erase(found);
    live -= size;
    waste -= size - asked;
    if (size > most) return false;
    make_room(most - size);
    free.emplace(size, data);
    kept += size;
    return true;
  }

  static void drop(void* data) {
    if (data == nullptr) return;
    c10::profiledCPUMemoryReporter().Delete(data);
    if (!only().keep(data)) c10::free_cpu(data);
  }
};

// ---- Products of matrices on a processor ----

using LinearPointwise = at::Tensor(
    const at::Tensor&, const at::Tensor&, const std::optional<at::Tensor>&, std::string_view,
    c10::List<std::optional<at::Scalar>>, std::optional<std::string_view>);

// oneDNN's x·Wᵀ + b, with the tanh form of GELU behind it where asked for, in one pass.
at::Tensor onednn_linear(
    const at::Tensor& x, const at::Tensor& weight, const std::optional<at::Tensor>& bias, bool gelu) {
  static const auto linear =
      c10::Dispatcher::singleton().findSchemaOrThrow("mkldnn::_linear_pointwise", "").typed<LinearPointwise>();
  const c10::List<std::optional<at::Scalar>> none;
  return linear.call(x, weight, bias, gelu ? "gelu" : "none", none, gelu ? "tanh" : "");
}

// The same for a weight and a bias that are not trained.
struct FrozenLinear : torch::autograd::Function<FrozenLinear> {
  static at::Tensor forward(
      torch::autograd::AutogradContext* context, const at::Tensor& x, const at::Tensor& weight,
      const std::optional<at::Tensor>& bias) {
    context->save_for_backward({weight});
    return onednn_linear(x, weight, bias, false);
  }

  static torch::autograd::variable_list backward(
      torch::autograd::AutogradContext* context, torch::autograd::variable_list gradients) {
    TORCH_CHECK(!c10::GradMode::is_enabled(), "a frozen layer has no second derivative");
    const auto weight = context->get_saved_variables()[0];
    return {onednn_linear(gradients[0], weight.t(), std::nullopt, false), at::Tensor(), at::Tensor()};
  }
};

// ---- Live bytes ----

struct Live : c10::MemoryReportingInfoBase {
  std::atomic<int64_t> now{0}, peak{0};

  void reportMemoryUsage(void*, int64_t bytes, size_t, size_t, c10::Device) override {
    const int64_t live = now.fetch_add(bytes) + bytes;
    int64_t seen = peak.load();
    while (live > seen && !peak.compare_exchange_weak(seen, live)) {
    }
  }
  bool memoryProfilingEnabled() const override { return true; }
};

struct LiveScope {
  std::shared_ptr<Live> live = std::make_shared<Live>();
  c10::DebugInfoGuard guard{c10::DebugInfoKind::PROFILER_STATE, live};
};

// ---- Traffic ----

struct Moved {
  int64_t calls = 0, read = 0, written = 0;
};

struct TrafficScope {
  std::map<std::string, Moved> operators;
  // Operators that have begun and not ended: what they call themselves is not counted again.
  int64_t depth = 0;
  at::CallbackHandle callback = at::INVALID_CALLBACK_HANDLE;
};

thread_local TrafficScope* traffic = nullptr;

// Bytes that a tensor names: an expanded axis is one number in memory.
int64_t bytes_of(const at::Tensor& tensor) {
  if (!tensor.defined() || tensor.is_sparse()) return 0;
  int64_t count = tensor.element_size();
  for (int64_t axis = 0; axis < tensor.dim(); axis++) {
    count *= tensor.stride(axis) == 0 ? std::min<int64_t>(tensor.size(axis), 1) : tensor.size(axis);
  }
  return count;
}

template <typename Visit>
void each_tensor(const c10::IValue& value, Visit&& visit) {
  if (value.isTensor()) {
    visit(value.toTensor());
  } else if (value.isTensorList()) {
    for (const at::Tensor& tensor : value.toTensorVector()) visit(tensor);
  } else if (value.isOptionalTensorList()) {
    for (const std::optional<at::Tensor>& tensor : value.toOptionalTensorVector()) {
      if (tensor) visit(*tensor);
    }
  }
}

// What an operator was called with.
struct Call : at::ObserverContext {
  bool outermost = false;
  // It writes into what it was given.
  bool writes = false;
  int64_t read = 0;
  std::vector<const c10::StorageImpl*> memory;
};

// Operators that give their first tensor new contents without looking at the old.
bool overwrites(const std::string& name) {
  for (const char* known : {"aten::copy_", "aten::fill_", "aten::zero_", "aten::normal_"}) {
    if (name == known) return true;
  }
  return false;
}

std::unique_ptr<at::ObserverContext> begin_operator(const at::RecordFunction& function) {
  auto call = std::make_unique<Call>();
  if (traffic == nullptr) return call;
  call->outermost = traffic->depth++ == 0;
  if (!call->outermost) return call;
  const auto schema = function.operator_schema();
  const bool fresh = overwrites(function.name());
  std::vector<const c10::TensorImpl*> seen;
  const auto inputs = function.inputs();
  for (size_t index = 0; index < inputs.size(); index++) {
    bool written = false, out = false;
    if (schema && index < schema->arguments().size()) {
      const auto& argument = schema->arguments()[index];
      written = argument.alias_info() != nullptr && argument.alias_info()->isWrite();
      out = written && argument.is_out();
    }
    call->writes |= written;
    each_tensor(inputs[index], [&](const at::Tensor& tensor) {
      if (!tensor.defined() || !tensor.has_storage()) return;
      call->memory.push_back(tensor.storage().unsafeGetStorageImpl());
      const bool again = std::find(seen.begin(), seen.end(), tensor.unsafeGetTensorImpl()) != seen.end();
      seen.push_back(tensor.unsafeGetTensorImpl());
      if (!again && !out && !(written && fresh)) call->read += bytes_of(tensor);
    });
  }
  return call;
}

void end_operator(const at::RecordFunction& function, at::ObserverContext* context) {
  if (traffic == nullptr) return;
  traffic->depth--;
  const auto* call = static_cast<const Call*>(context);
  if (call == nullptr || !call->outermost) return;
  int64_t written = 0;
  bool view = !call->writes;
  for (const auto& output : function.outputs()) {
    each_tensor(output, [&](const at::Tensor& tensor) {
      if (!tensor.defined() || !tensor.has_storage()) return;
      written += bytes_of(tensor);
      const auto* memory = tensor.storage().unsafeGetStorageImpl();
      view &= std::find(call->memory.begin(), call->memory.end(), memory) != call->memory.end();
    });
  }
  // Neither does one that only makes room move anything.
  const std::string name = function.name();
  if (view || name.rfind("aten::empty", 0) == 0) return;
  Moved& moved = traffic->operators[name];
  moved.calls++;
  moved.read += call->read;
  moved.written += written;
}

}  // namespace

extern "C" {

int wan_alpha_memory_info(int device, uint64_t* free, uint64_t* total, char* message, size_t capacity) {
  return guarded(message, capacity, [&] {
    const auto [left, all] = allocator().getMemoryInfo(static_cast<c10::DeviceIndex>(device));
    *free = left;
    *total = all;
  });
}

// allocated, its peak, reserved, its peak, retries, out of memory
int wan_alpha_allocator_statistics(int device, int64_t* numbers, char* message, size_t capacity) {
  return guarded(message, capacity, [&] {
    constexpr auto all = static_cast<size_t>(c10::CachingAllocator::StatType::AGGREGATE);
    const auto found = allocator().getDeviceStats(static_cast<c10::DeviceIndex>(device));
    numbers[0] = found.allocated_bytes[all].current;
    numbers[1] = found.allocated_bytes[all].peak;
    numbers[2] = found.reserved_bytes[all].current;
    numbers[3] = found.reserved_bytes[all].peak;
    numbers[4] = found.num_alloc_retries;
    numbers[5] = found.num_ooms;
  });
}

int wan_alpha_reset_peak(int device, char* message, size_t capacity) {
  return guarded(message, capacity, [&] {
    allocator().resetPeakStats(static_cast<c10::DeviceIndex>(device));
  });
}

int wan_alpha_empty_cache(char* message, size_t capacity) {
  return guarded(message, capacity, [&] {
    allocator().emptyCache();
    at::getHostAllocator(at::kCUDA)->empty_cache();
  });
}

int wan_alpha_keep_freed_memory(size_t most, char* message, size_t capacity) {
  return guarded(message, capacity, [&] {
    auto& allocator = KeepingAllocator::only();
    allocator.limit(most);
    c10::SetCPUAllocator(&allocator, 1);
  });
}

void wan_alpha_release_freed_memory() {
  KeepingAllocator::only().release();
}

size_t wan_alpha_freed_memory() {
  return KeepingAllocator::only().bytes_kept();
}

int wan_alpha_stream_new(int device, int high_priority, void** stream, char* message, size_t capacity) {
  return guarded(message, capacity, [&] {
    *stream = new c10::Stream(cuda().getStreamFromGlobalPool(card(device), high_priority != 0));
  });
}

int wan_alpha_stream_current(int device, void** stream, char* message, size_t capacity) {
  return guarded(message, capacity, [&] { *stream = new c10::Stream(cuda().getStream(card(device))); });
}

int wan_alpha_stream_synchronize(const void* stream, char* message, size_t capacity) {
  return guarded(message, capacity, [&] { static_cast<const c10::Stream*>(stream)->synchronize(); });
}

void wan_alpha_stream_drop(void* stream) {
  delete static_cast<c10::Stream*>(stream);
}

int wan_alpha_event_new(void** event, char* message, size_t capacity) {
  return guarded(message, capacity, [&] {
    require_cuda();
    *event = new c10::Event(c10::kCUDA);
  });
}

int wan_alpha_event_record(void* event, const void* stream, char* message, size_t capacity) {
  return guarded(message, capacity, [&] {
    static_cast<c10::Event*>(event)->record(*static_cast<const c10::Stream*>(stream));
  });
}

int wan_alpha_event_query(const void* event, int* passed, char* message, size_t capacity) {
  return guarded(message, capacity, [&] { *passed = static_cast<const c10::Event*>(event)->query(); });
}

int wan_alpha_event_synchronize(const void* event, char* message, size_t capacity) {
  return guarded(message, capacity, [&] { static_cast<const c10::Event*>(event)->synchronize(); });
}

int wan_alpha_stream_wait(const void* stream, const void* event, char* message, size_t capacity) {
  return guarded(message, capacity, [&] {
    static_cast<const c10::Event*>(event)->block(*static_cast<const c10::Stream*>(stream));
  });
}

void wan_alpha_event_drop(void* event) {
  delete static_cast<c10::Event*>(event);
}

int wan_alpha_copy(const void* to, const void* from, const void* stream, char* message, size_t capacity) {
  return guarded(message, capacity, [&] {
    const auto& target = *static_cast<const at::Tensor*>(to);
    const auto& source = *static_cast<const at::Tensor*>(from);
    const auto& queue = *static_cast<const c10::Stream*>(stream);
    TORCH_CHECK(
        target.sizes() == source.sizes(),
        "a copy to ", target.sizes(), " from ", source.sizes(), ": the shapes must be the same");
    const auto guard_of_device = cuda();
    c10::StreamGuard guard(queue);
    c10::AutoGradMode no_gradients(false);
    target.copy_(source, /*non_blocking=*/true);
    // The allocator gives neither memory away before the copy has ended.
    for (const at::Tensor* tensor : {&target, &source}) {
      if (tensor->is_cuda()) {
        guard_of_device.recordDataPtrOnStream(tensor->storage().data_ptr(), queue);
      }
    }
  });
}

int wan_alpha_pinned(int64_t bytes, void** tensor, char* message, size_t capacity) {
  return guarded(message, capacity, [&] {
    require_cuda();
    *tensor = new at::Tensor(at::empty({bytes}, at::TensorOptions().dtype(at::kByte).pinned_memory(true)));
  });
}

int wan_alpha_gradients_enabled() {
  return c10::GradMode::is_enabled();
}

int wan_alpha_generator_new(uint64_t seed, void** generator, char* message, size_t capacity) {
  return guarded(message, capacity, [&] {
    *generator = new at::Generator(at::detail::createCPUGenerator(seed));
  });
}

int wan_alpha_generator_randn(
    void* generator, const int64_t* sizes, size_t axes, void** tensor, char* message, size_t capacity) {
  return guarded(message, capacity, [&] {
    *tensor = new at::Tensor(at::randn(
        at::IntArrayRef(sizes, axes), *static_cast<at::Generator*>(generator),
        at::TensorOptions(at::kFloat).device(at::kCPU)));
  });
}

void wan_alpha_generator_free(void* generator) {
  delete static_cast<at::Generator*>(generator);
}

int wan_alpha_has_onednn_linear() {
  try {
    return at::globalContext().userEnabledMkldnn() &&
        c10::Dispatcher::singleton().findSchema({"mkldnn::_linear_pointwise", ""}).has_value();
  } catch (...) {
    return 0;
  }
}

int wan_alpha_onednn_linear(
    const void* x, const void* weight, const void* bias, int gelu, void** product, char* message, size_t capacity) {
  return guarded(message, capacity, [&] {
    const auto& input = *static_cast<const at::Tensor*>(x);
    const auto& matrix = *static_cast<const at::Tensor*>(weight);
    std::optional<at::Tensor> added;
    if (bias != nullptr) added = *static_cast<const at::Tensor*>(bias);
    const bool kept = c10::GradMode::is_enabled() && input.requires_grad();
    TORCH_CHECK(!(kept && gelu != 0), "a layer whose gradient is wanted takes its GELU apart");
    *product = new at::Tensor(
        kept ? FrozenLinear::apply(input, matrix, added) : onednn_linear(input, matrix, added, gelu != 0));
  });
}

// 0 math attention, 1 TF32 of convolutions, 2 TF32 of matrix products, 3 sums of bfloat16 in bfloat16,
// 4 deterministic cuDNN
int wan_alpha_switch_get(int which, int* on, char* message, size_t capacity) {
  return guarded(message, capacity, [&] {
    const auto& context = at::globalContext();
    const auto tf32 = [&](at::Float32Op operation) {
      return context.float32Precision(at::Float32Backend::CUDA, operation) == at::Float32Precision::TF32;
    };
    switch (which) {
      case 0: *on = context.userEnabledMathSDP(); break;
      case 1: *on = context.allowTF32CuDNN(at::Float32Op::CONV); break;
      case 2: *on = tf32(at::Float32Op::MATMUL); break;
      case 3:
        *on = context.allowBF16ReductionCuBLAS() == at::CuBLASReductionOption::AllowReducedPrecisionWithSplitK;
        break;
      case 4: *on = context.deterministicCuDNN(); break;
      default: TORCH_CHECK(false, "no switch ", which);
    }
  });
}

int wan_alpha_switch_set(int which, int on, char* message, size_t capacity) {
  return guarded(message, capacity, [&] {
    auto& context = at::globalContext();
    switch (which) {
      case 0: context.setSDPUseMath(on != 0); break;
      case 1: context.setAllowTF32CuDNN(on != 0); break;
      case 2: context.setAllowTF32CuBLAS(on != 0); break;
      case 3: context.setAllowBF16ReductionCuBLAS(on != 0); break;
      case 4: context.setDeterministicCuDNN(on != 0); break;
      default: TORCH_CHECK(false, "no switch ", which);
    }
  });
}

int wan_alpha_live_bytes_begin(void** scope, char* message, size_t capacity) {
  return guarded(message, capacity, [&] { *scope = new LiveScope(); });
}

void wan_alpha_live_bytes_read(const void* scope, int64_t* peak, int64_t* now) {
  const auto& live = *static_cast<const LiveScope*>(scope)->live;
  *peak = live.peak.load();
  *now = live.now.load();
}

void wan_alpha_live_bytes_end(void* scope) {
  delete static_cast<LiveScope*>(scope);
}

int wan_alpha_traffic_begin(void** scope, char* message, size_t capacity) {
  return guarded(message, capacity, [&] {
    TORCH_CHECK(traffic == nullptr, "what operators move is being counted on this thread already");
    auto made = std::make_unique<TrafficScope>();
    made->callback = at::addThreadLocalCallback(at::RecordFunctionCallback(begin_operator, end_operator)
                                                    .needsInputs(true)
                                                    .needsOutputs(true)
                                                    .scopes({at::RecordScope::FUNCTION}));
    traffic = made.get();
    *scope = made.release();
  });
}

// Of the operator at `index` in the order of names; 1 past the last.
int wan_alpha_traffic_operator(const void* scope, size_t index, int64_t* numbers, char* name, size_t capacity) {
  return guarded(name, capacity, [&] {
    const auto& operators = static_cast<const TrafficScope*>(scope)->operators;
    TORCH_CHECK(index < operators.size(), "no operator ", index);
    const auto& [found, moved] = *std::next(operators.begin(), static_cast<ptrdiff_t>(index));
    tell(found.c_str(), name, capacity);
    numbers[0] = moved.calls;
    numbers[1] = moved.read;
    numbers[2] = moved.written;
  });
}

size_t wan_alpha_traffic_operators(const void* scope) {
  return static_cast<const TrafficScope*>(scope)->operators.size();
}

void wan_alpha_traffic_end(void* scope) {
  auto* ended = static_cast<TrafficScope*>(scope);
  traffic = nullptr;
  at::removeCallback(ended->callback);
  delete ended;
}

}  // extern "C"
