// Images changed as bytes: whole numbers throughout, so that they are the same everywhere.

__device__ inline whole pixel(const unsigned char* image, int h, int w, whole row, whole col,
                              int fill)
{
    return row >= 0 && row < h && col >= 0 && col < w ? image[row * w + col] : fill;
}

// What lies between the nodes of a grid of k by k: as _between of ops/image.py.
struct Between {
    int cell;
    whole weight;

    __device__ Between(int place, int size, int k)
    {
        const whole at = whole(place) * (256 * (k - 1)) / (size > 1 ? size - 1 : 1);
        cell = int(at >> 8) < k - 2 ? int(at >> 8) : k - 2;
        const whole t = at - (whole(cell) << 8);
        weight = t * t * (768 - 2 * t) >> 16;
    }

    __device__ whole of(whole before, whole after) const
    {
        return before * (256 - weight) + after * weight;
    }
};

__device__ inline whole displacement(const int* nodes, int k, Between down, Between right)
{
    const int* upper = nodes + down.cell * k + right.cell;
    return right.of(down.of(upper[0], upper[k]), down.of(upper[1], upper[k + 1])) >> 16;
}

// A thread has a pixel of all channels.  nodes may be null.
extern "C" __global__ __launch_bounds__(256)
void warp_bytes(const unsigned char* __restrict__ x, const int* __restrict__ matrices,
                const int* __restrict__ nodes, unsigned char* __restrict__ y, whole size,
                whole channels, whole h_, whole w_, whole k_, whole fill_)
{
    const unsigned number = thread_number();
    if (number >= size) return;
    const int h = int(h_), w = int(w_), k = int(k_), fill = int(fill_);
    const unsigned image = number / (h * w), place = number % (h * w);
    const int i = place / w, j = place % w;
    const int* m = matrices + 6 * whole(image);
    whole v = whole(m[0]) * i + whole(m[1]) * j + m[2];
    whole u = whole(m[3]) * i + whole(m[4]) * j + m[5];
    if (nodes) {
        const Between down(i, h, k), right(j, w, k);
        const int* own = nodes + 2 * k * k * whole(image);
        v += displacement(own, k, down, right);
        u += displacement(own + k * k, k, down, right);
    }
    const whole row = v >> 16, col = u >> 16, lower = v >> 8 & 255, later = u >> 8 & 255;
    for (int c = 0; c < channels; ++c) {
        const unsigned char* from = x + (whole(image) * channels + c) * (h * w);
        const whole above = pixel(from, h, w, row, col, fill) * (256 - later)
                          + pixel(from, h, w, row, col + 1, fill) * later;
        const whole below = pixel(from, h, w, row + 1, col, fill) * (256 - later)
                          + pixel(from, h, w, row + 1, col + 1, fill) * later;
        y[(whole(image) * channels + c) * (h * w) + place] =
            (unsigned char)((above * (256 - lower) + below * lower + (1 << 15)) >> 16);
    }
}

extern "C" __global__ __launch_bounds__(256)
void cut_out_bytes(const unsigned char* __restrict__ x, const int* __restrict__ boxes,
                   unsigned char* __restrict__ y, whole size, whole channels, whole h, whole w,
                   whole fill)
{
    const unsigned number = thread_number();
    if (number >= size) return;
    const int col = int(number % w), row = int(number / w % h);
    const int* box = boxes + 4 * (number / (w * h * channels));
    const bool inside = row >= box[0] && row < box[1] && col >= box[2] && col < box[3];
    y[number] = inside ? (unsigned char)(fill) : x[number];
}

extern "C" __global__ __launch_bounds__(256)
void noise_bytes(const unsigned char* __restrict__ x, const whole* __restrict__ keys,
                 unsigned char* __restrict__ y, whole size, whole length, whole strength)
{
    const unsigned number = thread_number();
    if (number >= size) return;
    unsigned word = unsigned(keys[number / length] + whole(number % length) * 0x9E3779B9ll);
    word = (word ^ word >> 16) * 0x21F0AAADu;
    word = (word ^ word >> 15) * 0x735A2D97u;
    word ^= word >> 15;
    const whole four = (word & 255) + (word >> 8 & 255) + (word >> 16 & 255) + (word >> 24);
    const whole moved = x[number] + (((four - 510) * strength + (1 << 15)) >> 16);
    y[number] = (unsigned char)(moved < 0 ? 0 : moved > 255 ? 255 : moved);
}

extern "C" __global__ __launch_bounds__(256)
void mix_bytes(const unsigned char* __restrict__ x, const unsigned char* __restrict__ partners,
               const int* __restrict__ shares, unsigned char* __restrict__ y, whole size,
               whole length)
{
    const unsigned number = thread_number();
    if (number >= size) return;
    const int share = shares[number / length];
    y[number] = (unsigned char)((x[number] * share + partners[number] * (256 - share) + 128) >> 8);
}
