// Sums over all axes but the channels', and batch normalisation.

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
    const REAL variance = block_total(sum, channel.width) / REAL(count);
    if (!channel.there) return;
    const REAL scale = REAL(1) / sqrt(variance + REAL(eps));
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
        var[own] = var[own] * REAL(momentum) + REAL(fresh * count / (count - 1.0)) * variance;
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
