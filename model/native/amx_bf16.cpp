// The recurrence of an LSTM layer in training on AMX: one instruction, tdpbf16ps, multiplies 32
// bfloat16 inputs of 16 rows with the weights of 16 outputs, and adds in float32.
//
// PyTorch's own layer packs the recurrent weights anew in every step. Here each thread packs those of
// its units once per pass, and they stay in its core's cache.
#include "training.h"
#include "vectors.h"

#ifdef CHARSTREAM_AMX_BF16
#include <cpuid.h>
#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>

CHARSTREAM_TARGET("avx512f,avx512bw,avx512vl,avx512dq,avx512bf16,amx-tile,amx-bf16")
namespace {

constexpr int kRows = 16;                       // of a tile register
constexpr int kRowBytes = 64;                   // of a row of a tile register
constexpr int kDepth = kRowBytes / sizeof(Bfloat16);  // inputs that one instruction multiplies
constexpr int kTile = kRows * kDepth;           // values in a tile register
constexpr int kMostRows = 2 * kRows;            // rows that are computed together
constexpr int kGroup = 4;                       // rows whose functions are computed together
static_assert(kMultiple % kDepth == 0 && kMultiple % (2 * kUnits) == 0);

// Macros, because the number of a tile register is part of the instruction.
#define LOAD_TILE(tile, from, stride) \
  asm volatile("tileloadd (%0,%1,1), %%tmm" #tile ::"r"(from), "r"(std::size_t(stride)) : "memory")
#define STORE_TILE(tile, to)                                                                  \
  asm volatile("tilestored %%tmm" #tile ", (%0,%1,1)" ::"r"(to), "r"(std::size_t(kRowBytes)) \
               : "memory")
#define MULTIPLY_TILES(sums, inputs, weights) \
  asm volatile("tdpbf16ps %%tmm" #weights ", %%tmm" #inputs ", %%tmm" #sums ::: "memory")
#define CLEAR_TILE(tile) asm volatile("tilezero %%tmm" #tile ::: "memory")

using Sums = float[kRows][kUnits];

// These functions compute n vectors, each by itself. The n computations alternate instruction by instruction:
// one of them alone would wait for its own results most of the time.
#define EACH for (int v = 0; v < n; ++v)
#define FOR_VECTORS template <int n> [[gnu::always_inline]] inline void

// Computes the products of one or two tiles of rows with two tiles of outputs.
//
// `weights` has a pair of tiles for each `kDepth` inputs, `stride` tiles apart.
template <bool two>
[[gnu::always_inline]] inline void multiply(const Bfloat16* inputs, std::size_t input_stride,
                                            const Bfloat16* weights, int stride, int blocks,
                                            Sums* sums, Sums* more_sums) {
  CLEAR_TILE(0);
  CLEAR_TILE(1);
  CLEAR_TILE(2);
  CLEAR_TILE(3);
  const std::size_t row_bytes = input_stride * sizeof(Bfloat16);
  for (int block = 0; block < blocks; ++block, inputs += kDepth, weights += stride * kTile) {
    LOAD_TILE(4, inputs, row_bytes);
    LOAD_TILE(6, weights, kRowBytes);
    LOAD_TILE(7, weights + kTile, kRowBytes);
    MULTIPLY_TILES(0, 4, 6);
    MULTIPLY_TILES(1, 4, 7);
    if (two) {
      LOAD_TILE(5, inputs + kRows * input_stride, row_bytes);
      MULTIPLY_TILES(2, 5, 6);
      MULTIPLY_TILES(3, 5, 7);
    }
  }
  STORE_TILE(0, sums[0]);
  STORE_TILE(1, sums[1]);
  if (two) {
    STORE_TILE(2, more_sums[0]);
    STORE_TILE(3, more_sums[1]);
  }
}

void multiply_rows(const PassTask& task, int step, int first_row, const Bfloat16* weights, int stride,
                   int inputs, Sums* sums, Sums* more_sums) {
  const Bfloat16* from = task.inputs[step & 1] + first_row * task.input_stride;
  if (task.pass.batch_size - first_row > kRows)
    multiply<true>(from, task.input_stride, weights, stride, inputs / kDepth, sums, more_sums);
  else
    multiply<false>(from, task.input_stride, weights, stride, inputs / kDepth, sums, more_sums);
}

inline __m512 from_bfloat16(const Bfloat16* values) {
  const __m256i half = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(values));
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(half), 16));
}

inline void store_bfloat16(Bfloat16* to, __m512 values) {
  const __m256bh half = _mm512_cvtneps_pbh(values);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), reinterpret_cast<const __m256i&>(half));
}

inline void prefetch(const void* line) {  // into the second-level cache
  _mm_prefetch(static_cast<const char*>(line), _MM_HINT_T1);
}

// exp(x) to about 1e-7: 2^k exp(r), with r in [-ln 2 / 2, ln 2 / 2] and the polynomial of Cephes'
// expf. x is limited to the range of floats. NaN stays NaN, because it is the second operand.
FOR_VECTORS exponential(__m512 (&x)[n]) {
  __m512 k[n], p[n];
  const __m512 one = _mm512_set1_ps(1.0f);
  EACH x[v] = _mm512_min_ps(_mm512_set1_ps(88.0f), x[v]);
  EACH x[v] = _mm512_max_ps(_mm512_set1_ps(-87.0f), x[v]);
  EACH k[v] = _mm512_mul_ps(x[v], _mm512_set1_ps(1.44269504f));
  EACH k[v] = _mm512_roundscale_ps(k[v], 0);
  EACH x[v] = _mm512_fnmadd_ps(k[v], _mm512_set1_ps(0.693359375f), x[v]);
  EACH x[v] = _mm512_fnmadd_ps(k[v], _mm512_set1_ps(-2.12194440e-4f), x[v]);
  EACH p[v] = _mm512_fmadd_ps(_mm512_set1_ps(1.9875691500e-4f), x[v],
                              _mm512_set1_ps(1.3981999507e-3f));
  EACH p[v] = _mm512_fmadd_ps(p[v], x[v], _mm512_set1_ps(8.3334519073e-3f));
  EACH p[v] = _mm512_fmadd_ps(p[v], x[v], _mm512_set1_ps(4.1665795894e-2f));
  EACH p[v] = _mm512_fmadd_ps(p[v], x[v], _mm512_set1_ps(1.6666665459e-1f));
  EACH p[v] = _mm512_fmadd_ps(p[v], x[v], _mm512_set1_ps(5.0000001201e-1f));
  EACH p[v] = _mm512_fmadd_ps(p[v], x[v], one);
  EACH p[v] = _mm512_fmadd_ps(p[v], x[v], one);
  EACH x[v] = _mm512_scalef_ps(p[v], k[v]);
}

// 1 / (1 + exp(-x))
FOR_VECTORS sigmoid(__m512 (&x)[n]) {
  __m512 r[n];
  EACH x[v] = _mm512_sub_ps(_mm512_setzero_ps(), x[v]);
  exponential(x);
  EACH x[v] = _mm512_add_ps(x[v], _mm512_set1_ps(1.0f));
  EACH r[v] = _mm512_rcp14_ps(x[v]);
  EACH x[v] = _mm512_fnmadd_ps(x[v], r[v], _mm512_set1_ps(2.0f));  // a step of Newton's method
  EACH x[v] = _mm512_mul_ps(x[v], r[v]);
}

// 2 sigmoid(2 x) - 1
FOR_VECTORS tanh(__m512 (&x)[n]) {
  EACH x[v] = _mm512_add_ps(x[v], x[v]);
  sigmoid(x);
  EACH x[v] = _mm512_fmsub_ps(_mm512_set1_ps(2.0f), x[v], _mm512_set1_ps(1.0f));
}

// Where the values of a unit block are, for one row of a step. Rows follow at the strides.
struct Units {
  Units(const LstmPass& pass, int step, int row, int unit_block)
      : width(pass.hidden_size), step_rows(pass.batch_size) {
    const std::size_t at = std::size_t(step) * step_rows + row;
    gates = pass.gates + at * kGates * width + unit_block * kGates * kUnits;
    hidden = pass.hidden + at * width + unit_block * kUnits;
    cells = pass.cells + at * width + unit_block * kUnits;
    if (pass.d_hidden) d_hidden = pass.d_hidden + at * width + unit_block * kUnits;
  }
  std::size_t width, step_rows;
  Bfloat16 *gates, *hidden;  // `hidden` and `cells` are those before the step
  float* cells;
  const Bfloat16* d_hidden = nullptr;
};

// Computes the gates, cells and hidden values of n rows from the sums of the recurrent products.
// The hidden values go to `inputs`, too.
FOR_VECTORS update_units(const Units& at, Sums* sums, int row, Bfloat16* inputs,
                         std::size_t input_stride, bool is_last_step) {
  const std::size_t gates_stride = kGates * at.width, next = at.step_rows * at.width;
  if (!is_last_step)
    EACH {
      prefetch(at.gates + (at.step_rows + v) * gates_stride);
      prefetch(at.gates + (at.step_rows + v) * gates_stride + 2 * kUnits);
    }
  __m512 sigmoids[3 * n], c[n];  // sigmoids: i, f and o. c: g, then the cell
  for (int gate = 0; gate < kGates; ++gate)
    EACH {
      __m512& z = gate == 2 ? c[v] : sigmoids[std::min(gate, 2) * n + v];
      z = _mm512_add_ps(from_bfloat16(at.gates + v * gates_stride + gate * kUnits),
                        _mm512_load_ps(sums[gate][row + v]));
    }
  sigmoid(sigmoids);
  tanh(c);
  EACH {
    Bfloat16* gates = at.gates + v * gates_stride;
    const __m512 i = sigmoids[v], f = sigmoids[n + v], g = c[v];
    store_bfloat16(gates, i);
    store_bfloat16(gates + kUnits, f);
    store_bfloat16(gates + 2 * kUnits, g);
    store_bfloat16(gates + 3 * kUnits, sigmoids[2 * n + v]);
    c[v] = _mm512_fmadd_ps(f, _mm512_loadu_ps(at.cells + v * at.width), _mm512_mul_ps(i, g));
    _mm512_storeu_ps(at.cells + next + v * at.width, c[v]);
  }
  tanh(c);
  EACH {
    const __m512 h = _mm512_mul_ps(sigmoids[2 * n + v], c[v]);
    store_bfloat16(at.hidden + next + v * at.width, h);
    store_bfloat16(inputs + v * input_stride, h);
  }
}

// Computes the gradients of the gates' sums for n rows. `sums` are the recurrent products of the
// step after. The gradients replace the gates' values, and go to `inputs`, too.
FOR_VECTORS propagate_units(const Units& at, const Sums& sums, int row, float* d_cells,
                            Bfloat16* inputs, std::size_t input_stride, bool is_first_step,
                            __m512 (&d_bias)[kGates]) {
  const std::size_t gates_stride = kGates * at.width, next = at.step_rows * at.width;
  if (!is_first_step)
    EACH {
      prefetch(at.gates + v * gates_stride - at.step_rows * gates_stride);
      prefetch(at.gates + v * gates_stride - at.step_rows * gates_stride + 2 * kUnits);
      prefetch(at.cells + v * at.width - next);
      prefetch(at.d_hidden + v * at.width - next);
    }
  const __m512 one = _mm512_set1_ps(1.0f);
  __m512 tanh_c[n];
  EACH tanh_c[v] = _mm512_loadu_ps(at.cells + next + v * at.width);
  tanh(tanh_c);
  EACH {
    Bfloat16* gates = at.gates + v * gates_stride;
    const __m512 i = from_bfloat16(gates), f = from_bfloat16(gates + kUnits),
                 g = from_bfloat16(gates + 2 * kUnits), o = from_bfloat16(gates + 3 * kUnits);
    const __m512 dh = _mm512_add_ps(from_bfloat16(at.d_hidden + v * at.width),
                                    _mm512_load_ps(sums[row + v]));
    const __m512 dc = _mm512_fmadd_ps(_mm512_mul_ps(dh, o), _mm512_fnmadd_ps(tanh_c[v], tanh_c[v], one),
                                      _mm512_loadu_ps(d_cells + v * at.width));
    _mm512_storeu_ps(d_cells + v * at.width, _mm512_mul_ps(dc, f));
    const __m512 before = _mm512_loadu_ps(at.cells + v * at.width);
    const __m512 dz[kGates] = {
        _mm512_mul_ps(_mm512_mul_ps(dc, g), _mm512_mul_ps(i, _mm512_sub_ps(one, i))),
        _mm512_mul_ps(_mm512_mul_ps(dc, before), _mm512_mul_ps(f, _mm512_sub_ps(one, f))),
        _mm512_mul_ps(_mm512_mul_ps(dc, i), _mm512_fnmadd_ps(g, g, one)),
        _mm512_mul_ps(_mm512_mul_ps(dh, tanh_c[v]), _mm512_mul_ps(o, _mm512_sub_ps(one, o)))};
    for (int gate = 0; gate < kGates; ++gate) {
      d_bias[gate] = _mm512_add_ps(d_bias[gate], dz[gate]);
      store_bfloat16(gates + gate * kUnits, dz[gate]);
      store_bfloat16(inputs + v * input_stride + gate * kUnits, dz[gate]);
    }
  }
}

// Calls visit.template operator()<n>(row) for all rows from `first` to `end`, n at a time.
template <class Visit>
[[gnu::always_inline]] inline void for_each_group(int first, int end, Visit visit) {
  int row = first;
  for (; row + kGroup <= end; row += kGroup) visit.template operator()<kGroup>(row);
  for (; row < end; ++row) visit.template operator()<1>(row);
}

struct Range {
  int begin, end;
};

// Returns the unit blocks of a thread. Their number is even.
Range own_blocks(const PassTask& task, int thread) {
  const int pairs = task.pass.hidden_size / (2 * kUnits);
  return {pairs * thread / task.threads * 2, pairs * (thread + 1) / task.threads * 2};
}

// Packs the weights of a unit block for the forward product: [input block][gate] tiles. A tile has
// [pair of inputs][unit][input of the pair].
void pack_forward(const LstmPass& pass, int unit_block, Bfloat16* to) {
  const std::size_t width = pass.hidden_size;
  for (std::size_t input = 0; input < width; input += kDepth)
    for (int gate = 0; gate < kGates; ++gate, to += kTile)
      for (int unit = 0; unit < kUnits; ++unit) {
        const Bfloat16* from =
            pass.weights + (gate * width + unit_block * kUnits + unit) * width + input;
        for (int d = 0; d < kDepth; ++d)
          to[(d / kPairs * kUnits + unit) * kPairs + d % kPairs] = from[d];
      }
}

// Packs the weights of two unit blocks for the backward product: [block of gates' sums][unit block]
// tiles. The gates' sums are in the order of LstmPass::gates.
void pack_backward(const LstmPass& pass, int unit_block, Bfloat16* to) {
  const std::size_t width = pass.hidden_size;
  for (std::size_t sum = 0; sum < kGates * width; sum += kDepth)
    for (int block = 0; block < 2; ++block, to += kTile)
      for (int d = 0; d < kDepth; ++d) {
        const std::size_t at = sum + d, gate = at / kUnits % kGates;
        const std::size_t row = gate * width + at / (kGates * kUnits) * kUnits + at % kUnits;
        const Bfloat16* from = pass.weights + row * width + (unit_block + block) * kUnits;
        for (int unit = 0; unit < kUnits; ++unit)
          to[(d / kPairs * kUnits + unit) * kPairs + d % kPairs] = from[unit];
      }
}

void forward(const PassTask& task, int thread) {
  const LstmPass& pass = task.pass;
  const Range blocks = own_blocks(task, thread);
  const std::size_t packed = std::size_t(kGates) * kUnits * pass.hidden_size;
  for (int u = blocks.begin; u < blocks.end; ++u) pack_forward(pass, u, task.packed + u * packed);
  alignas(64) Sums sums[2][kGates];
  for (int step = 0; step < pass.steps; ++step) {
    for (int u = blocks.begin; u < blocks.end; ++u)
      for (int first = 0; first < pass.batch_size; first += kMostRows) {
        for (int gate = 0; gate < kGates; gate += 2)
          multiply_rows(task, step, first, task.packed + u * packed + gate * kTile, kGates,
                        pass.hidden_size, &sums[0][gate], &sums[1][gate]);
        for_each_group(first, std::min(first + kMostRows, pass.batch_size), [&]<int n>(int row) {
          update_units<n>(Units(pass, step, row, u), sums[(row - first) / kRows],
                          (row - first) % kRows,
                          task.inputs[(step + 1) & 1] + row * task.input_stride + u * kUnits,
                          task.input_stride, step + 1 == pass.steps);
        });
      }
    task.barrier.arrive_and_wait(task.threads);
  }
}

void backward(const PassTask& task, int thread) {
  const LstmPass& pass = task.pass;
  const Range blocks = own_blocks(task, thread);
  const std::size_t sums_width = std::size_t(kGates) * pass.hidden_size;
  const std::size_t packed = kUnits * sums_width;
  for (int u = blocks.begin; u < blocks.end; u += 2)
    pack_backward(pass, u, task.packed + u * packed);
  alignas(64) Sums sums[2][2] = {};  // zeros for the last step
  for (int step = pass.steps - 1; step >= 0; --step) {
    for (int pair = blocks.begin; pair < blocks.end; pair += 2)
      for (int first = 0; first < pass.batch_size; first += kMostRows) {
        if (step + 1 < pass.steps)
          multiply_rows(task, step + 1, first, task.packed + pair * packed, 2, int(sums_width),
                        sums[0], sums[1]);
        for (int u = pair; u < pair + 2; ++u) {
          __m512 d_bias[kGates];
          float* total = pass.d_bias + u * kGates * kUnits;
          for (int gate = 0; gate < kGates; ++gate)
            d_bias[gate] = _mm512_loadu_ps(total + gate * kUnits);
          for_each_group(first, std::min(first + kMostRows, pass.batch_size), [&]<int n>(int row) {
            propagate_units<n>(
                Units(pass, step, row, u), sums[(row - first) / kRows][u - pair],
                (row - first) % kRows, task.d_cells + row * std::size_t(pass.hidden_size) + u * kUnits,
                task.inputs[step & 1] + row * task.input_stride + u * kGates * kUnits,
                task.input_stride, step == 0, d_bias);
          });
          for (int gate = 0; gate < kGates; ++gate)
            _mm512_storeu_ps(total + gate * kUnits, d_bias[gate]);
        }
      }
    task.barrier.arrive_and_wait(task.threads);
  }
}

// The operand of ldtilecfg: all eight tile registers have 16 rows of 64 bytes.
struct alignas(64) TileConfig {
  uint8_t palette = 1, start_row = 0, reserved[14] = {};
  uint16_t row_bytes[16] = {kRowBytes, kRowBytes, kRowBytes, kRowBytes,
                            kRowBytes, kRowBytes, kRowBytes, kRowBytes};
  uint8_t rows[16] = {kRows, kRows, kRows, kRows, kRows, kRows, kRows, kRows};
};
static_assert(sizeof(TileConfig) == 64);

// All threads treat denormal numbers, which are slow, as zeros, as tdpbf16ps does. A helper's thread
// does not inherit the setting of the caller's thread.
constexpr unsigned kDenormalsAreZeros = 0x8040;  // flush-to-zero and denormals-are-zeros of MXCSR

template <void (*work)(const PassTask&, int)>
void with_tile_registers(const PassTask& task, int thread) {
  const TileConfig config;
  const unsigned mode = _mm_getcsr();
  _mm_setcsr(mode | kDenormalsAreZeros);
  asm volatile("ldtilecfg %0" ::"m"(config));
  work(task, thread);
  asm volatile("tilerelease");
  _mm_setcsr(mode);
}

}  // namespace
CHARSTREAM_TARGET_END

// Whether the processor has AMX and AVX-512 with bfloat16, and Linux lets this process use them. A
// process has to ask for the tile registers (Documentation/arch/x86/xstate.rst of Linux).
static bool available() {
  constexpr unsigned kAmx = 1u << 22 | 1u << 24;  // CPUID 7.0 EDX: AMX-BF16, AMX-TILE
  constexpr unsigned kAvx512Bf16 = 1u << 5;       // CPUID 7.1 EAX
  constexpr int kRequestPermission = 0x1023, kTileData = 18;  // ARCH_REQ_XCOMP_PERM, its argument
  unsigned a, b, c, d;
  return __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512vl") && __get_cpuid_count(7, 0, &a, &b, &c, &d) &&
         (d & kAmx) == kAmx && __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a & kAvx512Bf16) &&
         syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
}
const TrainingKernel kAmxBf16{available, with_tile_registers<forward>,
                              with_tile_registers<backward>};
#else
const TrainingKernel kAmxBf16{[] { return false; }, nullptr, nullptr};
#endif
