/* Chains of 3 x 3 convolutions, bias, ReLU and pooling: the forward pass only, for predictions.

   backend/winograd.py hands over a chain of steps and the arrays; nothing here knows of Python. Activations stay
   in winograd.h's layout from step to step. */

#include "winograd.h"

namespace {

// --- the other steps ------------------------------------------------------------------------------------------

void max_pool(const Map &in, Map &out, int threads) { // 2 x 2
    out.shape(in.n, in.channels, in.h / 2, in.w / 2, threads);
    long row = in.row(), pixel = in.pixel();
#pragma omp parallel for collapse(2) num_threads(threads)
    for (long i = 0; i < out.n; i++)
        for (long y = 0; y < out.h; y++)
            for (long x = 0; x < out.w; x++) {
                const float *p = in.at(i, 2 * y, 2 * x);
                float *q = out.at(i, y, x);
                for (long c = 0; c < in.channels; c += LANES) {
                    floats most = load(p + c); // in the order of Theano's, which a NaN shows
                    for (long at : {pixel, row, row + pixel}) most = larger(load(p + at + c), most);
                    store(q + c, most);
                }
            }
}

// y[i][0] = sum_c w[c] x[i][c]: a 1 x 1 convolution with one filter; y is (n, 1, h, w).
void weighted_sum(const Map &in, const float *w, float *y, int threads) {
    typedef float eight __attribute__((vector_size(32))); // whatever LANES is: the bytes shall be the same
#pragma omp parallel for collapse(2) num_threads(threads)
    for (long i = 0; i < in.n; i++)
        for (long r = 0; r < in.h; r++)
            for (long x = 0; x < in.w; x++) {
                const float *p = in.at(i, r, x);
                eight s = {}, a, b;
                for (long c = 0; c < in.channels; c += 8) {
                    memcpy(&a, p + c, sizeof a);
                    memcpy(&b, w + c, sizeof b);
                    s += a * b;
                }
                y[(i * in.h + r) * in.w + x] = ((s[0] + s[1]) + (s[2] + s[3])) + ((s[4] + s[5]) + (s[6] + s[7]));
            }
}

// --- chains ---------------------------------------------------------------------------------------------------

enum Kind { CONVOLUTION, UPSCALED_CONVOLUTION, POOL, WEIGHTED_SUM };
const long FEW_CHANNELS = 8;          // below this an image's channels are not padded to 16
const long PIXELS_AT_A_TIME = 196608; // of a batch, so that its memory is bounded and large filters are read less often

struct Step {
    Kind kind;
    std::unique_ptr<Convolution> convolution;
    const float *w = nullptr; // its filters, in this call
    Buffer weights;           // of WEIGHTED_SUM
    long channels = 0, filters = 0;
};

struct Chain {
    std::vector<Step> steps;
    Map maps[2];
    Buffer scratch;

    // The next n images through all steps; returns the number of floats written to y.
    long run(const float *x, float *y, long n, long channels, long h, long w, int threads) {
        const Convolution *first = steps[0].convolution.get();
        Map *in = &maps[0], *out = &maps[1];
        in->shape(n, first ? first->inputs() : up_to(channels, 16), h, w, threads);
        pack(x, channels, *in, threads);
        for (Step &step : steps) {
            if (step.kind == WEIGHTED_SUM) {
                weighted_sum(*in, step.weights.data, y, threads);
                return n * in->h * in->w;
            }
            if (step.kind == POOL) {
                max_pool(*in, *out, threads);
            } else {
                step.convolution->run(*in, step.w, *out, scratch, threads);
                channels = step.filters;
            }
            std::swap(in, out);
        }
        unpack(*in, channels, y, threads);
        return n * channels * in->h * in->w;
    }
};

} // namespace

extern "C" {

// steps: four numbers each, (kind, channels, filters, flip); only the last may be a WEIGHTED_SUM. Returns null
// where memory is short.
Chain *chain_new(const long *steps, long count) {
    try {
        std::unique_ptr<Chain> chain(new Chain);
        for (long i = 0; i < count; i++, steps += 4) {
            Step step;
            step.kind = (Kind)steps[0], step.channels = steps[1], step.filters = steps[2];
            if (step.kind == CONVOLUTION || step.kind == UPSCALED_CONVOLUTION) {
                step.convolution.reset(new Convolution);
                Convolution &c = *step.convolution;
                c.channels = step.channels, c.filters = step.filters, c.flip = steps[3];
                c.unpadded = i == 0 && step.kind == CONVOLUTION && step.channels < FEW_CHANNELS;
            }
            chain->steps.push_back(std::move(step));
        }
        return chain.release();
    } catch (const std::bad_alloc &) {
        return nullptr;
    }
}

void chain_free(Chain *chain) { delete chain; }

// arrays: filters and bias of each convolution, the filter of a weighted sum, in the order of the steps.
// x is (n, channels, h, w); y has the shape that the steps give. Returns 0, or 1 where memory is short.
int chain_run(Chain *chain, const float *const *arrays, const float *x, float *y, long n, long channels, long h, long w,
              int threads) {
    try {
        long rows = h, columns = w;
        for (Step &step : chain->steps) {
            if (step.kind == POOL) rows /= 2, columns /= 2;
            if (step.kind == UPSCALED_CONVOLUTION) rows *= 2, columns *= 2;
            if (step.convolution) {
                Convolution &c = *step.convolution;
                c.scheme = step.kind == UPSCALED_CONVOLUTION ? UPSCALED : c.unpadded ? DIRECT : fitting(rows, columns);
                c.set_bias(arrays[1]);
                step.w = arrays[0];
                arrays += 2;
            } else if (step.kind == WEIGHTED_SUM) {
                float *padded = step.weights.get(up_to(step.channels, 16));
                std::fill(padded, padded + up_to(step.channels, 16), 0.f);
                std::copy(arrays[0], arrays[0] + step.channels, padded);
                arrays += 1;
            }
        }
        long at_a_time = std::max(1l, PIXELS_AT_A_TIME / (h * w));
        for (long i = 0; i < n; i += at_a_time)
            y += chain->run(x + i * channels * h * w, y, std::min(at_a_time, n - i), channels, h, w, threads);
        return 0;
    } catch (const std::bad_alloc &) {
        return 1;
    }
}
}
