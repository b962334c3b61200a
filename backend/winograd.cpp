/* Chains of 3 x 3 convolutions, bias, ReLU and pooling: the forward pass only, for predictions.

   backend/winograd.py hands over a chain of steps and the arrays; nothing here knows of Python. Activations stay
   in winograd.h's layout from step to step. Transformed filters are kept, and made anew when the filters'
   fingerprint changes. */

#include "winograd.h"

namespace {

inline uint64_t mix(uint64_t hash, uint64_t word) {
    hash = (hash ^ word) * 0x9E3779B97F4A7C15u; // carries low bits up,
    return hash ^ hash >> 32;                   // and high ones down
}

// 64 bits of n floats. A change of one value always changes them: each step is a bijection of both its operands.
uint64_t fingerprint(const float *x, long n, int threads) {
    const long EACH = 1 << 16;
    long pieces = (n + EACH - 1) / EACH;
    std::vector<uint64_t> of(pieces);
#pragma omp parallel for num_threads(threads)
    for (long piece = 0; piece < pieces; piece++) {
        const float *p = x + piece * EACH, *end = x + std::min(n, (piece + 1) * EACH);
        const __m256i prime = _mm256_set1_epi32(0x85EBCA6B);
        __m256i lane[4];
        for (__m256i &l : lane) l = _mm256_set1_epi32(0x811C9DC5);
        for (; p + 32 <= end; p += 32)
#pragma GCC unroll 4
            for (int i = 0; i < 4; i++) { // `mix` for eight times 32 bits
                __m256i word = _mm256_loadu_si256((const __m256i *)(p + 8 * i));
                lane[i] = _mm256_mullo_epi32(_mm256_xor_si256(lane[i], word), prime);
                lane[i] = _mm256_xor_si256(lane[i], _mm256_srli_epi32(lane[i], 15));
            }
        uint32_t words[64] = {0};
        memcpy(words, lane, sizeof lane);
        memcpy(words + 32, p, (end - p) * sizeof(float));
        for (uint32_t word : words) of[piece] = mix(of[piece], word);
    }
    uint64_t hash = n;
    for (uint64_t piece : of) hash = mix(hash, piece);
    return hash;
}

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
                for (long c = 0; c < in.channels; c += 8)
                    store(q + c, _mm256_max_ps(_mm256_max_ps(load(p + c), load(p + pixel + c)),
                                               _mm256_max_ps(load(p + row + c), load(p + row + pixel + c))));
            }
}

// y[i][0] = sum_c w[c] x[i][c]: a 1 x 1 convolution with one filter; y is (n, 1, h, w).
void weighted_sum(const Map &in, const float *w, float *y, int threads) {
#pragma omp parallel for collapse(2) num_threads(threads)
    for (long i = 0; i < in.n; i++)
        for (long r = 0; r < in.h; r++)
            for (long x = 0; x < in.w; x++) {
                const float *p = in.at(i, r, x);
                v8 sum = _mm256_setzero_ps();
                for (long c = 0; c < in.channels; c += 8) sum = _mm256_fmadd_ps(load(p + c), load(w + c), sum);
                float s[8];
                store(s, sum);
                y[(i * in.h + r) * in.w + x] = ((s[0] + s[1]) + (s[2] + s[3])) + ((s[4] + s[5]) + (s[6] + s[7]));
            }
}

// --- chains ---------------------------------------------------------------------------------------------------

enum Kind { CONVOLUTION, UPSCALED_CONVOLUTION, POOL, WEIGHTED_SUM };
const long FEW_CHANNELS = 8;         // below this an image's channels are not padded to 16
const long PIXELS_AT_A_TIME = 196608; // of a batch, so that its memory is bounded and large filters are read less often

struct Step {
    Kind kind;
    std::unique_ptr<Convolution> convolution;
    uint64_t known = 0; // fingerprint of the filters that are transformed
    bool transformed = false;
    Buffer weights; // of WEIGHTED_SUM
    long channels = 0, filters = 0;

    void use(const float *w, const float *b, Scheme scheme, int threads) {
        convolution->set_bias(b);
        uint64_t now = fingerprint(w, filters * channels * 9, threads);
        if (transformed && now == known && scheme == convolution->scheme) return;
        transformed = false;
        convolution->scheme = scheme;
        convolution->set_filters(w, threads);
        known = now, transformed = true;
    }
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
                step.convolution->run(*in, *out, scratch, threads);
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
                Scheme scheme = step.convolution->unpadded ? DIRECT : fitting(rows, columns);
                step.use(arrays[0], arrays[1], step.kind == UPSCALED_CONVOLUTION ? UPSCALED : scheme, threads);
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
