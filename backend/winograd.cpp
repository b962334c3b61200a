/* Chains of 3 x 3 convolutions, bias, ReLU and pooling on AVX2, in float32: the forward pass only.

   backend/winograd.py hands over a chain of steps and the arrays; nothing here knows of Python.

   Activations lie pixel by pixel, the channels of a pixel side by side (n, row, column, channel), padded with
   zero channels to a multiple of 16 and with a border of zeros, and stay so from step to step. A convolution is
   1. a transform of small tiles of the input,           V[point][tile][channel]
   2. one matrix product for each point,                 M[point][tile][filter] = V[point] U[point]
   3. a transform of each tile's products to its outputs, bias and ReLU within.
   U are the transformed filters; they are kept, and made anew when the filters' fingerprint changes.

   Every number is computed by the same operations in the same order whatever the blocking, so that the bytes
   depend neither on the number of threads nor on how images are put into batches.

   The transforms of one axis (the other goes the same way, the results are their products):

   F4, F(4,3) of Winograd 1980, Lavin & Gray 2016: four outputs y[k] = sum_j w[j] d[k+j] of six inputs d by six
   products. Outputs and filter are polynomials, the products their values at six points p: 0, +-a, +-b and
   infinity. Transposing 'evaluate, multiply, interpolate' gives, row by row of the points,
       filter    G[p] = (1, p, p^2) / prod_{q != p} (p - q)              infinity: (0, 0, 1)
       input     B[p] = coefficients of prod_{q != p} (x - q)            infinity: of prod_q (x - q)
       output    A[k] = p^k                                              infinity: 1 for k = 3, else 0
   with a = sqrt(1/2), b = sqrt(2): a^2 b^2 = 1 and a^2 + b^2 = 5/2, and every constant is near 1, so that the
   rounding errors are the least of all choices (0, +-1, +-2, which textbooks use, has twice the error).

   UPSCALED, 'each pixel twice, then three taps': the two outputs that lie on d[i] are
       y[0] = w[0] d[i-1] + (w[1] + w[2]) d[i]    =  w[0] (d[i-1] - d[i]) + (w[0] + w[1] + w[2]) d[i]
       y[1] = (w[0] + w[1]) d[i] + w[2] d[i+1]    =  w[2] (d[i+1] - d[i]) + (w[0] + w[1] + w[2]) d[i]
   three products for two outputs: nine for four in the plane, where the plain sum has 36.

   DIRECT, for an input of few channels, an image: one point, whose 'channels' are the nine pixels' channels. */

#include <immintrin.h>
#include <omp.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <vector>

namespace {

typedef __m256 v8; // eight floats; + - * work on it

inline v8 load(const float *p) { return _mm256_loadu_ps(p); }
inline void store(float *p, v8 x) { _mm256_storeu_ps(p, x); }
inline v8 all(double x) { return _mm256_set1_ps((float)x); }
inline v8 relu(v8 x) { return _mm256_max_ps(_mm256_setzero_ps(), x); } // of (0, NaN) this is NaN

inline long up_to(long n, long multiple) { return (n + multiple - 1) / multiple * multiple; }

// A 64-byte aligned array that grows to the largest request and is then kept.
struct Buffer {
    float *data = nullptr;
    size_t size = 0;
    Buffer() {}
    Buffer(Buffer &&other) : data(other.data), size(other.size) { other.data = nullptr, other.size = 0; }
    ~Buffer() { free(data); }
    float *get(size_t n) {
        if (n > size) {
            free(data);
            data = nullptr, size = 0;
            void *p;
            if (posix_memalign(&p, 64, n * sizeof(float))) throw std::bad_alloc();
            data = (float *)p, size = n;
        }
        return data;
    }
};

// Activations of n images. Outside their h x w pixels they are 0: one pixel before, and after up to where the
// last tile of 4 x 4 outputs reads.
struct Map {
    long n = 0, channels = 0, h = 0, w = 0;
    Buffer buffer;

    long columns() const { return up_to(w, 4) + 2; }
    long rows() const { return up_to(h, 4) + 2; }
    long pixel() const { return channels; }           // floats from a pixel to its right neighbour
    long row() const { return columns() * channels; } // to the one below
    float *at(long i, long y, long x) const { return buffer.data + ((i * rows() + y + 1) * columns() + x + 1) * channels; }

    void shape(long n_, long channels_, long h_, long w_, int threads) {
        n = n_, channels = channels_, h = h_, w = w_;
        buffer.get((size_t)n * rows() * row());
        long lines = n * rows();
#pragma omp parallel for num_threads(threads)
        for (long line = 0; line < lines; line++) {
            float *p = buffer.data + line * row();
            long y = line % rows() - 1;
            if (y < 0 || y >= h) {
                std::fill(p, p + row(), 0.f);
            } else {
                std::fill(p, p + pixel(), 0.f);
                std::fill(p + (w + 1) * pixel(), p + row(), 0.f);
            }
        }
    }
};

// --- the transforms -------------------------------------------------------------------------------------------

const double A = 0.70710678118654752440, B = 1.41421356237309504880; // the points +-a and +-b
const double A2 = 0.5, B2 = 2;

enum Scheme { DIRECT, F4, UPSCALED };
const int POINTS[] = {1, 36, 9}; // products a tile
const int SIDE[] = {1, 4, 2};    // of a tile of outputs
const int MOST_POINTS = 36;

const double G_F4[6][3] = {{1 / (A2 * B2), 0, 0},
                           {1 / (2 * A2 * (A2 - B2)), A / (2 * A2 * (A2 - B2)), A2 / (2 * A2 * (A2 - B2))},
                           {1 / (2 * A2 * (A2 - B2)), -A / (2 * A2 * (A2 - B2)), A2 / (2 * A2 * (A2 - B2))},
                           {1 / (2 * B2 * (B2 - A2)), B / (2 * B2 * (B2 - A2)), B2 / (2 * B2 * (B2 - A2))},
                           {1 / (2 * B2 * (B2 - A2)), -B / (2 * B2 * (B2 - A2)), B2 / (2 * B2 * (B2 - A2))},
                           {0, 0, 1}};
const double G_UPSCALED[3][3] = {{1, 0, 0}, {1, 1, 1}, {0, 0, 1}};

// One axis of F4's input: six values d, `from` apart, to six points, `to` apart.
inline void points_of(const v8 *d, int from, v8 *v, int to) {
    v8 d0 = d[0], d1 = d[from], d2 = d[2 * from], d3 = d[3 * from], d4 = d[4 * from], d5 = d[5 * from];
    v8 even_a = d4 - all(B2) * d2, odd_a = all(A) * (d3 - all(B2) * d1);
    v8 even_b = d4 - all(A2) * d2, odd_b = all(B) * (d3 - all(A2) * d1);
    v[0] = all(A2 * B2) * d0 - all(A2 + B2) * d2 + d4;
    v[to] = even_a + odd_a;
    v[2 * to] = even_a - odd_a;
    v[3 * to] = even_b + odd_b;
    v[4 * to] = even_b - odd_b;
    v[5 * to] = d5 - all(A2 + B2) * d3 + all(A2 * B2) * d1;
}

// One axis of F4's output: six products m to four outputs.
inline void outputs_of(const v8 *m, int from, v8 *y, int to) {
    v8 even_a = m[from] + m[2 * from], odd_a = m[from] - m[2 * from];
    v8 even_b = m[3 * from] + m[4 * from], odd_b = m[3 * from] - m[4 * from];
    y[0] = m[0] + even_a + even_b;
    y[to] = all(A) * odd_a + all(B) * odd_b;
    y[2 * to] = all(A2) * even_a + all(B2) * even_b;
    y[3 * to] = all(A * A2) * odd_a + all(B * B2) * odd_b + m[5 * from];
}

// A tile's input, whose first pixel is p, to the points: v[point * step + channel].
void transform_direct(const float *p, const Map &in, float *v) {
    for (int i = 0; i < 3; i++)
        memcpy(v + i * 3 * in.channels, p + i * in.row(), 3 * in.channels * sizeof(float));
}

void transform_f4(const float *p, const Map &in, float *v, size_t step) {
    long row = in.row(), pixel = in.pixel();
    for (long c = 0; c < in.channels; c += 8) {
        v8 half[36], out[36];
#pragma GCC unroll 36
        for (int j = 0; j < 6; j++) {
            v8 column[6];
#pragma GCC unroll 36
            for (int i = 0; i < 6; i++) column[i] = load(p + i * row + j * pixel + c);
            points_of(column, 1, half + j, 6);
        }
#pragma GCC unroll 36
        for (int i = 0; i < 6; i++) points_of(half + 6 * i, 1, out + 6 * i, 1);
#pragma GCC unroll 36
        for (int k = 0; k < 36; k++) store(v + k * step + c, out[k]);
    }
}

void transform_upscaled(const float *p, const Map &in, float *v, size_t step) {
    long row = in.row(), pixel = in.pixel();
    for (long c = 0; c < in.channels; c += 8) {
        v8 half[3][3];
#pragma GCC unroll 36
        for (int j = 0; j < 3; j++) {
            const float *q = p + j * pixel + c;
            v8 above = load(q), middle = load(q + row), below = load(q + 2 * row);
            half[0][j] = above - middle, half[1][j] = middle, half[2][j] = below - middle;
        }
#pragma GCC unroll 36
        for (int i = 0; i < 3; i++) {
            store(v + (3 * i) * step + c, half[i][0] - half[i][1]);
            store(v + (3 * i + 1) * step + c, half[i][1]);
            store(v + (3 * i + 2) * step + c, half[i][2] - half[i][1]);
        }
    }
}

// A tile's products m[point * step + filter], to its outputs, the first of them at q; `rows` x `columns` of them
// lie in the image.
void finish_direct(const float *m, const float *bias, const Map &out, float *q) {
    for (long k = 0; k < out.channels; k += 8) store(q + k, relu(load(m + k) + load(bias + k)));
}

void finish_f4(const float *m, size_t step, const float *bias, const Map &out, float *q, int rows, int columns) {
    long row = out.row(), pixel = out.pixel();
    for (long k = 0; k < out.channels; k += 8) {
        v8 half[24], b = load(bias + k);
#pragma GCC unroll 36
        for (int j = 0; j < 6; j++) {
            v8 column[6];
#pragma GCC unroll 36
            for (int i = 0; i < 6; i++) column[i] = load(m + (6 * i + j) * step + k);
            outputs_of(column, 1, half + j, 6);
        }
#pragma GCC unroll 36
        for (int i = 0; i < 4; i++) {
            v8 y[4];
            outputs_of(half + 6 * i, 1, y, 1);
            if (i < rows) {
#pragma GCC unroll 36
                for (int j = 0; j < 4; j++)
                    if (j < columns) store(q + i * row + j * pixel + k, relu(y[j] + b));
            }
        }
    }
}

void finish_upscaled(const float *m, size_t step, const float *bias, const Map &out, float *q) {
    long row = out.row(), pixel = out.pixel();
    for (long k = 0; k < out.channels; k += 8) {
        v8 above[3], below[3], b = load(bias + k);
#pragma GCC unroll 36
        for (int j = 0; j < 3; j++) {
            v8 middle = load(m + (3 + j) * step + k);
            above[j] = middle + load(m + j * step + k);
            below[j] = middle + load(m + (6 + j) * step + k);
        }
        store(q + k, relu(above[1] + above[0] + b));
        store(q + pixel + k, relu(above[1] + above[2] + b));
        store(q + row + k, relu(below[1] + below[0] + b));
        store(q + row + pixel + k, relu(below[1] + below[2] + b));
    }
}

// --- the matrix products --------------------------------------------------------------------------------------

// m[r][0..16) = sum_c v[r][c] u[c][0..16) for R rows, summed in the order of c whatever R is. Twelve sums of
// eight are what the sixteen registers hold beside two of u and one of v.
template <int R>
inline __attribute__((always_inline)) void product(const float *v, long depth, const float *u, float *m, long step) {
    v8 sum[R][2];
#pragma GCC unroll 6
    for (int r = 0; r < R; r++) sum[r][0] = sum[r][1] = _mm256_setzero_ps();
#pragma GCC unroll 4
    for (long c = 0; c < depth; c++) {
        v8 u0 = _mm256_load_ps(u + 16 * c), u1 = _mm256_load_ps(u + 16 * c + 8);
#pragma GCC unroll 6
        for (int r = 0; r < R; r++) {
            v8 x = _mm256_broadcast_ss(v + r * depth + c);
            sum[r][0] = _mm256_fmadd_ps(x, u0, sum[r][0]);
            sum[r][1] = _mm256_fmadd_ps(x, u1, sum[r][1]);
        }
    }
#pragma GCC unroll 6
    for (int r = 0; r < R; r++) {
        store(m + r * step, sum[r][0]);
        store(m + r * step + 8, sum[r][1]);
    }
}

// The same for any number of tiles, with one panel of 16 filters.
void products(const float *v, long depth, long tiles, const float *u, float *m, long filters) {
    long t = 0;
    for (; t + 6 <= tiles; t += 6) product<6>(v + t * depth, depth, u, m + t * filters, filters);
    for (; t + 2 <= tiles; t += 2) product<2>(v + t * depth, depth, u, m + t * filters, filters);
    if (t < tiles) product<1>(v + t * depth, depth, u, m + t * filters, filters);
}

// --- one convolution ------------------------------------------------------------------------------------------

inline uint64_t mix(uint64_t hash, uint64_t word) {
    hash = (hash ^ word) * 0x9E3779B97F4A7C15u; // carries low bits up,
    return hash ^ hash >> 32;                   // and high ones down
}

// 64 bits of n floats. A change of one value always changes them: each step is a bijection of both its operands.
uint64_t fingerprint(const float *x, long n, int threads) {
    const long PIECE = 1 << 16;
    long pieces = (n + PIECE - 1) / PIECE;
    std::vector<uint64_t> of(pieces);
#pragma omp parallel for num_threads(threads)
    for (long piece = 0; piece < pieces; piece++) {
        const float *p = x + piece * PIECE, *end = x + std::min(n, (piece + 1) * PIECE);
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

struct Convolution {
    Scheme scheme;
    long channels, filters; // as the arrays have them
    bool flip;              // a convolution proper, else a cross-correlation

    Buffer u, bias; // u[point][panel of 16 filters][depth][16]
    uint64_t known = 0;
    bool transformed = false;

    long padded_filters() const { return up_to(filters, 16); }
    long depth() const { return scheme == DIRECT ? 9 * channels : up_to(channels, 16); }
    size_t size_of_u() const { return (size_t)POINTS[scheme] * depth() * padded_filters(); }

    // w is (filters, channels, 3, 3), b is (filters,).
    void use(const float *w, const float *b, int threads) {
        float *padded = bias.get(padded_filters());
        std::copy(b, b + filters, padded);
        std::fill(padded + filters, padded + padded_filters(), 0.f);
        uint64_t now = fingerprint(w, filters * channels * 9, threads);
        if (transformed && now == known) return;
        transformed = false;
        float *out = u.get(size_of_u());
        long panels = padded_filters() / 16, inputs = scheme == DIRECT ? channels : depth();
#pragma omp parallel for collapse(2) num_threads(threads)
        for (long p = 0; p < panels; p++)
            for (long c = 0; c < inputs; c++) transform(w, p, c, out);
        known = now, transformed = true;
    }

    // What u holds of 16 filters from 16 * panel on, of channel c.
    void transform(const float *w, long panel, long c, float *out) const {
        double g[3][3][16] = {};
        for (long k = 0; k < 16 && panel * 16 + k < filters && c < channels; k++)
            for (int s = 0; s < 9; s++)
                g[s / 3][s % 3][k] = w[((panel * 16 + k) * channels + c) * 9 + (flip ? 8 - s : s)];
        if (scheme == DIRECT) {
            for (int s = 0; s < 9; s++)
                std::copy(g[s / 3][s % 3], g[s / 3][s % 3] + 16, out + (panel * depth() + s * channels + c) * 16);
            return;
        }
        int side = scheme == F4 ? 6 : 3;
        const double(*G)[3] = scheme == F4 ? G_F4 : G_UPSCALED;
        double half[6][3][16];
        for (int i = 0; i < side; i++)
            for (int x = 0; x < 3; x++)
                for (int k = 0; k < 16; k++)
                    half[i][x][k] = G[i][0] * g[0][x][k] + G[i][1] * g[1][x][k] + G[i][2] * g[2][x][k];
        long panels = padded_filters() / 16;
        for (int i = 0; i < side; i++)
            for (int j = 0; j < side; j++) {
                float *to = out + (((i * side + j) * panels + panel) * depth() + c) * 16;
                for (int k = 0; k < 16; k++)
                    to[k] = half[i][0][k] * G[j][0] + half[i][1][k] * G[j][1] + half[i][2][k] * G[j][2];
            }
    }

    // --- tiles: numbered through all images, row by row

    void transform_tile(const Map &in, long tile, long tiles_y, long tiles_x, float *v, size_t step) const {
        long i = tile / (tiles_y * tiles_x), y = tile / tiles_x % tiles_y, x = tile % tiles_x;
        int stride = scheme == F4 ? 4 : 1; // an upscaled tile lies on one pixel of the input
        const float *p = in.at(i, y * stride - 1, x * stride - 1);
        if (scheme == F4) transform_f4(p, in, v, step);
        else if (scheme == UPSCALED) transform_upscaled(p, in, v, step);
        else transform_direct(p, in, v);
    }

    void finish_tile(const Map &out, long tile, long tiles_y, long tiles_x, const float *m, size_t step) const {
        long i = tile / (tiles_y * tiles_x), y = tile / tiles_x % tiles_y * SIDE[scheme], x = tile % tiles_x * SIDE[scheme];
        float *q = out.at(i, y, x);
        if (scheme == F4) finish_f4(m, step, bias.data, out, q, std::min(4l, out.h - y), std::min(4l, out.w - x));
        else if (scheme == UPSCALED) finish_upscaled(m, step, bias.data, out, q);
        else finish_direct(m, bias.data, out, q);
    }

    void run(const Map &in, Map &out, Buffer &scratch, int threads) const {
        int grown = scheme == UPSCALED ? 2 : 1, side = SIDE[scheme], points = POINTS[scheme];
        long K = padded_filters(), D = depth(), panels = K / 16;
        out.shape(in.n, K, in.h * grown, in.w * grown, threads);
        long tiles_y = (out.h + side - 1) / side, tiles_x = (out.w + side - 1) / side;
        long tiles = in.n * tiles_y * tiles_x;
        // as many tiles at a time as keep v and m in the second-level cache
        long block = (3 << 19) / (points * (long)sizeof(float) * (D + K)) / 6 * 6;
        block = std::max(24l, std::min(block, 192l));
        long blocks = (tiles + block - 1) / block;
        if (blocks >= std::max(4, 2 * threads)) {
            // enough of them: each thread takes whole blocks
            size_t v_step = (size_t)block * D, m_step = (size_t)block * K, size = points * (v_step + m_step);
            float *buffers = scratch.get(size * threads);
#pragma omp parallel num_threads(threads)
            {
                float *v = buffers + size * omp_get_thread_num(), *m = v + points * v_step;
#pragma omp for schedule(dynamic)
                for (long b = 0; b < blocks; b++) {
                    long first = b * block, count = std::min(block, tiles - first);
                    for (long t = 0; t < count; t++)
                        transform_tile(in, first + t, tiles_y, tiles_x, v + t * D, v_step);
                    for (long k = 0; k < points * panels; k++)
                        products(v + k / panels * v_step, D, count, u.data + k * D * 16,
                                 m + k / panels * m_step + k % panels * 16, K);
                    for (long t = 0; t < count; t++)
                        finish_tile(out, first + t, tiles_y, tiles_x, m + t * K, m_step);
                }
            }
        } else {
            // few tiles and large filters: the threads share out the filters, so that each is read once
            size_t v_step = (size_t)tiles * D, m_step = (size_t)tiles * K;
            float *v = scratch.get(points * (v_step + m_step)), *m = v + points * v_step;
#pragma omp parallel num_threads(threads)
            {
#pragma omp for
                for (long t = 0; t < tiles; t++) transform_tile(in, t, tiles_y, tiles_x, v + t * D, v_step);
#pragma omp for schedule(dynamic, 4)
                for (long k = 0; k < points * panels; k++)
                    products(v + k / panels * v_step, D, tiles, u.data + k * D * 16,
                             m + k / panels * m_step + k % panels * 16, K);
#pragma omp for
                for (long t = 0; t < tiles; t++) finish_tile(out, t, tiles_y, tiles_x, m + t * K, m_step);
            }
        }
    }
};

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

// x is (n, channels, h, w), of which out gets images [0, out.n).
void pack(const float *x, long channels, Map &out, int threads) {
#pragma omp parallel for collapse(2) num_threads(threads)
    for (long i = 0; i < out.n; i++)
        for (long r = 0; r < out.h; r++)
            for (long c = 0; c < out.channels; c++) {
                const float *from = x + ((i * channels + c) * out.h + r) * out.w;
                float *to = out.at(i, r, 0) + c;
                for (long j = 0; j < out.w; j++) to[j * out.channels] = c < channels ? from[j] : 0;
            }
}

void unpack(const Map &in, long channels, float *y, int threads) {
#pragma omp parallel for collapse(2) num_threads(threads)
    for (long i = 0; i < in.n; i++)
        for (long c = 0; c < channels; c++)
            for (long r = 0; r < in.h; r++) {
                const float *from = in.at(i, r, 0) + c;
                float *to = y + ((i * channels + c) * in.h + r) * in.w;
                for (long j = 0; j < in.w; j++) to[j] = from[j * in.channels];
            }
}

// --- chains ---------------------------------------------------------------------------------------------------

enum Kind { CONVOLUTION, UPSCALED_CONVOLUTION, POOL, WEIGHTED_SUM };
const long FEW_CHANNELS = 8;         // below this DIRECT costs less than padding to 16
const long PIXELS_AT_A_TIME = 196608; // of a batch, so that its memory is bounded and large filters are read less often

struct Step {
    Kind kind;
    std::unique_ptr<Convolution> convolution;
    Buffer weights; // of WEIGHTED_SUM
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
        in->shape(n, first && first->scheme == DIRECT ? channels : up_to(channels, 16), h, w, threads);
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
                c.scheme = step.kind == UPSCALED_CONVOLUTION ? UPSCALED : i == 0 && step.channels < FEW_CHANNELS ? DIRECT : F4;
                c.channels = step.channels, c.filters = step.filters, c.flip = steps[3];
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
        for (Step &step : chain->steps) {
            if (step.convolution) {
                step.convolution->use(arrays[0], arrays[1], threads);
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
