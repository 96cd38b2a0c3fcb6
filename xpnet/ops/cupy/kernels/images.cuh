// Images: places on them, and windows that move over them.

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
