// What all kernels share.  The headers (.cuh) and then the families (.cu) are compiled as one text,
// in the order of their names.
//
// REAL is float or double: the text is compiled once for each dtype that is met.  Arrays are
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
