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

// Single numbers ---------------------------------------------------------------------------------

extern "C" __global__ __launch_bounds__(256)
void relu(const REAL* x, REAL* y, whole size)
{
    const unsigned i = thread_number();
    if (i < size) y[i] = x[i] < 0 ? REAL(0) : x[i];
}

extern "C" __global__ __launch_bounds__(256)
void relu_backward(const REAL* dy, const REAL* y, REAL* dx, whole size)
{
    const unsigned i = thread_number();
    if (i < size) dx[i] = y[i] > 0 ? dy[i] : REAL(0);
}

extern "C" __global__ __launch_bounds__(256)
void rescale_bytes(const unsigned char* x, REAL* y, whole size, double scale)
{
    const unsigned i = thread_number();
    if (i < size) y[i] = REAL(x[i]) * REAL(scale);
}

// To the nearest, ties to even; NaN stays NaN.
extern "C" __global__ __launch_bounds__(256)
void to_bfloat16(const float* x, unsigned short* y, whole size)
{
    const unsigned i = thread_number();
    if (i >= size) return;
    const unsigned bits = __float_as_uint(x[i]);
    const unsigned nearest = (bits + 0x7fffu + (bits >> 16 & 1)) >> 16;
    y[i] = (unsigned short)(x[i] != x[i] ? bits >> 16 | 0x40 : nearest);
}

// b may be null.
extern "C" __global__ __launch_bounds__(256)
void add_bias(REAL* y, const REAL* b, whole size, whole units, whole rectify)
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

    __device__ unsigned at(unsigned e) const
    {
        return e / inner * stride + number * inner + e % inner;
    }
};

// Row blockIdx.y of out gets the sums over that share of the numbers.  With y, each number counts
// only where y > 0, and is written to kept as it counts.
extern "C" __global__ __launch_bounds__(256)
void channel_sums(const REAL* a, const REAL* y, REAL* kept, REAL* out, whole outer,
                  whole channels, whole inner)
{
    const Channel channel(channels, inner);
    const unsigned count = unsigned(outer * inner);
    const unsigned share = (count + gridDim.y - 1) / gridDim.y;
    const unsigned first = blockIdx.y * share;
    const unsigned end = min(first + share, count);
    REAL sum = 0;
    if (channel.there) {
        for (unsigned e = first + channel.part; e < end; e += channel.parts) {
            const unsigned i = channel.at(e);
            REAL value = a[i];
            if (y) {
                if (!(y[i] > 0)) value = 0;
                kept[i] = value;
            }
            sum += value;
        }
    }
    sum = block_total(sum, channel.width);
    if (channel.there && channel.part == 0)
        out[blockIdx.y * unsigned(channels) + channel.number] = sum;
}

extern "C" __global__ __launch_bounds__(1024)
void batch_norm(const REAL* x, const REAL* gamma, const REAL* beta, REAL* mean, REAL* var,
                REAL* y, REAL* x_hat, REAL* scales, whole outer, whole channels, whole inner,
                double momentum, double eps)
{
    const Channel channel(channels, inner);
    const unsigned count = unsigned(outer * inner), own = channel.number;
    REAL sum = 0;
    if (channel.there)
        for (unsigned e = channel.part; e < count; e += channel.parts) sum += x[channel.at(e)];
    const REAL centre = block_total(sum, channel.width) / REAL(count);
    sum = 0;
    if (channel.there)
        for (unsigned e = channel.part; e < count; e += channel.parts) {
            const REAL apart = x[channel.at(e)] - centre;
            sum += apart * apart;
        }
    const REAL spread = block_total(sum, channel.width) / REAL(count);
    if (!channel.there) return;
    const REAL scale = REAL(1) / sqrt(spread + REAL(eps));
    for (unsigned e = channel.part; e < count; e += channel.parts) {
        const unsigned i = channel.at(e);
        const REAL normal = (x[i] - centre) * scale;
        x_hat[i] = normal;
        y[i] = normal * gamma[own] + beta[own];
    }
    if (channel.part == 0) {
        const double fresh = 1 - momentum;
        scales[own] = scale;
        mean[own] = mean[own] * REAL(momentum) + REAL(fresh) * centre;
        var[own] = var[own] * REAL(momentum) + REAL(fresh * count / (count - 1.0)) * spread;
    }
}

// dx may be null: then only the parameters' gradients are written.
extern "C" __global__ __launch_bounds__(1024)
void batch_norm_backward(const REAL* dy, const REAL* x_hat, const REAL* scales,
                         const REAL* gamma, REAL* dgamma, REAL* dbeta, REAL* dx, whole outer,
                         whole channels, whole inner)
{
    const Channel channel(channels, inner);
    const unsigned count = unsigned(outer * inner), own = channel.number;
    REAL sum = 0, products = 0;
    if (channel.there)
        for (unsigned e = channel.part; e < count; e += channel.parts) {
            const unsigned i = channel.at(e);
            sum += dy[i];
            products += dy[i] * x_hat[i];
        }
    sum = block_total(sum, channel.width);
    products = block_total(products, channel.width);
    if (!channel.there) return;
    if (channel.part == 0) {
        dbeta[own] = sum;
        dgamma[own] = products;
    }
    if (!dx) return;
    const REAL share = REAL(1) / REAL(count), factor = gamma[own] * scales[own];
    for (unsigned e = channel.part; e < count; e += channel.parts) {
        const unsigned i = channel.at(e);
        dx[i] = (dy[i] - sum * share - x_hat[i] * (products * share)) * factor;
    }
}

// Convolution ------------------------------------------------------------------------------------

// Columns are (c kh kw, n oh ow) and responses (f, n oh ow), so that neighbouring threads meet
// neighbouring pixels wherever they read and write.

extern "C" __global__ __launch_bounds__(256)
void im2col(const REAL* x, REAL* columns, whole n, whole c_, whole h_, whole w_, whole kh_,
            whole kw_, whole stride, whole pad, whole oh_, whole ow_)
{
    const unsigned c = unsigned(c_), h = unsigned(h_), w = unsigned(w_), kh = unsigned(kh_);
    const unsigned kw = unsigned(kw_), oh = unsigned(oh_), ow = unsigned(ow_);
    const unsigned positions = unsigned(n) * oh * ow, m = thread_number();
    if (m >= positions) return;
    const unsigned image = m / (oh * ow), p = m / ow % oh, q = m % ow;
    for (unsigned r = blockIdx.y; r < c * kh * kw; r += gridDim.y) {
        const unsigned channel = r / (kh * kw), i = r / kw % kh, j = r % kw;
        const int row = int(p * unsigned(stride) + i) - int(pad);
        const int col = int(q * unsigned(stride) + j) - int(pad);
        const bool inside = row >= 0 && row < int(h) && col >= 0 && col < int(w);
        const unsigned map = (image * c + channel) * h;
        columns[r * positions + m] = inside ? x[(map + row) * w + col] : REAL(0);
    }
}

// Each pixel gathers from the windows it is in: nothing is added to by two threads.
extern "C" __global__ __launch_bounds__(256)
void col2im(const REAL* columns, REAL* x, whole n, whole c_, whole h_, whole w_, whole kh_,
            whole kw_, whole stride_, whole pad, whole oh_, whole ow_)
{
    const unsigned c = unsigned(c_), h = unsigned(h_), w = unsigned(w_);
    const int kh = int(kh_), kw = int(kw_), stride = int(stride_), oh = int(oh_), ow = int(ow_);
    const unsigned positions = unsigned(n) * oh * ow, at = thread_number();
    if (at >= unsigned(n) * c * h * w) return;
    const unsigned image = at / (c * h * w), channel = at / (h * w) % c;
    const int row = int(at / w % h) + int(pad), col = int(at % w) + int(pad);
    REAL sum = 0;
    for (int i = 0; i < kh; i++) {
        const int p = (row - i) / stride;
        if (row < i || p >= oh || p * stride != row - i) continue;
        for (int j = 0; j < kw; j++) {
            const int q = (col - j) / stride;
            if (col < j || q >= ow || q * stride != col - j) continue;
            const unsigned r = (channel * kh + i) * kw + j;
            sum += columns[r * positions + (image * oh + p) * ow + q];
        }
    }
    x[at] = sum;
}

// Responses (f, n, oh ow) to images (n, f, oh ow), with bias (or null), rectified or not.
extern "C" __global__ __launch_bounds__(256)
void responses_to_images(const REAL* z, const REAL* b, REAL* y, whole n_, whole f_,
                         whole area_, whole rectify)
{
    const unsigned n = unsigned(n_), f = unsigned(f_), area = unsigned(area_), at = thread_number();
    if (at >= n * f * area) return;
    const unsigned filter = at / area % f, image = at / (area * f);
    REAL value = z[(filter * n + image) * area + at % area];
    if (b) value += b[filter];
    y[at] = rectify && value < 0 ? REAL(0) : value;
}

// The way back; with y (images too), a slope passes only where y > 0.
extern "C" __global__ __launch_bounds__(256)
void images_to_responses(const REAL* dy, const REAL* y, REAL* dz, whole n_, whole f_,
                         whole area_)
{
    const unsigned n = unsigned(n_), f = unsigned(f_), area = unsigned(area_), at = thread_number();
    if (at >= n * f * area) return;
    const unsigned filter = at / area % f, image = at / (area * f);
    dz[(filter * n + image) * area + at % area] = !y || y[at] > 0 ? dy[at] : REAL(0);
}

// Pooling ----------------------------------------------------------------------------------------

struct Window {
    unsigned h, w, oh, ow;
    int kh, kw, stride, pad;
};

// The best cell of a window over a map, what lies outside it being minus infinity.  Of equal
// numbers the first in reading order wins; a NaN makes the result NaN.
template <class Read>
__device__ REAL best_of(const Window& at, unsigned p, unsigned q, unsigned char& winner, Read read)
{
    const REAL outside = log(REAL(0));
    REAL best = outside;
    winner = 0;
    for (int i = 0; i < at.kh; i++) {
        const int row = int(p) * at.stride + i - at.pad;
        if (row < 0 || row >= int(at.h)) continue;
        for (int j = 0; j < at.kw; j++) {
            const int col = int(q) * at.stride + j - at.pad;
            if (col < 0 || col >= int(at.w)) continue;
            const REAL value = read(row * at.w + col);
            if (value > best) winner = (unsigned char)(i * at.kw + j);
            if (value > best || value != value) best = value;
        }
    }
    return best;
}

// The sum over the windows that a pixel is in of what `read` gives for a window and its cell.
template <class Read>
__device__ REAL over_windows(const Window& at, int row, int col, Read read)
{
    REAL sum = 0;
    row += at.pad;
    col += at.pad;
    for (int i = 0; i < at.kh; i++) {
        const int p = (row - i) / at.stride;
        if (row < i || p >= int(at.oh) || p * at.stride != row - i) continue;
        for (int j = 0; j < at.kw; j++) {
            const int q = (col - j) / at.stride;
            if (col < j || q >= int(at.ow) || q * at.stride != col - j) continue;
            sum += read(p * at.ow + q, i * at.kw + j);
        }
    }
    return sum;
}

__device__ Window window_of(whole h, whole w, whole oh, whole ow, whole kh, whole kw, whole stride,
                            whole pad)
{
    return Window{unsigned(h), unsigned(w), unsigned(oh), unsigned(ow),
                  int(kh), int(kw), int(stride), int(pad)};
}

extern "C" __global__ __launch_bounds__(256)
void max_pool(const REAL* x, REAL* y, unsigned char* winners, whole maps, whole h, whole w,
              whole oh, whole ow, whole kh, whole kw, whole stride, whole pad)
{
    const Window window = window_of(h, w, oh, ow, kh, kw, stride, pad);
    const unsigned area = window.oh * window.ow, at = thread_number();
    if (at >= unsigned(maps) * area) return;
    const REAL* map = x + at / area * (window.h * window.w);
    y[at] = best_of(window, at % area / window.ow, at % window.ow, winners[at],
                    [&](unsigned cell) { return map[cell]; });
}

extern "C" __global__ __launch_bounds__(256)
void max_pool_backward(const REAL* dy, const unsigned char* winners, REAL* dx, whole maps,
                       whole h, whole w, whole oh, whole ow, whole kh, whole kw, whole stride,
                       whole pad)
{
    const Window window = window_of(h, w, oh, ow, kh, kw, stride, pad);
    const unsigned area = window.h * window.w, at = thread_number();
    if (at >= unsigned(maps) * area) return;
    const unsigned start = at / area * (window.oh * window.ow);
    const int row = at % area / window.w, col = at % window.w;
    dx[at] = over_windows(window, row, col, [&](unsigned seen, int cell) {
        return winners[start + seen] == cell ? dy[start + seen] : REAL(0);
    });
}

extern "C" __global__ __launch_bounds__(256)
void avg_pool(const REAL* x, REAL* y, whole maps, whole h, whole w, whole oh, whole ow,
              whole kh, whole kw, whole stride, whole pad)
{
    const Window window = window_of(h, w, oh, ow, kh, kw, stride, pad);
    const unsigned area = window.oh * window.ow, at = thread_number();
    if (at >= unsigned(maps) * area) return;
    const REAL* map = x + at / area * (window.h * window.w);
    const int top = int(at % area / window.ow) * window.stride - window.pad;
    const int left = int(at % window.ow) * window.stride - window.pad;
    REAL sum = 0;
    for (int row = max(top, 0); row < min(top + window.kh, int(window.h)); row++)
        for (int col = max(left, 0); col < min(left + window.kw, int(window.w)); col++)
            sum += map[row * window.w + col];
    y[at] = sum * REAL(1.0 / (window.kh * window.kw));
}

extern "C" __global__ __launch_bounds__(256)
void avg_pool_backward(const REAL* dy, REAL* dx, whole maps, whole h, whole w, whole oh,
                       whole ow, whole kh, whole kw, whole stride, whole pad)
{
    const Window window = window_of(h, w, oh, ow, kh, kw, stride, pad);
    const unsigned area = window.h * window.w, at = thread_number();
    if (at >= unsigned(maps) * area) return;
    const REAL* map = dy + at / area * (window.oh * window.ow);
    const REAL share = REAL(1.0 / (window.kh * window.kw));
    dx[at] = over_windows(window, at % area / window.w, at % window.w,
                          [&](unsigned seen, int) { return map[seen] * share; });
}

// Responses (f, n, oh ow) with bias (or null), rectified, then pooled to images (n, f, ph pw).
extern "C" __global__ __launch_bounds__(256)
void responses_to_pooled(const REAL* z, const REAL* b, REAL* y, unsigned char* winners,
                         whole n_, whole f_, whole h, whole w, whole oh, whole ow, whole kh,
                         whole kw, whole stride, whole pad)
{
    const Window window = window_of(h, w, oh, ow, kh, kw, stride, pad);
    const unsigned n = unsigned(n_), f = unsigned(f_), area = window.oh * window.ow;
    const unsigned at = thread_number();
    if (at >= n * f * area) return;
    const unsigned filter = at / area % f, image = at / (area * f);
    const REAL* map = z + (filter * n + image) * (window.h * window.w);
    const REAL bias = b ? b[filter] : REAL(0);
    y[at] = best_of(window, at % area / window.ow, at % window.ow, winners[at], [&](unsigned cell) {
        const REAL value = map[cell] + bias;
        return value < 0 ? REAL(0) : value;
    });
}

// The way back: a slope goes to its window's winner where the pooled number is above 0.
extern "C" __global__ __launch_bounds__(256)
void pooled_to_responses(const REAL* dy, const REAL* y, const unsigned char* winners, REAL* dz,
                         whole n_, whole f_, whole h, whole w, whole oh, whole ow, whole kh,
                         whole kw, whole stride, whole pad)
{
    const Window window = window_of(h, w, oh, ow, kh, kw, stride, pad);
    const unsigned n = unsigned(n_), f = unsigned(f_), area = window.h * window.w;
    const unsigned at = thread_number();
    if (at >= n * f * area) return;
    const unsigned filter = at / area / n, image = at / area % n;
    const unsigned start = (image * f + filter) * (window.oh * window.ow);
    const int row = at % area / window.w, col = at % window.w;
    dz[at] = over_windows(window, row, col, [&](unsigned seen, int cell) {
        const unsigned i = start + seen;
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

// A warp to a row.  Element blockIdx.x of losses gets the summed shares of this block's rows.
extern "C" __global__ __launch_bounds__(1024)
void softmax_cross_entropy(const REAL* scores, const whole* labels, REAL* dscores,
                           REAL* losses, whole n, whole k_, double smoothing, double share,
                           double least)
{
    const unsigned lane = threadIdx.x % 32, k = unsigned(k_), warps = blockDim.x / 32;
    const REAL off = REAL(smoothing / k), on = REAL(1 - smoothing) + off;
    const REAL wanted = on + off * REAL(k - 1);
    REAL total = 0;
    for (unsigned row = blockIdx.x * warps + threadIdx.x / 32; row < n; row += gridDim.x * warps) {
        const REAL* own = scores + row * k;
        const whole label = labels[row];
        REAL highest = own[lane < k ? lane : 0], sum = 0, loss = 0;
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
            if (t != 0 || !known) loss -= log_p * t;
        }
        total += warp_total(loss);
    }
    total = block_total(lane == 0 ? total : REAL(0), 1);
    if (threadIdx.x == 0) losses[blockIdx.x] = total * REAL(share);
}

// record: summed loss, right answers, batches.  One block.  The class is the highest score's, or
// of a single score whether it is positive; without labels nothing is right.
extern "C" __global__ __launch_bounds__(1024)
void tally(const REAL* scores, const whole* labels, const REAL* loss, double* record, whole n,
           whole k)
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

// A thread draws the next eight numbers.  A single block counts its own mask; of several blocks
// one might count before another has read.
extern "C" __global__ __launch_bounds__(512)
void dropout(const REAL* x, REAL* y, REAL* mask, whole* counter, whole key0, whole key1,
             whole size, double rate, double scale)
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
    if (gridDim.x > 1) return;
    __syncthreads();
    if (threadIdx.x == 0) *counter += 1;
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
void take_bytes(const unsigned char* x, const whole* labels, const whole* order,
                const double* record, whole first, whole n, whole length, double scale,
                REAL* y, whole* t)
{
    take(x, labels, Chosen(order, record, first, n), n, length, REAL(scale), y, t);
}

extern "C" __global__ __launch_bounds__(256)
void take_reals(const REAL* x, const whole* labels, const whole* order, const double* record,
                whole first, whole n, whole length, double scale, REAL* y, whole* t)
{
    take(x, labels, Chosen(order, record, first, n), n, length, REAL(scale), y, t);
}

// Rows of bytes, whatever they mean.
extern "C" __global__ __launch_bounds__(256)
void take_rows(const unsigned char* x, const whole* order, const double* record, whole first,
               whole n, whole length, unsigned char* y)
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

#define PACE_PARAMETERS double lr, double flush, double hat, double spread, const double* table, \
                        const double* record
#define PACE Pace(lr, flush, hat, spread, table, record)

extern "C" __global__ __launch_bounds__(256)
void sgd(REAL* p, const REAL* g, whole size, PACE_PARAMETERS, double decay)
{
    const unsigned i = thread_number();
    if (i >= size) return;
    p[i] -= PACE.lr * (g[i] + REAL(decay) * p[i]);
}

extern "C" __global__ __launch_bounds__(256)
void momentum(REAL* p, const REAL* g, REAL* v, whole size, PACE_PARAMETERS, double mu,
              double decay, whole nesterov, double least)
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
void rmsprop(REAL* p, const REAL* g, REAL* h, whole size, PACE_PARAMETERS, double alpha,
             double fresh, double eps, double decay, double least)
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
void adam(REAL* p, const REAL* g, REAL* m, REAL* v, whole size, PACE_PARAMETERS, double beta1,
          double beta2, double eps, double decay, whole decoupled, double least,
          double least_square)
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
