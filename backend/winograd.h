/* Winograd's convolutions on AVX2, in float32: the transforms, the matrix products, and one convolution.

   Used by winograd.cpp (chains of layers, for predictions) and convolutions.cpp (one layer and its gradients).

   Activations lie pixel by pixel, the channels of a pixel side by side (n, row, column, channel), padded with
   zero channels to a multiple of 16 and with a border of zeros. A convolution is
   1. a transform of small tiles of the input,           V[point][tile][channel]
   2. one matrix product for each point,                 M[point][tile][filter] = V[point] U[point]
   3. a transform of each tile's products to its outputs, bias and ReLU within.
   U are the transformed filters.

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

   DIRECT, for an input of few channels, an image, or of few pixels: one point, whose 'channels' are the nine
   pixels' channels. F4's 36 points are four times the memory of the filters, which is most of the time where
   there are few tiles to use them for.

   SUMMED, the gradient of UPSCALED with respect to its input: from gradients e of the outputs, with the taps
   turned round, z[j] = w[2-j],
       d[i] = z[0] (e[2i-1] - e[2i+1]) + (z[0] + z[1] + z[2]) (e[2i] + e[2i+1]) + z[2] (e[2i+2] - e[2i])
   so that all nine products of the plane are added up: one point, whose 'channels' are nine times the filters. */

#pragma once

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

enum Scheme { DIRECT, F4, UPSCALED, SUMMED };
const int POINTS[] = {1, 36, 9, 1}; // products a tile
const int SIDE[] = {1, 4, 2, 1};    // of a tile of outputs
const int STRIDE[] = {1, 4, 1, 2};  // from a tile's inputs to the next one's

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

// A tile's input, whose first pixel is p, to the points: v[point * step + place(channel)], where the channels lie
// in panels of 16, `panel` floats apart: 16 where they shall lie side by side.
inline long place(long channel, long panel) { return channel / 16 * panel + channel % 16; }

inline void transform_direct(const float *p, const Map &in, float *v) {
    for (int i = 0; i < 3; i++)
        memcpy(v + i * 3 * in.channels, p + i * in.row(), 3 * in.channels * sizeof(float));
}

// Of N x N pixels, by one axis after the other, to 36 points.
template <int N, void axis(const v8 *, int, v8 *, int)>
inline void transform_square(const float *p, const Map &in, float *v, size_t step, long panel) {
    long row = in.row(), pixel = in.pixel();
    for (long c = 0; c < in.channels; c += 8) {
        v8 half[6 * N], out[36];
#pragma GCC unroll 36
        for (int j = 0; j < N; j++) {
            v8 column[N];
#pragma GCC unroll 36
            for (int i = 0; i < N; i++) column[i] = load(p + i * row + j * pixel + c);
            axis(column, 1, half + j, N);
        }
#pragma GCC unroll 36
        for (int i = 0; i < 6; i++) axis(half + N * i, 1, out + 6 * i, 1);
        float *to = v + place(c, panel);
#pragma GCC unroll 36
        for (int k = 0; k < 36; k++) store(to + k * step, out[k]);
    }
}

inline void transform_f4(const float *p, const Map &in, float *v, size_t step, long panel) {
    transform_square<6, points_of>(p, in, v, step, panel);
}

inline void transform_upscaled(const float *p, const Map &in, float *v, size_t step, long panel) {
    long row = in.row(), pixel = in.pixel();
    for (long c = 0; c < in.channels; c += 8) {
        v8 half[3][3];
#pragma GCC unroll 36
        for (int j = 0; j < 3; j++) {
            const float *q = p + j * pixel + c;
            v8 above = load(q), middle = load(q + row), below = load(q + 2 * row);
            half[0][j] = above - middle, half[1][j] = middle, half[2][j] = below - middle;
        }
        float *to = v + place(c, panel);
#pragma GCC unroll 36
        for (int i = 0; i < 3; i++) {
            store(to + (3 * i) * step, half[i][0] - half[i][1]);
            store(to + (3 * i + 1) * step, half[i][1]);
            store(to + (3 * i + 2) * step, half[i][2] - half[i][1]);
        }
    }
}

// All points side by side.
inline void transform_summed(const float *p, const Map &in, float *v) {
    long row = in.row(), pixel = in.pixel();
    for (long c = 0; c < in.channels; c += 8) {
        v8 half[3][4];
#pragma GCC unroll 36
        for (int j = 0; j < 4; j++) {
            const float *q = p + j * pixel + c;
            v8 e0 = load(q), e1 = load(q + row), e2 = load(q + 2 * row), e3 = load(q + 3 * row);
            half[0][j] = e0 - e2, half[1][j] = e1 + e2, half[2][j] = e3 - e1;
        }
#pragma GCC unroll 36
        for (int i = 0; i < 3; i++) {
            float *to = v + 3 * i * in.channels + c;
            store(to, half[i][0] - half[i][2]);
            store(to + in.channels, half[i][1] + half[i][2]);
            store(to + 2 * in.channels, half[i][3] - half[i][1]);
        }
    }
}

// A tile's products m[point * step + filter], to its outputs, the first of them at q; `rows` x `columns` of them
// lie in the image. To each the bias is added; none is less than `least`, but for NaN.
inline v8 ended(v8 y, v8 bias, v8 least) { return _mm256_max_ps(least, y + bias); } // of (least, NaN) this is NaN

inline void finish_direct(const float *m, const float *bias, v8 least, const Map &out, float *q) {
    for (long k = 0; k < out.channels; k += 8) store(q + k, ended(load(m + k), load(bias + k), least));
}

inline void finish_f4(const float *m, size_t step, const float *bias, v8 least, const Map &out, float *q, int rows,
                      int columns) {
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
                    if (j < columns) store(q + i * row + j * pixel + k, ended(y[j], b, least));
            }
        }
    }
}

inline void finish_upscaled(const float *m, size_t step, const float *bias, v8 least, const Map &out, float *q) {
    long row = out.row(), pixel = out.pixel();
    for (long k = 0; k < out.channels; k += 8) {
        v8 above[3], below[3], b = load(bias + k);
#pragma GCC unroll 36
        for (int j = 0; j < 3; j++) {
            v8 middle = load(m + (3 + j) * step + k);
            above[j] = middle + load(m + j * step + k);
            below[j] = middle + load(m + (6 + j) * step + k);
        }
        store(q + k, ended(above[1] + above[0], b, least));
        store(q + pixel + k, ended(above[1] + above[2], b, least));
        store(q + row + k, ended(below[1] + below[0], b, least));
        store(q + row + pixel + k, ended(below[1] + below[2], b, least));
    }
}

// --- the matrix products --------------------------------------------------------------------------------------

// m[r][0..16) = sum_c v[r][c] u[c][0..16) for R rows, or += where `more`, summed in the order of c whatever R is.
// Twelve sums of eight are what the sixteen registers hold beside two of u and one of v.
template <int R>
inline __attribute__((always_inline)) void product(const float *v, long row, long depth, const float *u, float *m, long step,
                                                   bool more) {
    v8 sum[R][2];
#pragma GCC unroll 6
    for (int r = 0; r < R; r++) sum[r][0] = sum[r][1] = _mm256_setzero_ps();
#pragma GCC unroll 4
    for (long c = 0; c < depth; c++) {
        v8 u0 = _mm256_load_ps(u + 16 * c), u1 = _mm256_load_ps(u + 16 * c + 8);
#pragma GCC unroll 6
        for (int r = 0; r < R; r++) {
            v8 x = _mm256_broadcast_ss(v + r * row + c);
            sum[r][0] = _mm256_fmadd_ps(x, u0, sum[r][0]);
            sum[r][1] = _mm256_fmadd_ps(x, u1, sum[r][1]);
        }
    }
#pragma GCC unroll 6
    for (int r = 0; r < R; r++) {
        float *to = m + r * step;
        store(to, more ? load(to) + sum[r][0] : sum[r][0]);
        store(to + 8, more ? load(to + 8) + sum[r][1] : sum[r][1]);
    }
}

// The same for any number of tiles, with one panel of 16 filters. Long sums are sums of short ones: that
// halves their rounding errors, and a piece of the panel stays in the first-level cache.
const long PIECE = 128;

inline void products(const float *v, long depth, long tiles, const float *u, float *m, long filters) {
    for (long c = 0; c < depth; c += PIECE) {
        long d = std::min(PIECE, depth - c), t = 0;
        const float *from = v + c, *by = u + 16 * c;
        for (; t + 6 <= tiles; t += 6) product<6>(from + t * depth, depth, d, by, m + t * filters, filters, c);
        for (; t + 2 <= tiles; t += 2) product<2>(from + t * depth, depth, d, by, m + t * filters, filters, c);
        if (t < tiles) product<1>(from + t * depth, depth, d, by, m + t * filters, filters, c);
    }
}

// --- one convolution ------------------------------------------------------------------------------------------

// Of a 3 x 3 convolution whose output is h x w: below so many tiles the filters' memory is most of the time.
inline Scheme fitting(long h, long w, long images = 1) { return images * ((h + 3) / 4) * ((w + 3) / 4) < 9 ? DIRECT : F4; }

struct Convolution {
    Scheme scheme = F4;
    long channels = 0, filters = 0; // of input and output
    bool unpadded = false;          // the input's channels are not padded to a multiple of 16
    bool flip = false;              // a convolution proper, else a cross-correlation
    bool transposed = false;        // the arrays have (channels, filters), not (filters, channels)
    bool rectified = true;

    Buffer u, bias; // u[point][panel of 16 filters][depth][16]

    long padded_filters() const { return up_to(filters, 16); }
    long inputs() const { return unpadded ? channels : up_to(channels, 16); }
    long depth() const { return scheme == DIRECT || scheme == SUMMED ? 9 * inputs() : inputs(); }

    // b is (filters,), or null for zeros.
    void set_bias(const float *b) {
        float *padded = bias.get(padded_filters());
        std::fill(padded, padded + padded_filters(), 0.f);
        if (b) std::copy(b, b + filters, padded);
    }

    // w is (filters, channels, 3, 3) or transposed.
    void set_filters(const float *w, int threads) {
        float *out = u.get((size_t)POINTS[scheme] * depth() * padded_filters());
        long panels = padded_filters() / 16;
#pragma omp parallel for collapse(2) num_threads(threads)
        for (long p = 0; p < panels; p++)
            for (long c = 0; c < inputs(); c++) transform(w, p, c, out);
    }

    // What u holds of 16 filters from 16 * panel on, of channel c.
    void transform(const float *w, long panel, long c, float *out) const {
        double g[3][3][16] = {};
        for (long k = 0; k < 16 && panel * 16 + k < filters && c < channels; k++) {
            long filter = panel * 16 + k;
            const float *taps = w + (transposed ? c * filters + filter : filter * channels + c) * 9;
            for (int s = 0; s < 9; s++) g[s / 3][s % 3][k] = taps[flip ? 8 - s : s];
        }
        if (scheme == DIRECT) {
            for (int s = 0; s < 9; s++)
                std::copy(g[s / 3][s % 3], g[s / 3][s % 3] + 16, out + (panel * depth() + s * inputs() + c) * 16);
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
        for (int point = 0; point < side * side; point++) {
            int i = point / side, j = point % side;
            long at = scheme == SUMMED ? panel * depth() + point * inputs() + c : (point * panels + panel) * depth() + c;
            for (int k = 0; k < 16; k++)
                out[at * 16 + k] = half[i][0][k] * G[j][0] + half[i][1][k] * G[j][1] + half[i][2][k] * G[j][2];
        }
    }

    // --- tiles: numbered through all images, row by row

    void transform_tile(const Map &in, long tile, long tiles_y, long tiles_x, float *v, size_t step) const {
        long i = tile / (tiles_y * tiles_x), y = tile / tiles_x % tiles_y, x = tile % tiles_x;
        const float *p = in.at(i, y * STRIDE[scheme] - 1, x * STRIDE[scheme] - 1);
        if (scheme == F4) transform_f4(p, in, v, step, 16);
        else if (scheme == UPSCALED) transform_upscaled(p, in, v, step, 16);
        else if (scheme == SUMMED) transform_summed(p, in, v);
        else transform_direct(p, in, v);
    }

    void finish_tile(const Map &out, long tile, long tiles_y, long tiles_x, const float *m, size_t step) const {
        long i = tile / (tiles_y * tiles_x), y = tile / tiles_x % tiles_y * SIDE[scheme], x = tile % tiles_x * SIDE[scheme];
        float *q = out.at(i, y, x);
        v8 least = all(rectified ? 0 : -INFINITY);
        if (scheme == F4) finish_f4(m, step, bias.data, least, out, q, std::min(4l, out.h - y), std::min(4l, out.w - x));
        else if (scheme == UPSCALED) finish_upscaled(m, step, bias.data, least, out, q);
        else finish_direct(m, bias.data, least, out, q);
    }

    void run(const Map &in, Map &out, Buffer &scratch, int threads) const {
        int side = SIDE[scheme], points = POINTS[scheme];
        long K = padded_filters(), D = depth(), panels = K / 16;
        long h = scheme == UPSCALED ? in.h * 2 : scheme == SUMMED ? in.h / 2 : in.h;
        long w = scheme == UPSCALED ? in.w * 2 : scheme == SUMMED ? in.w / 2 : in.w;
        out.shape(in.n, K, h, w, threads);
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

// --- to and from Theano's layout ------------------------------------------------------------------------------

// Eight rows of eight, `from` and `to` floats apart, to their columns.
inline void transpose(const float *x, long from, float *y, long to) {
    v8 r[8], s[8];
#pragma GCC unroll 8
    for (int i = 0; i < 8; i++) r[i] = load(x + i * from);
#pragma GCC unroll 8
    for (int i = 0; i < 8; i += 2) s[i] = _mm256_unpacklo_ps(r[i], r[i + 1]), s[i + 1] = _mm256_unpackhi_ps(r[i], r[i + 1]);
#pragma GCC unroll 8
    for (int i = 0; i < 8; i += 4)
        for (int j = 0; j < 2; j++) {
            r[i + 2 * j] = _mm256_shuffle_ps(s[i + j], s[i + j + 2], 0x44);
            r[i + 2 * j + 1] = _mm256_shuffle_ps(s[i + j], s[i + j + 2], 0xEE);
        }
#pragma GCC unroll 8
    for (int i = 0; i < 4; i++) {
        store(y + i * to, _mm256_permute2f128_ps(r[i], r[i + 4], 0x20));
        store(y + (i + 4) * to, _mm256_permute2f128_ps(r[i], r[i + 4], 0x31));
    }
}

// x is (n, channels, h, w), of which out gets images [0, out.n).
inline void pack(const float *x, long channels, Map &out, int threads) {
    long area = out.h * out.w;
#pragma omp parallel for collapse(2) num_threads(threads)
    for (long i = 0; i < out.n; i++)
        for (long r = 0; r < out.h; r++)
            for (long c = 0; c < out.channels; c += 8) {
                const float *from = x + (i * channels + c) * area + r * out.w;
                float *to = out.at(i, r, 0) + c;
                long j = 0;
                if (c + 8 <= channels)
                    for (; j + 8 <= out.w; j += 8) transpose(from + j, area, to + j * out.channels, out.channels);
                for (long k = 0; k < std::min(8l, out.channels - c); k++)
                    for (long l = j; l < out.w; l++) to[l * out.channels + k] = c + k < channels ? from[k * area + l] : 0;
            }
}

inline void unpack(const Map &in, long channels, float *y, int threads) {
    long area = in.h * in.w;
#pragma omp parallel for collapse(2) num_threads(threads)
    for (long i = 0; i < in.n; i++)
        for (long r = 0; r < in.h; r++)
            for (long c = 0; c < channels; c += 8) {
                const float *from = in.at(i, r, 0) + c;
                float *to = y + (i * channels + c) * area + r * in.w;
                long j = 0;
                if (c + 8 <= channels)
                    for (; j + 8 <= in.w; j += 8) transpose(from + j * in.channels, in.channels, to + j, area);
                for (long k = 0; k < std::min(8l, channels - c); k++)
                    for (long l = j; l < in.w; l++) to[k * area + l] = from[l * in.channels + k];
            }
}

} // namespace
