// Pooling, by itself and after a convolution and ReLU.

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
