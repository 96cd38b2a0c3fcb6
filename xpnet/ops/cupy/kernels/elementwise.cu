// Single numbers.

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
