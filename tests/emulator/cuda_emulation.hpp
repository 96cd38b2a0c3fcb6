// The part of CUDA C++ that kernels use, on one processor thread.
//
// Each thread of a block is run to its end before the next one starts; one that reaches a barrier
// or a warp primitive is left where it is (a fiber keeps its stack) until all others are there.
// Blocks run one after the other.  What is undefined on a GPU is reported as an error.

#pragma once

#include <csetjmp>
#include <csignal>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <sys/mman.h>
#include <type_traits>
#include <ucontext.h>
#include <utility>
#include <vector>

#define __CUDACC__ 1
#define __CUDA_ARCH__ 900
#define __global__ __attribute__((noinline))
#define __device__
#define __host__
#define __forceinline__ inline __attribute__((always_inline))
#define __noinline__ __attribute__((noinline))
#define __launch_bounds__(...)
#define __restrict__ __restrict
#define __align__(n) alignas(n)
#define __constant__ static
#ifdef EMULATION_PLAIN_SHARED
#define __shared__ static
#else  // in a section of its own, so that every block can find it filled with garbage
#define __shared__ static __attribute__((section("emulated_shared")))
#endif

// ---- Vector types -------------------------------------------------------------------------

#define EMULATION_VECTORS(type, name, wide)                                                \
  struct name##1 { type x; };                                                              \
  struct alignas(2 * sizeof(type)) name##2 { type x, y; };                                 \
  struct name##3 { type x, y, z; };                                                        \
  struct alignas(wide) name##4 { type x, y, z, w; };                                       \
  inline name##1 make_##name##1(type x) { return {x}; }                                    \
  inline name##2 make_##name##2(type x, type y) { return {x, y}; }                         \
  inline name##3 make_##name##3(type x, type y, type z) { return {x, y, z}; }              \
  inline name##4 make_##name##4(type x, type y, type z, type w) { return {x, y, z, w}; }

EMULATION_VECTORS(signed char, char, 4)
EMULATION_VECTORS(unsigned char, uchar, 4)
EMULATION_VECTORS(short, short, 8)
EMULATION_VECTORS(unsigned short, ushort, 8)
EMULATION_VECTORS(int, int, 16)
EMULATION_VECTORS(unsigned int, uint, 16)
EMULATION_VECTORS(long long, longlong, 16)
EMULATION_VECTORS(unsigned long long, ulonglong, 16)
EMULATION_VECTORS(float, float, 16)
EMULATION_VECTORS(double, double, 16)
#undef EMULATION_VECTORS

struct dim3 { unsigned int x = 1, y = 1, z = 1; };

static uint3 threadIdx, blockIdx;
static dim3 blockDim, gridDim;
static const int warpSize = 32;

// ---- Fibers -------------------------------------------------------------------------------

namespace emulation {

enum class State { fresh, ready, barrier, warp, done };
enum class WarpOp { sync, ballot, any, all, indexed, up, down, exclusive };

struct Thread {
  State state;
  int fiber;
  int line;           // of the barrier or warp primitive it waits at
  int verdict;        // what the barrier is told, for __syncthreads_count and its kin
  WarpOp op;
  int operand, width;
  std::uint64_t given, received;
};

struct Fiber {
  ucontext_t start;
  jmp_buf context;
  bool started;
  int thread;         // that it has been running, -1: idle
  char *stack;
};

constexpr std::size_t stack_bytes = 512 * 1024;
constexpr std::uint64_t no_lane = 0xBAADF00DBAADF00Dull;

static std::vector<Thread> threads;
static std::vector<Fiber *> fibers;
static std::vector<int> idle;
static jmp_buf scheduler;
static int current = 0;        // the running thread of the block
static int next_fresh = 0;
static int barrier_count = 0;  // threads whose verdict at the last barrier was not 0
static char message[512];
static bool failed = false;
static void (*kernel_call)(void **) = nullptr;
static void **kernel_arguments = nullptr;
static void *dynamic_shared = nullptr;

extern "C" {
extern char __start_emulated_shared[] __attribute__((weak, visibility("hidden")));
extern char __stop_emulated_shared[] __attribute__((weak, visibility("hidden")));
}

static void place(int thread) {
  current = thread;
  unsigned int t = static_cast<unsigned int>(thread);
  threadIdx.x = t % blockDim.x;
  threadIdx.y = t / blockDim.x % blockDim.y;
  threadIdx.z = t / blockDim.x / blockDim.y;
}

__attribute__((noinline)) static void switch_context(jmp_buf &from, jmp_buf &to) {
  if (_setjmp(from) == 0) _longjmp(to, 1);
}

// What a fiber does for ever: run threads that have not started yet, then wait for another block.
static void fiber_main(int index) {
  Fiber &self = *fibers[static_cast<std::size_t>(index)];
  for (;;) {
    while (next_fresh < static_cast<int>(threads.size())) {
      const int mine = next_fresh++;
      place(mine);
      threads[mine].state = State::ready;
      threads[mine].fiber = index;
      self.thread = mine;
      kernel_call(kernel_arguments);
      threads[mine].state = State::done;
    }
    self.thread = -1;
    idle.push_back(index);
    switch_context(self.context, scheduler);
  }
}

__attribute__((noinline)) static void enter(int index) {
  Fiber &fiber = *fibers[static_cast<std::size_t>(index)];
  if (_setjmp(scheduler) != 0) return;
  if (fiber.started) _longjmp(fiber.context, 1);
  fiber.started = true;
  setcontext(&fiber.start);
}

static int free_fiber() {
  if (!idle.empty()) {
    const int index = idle.back();
    idle.pop_back();
    return index;
  }
  const int index = static_cast<int>(fibers.size());
  Fiber *fiber = new Fiber{};
  const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
  fiber->stack = static_cast<char *>(
      mmap(nullptr, stack_bytes, PROT_READ | PROT_WRITE, flags, -1, 0));
  if (fiber->stack == MAP_FAILED) std::abort();
  mprotect(fiber->stack, 4096, PROT_NONE);
  getcontext(&fiber->start);
  fiber->start.uc_stack.ss_sp = fiber->stack;
  fiber->start.uc_stack.ss_size = stack_bytes;
  fiber->start.uc_link = nullptr;
  makecontext(&fiber->start, reinterpret_cast<void (*)()>(fiber_main), 1, index);
  fibers.push_back(fiber);
  return index;
}

static void wait(State state, int line) {
  Thread &mine = threads[static_cast<std::size_t>(current)];
  mine.state = state;
  mine.line = line;
  switch_context(fibers[static_cast<std::size_t>(mine.fiber)]->context, scheduler);
  asm volatile("" ::: "memory");
}

template <class... A>
static bool fail(const char *format, A... a) {
  if (!failed) std::snprintf(message, sizeof message, format, a...);
  failed = true;
  return false;
}

// Let a warp go on whose lanes all wait at one warp primitive.
static bool release_warp(int first, int last) {
  const Thread &one = threads[first];
  std::uint64_t ballot = 0;
  for (int t = first; t < last; ++t) {
    const Thread &lane = threads[t];
    if (lane.state == State::done)
      return fail("a warp primitive is divergent: thread %d has returned", t);
    if (lane.state == State::barrier)
      return fail("a warp primitive is divergent: thread %d waits at __syncthreads, line %d", t,
                  lane.line);
    if (lane.op != one.op || lane.line != one.line)
      return fail("a warp primitive is divergent: threads %d and %d wait at lines %d and %d",
                  first, t, one.line, lane.line);
    if (lane.given != 0) ballot |= 1ull << (t - first);
  }
  const std::uint64_t everyone = last - first == 32 ? 0xFFFFFFFFull : (1ull << (last - first)) - 1;
  for (int t = first; t < last; ++t) {
    Thread &mine = threads[t];
    const int lane = t - first, start = lane / mine.width * mine.width, end = start + mine.width;
    int source = lane;
    switch (mine.op) {
      case WarpOp::sync: break;
      case WarpOp::ballot: mine.received = ballot; break;
      case WarpOp::any: mine.received = ballot != 0; break;
      case WarpOp::all: mine.received = ballot == everyone; break;
      case WarpOp::indexed: source = start + (mine.operand & (mine.width - 1)); break;
      case WarpOp::up: source = lane - mine.operand; if (source < start) source = lane; break;
      case WarpOp::down: source = lane + mine.operand; if (source >= end) source = lane; break;
      case WarpOp::exclusive: source = lane ^ mine.operand; if (source >= end) source = lane; break;
    }
    if (mine.op >= WarpOp::indexed) {
      if (first + source >= last)
        return fail("thread %d shuffles from lane %d, which its block does not have (line %d)", t,
                    source, mine.line);
      mine.received = threads[first + source].given;
    }
  }
  for (int t = first; t < last; ++t) threads[t].state = State::ready;
  return true;
}

// Let some waiting threads go on; false where all have returned, or at an error.
static bool release() {
  if (failed) return false;
  const int n = static_cast<int>(threads.size());
  int waiting = -1, returned = -1;
  bool released = false;
  for (int first = 0; first < n; first += 32) {
    const int last = first + 32 < n ? first + 32 : n;
    bool warp = false;
    for (int t = first; t < last; ++t) {
      if (threads[t].state == State::warp) warp = true;
      if (threads[t].state == State::barrier) waiting = t;
      if (threads[t].state == State::done) returned = t;
    }
    if (!warp) continue;
    if (!release_warp(first, last)) return false;
    released = true;
  }
  if (released || waiting < 0) return released;
  if (returned >= 0)
    return fail("__syncthreads is divergent: thread %d has returned, thread %d waits at line %d",
                returned, waiting, threads[waiting].line);
  barrier_count = 0;
  for (Thread &thread : threads) {
    if (thread.line != threads[0].line)
      return fail("__syncthreads is divergent: threads wait at lines %d and %d", threads[0].line,
                  thread.line);
    if (thread.verdict) ++barrier_count;
    thread.state = State::ready;
  }
  return true;
}

static bool run_block() {
  for (Thread &thread : threads) thread.state = State::fresh;
  next_fresh = 0;
  const int n = static_cast<int>(threads.size());
  while (next_fresh < n) enter(free_fiber());
  while (release()) {
    for (int t = 0; t < n; ++t) {
      if (threads[t].state != State::ready) continue;
      place(t);
      enter(threads[t].fiber);
    }
  }
  return !failed;
}

// Forget the fibers that an error left in the middle of a kernel.
static void abandon_fibers() {
  idle.clear();
  for (Fiber *fiber : fibers) munmap(fiber->stack, stack_bytes), delete fiber;
  fibers.clear();
}

static sigjmp_buf before_fault;

static void on_fault(int) { siglongjmp(before_fault, 1); }

// While it lives, a wild address in a kernel comes back to `before_fault`, on a stack of its own.
struct FaultGuard {
  static constexpr int signals[] = {SIGSEGV, SIGBUS, SIGFPE};
  struct sigaction before[3];
  stack_t stack_before;
  FaultGuard() {
    static char room[64 * 1024];
    stack_t stack{};
    stack.ss_sp = room;
    stack.ss_size = sizeof room;
    sigaltstack(&stack, &stack_before);
    struct sigaction action {};
    action.sa_handler = on_fault;
    action.sa_flags = SA_ONSTACK;
    for (int i = 0; i < 3; ++i) sigaction(signals[i], &action, &before[i]);
  }
  ~FaultGuard() {
    for (int i = 0; i < 3; ++i) sigaction(signals[i], &before[i], nullptr);
    sigaltstack(&stack_before, nullptr);
  }
};

static const char *run_grid(const unsigned int *grid, const unsigned int *block, void **arguments,
                            void (*call)(void **), void *shared, std::size_t shared_bytes) {
  FaultGuard guard;
  if (sigsetjmp(before_fault, 1) != 0) {
    fail("a memory fault or a division by zero in thread %d of block (%u, %u, %u)", current,
         blockIdx.x, blockIdx.y, blockIdx.z);
    abandon_fibers();
    return message;
  }
  gridDim = {grid[0], grid[1], grid[2]};
  blockDim = {block[0], block[1], block[2]};
  kernel_call = call;
  kernel_arguments = arguments;
  dynamic_shared = shared;
  failed = false;
  threads.assign(static_cast<std::size_t>(block[0]) * block[1] * block[2], Thread{});
  const std::size_t static_bytes =
      __start_emulated_shared
          ? static_cast<std::size_t>(__stop_emulated_shared - __start_emulated_shared)
          : 0;
  for (unsigned int z = 0; z < grid[2]; ++z)
    for (unsigned int y = 0; y < grid[1]; ++y)
      for (unsigned int x = 0; x < grid[0]; ++x) {
        blockIdx = {x, y, z};
        if (static_bytes) std::memset(__start_emulated_shared, 0xFF, static_bytes);
        if (shared_bytes) std::memset(shared, 0xFF, shared_bytes);
        if (!run_block()) {
          abandon_fibers();
          return message;
        }
      }
  return nullptr;
}

// ---- Launching ----------------------------------------------------------------------------

template <auto kernel>
struct Launcher;

template <class... P, void (*kernel)(P...)>
struct Launcher<kernel> {
  template <std::size_t... I>
  static void unpack(void **arguments, std::index_sequence<I...>) {
    (void)arguments;
    kernel(*static_cast<std::remove_reference_t<P> *>(arguments[I])...);
  }
  static void call(void **arguments) { unpack(arguments, std::index_sequence_for<P...>{}); }
  // The bytes of each parameter, negative those of real numbers.
  static int sizes(int *out) {
    const int all[] = {
        (std::is_floating_point_v<P> ? -1 : 1) * static_cast<int>(sizeof(P))..., 0};
    for (std::size_t i = 0; i < sizeof...(P); ++i) out[i] = all[i];
    return static_cast<int>(sizeof...(P));
  }
};

// ---- Barriers and warp primitives ---------------------------------------------------------

inline int barrier(int line, int verdict = 0) {
  threads[static_cast<std::size_t>(current)].verdict = verdict;
  wait(State::barrier, line);
  return barrier_count;
}

inline std::uint64_t warp(int line, unsigned mask, WarpOp op, std::uint64_t given, int operand = 0,
                          int width = 32) {
  if (mask != 0xFFFFFFFFu)
    fail("line %d: a warp primitive with mask %#x: only the full mask is emulated", line, mask);
  if (width < 1 || width > 32 || (width & (width - 1)))
    fail("line %d: a shuffle of width %d, which is no power of two up to 32", line, width);
  Thread &mine = threads[static_cast<std::size_t>(current)];
  mine.op = op;
  mine.operand = operand;
  mine.width = width < 1 ? 32 : width;
  mine.given = given;
  wait(State::warp, line);
  return threads[static_cast<std::size_t>(current)].received;
}

template <class T>
inline T shuffle(int line, WarpOp op, unsigned mask, T value, int operand, int width = 32) {
  static_assert(std::is_arithmetic_v<T>, "only numbers can be shuffled");
  std::uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof value);
  bits = warp(line, mask, op, bits, operand, width);
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

template <class To, class From>
inline To bits_as(From from) {
  static_assert(sizeof(To) == sizeof(From));
  To to;
  std::memcpy(&to, &from, sizeof to);
  return to;
}

template <class T, class Change>
inline T atomically(T *address, Change change) {
  const T old = *address;
  *address = static_cast<T>(change(old));
  return old;
}

}  // namespace emulation

#define __syncthreads() ((void)emulation::barrier(__LINE__))
#define __syncthreads_count(v) emulation::barrier(__LINE__, (v) != 0)
#define __syncthreads_or(v) (emulation::barrier(__LINE__, (v) != 0) != 0)
#define __syncthreads_and(v) (emulation::barrier(__LINE__, (v) == 0) == 0)
#define __syncwarp(...) \
  ((void)emulation::warp(__LINE__, emulation::sync_mask(__VA_ARGS__), emulation::WarpOp::sync, 0))
#define EMULATION_VOTE(mask, v, op) \
  emulation::warp(__LINE__, mask, emulation::WarpOp::op, (v) ? 1u : 0u)
#define __ballot_sync(mask, v) static_cast<unsigned int>(EMULATION_VOTE(mask, v, ballot))
#define __any_sync(mask, v) static_cast<int>(EMULATION_VOTE(mask, v, any))
#define __all_sync(mask, v) static_cast<int>(EMULATION_VOTE(mask, v, all))
#define __shfl_sync(...) emulation::shuffle(__LINE__, emulation::WarpOp::indexed, __VA_ARGS__)
#define __shfl_up_sync(...) emulation::shuffle(__LINE__, emulation::WarpOp::up, __VA_ARGS__)
#define __shfl_down_sync(...) emulation::shuffle(__LINE__, emulation::WarpOp::down, __VA_ARGS__)
#define __shfl_xor_sync(...) emulation::shuffle(__LINE__, emulation::WarpOp::exclusive, __VA_ARGS__)

namespace emulation {
inline unsigned sync_mask(unsigned mask = 0xFFFFFFFFu) { return mask; }
}  // namespace emulation

inline void __threadfence() {}
inline void __threadfence_block() {}
inline void __threadfence_system() {}
inline void __nanosleep(unsigned) {}
[[noreturn]] inline void __trap() { std::abort(); }

// ---- Memory -------------------------------------------------------------------------------

template <class T> inline T __ldg(const T *p) { return *p; }
template <class T> inline T __ldcg(const T *p) { return *p; }
template <class T> inline T __ldcs(const T *p) { return *p; }
template <class T> inline void __stcs(T *p, T v) { *p = v; }
template <class T> inline void __stcg(T *p, T v) { *p = v; }

#define EMULATION_ATOMIC(name, result)                                                     \
  template <class T> inline T name(T *p, std::common_type_t<T> v) {                        \
    return emulation::atomically(p, [&](T old) { return result; });                        \
  }
EMULATION_ATOMIC(atomicAdd, old + v)
EMULATION_ATOMIC(atomicSub, old - v)
EMULATION_ATOMIC(atomicExch, v)
EMULATION_ATOMIC(atomicMin, old < v ? old : v)
EMULATION_ATOMIC(atomicMax, old < v ? v : old)
EMULATION_ATOMIC(atomicAnd, old & v)
EMULATION_ATOMIC(atomicOr, old | v)
EMULATION_ATOMIC(atomicXor, old ^ v)
EMULATION_ATOMIC(atomicInc, old >= v ? 0 : old + 1)
EMULATION_ATOMIC(atomicDec, old == 0 || old > v ? v : old - 1)
#undef EMULATION_ATOMIC
template <class T>
inline T atomicCAS(T *p, std::common_type_t<T> expected, std::common_type_t<T> v) {
  return emulation::atomically(p, [&](T old) { return old == expected ? v : old; });
}

// ---- Arithmetic ---------------------------------------------------------------------------

using std::isfinite;
using std::isinf;
using std::isnan;
using std::signbit;

template <class A, class B>
constexpr std::common_type_t<A, B> max(A a, B b) {
  using T = std::common_type_t<A, B>;
  if constexpr (std::is_floating_point_v<T>) return std::fmax(static_cast<T>(a), static_cast<T>(b));
  else return static_cast<T>(a) < static_cast<T>(b) ? static_cast<T>(b) : static_cast<T>(a);
}
template <class A, class B>
constexpr std::common_type_t<A, B> min(A a, B b) {
  using T = std::common_type_t<A, B>;
  if constexpr (std::is_floating_point_v<T>) return std::fmin(static_cast<T>(a), static_cast<T>(b));
  else return static_cast<T>(b) < static_cast<T>(a) ? static_cast<T>(b) : static_cast<T>(a);
}

inline float rsqrtf(float x) { return 1.0f / std::sqrt(x); }
inline double rsqrt(double x) { return 1.0 / std::sqrt(x); }
inline float rsqrt(float x) { return 1.0f / std::sqrt(x); }
inline float __frsqrt_rn(float x) { return 1.0f / std::sqrt(x); }
inline float __fsqrt_rn(float x) { return std::sqrt(x); }
inline float __frcp_rn(float x) { return 1.0f / x; }
inline float __fadd_rn(float a, float b) { return a + b; }
inline float __fsub_rn(float a, float b) { return a - b; }
inline float __fmul_rn(float a, float b) { return a * b; }
inline float __fdiv_rn(float a, float b) { return a / b; }
inline float __fmaf_rn(float a, float b, float c) { return std::fma(a, b, c); }
inline float __fdividef(float a, float b) { return a / b; }
inline float __saturatef(float x) { return x != x ? 0.0f : std::fmin(std::fmax(x, 0.0f), 1.0f); }
inline double __dadd_rn(double a, double b) { return a + b; }
inline double __dsub_rn(double a, double b) { return a - b; }
inline double __dmul_rn(double a, double b) { return a * b; }
inline double __ddiv_rn(double a, double b) { return a / b; }
inline double __dsqrt_rn(double x) { return std::sqrt(x); }
inline double __fma_rn(double a, double b, double c) { return std::fma(a, b, c); }
inline float __expf(float x) { return std::exp(x); }
inline float __logf(float x) { return std::log(x); }
inline float __log2f(float x) { return std::log2(x); }
inline float __powf(float x, float y) { return std::pow(x, y); }
inline float __sinf(float x) { return std::sin(x); }
inline float __cosf(float x) { return std::cos(x); }

inline unsigned int __float_as_uint(float x) { return emulation::bits_as<unsigned int>(x); }
inline float __uint_as_float(unsigned int x) { return emulation::bits_as<float>(x); }
inline int __float_as_int(float x) { return emulation::bits_as<int>(x); }
inline float __int_as_float(int x) { return emulation::bits_as<float>(x); }
inline long long __double_as_longlong(double x) { return emulation::bits_as<long long>(x); }
inline double __longlong_as_double(long long x) { return emulation::bits_as<double>(x); }
inline float __uint2float_rn(unsigned int x) { return static_cast<float>(x); }
inline float __int2float_rn(int x) { return static_cast<float>(x); }
inline int __float2int_rn(float x) { return static_cast<int>(std::nearbyint(x)); }
inline int __float2int_rz(float x) { return static_cast<int>(x); }

inline unsigned int __umulhi(unsigned int a, unsigned int b) {
  return static_cast<unsigned int>((static_cast<std::uint64_t>(a) * b) >> 32);
}
inline int __mulhi(int a, int b) {
  return static_cast<int>((static_cast<std::int64_t>(a) * b) >> 32);
}
inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b) {
  return static_cast<unsigned long long>((static_cast<unsigned __int128>(a) * b) >> 64);
}
inline int __popc(unsigned int x) { return __builtin_popcount(x); }
inline int __popcll(unsigned long long x) { return __builtin_popcountll(x); }
inline int __clz(int x) { return x ? __builtin_clz(static_cast<unsigned>(x)) : 32; }
inline int __ffs(int x) { return __builtin_ffs(x); }
