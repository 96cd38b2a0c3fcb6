// Columns, responses and images of convolutions.

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
