// Batches, taken from the data.

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
__device__ void gather(const Pixel* x, const whole* labels, const Chosen& chosen, whole n,
                     whole length, REAL scale, REAL* y, whole* t)
{
    const unsigned at = thread_number(), row = at / unsigned(length), pixel = at % unsigned(length);
    if (row >= n) return;
    const whole source = chosen[row];
    y[at] = REAL(x[source * length + pixel]) * scale;
    if (pixel == 0 && labels) t[row] = labels[source];
}

extern "C" __global__ __launch_bounds__(256)
void gather_bytes(const unsigned char* __restrict__ x, const whole* __restrict__ labels,
                const whole* __restrict__ order, const double* __restrict__ record, whole first,
                whole n, whole length, double scale, REAL* __restrict__ y, whole* __restrict__ t)
{
    gather(x, labels, Chosen(order, record, first, n), n, length, REAL(scale), y, t);
}

extern "C" __global__ __launch_bounds__(256)
void gather_reals(const REAL* __restrict__ x, const whole* __restrict__ labels,
                const whole* __restrict__ order, const double* __restrict__ record, whole first,
                whole n, whole length, double scale, REAL* __restrict__ y, whole* __restrict__ t)
{
    gather(x, labels, Chosen(order, record, first, n), n, length, REAL(scale), y, t);
}

// Rows of bytes, whatever they mean.
extern "C" __global__ __launch_bounds__(256)
void gather_rows(const unsigned char* __restrict__ x, const whole* __restrict__ order,
               const double* __restrict__ record, whole first, whole n, whole length,
               unsigned char* __restrict__ y)
{
    const unsigned at = thread_number(), row = at / unsigned(length);
    if (row < n) y[at] = x[Chosen(order, record, first, n)[row] * length + at % unsigned(length)];
}
