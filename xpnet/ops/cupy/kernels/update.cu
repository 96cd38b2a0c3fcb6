// Update rules.

// What changes from step to step (the row of update.Scalars): given by value, or the row of a
// table that record's count of batches points to.
struct Scalars {
    REAL lr, step_size, root_scale;
    bool flush;

    __device__ Scalars(double lr_, double flush_, double step_size_, double root_scale_,
                       const double* table, const double* record)
    {
        const double* row = table ? table + 4 * whole(record[2]) : nullptr;
        lr = REAL(row ? row[0] : lr_);
        flush = (row ? row[1] : flush_) != 0;
        step_size = REAL(row ? row[2] : step_size_);
        root_scale = REAL(row ? row[3] : root_scale_);
    }
};

#define SCALAR_PARAMETERS double lr, double flush, double step_size, double root_scale, \
                          const double* __restrict__ table, const double* __restrict__ record
#define SCALARS Scalars(lr, flush, step_size, root_scale, table, record)

extern "C" __global__ __launch_bounds__(256)
void sgd(REAL* __restrict__ p, const REAL* __restrict__ g, whole size, SCALAR_PARAMETERS,
         double decay)
{
    const unsigned i = thread_number();
    if (i >= size) return;
    p[i] -= SCALARS.lr * (g[i] + REAL(decay) * p[i]);
}

extern "C" __global__ __launch_bounds__(256)
void momentum(REAL* __restrict__ p, const REAL* __restrict__ g, REAL* __restrict__ v, whole size,
              SCALAR_PARAMETERS, double mu, double decay, whole nesterov, double least)
{
    const unsigned i = thread_number();
    if (i >= size) return;
    const Scalars scalars = SCALARS;
    const REAL slope = g[i] + REAL(decay) * p[i];
    REAL velocity = v[i] * REAL(mu) + slope;
    if (scalars.flush && fabs(velocity) < REAL(least)) velocity = 0;
    v[i] = velocity;
    p[i] -= scalars.lr * (nesterov ? slope + REAL(mu) * velocity : velocity);
}

// h = alpha h + fresh g^2: RMSprop, and AdaGrad with both of them 1.
extern "C" __global__ __launch_bounds__(256)
void rmsprop(REAL* __restrict__ p, const REAL* __restrict__ g, REAL* __restrict__ h, whole size,
             SCALAR_PARAMETERS, double alpha, double fresh, double eps, double decay, double least)
{
    const unsigned i = thread_number();
    if (i >= size) return;
    const Scalars scalars = SCALARS;
    const REAL slope = g[i] + REAL(decay) * p[i];
    REAL square = h[i] * REAL(alpha) + REAL(fresh) * (slope * slope);
    if (scalars.flush && square < REAL(least)) square = 0;
    h[i] = square;
    p[i] -= scalars.lr * slope / (sqrt(square) + REAL(eps));
}

extern "C" __global__ __launch_bounds__(256)
void adam(REAL* __restrict__ p, const REAL* __restrict__ g, REAL* __restrict__ m,
          REAL* __restrict__ v, whole size, SCALAR_PARAMETERS, double beta1, double beta2,
          double eps, double decay, whole decoupled, double least, double least_square)
{
    const unsigned i = thread_number();
    if (i >= size) return;
    const Scalars scalars = SCALARS;
    REAL param = p[i], slope = g[i];
    if (decoupled) param *= REAL(1) - scalars.lr * REAL(decay);
    else slope += REAL(decay) * param;
    REAL moment = m[i] * REAL(beta1) + REAL(1 - beta1) * slope;
    REAL square = v[i] * REAL(beta2) + REAL(1 - beta2) * (slope * slope);
    if (scalars.flush) {
        if (fabs(moment) < REAL(least)) moment = 0;
        if (square < REAL(least_square)) square = 0;
    }
    m[i] = moment;
    v[i] = square;
    p[i] = param - scalars.step_size * moment / (sqrt(square) * scalars.root_scale + REAL(eps));
}
