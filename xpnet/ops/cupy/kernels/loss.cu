// Softmax and cross entropy.

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

// record: summed loss, right answers, batches, samples right in all, summed absolute error, answers,
// samples; each but the batches by the weight of its sample, by default 1.
// One block, a thread a sample.  kind: 0 nothing is answered; 1 a class, that of the highest score;
// 2 yes or no by each score, yes above the cut and wanted above .5; 3 numbers.  Labels are targets of
// classes, or of one score a sample; numbers are in the shape of the scores.
extern "C" __global__ __launch_bounds__(1024)
void update_stats(const REAL* __restrict__ scores, const whole* __restrict__ labels,
                  const REAL* __restrict__ numbers, const REAL* __restrict__ loss,
                  const REAL* __restrict__ weights, double* __restrict__ record,
                  whole n, whole k, whole kind, double cut)
{
    double right = 0, wholly = 0, error = 0, samples = 0;
    for (whole row = threadIdx.x; row < n; row += blockDim.x) {
        const double weight = weights ? double(weights[row]) : 1;
        const REAL* own = scores + row * k;
        samples += weight;
        if (kind == 1) {
            whole guess = 0;
            REAL best = own[0];
            for (whole j = 1; j < k; j++)
                if (own[j] > best || (own[j] != own[j] && best == best)) {
                    best = own[j];
                    guess = j;
                }
            right += guess == labels[row] && best == best ? weight : 0;
            continue;
        }
        whole count = 0;
        for (whole j = 0; kind && j < k; j++) {
            const REAL wanted = numbers ? numbers[row * k + j] : REAL(labels[row]);
            if (kind == 3)
                error += weight * fabs(own[j] - wanted);
            else
                count += (wanted > REAL(.5) && own[j] > REAL(cut)) ||
                         (wanted <= REAL(.5) && own[j] <= REAL(cut));
        }
        right += weight * count;
        wholly += count == k ? weight : 0;
    }
    if (kind == 1) wholly = right;
    right = block_total(right, 1);
    wholly = block_total(wholly, 1);
    error = block_total(error, 1);
    samples = block_total(samples, 1);
    if (threadIdx.x == 0) {
        record[0] += double(*loss) * samples;
        record[1] += right;
        record[2] += 1;
        record[3] += kind == 3 ? 0 : wholly;
        record[4] += error;
        record[5] += kind == 1 ? samples : kind ? samples * k : 0;
        record[6] += samples;
    }
}
