// Every CUDA line of xpnet: the kernels behind ops/_cupy.py, which launches them.
//
// REAL is float or double: the file is compiled once for each dtype that is met.  Arrays are
// C-contiguous and so small that thread_number() stays below 2^31.  Whole numbers arrive as 64 bits
// and real ones as doubles, as CuPy passes Python's.  Pointers are __restrict__ where no other
// argument is written through (the compiler may then read ahead of writes).  No kernel adds with
// atomics: every sum has one order, so that a run repeats itself bit for bit.

typedef unsigned long long word;
typedef long long whole;

__device__ __forceinline__ unsigned thread_number()
{
    return blockIdx.x * blockDim.x + threadIdx.x;
}

// The sum, over the threads of a block, of those whose number is equal modulo `width` (a power of
// two); every thread gets its own group's.  blockDim.x is a power of two, at most 1024.
template <class T>
__device__ T block_total(T own, unsigned width)
{
    __shared__ T part[1024];
    const unsigned t = threadIdx.x;
    __syncthreads();  // the last call's totals have been read
    part[t] = own;
    __syncthreads();
    for (unsigned half = blockDim.x / 2; half >= width; half /= 2) {
        if (t < half) part[t] += part[t + half];
        __syncthreads();
    }
    return part[t % width];
}

// Whether this is the last of so many blocks to come here, and so sees what all of them wrote.
// *arrived is 0 before and after; no other launch may count by it meanwhile.
__device__ bool last_of(unsigned* arrived, unsigned blocks)
{
    __shared__ bool last;
    __syncthreads();
    if (threadIdx.x == 0) {
        __threadfence();
        last = blocks == 1 || atomicInc(arrived, blocks - 1) == blocks - 1;
        __threadfence();
    }
    __syncthreads();
    return last;
}

// Single numbers ---------------------------------------------------------------------------------

extern "C" __global__ __launch_bounds__(256)
void relu(const REAL* __restrict__ x, REAL* __restrict__ y, whole size)
{
    const unsigned i = thread_number();
    if (i < size) y[i] = x[i] < 0 ? REAL(0) : x[i];
}

extern "C" __global__ __launch_bounds__(256)
void relu_backward(const REAL* __restrict__ dy, const REAL* __restrict__ y, REAL* __restrict__ dx,
                   whole size)
{
    const unsigned i = thread_number();
    if (i < size) dx[i] = y[i] > 0 ? dy[i] : REAL(0);
}

extern "C" __global__ __launch_bounds__(256)
void rescale_bytes(const unsigned char* __restrict__ x, REAL* __restrict__ y, whole size,
                   double scale)
{
    const unsigned i = thread_number();
    if (i < size) y[i] = REAL(x[i]) * REAL(scale);
}

// To the nearest, ties to even; NaN stays NaN.
extern "C" __global__ __launch_bounds__(256)
void to_bfloat16(const float* __restrict__ x, unsigned short* __restrict__ y, whole size)
{
    const unsigned i = thread_number();
    if (i >= size) return;
    const unsigned bits = __float_as_uint(x[i]);
    const unsigned nearest = (bits + 0x7fffu + (bits >> 16 & 1)) >> 16;
    y[i] = (unsigned short)(x[i] != x[i] ? bits >> 16 | 0x40 : nearest);
}

// b may be null.
extern "C" __global__ __launch_bounds__(256)
void add_bias(REAL* __restrict__ y, const REAL* __restrict__ b, whole size, whole units,
              whole rectify)
{
    const unsigned i = thread_number();
    if (i >= size) return;
    const REAL z = b ? y[i] + b[i % unsigned(units)] : y[i];
    y[i] = rectify && z < 0 ? REAL(0) : z;
}

// Sums over all axes but the channels' -----------------------------------------------------------

// Numbers lie as (outer, channels, inner).  A block takes `width` neighbouring channels: 8 where
// inner is 1, else one, so that its threads read neighbouring numbers.
struct Channel {
    unsigned width, number, part, parts, inner, stride;
    bool there;

    __device__ Channel(whole channels, whole inner_) : inner(unsigned(inner_))
    {
        width = inner == 1 ? 8 : 1;
        number = blockIdx.x * width + threadIdx.x % width;
        part = threadIdx.x / width;
        parts = blockDim.x / width;
        stride = unsigned(channels) * inner;
        there = number < channels;
    }

    // Calls visit(index) for the channel's numbers first + part, first + part + parts ... < end, by
    // fours: the reads of four calls are under way together, the last ones' too.
    template <class Visit>
    __device__ __forceinline__ void each(unsigned first, unsigned end, Visit visit) const
    {
        if (!there) return;
        unsigned e = first + part, within = e % inner;
        unsigned i = e / inner * stride + number * inner + within;
        const unsigned ahead = parts % inner, jump = parts / inner * stride + ahead;
        for (; e < end; e += 4 * parts)
#pragma unroll
            for (unsigned k = 0; k < 4; k++) {
                if (e + k * parts < end) visit(i);
                i += jump;
                within += ahead;
                if (within >= inner) {
                    within -= inner;
                    i += stride - inner;
                }
            }
    }
};

// A block sums row blockIdx.y's share of the numbers into that row of shares; the last block of
// these channels to do so adds the rows to out.  A single row is out itself.  With y, each number
// counts only where y > 0, and is written to kept as it counts.
extern "C" __global__ __launch_bounds__(256)
void channel_sums(const REAL* __restrict__ a, const REAL* __restrict__ y, REAL* __restrict__ kept,
                  REAL* shares, REAL* out, unsigned* arrived, whole outer, whole channels,
                  whole inner)
{
    const Channel channel(channels, inner);
    const unsigned count = unsigned(outer * inner);
    const unsigned share = (count + gridDim.y - 1) / gridDim.y;
    const unsigned first = blockIdx.y * share;
    REAL sum = 0;
    channel.each(first, min(first + share, count), [&](unsigned i) {
        REAL value = a[i];
        if (y) {
            if (!(y[i] > 0)) value = 0;
            kept[i] = value;
        }
        sum += value;
    });
    sum = block_total(sum, channel.width);
    const bool writes = channel.there && channel.part == 0;
    if (writes) shares[blockIdx.y * unsigned(channels) + channel.number] = sum;
    if (gridDim.y == 1 || !last_of(arrived + blockIdx.x, gridDim.y)) return;
    sum = 0;
    if (channel.there)
        for (unsigned row = channel.part; row < gridDim.y; row += channel.parts)
            sum += __ldcg(shares + row * unsigned(channels) + channel.number);
    sum = block_total(sum, channel.width);
    if (writes) out[channel.number] = sum;
}

extern "C" __global__ __launch_bounds__(1024)
void batch_norm(const REAL* __restrict__ x, const REAL* __restrict__ gamma,
                const REAL* __restrict__ beta, REAL* __restrict__ mean, REAL* __restrict__ var,
                REAL* __restrict__ y, REAL* __restrict__ x_hat, REAL* __restrict__ scales,
                whole outer, whole channels, whole inner, double momentum, double eps)
{
    const Channel channel(channels, inner);
    const unsigned count = unsigned(outer * inner), own = channel.number;
    REAL sum = 0;
    channel.each(0, count, [&](unsigned i) { sum += x[i]; });
    const REAL centre = block_total(sum, channel.width) / REAL(count);
    sum = 0;
    channel.each(0, count, [&](unsigned i) {
        const REAL apart = x[i] - centre;
        sum += apart * apart;
    });
    const REAL spread = block_total(sum, channel.width) / REAL(count);
    if (!channel.there) return;
    const REAL scale = REAL(1) / sqrt(spread + REAL(eps));
    const REAL wide = gamma[own], shift = beta[own];
    channel.each(0, count, [&](unsigned i) {
        const REAL normal = (x[i] - centre) * scale;
        x_hat[i] = normal;
        y[i] = normal * wide + shift;
    });
    if (channel.part == 0) {
        const double fresh = 1 - momentum;
        scales[own] = scale;
        mean[own] = mean[own] * REAL(momentum) + REAL(fresh) * centre;
        var[own] = var[own] * REAL(momentum) + REAL(fresh * count / (count - 1.0)) * spread;
    }
}

// dx may be null: then only the parameters' gradients are written.
extern "C" __global__ __launch_bounds__(1024)
void batch_norm_backward(const REAL* __restrict__ dy, const REAL* __restrict__ x_hat,
                         const REAL* __restrict__ scales, const REAL* __restrict__ gamma,
                         REAL* __restrict__ dgamma, REAL* __restrict__ dbeta, REAL* __restrict__ dx,
                         whole outer, whole channels, whole inner)
{
    const Channel channel(channels, inner);
    const unsigned count = unsigned(outer * inner), own = channel.number;
    REAL sum = 0, products = 0;
    channel.each(0, count, [&](unsigned i) {
        sum += dy[i];
        products += dy[i] * x_hat[i];
    });
    sum = block_total(sum, channel.width);
    products = block_total(products, channel.width);
    if (!channel.there) return;
    if (channel.part == 0) {
        dbeta[own] = sum;
        dgamma[own] = products;
    }
    if (!dx) return;
    const REAL share = REAL(1) / REAL(count), factor = gamma[own] * scales[own];
    channel.each(0, count, [&](unsigned i) {
        dx[i] = (dy[i] - sum * share - x_hat[i] * (products * share)) * factor;
    });
}

// Images -----------------------------------------------------------------------------------------

// Columns are (c kh kw, n oh ow) and responses (f, n oh ow), so that neighbouring threads meet
// neighbouring pixels wherever they read and write.

// Division by a number d that the host knows: (2 x m) 2^-(32 + s) with m = ceil(2^(31 + s) / d) and
// 2^s >= d, exact for x < 2^31 (Granlund and Montgomery, 1994).  It comes as m + 2^32 s.
struct Divisor {
    unsigned factor, shift;

    __device__ Divisor(whole packed) : factor(unsigned(packed)), shift(unsigned(packed >> 32)) {}

    __device__ unsigned of(unsigned x) const { return __umulhi(2 * x, factor) >> shift; }
};

// A thread has a place on the (n, rows, cols) of one channel, which comes from the grid.
struct Place {
    unsigned n, channels, rows, cols, number, channel, image, row, col;

    __device__ Place(whole n_, whole channels_, whole rows_, whole cols_, Divisor by_rows,
                     Divisor by_cols)
        : n(unsigned(n_)), channels(unsigned(channels_)), rows(unsigned(rows_)),
          cols(unsigned(cols_)), number(thread_number()), channel(blockIdx.y)
    {
        const unsigned line = by_cols.of(number);
        image = by_rows.of(line);
        row = line - image * rows;
        col = number - line * cols;
    }

    __device__ bool there() const { return image < n; }

    // Where a map of so many numbers starts in images, and in columns and responses.
    __device__ unsigned in_images(unsigned area) const
    {
        return (image * channels + channel) * area;
    }

    __device__ unsigned by_channel(unsigned area) const { return (channel * n + image) * area; }
};

#define PLACE_PARAMETERS whole n, whole channels, whole rows, whole cols, whole by_rows, \
                         whole by_cols
#define PLACE Place(n, channels, rows, cols, by_rows, by_cols)

// A window that moves over maps of h by w pixels, to oh by ow positions.
struct Window {
    int h, w, oh, ow, kh, kw, stride, pad;

    __device__ Window(whole h_, whole w_, whole oh_, whole ow_, whole kh_, whole kw_,
                      whole stride_, whole pad_)
        : h(int(h_)), w(int(w_)), oh(int(oh_)), ow(int(ow_)), kh(int(kh_)), kw(int(kw_)),
          stride(int(stride_)), pad(int(pad_))
    {
    }

    __device__ bool is(int size, int stride_) const
    {
        return kh == size && kw == size && stride == stride_;
    }

    // The same window, of a size and stride that the compiler then knows and unrolls loops by.
    __device__ Window known(int size, int stride_) const
    {
        Window same = *this;
        same.kh = same.kw = size;
        same.stride = stride_;
        return same;
    }

    // The pixel of the first cell at a position, as a number of its map; it may lie off the map.
    __device__ int corner(int p, int q) const
    {
        return (p * stride - pad) * w + q * stride - pad;
    }
};

// Calls visit(i, j) for the cells of the window at (p, q) that lie on the map, in reading order.
template <class Visit>
__device__ __forceinline__ void over_cells(const Window& at, int p, int q, Visit visit)
{
    if (at.is(2, 2) && at.pad == 0) {  // always all four
#pragma unroll
        for (int cell = 0; cell < 4; cell++) visit(cell / 2, cell % 2);
        return;
    }
    const int top = p * at.stride - at.pad, left = q * at.stride - at.pad;
    const int bottom = min(at.kh, at.h - top), right = min(at.kw, at.w - left);
    for (int i = max(-top, 0); i < bottom; i++)
        for (int j = max(-left, 0); j < right; j++) visit(i, j);
}

// The sum over the windows that a pixel is in, top to bottom of their cells, of what read(index,
// cell) gives: index is first + cell spacing + the number of the window's position, found by steps.
template <class Read>
__device__ __forceinline__ REAL over_windows(const Window& at, unsigned row, unsigned col,
                                             unsigned first, unsigned spacing, Read read)
{
    const unsigned stride = at.stride, oh = at.oh, ow = at.ow, kh = at.kh, kw = at.kw;
    row += at.pad;
    col += at.pad;
    const unsigned lowest = row / stride, rightmost = col / stride;
    const unsigned top = row - lowest * stride, left = col - rightmost * stride;
    const unsigned across = stride * spacing - 1, down = stride * kw * spacing - ow;
    unsigned line = first + (top * kw + left) * spacing + lowest * ow + rightmost;
    REAL sum = 0;
#pragma unroll
    for (unsigned i = top, p = lowest; i < kh; i += stride, p--, line += down) {
        unsigned index = line;
#pragma unroll
        for (unsigned j = left, q = rightmost; j < kw; j += stride, q--, index += across)
            sum += p < oh && q < ow ? read(index, int(i * kw + j)) : REAL(0);
    }
    return sum;
}

// Convolution ------------------------------------------------------------------------------------

// Writes the cells of a window, whose first is at `corner` of a map, into a column.
template <class T>
__device__ __forceinline__ void taps(const Window& at, const T* __restrict__ corner, int top,
                                     int left, T* __restrict__ column, unsigned positions)
{
#pragma unroll
    for (int i = 0; i < at.kh; i++)
#pragma unroll
        for (int j = 0; j < at.kw; j++) {
            const bool inside = unsigned(top + i) < unsigned(at.h)
                             && unsigned(left + j) < unsigned(at.w);
            column[unsigned(i * at.kw + j) * positions] = inside ? corner[i * at.w + j] : T(0);
        }
}

template <class T>
__device__ __forceinline__ void image_columns(const T* __restrict__ x, T* __restrict__ columns,
                                              const Place& at, const Window& window)
{
    if (!at.there()) return;
    const unsigned positions = at.n * at.rows * at.cols, cells = window.kh * window.kw;
    const int top = int(at.row) * window.stride - window.pad;
    const int left = int(at.col) * window.stride - window.pad;
    const T* corner = x + at.in_images(window.h * window.w) + window.corner(at.row, at.col);
    T* column = columns + at.channel * cells * positions + at.number;
    if (window.is(3, 1)) taps(window.known(3, 1), corner, top, left, column, positions);
    else if (window.is(5, 1)) taps(window.known(5, 1), corner, top, left, column, positions);
    else taps(window, corner, top, left, column, positions);
}

// A thread has a position of the window.
extern "C" __global__ __launch_bounds__(256)
void im2col(const REAL* __restrict__ x, REAL* __restrict__ columns, PLACE_PARAMETERS, whole h,
            whole w, whole kh, whole kw, whole stride, whole pad)
{
    image_columns(x, columns, PLACE, Window(h, w, rows, cols, kh, kw, stride, pad));
}

// Numbers of 16 bits, of whatever format.
extern "C" __global__ __launch_bounds__(256)
void im2col_narrow(const unsigned short* __restrict__ x, unsigned short* __restrict__ columns,
                   PLACE_PARAMETERS, whole h, whole w, whole kh, whole kw, whole stride, whole pad)
{
    image_columns(x, columns, PLACE, Window(h, w, rows, cols, kh, kw, stride, pad));
}

// A thread has a pixel, which gathers from the windows it is in: nothing is added to by two.
extern "C" __global__ __launch_bounds__(256)
void col2im(const REAL* __restrict__ columns, REAL* __restrict__ x, PLACE_PARAMETERS, whole oh,
            whole ow, whole kh, whole kw, whole stride, whole pad)
{
    const Place at = PLACE;
    if (!at.there()) return;
    const Window window(rows, cols, oh, ow, kh, kw, stride, pad);
    const unsigned area = window.oh * window.ow, positions = at.n * area;
    const unsigned cells = window.kh * window.kw;
    const unsigned first = at.channel * cells * positions + at.image * area;
    const auto sum = [&](const Window& same) {
        return over_windows(same, at.row, at.col, first, positions,
                            [&](unsigned i, int) { return columns[i]; });
    };
    x[at.in_images(at.rows * at.cols) + at.row * at.cols + at.col] =
        window.is(3, 1) ? sum(window.known(3, 1))
        : window.is(5, 1) ? sum(window.known(5, 1)) : sum(window);
}

// Responses to images, with bias (or null), rectified or not.
extern "C" __global__ __launch_bounds__(256)
void responses_to_images(const REAL* __restrict__ z, const REAL* __restrict__ b,
                         REAL* __restrict__ y, PLACE_PARAMETERS, whole rectify)
{
    const Place at = PLACE;
    if (!at.there()) return;
    REAL value = z[at.by_channel(at.cols) + at.col];
    if (b) value += b[at.channel];
    if (rectify && value < 0) value = 0;
    y[at.in_images(at.cols) + at.col] = value;
}

// The way back; with y (images too), a slope passes only where y > 0.
extern "C" __global__ __launch_bounds__(256)
void images_to_responses(const REAL* __restrict__ dy, const REAL* __restrict__ y,
                         REAL* __restrict__ dz, PLACE_PARAMETERS)
{
    const Place at = PLACE;
    if (!at.there()) return;
    const unsigned i = at.in_images(at.cols) + at.col;
    dz[at.by_channel(at.cols) + at.col] = !y || y[i] > 0 ? dy[i] : REAL(0);
}

// Pooling ----------------------------------------------------------------------------------------

struct Best {
    REAL value;
    int cell;
};

// The best cell of a window, what lies off the map being minus infinity.  Of equal numbers the
// first in reading order wins; a NaN makes the result NaN.
template <class Read>
__device__ __forceinline__ Best best_of(const Window& at, int p, int q, Read read)
{
    const REAL outside = log(REAL(0));
    Best best{outside, 0};
    over_cells(at, p, q, [&](int i, int j) {
        const REAL value = read(i, j);
        if (value > best.value) best.cell = i * at.kw + j;
        if (value > best.value || value != value) best.value = value;
    });
    return best;
}

// Two neighbours written at once, so that a warp's write has no gaps.
struct __align__(2 * sizeof(REAL)) Pair {
    REAL first, second;
};

// Writes a thread's share of the way back through pooling: what slope(index, cell) gives for the
// index of a window in pooled images and a cell, added over the windows that hold a pixel.  A
// thread has a pixel where tile is 1.  Windows side by side hold a pixel once at most: there a
// thread has the tile of pixels of a window, or one at the right or lower edge that none holds.
template <class Slope>
__device__ __forceinline__ void pool_slopes(const Window& window, int tile, const Place& at,
                                            REAL* __restrict__ map, Slope slope)
{
    const unsigned first = at.in_images(window.oh * window.ow);
    const int h = window.h, w = window.w, row = int(at.row) * tile, col = int(at.col) * tile;
    if (tile == 1) {
        map[row * w + col] = over_windows(window, row, col, first, 0, slope);
        return;
    }
    const bool held = int(at.row) < window.oh && int(at.col) < window.ow;
    const unsigned index = first + at.row * window.ow + at.col;
    const auto one = [&](int cell) { return held ? slope(index, cell) : REAL(0); };
    if (tile == 2 && w % 2 == 0) {
        Pair* pair = reinterpret_cast<Pair*>(map + row * w + col);
        *pair = Pair{one(0), one(1)};
        if (row + 1 < h) pair[w / 2] = Pair{one(2), one(3)};
        return;
    }
    for (int i = 0; i < tile && row + i < h; i++)
        for (int j = 0; j < tile && col + j < w; j++)
            map[(row + i) * w + col + j] = one(i * tile + j);
}

extern "C" __global__ __launch_bounds__(256)
void max_pool(const REAL* __restrict__ x, REAL* __restrict__ y, unsigned char* __restrict__ winners,
              PLACE_PARAMETERS, whole h, whole w, whole kh, whole kw, whole stride, whole pad)
{
    const Place at = PLACE;
    if (!at.there()) return;
    const Window window(h, w, rows, cols, kh, kw, stride, pad);
    const REAL* corner = x + at.in_images(window.h * window.w) + window.corner(at.row, at.col);
    const Best best = best_of(window, at.row, at.col, [&](int i, int j) {
        return corner[i * window.w + j];
    });
    const unsigned to = at.in_images(at.rows * at.cols) + at.row * at.cols + at.col;
    y[to] = best.value;
    winners[to] = (unsigned char)(best.cell);
}

extern "C" __global__ __launch_bounds__(256)
void max_pool_backward(const REAL* __restrict__ dy, const unsigned char* __restrict__ winners,
                       REAL* __restrict__ dx, PLACE_PARAMETERS, whole h, whole w, whole oh,
                       whole ow, whole kh, whole kw, whole stride, whole pad, whole tile)
{
    const Place at = PLACE;
    if (!at.there()) return;
    const Window window(h, w, oh, ow, kh, kw, stride, pad);
    pool_slopes(window, int(tile), at, dx + at.in_images(window.h * window.w),
                [&](unsigned i, int cell) { return winners[i] == cell ? dy[i] : REAL(0); });
}

extern "C" __global__ __launch_bounds__(256)
void avg_pool(const REAL* __restrict__ x, REAL* __restrict__ y, PLACE_PARAMETERS, whole h, whole w,
              whole kh, whole kw, whole stride, whole pad, double share)
{
    const Place at = PLACE;
    if (!at.there()) return;
    const Window window(h, w, rows, cols, kh, kw, stride, pad);
    const REAL* corner = x + at.in_images(window.h * window.w) + window.corner(at.row, at.col);
    REAL sum = 0;
    over_cells(window, at.row, at.col, [&](int i, int j) { sum += corner[i * window.w + j]; });
    y[at.in_images(at.rows * at.cols) + at.row * at.cols + at.col] = sum * REAL(share);
}

extern "C" __global__ __launch_bounds__(256)
void avg_pool_backward(const REAL* __restrict__ dy, REAL* __restrict__ dx, PLACE_PARAMETERS,
                       whole h, whole w, whole oh, whole ow, whole kh, whole kw, whole stride,
                       whole pad, whole tile, double share)
{
    const Place at = PLACE;
    if (!at.there()) return;
    const Window window(h, w, oh, ow, kh, kw, stride, pad);
    pool_slopes(window, int(tile), at, dx + at.in_images(window.h * window.w),
                [&](unsigned i, int) { return dy[i] * REAL(share); });
}

// Responses with bias (or null), rectified, then pooled to images.
extern "C" __global__ __launch_bounds__(256)
void responses_to_pooled(const REAL* __restrict__ z, const REAL* __restrict__ b,
                         REAL* __restrict__ y, unsigned char* __restrict__ winners,
                         PLACE_PARAMETERS, whole h, whole w, whole kh, whole kw, whole stride,
                         whole pad)
{
    const Place at = PLACE;
    if (!at.there()) return;
    const Window window(h, w, rows, cols, kh, kw, stride, pad);
    const REAL* corner = z + at.by_channel(window.h * window.w) + window.corner(at.row, at.col);
    const REAL bias = b ? b[at.channel] : REAL(0);
    const Best best = best_of(window, at.row, at.col, [&](int i, int j) {
        const REAL value = corner[i * window.w + j] + bias;
        return value < 0 ? REAL(0) : value;
    });
    const unsigned to = at.in_images(at.rows * at.cols) + at.row * at.cols + at.col;
    y[to] = best.value;
    winners[to] = (unsigned char)(best.cell);
}

// The way back: a slope goes to its window's winner where the pooled number is above 0.
extern "C" __global__ __launch_bounds__(256)
void pooled_to_responses(const REAL* __restrict__ dy, const REAL* __restrict__ y,
                         const unsigned char* __restrict__ winners, REAL* __restrict__ dz,
                         PLACE_PARAMETERS, whole h, whole w, whole oh, whole ow, whole kh,
                         whole kw, whole stride, whole pad, whole tile)
{
    const Place at = PLACE;
    if (!at.there()) return;
    const Window window(h, w, oh, ow, kh, kw, stride, pad);
    pool_slopes(window, int(tile), at, dz + at.by_channel(window.h * window.w),
                [&](unsigned i, int cell) {
        return winners[i] == cell && y[i] > 0 ? dy[i] : REAL(0);
    });
}

// Losses -----------------------------------------------------------------------------------------

__device__ __forceinline__ REAL warp_total(REAL value)
{
    for (int apart = 16; apart; apart /= 2) value += __shfl_xor_sync(0xffffffffu, value, apart);
    return value;
}

__device__ __forceinline__ REAL warp_max(REAL value)
{
    for (int apart = 16; apart; apart /= 2) {
        const REAL other = __shfl_xor_sync(0xffffffffu, value, apart);
        value = other > value || other != other ? other : value;
    }
    return value;
}

// A warp to a row.  Element blockIdx.x of losses gets the summed shares of this block's rows, and
// the last block, of at most 1024, adds them to loss.
extern "C" __global__ __launch_bounds__(1024)
void softmax_cross_entropy(const REAL* __restrict__ scores, const whole* __restrict__ labels,
                           REAL* __restrict__ dscores, REAL* losses, REAL* loss, unsigned* arrived,
                           whole n, whole k_, double smoothing, double share, double least)
{
    const unsigned lane = threadIdx.x % 32, k = unsigned(k_), warps = blockDim.x / 32;
    const REAL off = REAL(smoothing / k), on = REAL(1 - smoothing) + off;
    const REAL wanted = on + off * REAL(k - 1);
    REAL total = 0;
    for (unsigned row = blockIdx.x * warps + threadIdx.x / 32; row < n; row += gridDim.x * warps) {
        const REAL* own = scores + row * k;
        const whole label = labels[row];
        REAL highest = own[lane < k ? lane : 0], sum = 0, lost = 0;
        for (unsigned j = lane + 32; j < k; j += 32)
            highest = own[j] > highest || own[j] != own[j] ? own[j] : highest;
        highest = warp_max(highest);
        for (unsigned j = lane; j < k; j += 32) sum += exp(own[j] - highest);
        const bool known = label >= 0 && label < k_;
        const REAL log_sum = log(known ? warp_total(sum) : REAL(-1));  // NaN shall be noticed
        for (unsigned j = lane; j < k; j += 32) {
            const REAL log_p = own[j] - highest - log_sum, t = whole(j) == label ? on : off;
            const REAL slope = (exp(log_p) * wanted - t) * REAL(share);
            dscores[row * k + j] = fabs(slope) < REAL(least) ? REAL(0) : slope;
            if (t != 0 || !known) lost -= log_p * t;
        }
        total += warp_total(lost);
    }
    total = block_total(lane == 0 ? total : REAL(0), 1);
    if (threadIdx.x == 0) losses[blockIdx.x] = total * REAL(share);
    if (gridDim.x == 1 || !last_of(arrived, gridDim.x)) return;
    total = block_total(threadIdx.x < gridDim.x ? __ldcg(losses + threadIdx.x) : REAL(0), 1);
    if (threadIdx.x == 0) *loss = total;
}

// record: summed loss, right answers, batches.  One block.  The class is the highest score's, or
// of a single score whether it is positive; without labels nothing is right.
extern "C" __global__ __launch_bounds__(1024)
void tally(const REAL* __restrict__ scores, const whole* __restrict__ labels,
           const REAL* __restrict__ loss, double* __restrict__ record, whole n, whole k)
{
    double right = 0;
    for (whole row = threadIdx.x; labels && row < n; row += blockDim.x) {
        const REAL* own = scores + row * k;
        whole guess = k == 1 && own[0] > 0;
        REAL best = own[0];
        for (whole j = 1; j < k; j++)
            if (own[j] > best || (own[j] != own[j] && best == best)) {
                best = own[j];
                guess = j;
            }
        right += guess == labels[row];
    }
    right = block_total(right, 1);
    if (threadIdx.x == 0) {
        record[0] += double(*loss) * n;
        record[1] += right;
        record[2] += 1;
    }
}

// Dropout ----------------------------------------------------------------------------------------

// Philox-4x64-10: four words that are a pure function of a key and a counter.
__device__ void philox(word key0, word key1, word c[4])
{
    for (int round = 0; round < 10; round++) {
        const word times0 = 0xD2E7470EE14C6C93ull, times1 = 0xCA5A826395121157ull;
        const word high0 = __umul64hi(times0, c[0]), low0 = times0 * c[0];
        const word high1 = __umul64hi(times1, c[2]), low1 = times1 * c[2];
        c[0] = high1 ^ c[1] ^ key0;
        c[1] = low1;
        c[2] = high0 ^ c[3] ^ key1;
        c[3] = low0;
        key0 += 0x9E3779B97F4A7C15ull;
        key1 += 0xBB67AE8584CAA73Bull;
    }
}

// A thread draws the next eight numbers.  The last block counts the mask: all have read by then.
extern "C" __global__ __launch_bounds__(512)
void dropout(const REAL* __restrict__ x, REAL* __restrict__ y, REAL* __restrict__ mask,
             whole* counter, unsigned* arrived, whole key0, whole key1, whole size, double rate,
             double scale)
{
    const word step = word(*counter);
    const unsigned blocks = unsigned((size + 7) / 8);
    for (unsigned block = thread_number(); block < blocks; block += gridDim.x * blockDim.x) {
        word c[4] = {block + 1ull, step, 0, 0};
        philox(word(key0), word(key1), c);
#pragma unroll
        for (unsigned half = 0; half < 8; half++) {
            const unsigned bits = unsigned(c[half / 2] >> (half % 2 * 32)), i = block * 8 + half;
            if (i >= size) break;
            const float drawn = float(bits >> 8) * 5.9604644775390625e-8f;  // 2^-24
            const REAL kept = drawn >= float(rate) ? REAL(scale) : REAL(0);
            mask[i] = kept;
            y[i] = x[i] * kept;
        }
    }
    if (last_of(arrived, gridDim.x) && threadIdx.x == 0) *counter += 1;
}

// Batches ----------------------------------------------------------------------------------------

// Samples order[first], order[first + 1] ... (or first, first + 1 ... without an order).  With a
// record, first is its count of batches times the batch size n.
struct Chosen {
    const whole* order;
    whole first;

    __device__ Chosen(const whole* order_, const double* record, whole first_, whole n)
        : order(order_), first(record ? whole(record[2]) * n : first_)
    {
    }

    __device__ whole operator[](unsigned i) const { return order ? order[first + i] : first + i; }
};

// The samples scaled, and their labels (or null).
template <class Pixel>
__device__ void take(const Pixel* x, const whole* labels, const Chosen& chosen, whole n,
                     whole length, REAL scale, REAL* y, whole* t)
{
    const unsigned at = thread_number(), row = at / unsigned(length), pixel = at % unsigned(length);
    if (row >= n) return;
    const whole source = chosen[row];
    y[at] = REAL(x[source * length + pixel]) * scale;
    if (pixel == 0 && labels) t[row] = labels[source];
}

extern "C" __global__ __launch_bounds__(256)
void take_bytes(const unsigned char* __restrict__ x, const whole* __restrict__ labels,
                const whole* __restrict__ order, const double* __restrict__ record, whole first,
                whole n, whole length, double scale, REAL* __restrict__ y, whole* __restrict__ t)
{
    take(x, labels, Chosen(order, record, first, n), n, length, REAL(scale), y, t);
}

extern "C" __global__ __launch_bounds__(256)
void take_reals(const REAL* __restrict__ x, const whole* __restrict__ labels,
                const whole* __restrict__ order, const double* __restrict__ record, whole first,
                whole n, whole length, double scale, REAL* __restrict__ y, whole* __restrict__ t)
{
    take(x, labels, Chosen(order, record, first, n), n, length, REAL(scale), y, t);
}

// Rows of bytes, whatever they mean.
extern "C" __global__ __launch_bounds__(256)
void take_rows(const unsigned char* __restrict__ x, const whole* __restrict__ order,
               const double* __restrict__ record, whole first, whole n, whole length,
               unsigned char* __restrict__ y)
{
    const unsigned at = thread_number(), row = at / unsigned(length);
    if (row < n) y[at] = x[Chosen(order, record, first, n)[row] * length + at % unsigned(length)];
}

// Update rules -----------------------------------------------------------------------------------

// What changes from step to step (the row of update.Pace): given by value, or the row of a table
// that record's count of batches points to.
struct Pace {
    REAL lr, hat, spread;
    bool flush;

    __device__ Pace(double lr_, double flush_, double hat_, double spread_, const double* table,
                    const double* record)
    {
        const double* row = table ? table + 4 * whole(record[2]) : nullptr;
        lr = REAL(row ? row[0] : lr_);
        flush = (row ? row[1] : flush_) != 0;
        hat = REAL(row ? row[2] : hat_);
        spread = REAL(row ? row[3] : spread_);
    }
};

#define PACE_PARAMETERS double lr, double flush, double hat, double spread, \
                        const double* __restrict__ table, const double* __restrict__ record
#define PACE Pace(lr, flush, hat, spread, table, record)

extern "C" __global__ __launch_bounds__(256)
void sgd(REAL* __restrict__ p, const REAL* __restrict__ g, whole size, PACE_PARAMETERS,
         double decay)
{
    const unsigned i = thread_number();
    if (i >= size) return;
    p[i] -= PACE.lr * (g[i] + REAL(decay) * p[i]);
}

extern "C" __global__ __launch_bounds__(256)
void momentum(REAL* __restrict__ p, const REAL* __restrict__ g, REAL* __restrict__ v, whole size,
              PACE_PARAMETERS, double mu, double decay, whole nesterov, double least)
{
    const unsigned i = thread_number();
    if (i >= size) return;
    const Pace pace = PACE;
    const REAL slope = g[i] + REAL(decay) * p[i];
    REAL velocity = v[i] * REAL(mu) + slope;
    if (pace.flush && fabs(velocity) < REAL(least)) velocity = 0;
    v[i] = velocity;
    p[i] -= pace.lr * (nesterov ? slope + REAL(mu) * velocity : velocity);
}

// h = alpha h + fresh g^2: RMSprop, and AdaGrad with both of them 1.
extern "C" __global__ __launch_bounds__(256)
void rmsprop(REAL* __restrict__ p, const REAL* __restrict__ g, REAL* __restrict__ h, whole size,
             PACE_PARAMETERS, double alpha, double fresh, double eps, double decay, double least)
{
    const unsigned i = thread_number();
    if (i >= size) return;
    const Pace pace = PACE;
    const REAL slope = g[i] + REAL(decay) * p[i];
    REAL square = h[i] * REAL(alpha) + REAL(fresh) * (slope * slope);
    if (pace.flush && square < REAL(least)) square = 0;
    h[i] = square;
    p[i] -= pace.lr * slope / (sqrt(square) + REAL(eps));
}

extern "C" __global__ __launch_bounds__(256)
void adam(REAL* __restrict__ p, const REAL* __restrict__ g, REAL* __restrict__ m,
          REAL* __restrict__ v, whole size, PACE_PARAMETERS, double beta1, double beta2, double eps,
          double decay, whole decoupled, double least, double least_square)
{
    const unsigned i = thread_number();
    if (i >= size) return;
    const Pace pace = PACE;
    REAL param = p[i], slope = g[i];
    if (decoupled) param *= REAL(1) - pace.lr * REAL(decay);
    else slope += REAL(decay) * param;
    REAL moment = m[i] * REAL(beta1) + REAL(1 - beta1) * slope;
    REAL square = v[i] * REAL(beta2) + REAL(1 - beta2) * (slope * slope);
    if (pace.flush) {
        if (fabs(moment) < REAL(least)) moment = 0;
        if (square < REAL(least_square)) square = 0;
    }
    m[i] = moment;
    v[i] = square;
    p[i] = param - pace.hat * moment / (sqrt(square) * pace.spread + REAL(eps));
}
