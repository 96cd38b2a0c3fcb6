// Dropout's mask, and what it masks.

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
