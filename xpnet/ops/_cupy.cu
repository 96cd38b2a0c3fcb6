// Every CUDA line of xpnet: the kernels behind ops/_cupy.py, which launches them.
//
// REAL is float or double: the file is compiled once for each dtype that is met.  Arrays are
// C-contiguous and smaller than 2^31 numbers.  Whole numbers arrive as 64 bits and real ones as
// doubles, as CuPy passes Python's.  No kernel adds with atomics: every sum has one order, so
// that a run repeats itself bit for bit.

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

    // Calls visit(index) for the channel's numbers first + part, first + part + parts ... < end.
    template <class Visit>
    __device__ __forceinline__ void each(unsigned first, unsigned end, Visit visit) const
    {
        if (!there) return;
        unsigned e = first + part, within = e % inner;
        unsigned i = e / inner * stride + number * inner + within;
        const unsigned ahead = parts % inner, jump = parts / inner * stride + ahead;
        for (; e < end; e += parts) {
            visit(i);
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

// A thread keeps one place on the (n, rows, cols) of every channel, which costs it two divisions,
// and walks the channels blockIdx.y, blockIdx.y + gridDim.y ...
struct Place {
    unsigned number, image, row, col;
    bool there;

    __device__ Place(whole n, unsigned rows, unsigned cols) : number(thread_number())
    {
        there = number < unsigned(n) * rows * cols;
        col = number % cols;
        row = number / cols % rows;
        image = number / cols / rows;
    }
};

#define EACH_CHANNEL(channel, channels) \
    for (unsigned channel = blockIdx.y; channel < unsigned(channels); channel += gridDim.y)

// A window that moves over maps of h by w pixels, to oh by ow positions.
struct Window {
    unsigned h, w, oh, ow, kh, kw, stride, pad;

    __device__ Window(whole h_, whole w_, whole oh_, whole ow_, whole kh_, whole kw_,
                      whole stride_, whole pad_)
        : h(unsigned(h_)), w(unsigned(w_)), oh(unsigned(oh_)), ow(unsigned(ow_)),
          kh(unsigned(kh_)), kw(unsigned(kw_)), stride(unsigned(stride_)), pad(unsigned(pad_))
    {
    }

    // The same window, of a size and stride that the compiler then knows and unrolls loops by.
    __device__ Window known(unsigned size, unsigned stride_) const
    {
        Window same = *this;
        same.kh = same.kw = size;
        same.stride = stride_;
        return same;
    }

    // The pixel, as a number of its map, of the first cell at a position: it may lie off the map.
    __device__ int corner(unsigned p, unsigned q) const
    {
        return int((p * stride - pad) * w + q * stride - pad);
    }

    __device__ bool is(unsigned size, unsigned stride_) const
    {
        return kh == size && kw == size && stride == stride_;
    }
};

// Calls visit(i, j) for the cells of the window at (p, q) that lie on the map, in reading order.
template <class Visit>
__device__ __forceinline__ void over_cells(const Window& at, unsigned p, unsigned q, Visit visit)
{
    if (at.is(2, 2) && at.pad == 0) {  // always all four
#pragma unroll
        for (int cell = 0; cell < 4; cell++) visit(cell / 2, cell % 2);
        return;
    }
    const int top = int(p * at.stride - at.pad), left = int(q * at.stride - at.pad);
    const int bottom = min(int(at.kh), int(at.h) - top), right = min(int(at.kw), int(at.w) - left);
    for (int i = max(-top, 0); i < bottom; i++)
        for (int j = max(-left, 0); j < right; j++) visit(i, j);
}

// The sum over the windows that a pixel is in, top to bottom of their cells, of what `read` gives
// for the window's position and the pixel's cell in it.
template <class Read>
__device__ __forceinline__ REAL over_windows(const Window& at, unsigned row, unsigned col,
                                             Read read)
{
    const unsigned lowest = (row + at.pad) / at.stride, rightmost = (col + at.pad) / at.stride;
    const unsigned top = row + at.pad - lowest * at.stride;
    const unsigned left = col + at.pad - rightmost * at.stride;
    REAL sum = 0;
#pragma unroll
    for (unsigned i = top, p = lowest; i < at.kh; i += at.stride, p--)
#pragma unroll
        for (unsigned j = left, q = rightmost; j < at.kw; j += at.stride, q--)
            sum += p < at.oh && q < at.ow ? read(p * at.ow + q, i * at.kw + j) : REAL(0);
    return sum;  // what is less than 0 has become more than any size
}

// Convolution ------------------------------------------------------------------------------------

template <class T>
__device__ __forceinline__ void taps(const Window& at, const T* __restrict__ map, unsigned top,
                                     unsigned left, T* __restrict__ column, unsigned positions)
{
    const T* corner = map + int(top * at.w + left);
#pragma unroll
    for (unsigned i = 0; i < at.kh; i++)
#pragma unroll
        for (unsigned j = 0; j < at.kw; j++) {
            const bool inside = top + i < at.h && left + j < at.w;  // less than 0 is more, too
            column[(i * at.kw + j) * positions] = inside ? corner[i * at.w + j] : T(0);
        }
}

template <class T>
__device__ __forceinline__ void image_columns(const T* __restrict__ x, T* __restrict__ columns,
                                              whole n, whole c, const Window& window)
{
    const Place at(n, window.oh, window.ow);
    if (!at.there) return;
    const unsigned positions = unsigned(n) * window.oh * window.ow;
    const unsigned top = at.row * window.stride - window.pad;
    const unsigned left = at.col * window.stride - window.pad;
    EACH_CHANNEL(channel, c) {
        const T* map = x + (at.image * unsigned(c) + channel) * (window.h * window.w);
        T* column = columns + channel * (window.kh * window.kw) * positions + at.number;
        if (window.is(3, 1)) taps(window.known(3, 1), map, top, left, column, positions);
        else if (window.is(5, 1)) taps(window.known(5, 1), map, top, left, column, positions);
        else taps(window, map, top, left, column, positions);
    }
}

extern "C" __global__ __launch_bounds__(256)
void im2col(const REAL* __restrict__ x, REAL* __restrict__ columns, whole n, whole c, whole h,
            whole w, whole kh, whole kw, whole stride, whole pad, whole oh, whole ow)
{
    image_columns(x, columns, n, c, Window(h, w, oh, ow, kh, kw, stride, pad));
}

// Numbers of 16 bits, of whatever format.
extern "C" __global__ __launch_bounds__(256)
void im2col_narrow(const unsigned short* __restrict__ x, unsigned short* __restrict__ columns,
                   whole n, whole c, whole h, whole w, whole kh, whole kw, whole stride, whole pad,
                   whole oh, whole ow)
{
    image_columns(x, columns, n, c, Window(h, w, oh, ow, kh, kw, stride, pad));
}

// Each pixel gathers from the windows it is in: nothing is added to by two threads.
extern "C" __global__ __launch_bounds__(256)
void col2im(const REAL* __restrict__ columns, REAL* __restrict__ x, whole n, whole c, whole h,
            whole w, whole kh, whole kw, whole stride, whole pad, whole oh, whole ow)
{
    const Window window(h, w, oh, ow, kh, kw, stride, pad);
    const Place at(n, window.h, window.w);
    if (!at.there) return;
    const unsigned area = window.oh * window.ow, positions = unsigned(n) * area;
    const unsigned cells = window.kh * window.kw, pixel = at.row * window.w + at.col;
    EACH_CHANNEL(channel, c) {
        const REAL* own = columns + channel * cells * positions + at.image * area;
        const auto read = [&](unsigned seen, unsigned cell) {
            return own[cell * positions + seen];
        };
        REAL sum;
        if (window.is(3, 1)) sum = over_windows(window.known(3, 1), at.row, at.col, read);
        else if (window.is(5, 1)) sum = over_windows(window.known(5, 1), at.row, at.col, read);
        else sum = over_windows(window, at.row, at.col, read);
        x[(at.image * unsigned(c) + channel) * (window.h * window.w) + pixel] = sum;
    }
}

// Responses (f, n area) to images (n, f, area), with bias (or null), rectified or not.
extern "C" __global__ __launch_bounds__(256)
void responses_to_images(const REAL* __restrict__ z, const REAL* __restrict__ b,
                         REAL* __restrict__ y, whole n, whole f, whole area_, whole rectify)
{
    const unsigned area = unsigned(area_);
    const Place at(n, 1, area);
    if (!at.there) return;
    EACH_CHANNEL(filter, f) {
        REAL value = z[filter * (unsigned(n) * area) + at.number];
        if (b) value += b[filter];
        if (rectify && value < 0) value = 0;
        y[(at.image * unsigned(f) + filter) * area + at.col] = value;
    }
}

// The way back; with y (images too), a slope passes only where y > 0.
extern "C" __global__ __launch_bounds__(256)
void images_to_responses(const REAL* __restrict__ dy, const REAL* __restrict__ y,
                         REAL* __restrict__ dz, whole n, whole f, whole area_)
{
    const unsigned area = unsigned(area_);
    const Place at(n, 1, area);
    if (!at.there) return;
    EACH_CHANNEL(filter, f) {
        const unsigned i = (at.image * unsigned(f) + filter) * area + at.col;
        dz[filter * (unsigned(n) * area) + at.number] = !y || y[i] > 0 ? dy[i] : REAL(0);
    }
}

// Pooling ----------------------------------------------------------------------------------------

struct Best {
    REAL value;
    unsigned char cell;
};

// The best cell of a window, what lies off the map being minus infinity.  Of equal numbers the
// first in reading order wins; a NaN makes the result NaN.
template <class Read>
__device__ __forceinline__ Best best_of(const Window& at, unsigned p, unsigned q, Read read)
{
    const REAL outside = log(REAL(0));
    Best best{outside, 0};
    over_cells(at, p, q, [&](int i, int j) {
        const REAL value = read(i, j);
        if (value > best.value) best.cell = (unsigned char)(i * int(at.kw) + j);
        if (value > best.value || value != value) best.value = value;
    });
    return best;
}

// Two neighbours written at once, so that a warp's write has no gaps.
struct __align__(2 * sizeof(REAL)) Pair {
    REAL first, second;
};

// Writes a thread's share of the way back through pooling: what `slope` gives for a window's
// position and a cell, over the windows that a pixel is in.  That is one pixel where tile is 1.
// Windows side by side hold a pixel once at most: there a thread has its window's tile of pixels,
// or one at the right or lower edge that no window holds.
template <class Slope>
__device__ __forceinline__ void pool_slopes(const Window& window, unsigned tile, const Place& at,
                                            REAL* __restrict__ map, Slope slope)
{
    const unsigned h = window.h, w = window.w, row = at.row * tile, col = at.col * tile;
    if (tile == 1) {
        map[row * w + col] = over_windows(window, row, col, slope);
        return;
    }
    const bool held = at.row < window.oh && at.col < window.ow;
    const unsigned seen = at.row * window.ow + at.col;
    const auto one = [&](unsigned cell) { return held ? slope(seen, cell) : REAL(0); };
    if (tile == 2 && w % 2 == 0) {
#pragma unroll
        for (unsigned i = 0; i < 2; i++)
            if (row + i < h)
                *reinterpret_cast<Pair*>(map + (row + i) * w + col) =
                    Pair{one(2 * i), one(2 * i + 1)};
        return;
    }
    for (unsigned i = 0; i < tile && row + i < h; i++)
        for (unsigned j = 0; j < tile && col + j < w; j++)
            map[(row + i) * w + col + j] = one(i * tile + j);
}

// The places of pool_slopes.
__device__ __forceinline__ Place tiled(whole n, const Window& window, unsigned tile)
{
    return Place(n, (window.h + tile - 1) / tile, (window.w + tile - 1) / tile);
}

extern "C" __global__ __launch_bounds__(256)
void max_pool(const REAL* __restrict__ x, REAL* __restrict__ y, unsigned char* __restrict__ winners,
              whole n, whole c, whole h, whole w, whole oh, whole ow, whole kh, whole kw,
              whole stride, whole pad)
{
    const Window window(h, w, oh, ow, kh, kw, stride, pad);
    const Place at(n, window.oh, window.ow);
    if (!at.there) return;
    const int corner = window.corner(at.row, at.col);
    EACH_CHANNEL(channel, c) {
        const unsigned map = at.image * unsigned(c) + channel;
        const REAL* own = x + map * (window.h * window.w);
        const Best best = best_of(window, at.row, at.col, [&](int i, int j) {
            return own[corner + i * int(window.w) + j];
        });
        const unsigned to = (map * window.oh + at.row) * window.ow + at.col;
        y[to] = best.value;
        winners[to] = best.cell;
    }
}

extern "C" __global__ __launch_bounds__(256)
void max_pool_backward(const REAL* __restrict__ dy, const unsigned char* __restrict__ winners,
                       REAL* __restrict__ dx, whole n, whole c, whole h, whole w, whole oh,
                       whole ow, whole kh, whole kw, whole stride, whole pad, whole tile_)
{
    const Window window(h, w, oh, ow, kh, kw, stride, pad);
    const unsigned tile = unsigned(tile_);
    const Place at = tiled(n, window, tile);
    if (!at.there) return;
    EACH_CHANNEL(channel, c) {
        const unsigned map = at.image * unsigned(c) + channel;
        const unsigned start = map * (window.oh * window.ow);
        pool_slopes(window, tile, at, dx + map * (window.h * window.w),
                    [&](unsigned seen, unsigned cell) {
            return winners[start + seen] == cell ? dy[start + seen] : REAL(0);
        });
    }
}

extern "C" __global__ __launch_bounds__(256)
void avg_pool(const REAL* __restrict__ x, REAL* __restrict__ y, whole n, whole c, whole h, whole w,
              whole oh, whole ow, whole kh, whole kw, whole stride, whole pad)
{
    const Window window(h, w, oh, ow, kh, kw, stride, pad);
    const Place at(n, window.oh, window.ow);
    if (!at.there) return;
    const int corner = window.corner(at.row, at.col);
    const REAL share = REAL(1.0 / (window.kh * window.kw));
    EACH_CHANNEL(channel, c) {
        const unsigned map = at.image * unsigned(c) + channel;
        const REAL* own = x + map * (window.h * window.w);
        REAL sum = 0;
        over_cells(window, at.row, at.col, [&](int i, int j) {
            sum += own[corner + i * int(window.w) + j];
        });
        y[(map * window.oh + at.row) * window.ow + at.col] = sum * share;
    }
}

extern "C" __global__ __launch_bounds__(256)
void avg_pool_backward(const REAL* __restrict__ dy, REAL* __restrict__ dx, whole n, whole c,
                       whole h, whole w, whole oh, whole ow, whole kh, whole kw, whole stride,
                       whole pad, whole tile_)
{
    const Window window(h, w, oh, ow, kh, kw, stride, pad);
    const unsigned tile = unsigned(tile_);
    const Place at = tiled(n, window, tile);
    if (!at.there) return;
    const REAL share = REAL(1.0 / (window.kh * window.kw));
    EACH_CHANNEL(channel, c) {
        const unsigned map = at.image * unsigned(c) + channel;
        const REAL* own = dy + map * (window.oh * window.ow);
        pool_slopes(window, tile, at, dx + map * (window.h * window.w),
                    [&](unsigned seen, unsigned) { return own[seen] * share; });
    }
}

// Responses (f, n oh ow) with bias (or null), rectified, then pooled to images (n, f, ph pw).
extern "C" __global__ __launch_bounds__(256)
void responses_to_pooled(const REAL* __restrict__ z, const REAL* __restrict__ b,
                         REAL* __restrict__ y, unsigned char* __restrict__ winners, whole n,
                         whole f, whole h, whole w, whole oh, whole ow, whole kh, whole kw,
                         whole stride, whole pad)
{
    const Window window(h, w, oh, ow, kh, kw, stride, pad);
    const Place at(n, window.oh, window.ow);
    if (!at.there) return;
    const int corner = window.corner(at.row, at.col);
    EACH_CHANNEL(filter, f) {
        const REAL* own = z + (filter * unsigned(n) + at.image) * (window.h * window.w);
        const REAL bias = b ? b[filter] : REAL(0);
        const Best best = best_of(window, at.row, at.col, [&](int i, int j) {
            const REAL value = own[corner + i * int(window.w) + j] + bias;
            return value < 0 ? REAL(0) : value;
        });
        const unsigned map = at.image * unsigned(f) + filter;
        const unsigned to = (map * window.oh + at.row) * window.ow + at.col;
        y[to] = best.value;
        winners[to] = best.cell;
    }
}

// The way back: a slope goes to its window's winner where the pooled number is above 0.
extern "C" __global__ __launch_bounds__(256)
void pooled_to_responses(const REAL* __restrict__ dy, const REAL* __restrict__ y,
                         const unsigned char* __restrict__ winners, REAL* __restrict__ dz, whole n,
                         whole f, whole h, whole w, whole oh, whole ow, whole kh, whole kw,
                         whole stride, whole pad, whole tile_)
{
    const Window window(h, w, oh, ow, kh, kw, stride, pad);
    const unsigned tile = unsigned(tile_);
    const Place at = tiled(n, window, tile);
    if (!at.there) return;
    EACH_CHANNEL(filter, f) {
        const unsigned start = (at.image * unsigned(f) + filter) * (window.oh * window.ow);
        REAL* own = dz + (filter * unsigned(n) + at.image) * (window.h * window.w);
        pool_slopes(window, tile, at, own, [&](unsigned seen, unsigned cell) {
            const unsigned i = start + seen;
            return winners[i] == cell && y[i] > 0 ? dy[i] : REAL(0);
        });
    }
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
