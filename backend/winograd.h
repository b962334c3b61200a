/* Winograd's convolutions in float32: the transforms, the matrix products, and one convolution.

   Used by winograd.cpp (chains of layers, for predictions) and convolutions.cpp (one layer and its gradients).

   Activations lie pixel by pixel, the channels of a pixel side by side (n, row, column, channel), padded with
   zero channels to a multiple of 16 and with a border of zeros. A convolution is
   1. a transform of small tiles of the input,           V[point][tile][channel]
   2. one matrix product for each point,                 M[point][tile][filter] = V[point] U[point]
   3. a transform of each tile's products to its outputs, bias and ReLU within.
   U are the transformed filters. They are made anew for every use: the large ones, four times the memory of the
   filters, panel by panel where they stay in the cache, which takes less time than reading them from memory.

   Every number is computed by the same operations in the same order whatever the blocking, so that the bytes
   depend neither on the number of threads nor on how images are put into batches, nor on the length of the
   vectors where products and sums are one operation.

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

#include <omp.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <vector>

#include "lanes.h"

namespace {

inline long up_to(long n, long multiple) { return (n + multiple - 1) / multiple * multiple; }

// A 64-byte aligned array that grows to the largest request and is then kept.
struct Buffer {
    float *data = nullptr;
    size_t size = 0;
    Buffer() {}
    Buffer(Buffer &&other) noexcept : data(other.data), size(other.size) { other.data = nullptr, other.size = 0; }
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
    float *at(long i, long y, long x) const {
        return buffer.data + ((i * rows() + y + 1) * columns() + x + 1) * channels;
    }

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

// Of the channels that a product sums. Long sums are sums of short ones: that halves their rounding errors, and
// what they are made of stays in the caches.
const long PIECE = 128;

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
inline void points_of(const floats *d, int from, floats *v, int to) {
    floats d0 = d[0], d1 = d[from], d2 = d[2 * from], d3 = d[3 * from], d4 = d[4 * from], d5 = d[5 * from];
    floats even_a = d4 - all(B2) * d2, odd_a = all(A) * (d3 - all(B2) * d1);
    floats even_b = d4 - all(A2) * d2, odd_b = all(B) * (d3 - all(A2) * d1);
    v[0] = all(A2 * B2) * d0 - all(A2 + B2) * d2 + d4;
    v[to] = even_a + odd_a;
    v[2 * to] = even_a - odd_a;
    v[3 * to] = even_b + odd_b;
    v[4 * to] = even_b - odd_b;
    v[5 * to] = d5 - all(A2 + B2) * d3 + all(A2 * B2) * d1;
}

// One axis of F4's filters: three taps g, `from` apart, to six points, `to` apart.
inline void taps_of_f4(const doubles *g, int from, doubles *u, int to) {
    doubles even_a = G_F4[1][0] * g[0] + G_F4[1][2] * g[2 * from], odd_a = G_F4[1][1] * g[from];
    doubles even_b = G_F4[3][0] * g[0] + G_F4[3][2] * g[2 * from], odd_b = G_F4[3][1] * g[from];
    u[0] = g[0];
    u[to] = even_a + odd_a;
    u[2 * to] = even_a - odd_a;
    u[3 * to] = even_b + odd_b;
    u[4 * to] = even_b - odd_b;
    u[5 * to] = g[2 * from];
}

// The same of UPSCALED's, to three points.
inline void taps_of_upscaled(const doubles *g, int from, doubles *u, int to) {
    u[0] = g[0];
    u[to] = g[0] + g[from] + g[2 * from];
    u[2 * to] = g[2 * from];
}

// Nine taps of 16 filters, `from` floats apart, by one axis after the other to N x N points, `step` apart.
template <int N, void axis(const doubles *, int, doubles *, int)>
inline void transform_taps(const float *g, long from, float *u, size_t step) {
    for (int k = 0; k < 16; k += LANES / 2) {
        doubles taps[9], half[3 * N], out[N * N];
#pragma GCC unroll 36
        for (int s = 0; s < 9; s++) taps[s] = load_doubles(g + s * from + k);
#pragma GCC unroll 36
        for (int j = 0; j < 3; j++) axis(taps + j, 3, half + j, 3);
#pragma GCC unroll 36
        for (int i = 0; i < N; i++) axis(half + 3 * i, 1, out + N * i, 1);
#pragma GCC unroll 36
        for (int point = 0; point < N * N; point++) store_rounded(u + point * step + k, out[point]);
    }
}

// One axis of F4's output: six products m to four outputs.
inline void outputs_of(const floats *m, int from, floats *y, int to) {
    floats even_a = m[from] + m[2 * from], odd_a = m[from] - m[2 * from];
    floats even_b = m[3 * from] + m[4 * from], odd_b = m[3 * from] - m[4 * from];
    y[0] = m[0] + even_a + even_b;
    y[to] = all(A) * odd_a + all(B) * odd_b;
    y[2 * to] = all(A2) * even_a + all(B2) * even_b;
    y[3 * to] = all(A * A2) * odd_a + all(B * B2) * odd_b + m[5 * from];
}

// A tile's input, whose first pixel is p, to the points: v[point * step + place(channel)], where WIDTH channels lie
// side by side and the next ones `apart` floats away.
template <long WIDTH> inline long place(long channel, long apart) { return channel / WIDTH * apart + channel % WIDTH; }

inline void transform_direct(const float *p, const Map &in, float *v) {
    for (int i = 0; i < 3; i++) memcpy(v + i * 3 * in.channels, p + i * in.row(), 3 * in.channels * sizeof(float));
}

// Of N x N pixels, by one axis after the other, to 36 points.
template <long WIDTH, int N, void axis(const floats *, int, floats *, int)>
inline void transform_square(const float *p, const Map &in, float *v, size_t step, long apart) {
    long row = in.row(), pixel = in.pixel();
    for (long c = 0; c < in.channels; c += LANES) {
        floats half[6 * N], out[36];
#pragma GCC unroll 36
        for (int j = 0; j < N; j++) {
            floats column[N];
#pragma GCC unroll 36
            for (int i = 0; i < N; i++) column[i] = load(p + i * row + j * pixel + c);
            axis(column, 1, half + j, N);
        }
#pragma GCC unroll 36
        for (int i = 0; i < 6; i++) axis(half + N * i, 1, out + 6 * i, 1);
        float *to = v + place<WIDTH>(c, apart);
#pragma GCC unroll 36
        for (int k = 0; k < 36; k++) store(to + k * step, out[k]);
    }
}

template <long WIDTH> inline void transform_f4(const float *p, const Map &in, float *v, size_t step, long apart) {
    transform_square<WIDTH, 6, points_of>(p, in, v, step, apart);
}

template <long WIDTH> inline void transform_upscaled(const float *p, const Map &in, float *v, size_t step, long apart) {
    long row = in.row(), pixel = in.pixel();
    for (long c = 0; c < in.channels; c += LANES) {
        floats half[3][3];
#pragma GCC unroll 36
        for (int j = 0; j < 3; j++) {
            const float *q = p + j * pixel + c;
            floats above = load(q), middle = load(q + row), below = load(q + 2 * row);
            half[0][j] = above - middle, half[1][j] = middle, half[2][j] = below - middle;
        }
        float *to = v + place<WIDTH>(c, apart);
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
    for (long c = 0; c < in.channels; c += LANES) {
        floats half[3][4];
#pragma GCC unroll 36
        for (int j = 0; j < 4; j++) {
            const float *q = p + j * pixel + c;
            floats e0 = load(q), e1 = load(q + row), e2 = load(q + 2 * row), e3 = load(q + 3 * row);
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
inline floats ended(floats y, floats bias, floats least) { return larger(least, y + bias); }

inline void finish_direct(const float *m, const float *bias, floats least, const Map &out, float *q) {
    for (long k = 0; k < out.channels; k += LANES) store(q + k, ended(load(m + k), load(bias + k), least));
}

inline void finish_f4(const float *m, size_t step, const float *bias, floats least, const Map &out, float *q, int rows,
                      int columns) {
    long row = out.row(), pixel = out.pixel();
    for (long k = 0; k < out.channels; k += LANES) {
        floats half[24], b = load(bias + k);
#pragma GCC unroll 36
        for (int j = 0; j < 6; j++) {
            floats column[6];
#pragma GCC unroll 36
            for (int i = 0; i < 6; i++) column[i] = load(m + (6 * i + j) * step + k);
            outputs_of(column, 1, half + j, 6);
        }
#pragma GCC unroll 36
        for (int i = 0; i < 4; i++) {
            floats y[4];
            outputs_of(half + 6 * i, 1, y, 1);
            if (i < rows) {
#pragma GCC unroll 36
                for (int j = 0; j < 4; j++)
                    if (j < columns) store(q + i * row + j * pixel + k, ended(y[j], b, least));
            }
        }
    }
}

inline void finish_upscaled(const float *m, size_t step, const float *bias, floats least, const Map &out, float *q) {
    long row = out.row(), pixel = out.pixel();
    for (long k = 0; k < out.channels; k += LANES) {
        floats above[3], below[3], b = load(bias + k);
#pragma GCC unroll 36
        for (int j = 0; j < 3; j++) {
            floats middle = load(m + (3 + j) * step + k);
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

// m[r][0..16 P) = sum_c v[r][c] u[c][0..16 P) for R rows, or += where `more`, summed in the order of c whatever R
// and P are. v's rows are `row` floats apart, m's `step`, and u's panels of 16 filters `panel`.
template <int R, int P>
inline __attribute__((always_inline)) void product(const float *v, long row, long depth, const float *u, long panel,
                                                   float *m, long step, bool more) {
    const int N = 16 * P / LANES; // vectors in a row of m
    floats sum[R][N];
#pragma GCC unroll 16
    for (int r = 0; r < R; r++)
#pragma GCC unroll 4
        for (int i = 0; i < N; i++) sum[r][i] = floats{};
#pragma GCC unroll 4
    for (long c = 0; c < depth; c++) {
        floats by[N];
#pragma GCC unroll 4
        for (int i = 0; i < N; i++) by[i] = load(u + 16 * c + LANES * i / 16 * panel + LANES * i % 16);
#pragma GCC unroll 16
        for (int r = 0; r < R; r++)
#pragma GCC unroll 4
            for (int i = 0; i < N; i++) sum[r][i] += v[r * row + c] * by[i];
    }
#pragma GCC unroll 16
    for (int r = 0; r < R; r++)
#pragma GCC unroll 4
        for (int i = 0; i < N; i++) {
            float *to = m + r * step + LANES * i;
            store(to, more ? load(to) + sum[r][i] : sum[r][i]);
        }
}

// The same for any number of tiles.

template <int P>
inline void panel_products(const float *v, long row, long depth, long tiles, const float *u, long panel, float *m,
                           long step, bool more) {
    for (long c = 0; c < depth; c += PIECE) {
        long d = std::min(PIECE, depth - c), t = 0;
        const float *from = v + c, *by = u + 16 * c;
        bool add = more || c > 0;
        for (; t + ROWS <= tiles; t += ROWS)
            product<ROWS, P>(from + t * row, row, d, by, panel, m + t * step, step, add);
        for (; t + 2 <= tiles; t += 2) product<2, P>(from + t * row, row, d, by, panel, m + t * step, step, add);
        if (t < tiles) product<1, P>(from + t * row, row, d, by, panel, m + t * step, step, add);
    }
}

// And for any number of panels.
inline void products(const float *v, long row, long depth, long tiles, const float *u, long panel, long panels,
                     float *m, long step, bool more) {
    long p = 0;
    for (; p + PANELS <= panels; p += PANELS)
        panel_products<PANELS>(v, row, depth, tiles, u + p * panel, panel, m + 16 * p, step, more);
    for (; p < panels; p++) panel_products<1>(v, row, depth, tiles, u + p * panel, panel, m + 16 * p, step, more);
}

// --- one convolution ------------------------------------------------------------------------------------------

const long FEW_TILES = 9;          // with fewer, transforming F4's filters takes longer than DIRECT's products
const long CACHE = 3 << 17;        // floats of v and m that a thread works on at a time
const long LEAST = 24, MOST = 192; // and tiles
const long TOGETHER = 2;           // panels that `by_filters` transforms at a time, to use them
long group = 48;                   // for so many tiles,
long large = 1 << 22;              // where there are more floats of transformed filters (the checks set both lower)

// From a point's n floats to the next one's. A multiple of 4096 bytes would put all points into one set of the cache.
inline size_t spread(long n) { return up_to(n, 1024) + 16; }

// Of a 3 x 3 convolution whose output is h x w.
inline Scheme fitting(long h, long w, long images = 1) {
    return images * ((h + 3) / 4) * ((w + 3) / 4) < FEW_TILES ? DIRECT : F4;
}

struct Convolution {
    Scheme scheme = F4;
    long channels = 0, filters = 0; // of input and output
    bool unpadded = false;          // the input's channels are not padded to a multiple of 16
    bool flip = false;              // a convolution proper, else a cross-correlation
    bool transposed = false;        // the arrays have (channels, filters), not (filters, channels)
    bool rectified = true;
    Buffer bias;

    long padded_filters() const { return up_to(filters, 16); }
    long inputs() const { return unpadded ? channels : up_to(channels, 16); }
    bool one_point() const { return POINTS[scheme] == 1; }
    long depth() const { return one_point() ? 9 * inputs() : inputs(); }

    // b is (filters,), or null for zeros.
    void set_bias(const float *b) {
        float *padded = bias.get(padded_filters());
        std::fill(padded, padded + padded_filters(), 0.f);
        if (b) std::copy(b, b + filters, padded);
    }

    // Of a panel of 16 filters, their channels from `first` to `end`: u[point * step + (c - first) * 16 + filter], where
    // w is (filters, channels, 3, 3) or transposed. With one point the nine taps stand for points.
    void transform_filters(const float *w, long panel, long first, long end, float *u, size_t step) const {
        const long SOME = 32; // channels whose taps stay in the first-level cache
        float g[SOME * 9 * 16] __attribute__((aligned(64)));
        long there = std::min(16l, filters - 16 * panel);
        for (long c = first; c < end; c += SOME) {
            long n = std::min(SOME, end - c), given = std::max(0l, std::min(n, channels - c));
            const float *from = w + (16 * panel * channels + c) * 9;
            const float *next = c + SOME < end ? from + SOME * 9 : w + (16 * (panel + 1) * channels + first) * 9;
            if (transposed) gather_transposed(w, panel, c, given, g);
            else gather_rows(from, channels * 9, there, given * 9, g);
            std::fill(g + given * 9 * 16, g + n * 9 * 16, 0.f);
            for (long i = 0; i < n; i++, u += 16) {
                // in the time that this takes, the taps that are needed next come from memory
                if (!transposed)
                    for (int l = 0; l < 9; l++) __builtin_prefetch(next + i / 2 * channels * 9 + (i % 2 * 9 + l) * 16);
                transform_channel(g + (i * 9 + (flip ? 8 : 0)) * 16, flip ? -16 : 16, u, step);
            }
        }
    }

    void gather_transposed(const float *w, long panel, long c, long n, float *g) const {
        for (long i = 0; i < n; i++)
            gather_rows(w + ((c + i) * filters + 16 * panel) * 9, 9, std::min(16l, filters - 16 * panel), 9,
                        g + i * 9 * 16);
    }

    void transform_channel(const float *taps, long from, float *u, size_t step) const {
        if (scheme == F4) transform_taps<6, taps_of_f4>(taps, from, u, step);
        else if (scheme != DIRECT) transform_taps<3, taps_of_upscaled>(taps, from, u, step);
        else
            for (int s = 0; s < 9; s++) std::copy(taps + s * from, taps + s * from + 16, u + s * step);
    }

    // --- tiles: numbered through all images, row by row

    void transform_tile(const Map &in, long tile, long tiles_y, long tiles_x, float *v, size_t step, long apart) const {
        long i = tile / (tiles_y * tiles_x), y = tile / tiles_x % tiles_y, x = tile % tiles_x;
        const float *p = in.at(i, y * STRIDE[scheme] - 1, x * STRIDE[scheme] - 1);
        if (scheme == F4) transform_f4<PIECE>(p, in, v, step, apart);
        else if (scheme == UPSCALED) transform_upscaled<PIECE>(p, in, v, step, apart);
        else if (scheme == SUMMED) transform_summed(p, in, v);
        else transform_direct(p, in, v);
    }

    void finish_tile(const Map &out, long tile, long tiles_y, long tiles_x, const float *m, size_t step) const {
        long i = tile / (tiles_y * tiles_x);
        long y = tile / tiles_x % tiles_y * SIDE[scheme], x = tile % tiles_x * SIDE[scheme];
        float *q = out.at(i, y, x);
        floats least = all(rectified ? 0 : -INFINITY);
        if (scheme == F4)
            finish_f4(m, step, bias.data, least, out, q, std::min(4l, out.h - y), std::min(4l, out.w - x));
        else if (scheme == UPSCALED) finish_upscaled(m, step, bias.data, least, out, q);
        else finish_direct(m, bias.data, least, out, q);
    }

    void run(const Map &in, const float *w, Map &out, Buffer &scratch, int threads) const {
        long h = scheme == UPSCALED ? in.h * 2 : scheme == SUMMED ? in.h / 2 : in.h;
        long width = scheme == UPSCALED ? in.w * 2 : scheme == SUMMED ? in.w / 2 : in.w;
        out.shape(in.n, padded_filters(), h, width, threads);
        long tiles = in.n * ((h + SIDE[scheme] - 1) / SIDE[scheme]) * ((width + SIDE[scheme] - 1) / SIDE[scheme]);
        long values = POINTS[scheme] * (depth() + padded_filters()); // of v and m, for a tile
        long block = std::max(LEAST, std::min(CACHE / values, MOST)) / ROWS * ROWS;
        bool few = (tiles + block - 1) / block < std::max(4, 2 * threads);
        if (few || POINTS[scheme] * depth() * padded_filters() > large) by_filters(in, w, out, tiles, scratch, threads);
        else by_tiles(in, w, out, tiles, block, scratch, threads);
    }

    // Many tiles: each thread takes blocks of them. All filters are transformed before.
    void by_tiles(const Map &in, const float *w, Map &out, long tiles, long block, Buffer &scratch, int threads) const {
        int side = SIDE[scheme], points = POINTS[scheme];
        long tiles_y = (out.h + side - 1) / side, tiles_x = (out.w + side - 1) / side;
        long K = padded_filters(), D = depth(), panels = K / 16, blocks = (tiles + block - 1) / block;
        long piece = one_point() ? D : std::min(PIECE, D);
        size_t v_step = spread(block * up_to(D, piece)), m_step = spread(block * K), size = points * (v_step + m_step);
        size_t u_step = spread(panels * D * 16);
        float *u = scratch.get(points * u_step + size * threads), *buffers = u + points * u_step;
#pragma omp parallel num_threads(threads)
        {
#pragma omp for
            for (long p = 0; p < panels; p++)
                transform_filters(w, p, 0, inputs(), u + p * D * 16, one_point() ? inputs() * 16 : u_step);
            float *v = buffers + size * omp_get_thread_num(), *m = v + points * v_step;
#pragma omp for schedule(dynamic)
            for (long b = 0; b < blocks; b++) {
                long first = b * block, count = std::min(block, tiles - first);
                for (long t = 0; t < count; t++)
                    transform_tile(in, first + t, tiles_y, tiles_x, v + t * piece, v_step, block * piece);
                for (int point = 0; point < points; point++)
                    for (long c = 0; c < D; c += piece)
                        products(v + point * v_step + c * block, piece, std::min(piece, D - c), count,
                                 u + point * u_step + c * 16, D * 16, panels, m + point * m_step, K, c > 0);
                for (long t = 0; t < count; t++) finish_tile(out, first + t, tiles_y, tiles_x, m + t * K, m_step);
            }
        }
    }

    // Few tiles, or large filters: each thread takes panels of filters, and transforms as much of them at a time as
    // stays in its second-level cache.
    void by_filters(const Map &in, const float *w, Map &out, long tiles, Buffer &scratch, int threads) const {
        int side = SIDE[scheme], points = POINTS[scheme];
        long tiles_y = (out.h + side - 1) / side, tiles_x = (out.w + side - 1) / side;
        long K = padded_filters(), D = depth(), panels = K / 16;
        long groups = (tiles + group - 1) / group, block = (tiles + groups - 1) / groups;
        long piece = one_point() ? D : std::min(PIECE, D);
        size_t v_step = spread(block * up_to(D, piece)), m_step = spread(block * K);
        size_t size = points * spread(piece * 16 * TOGETHER);
        float *buffers = scratch.get(size * threads + points * (v_step + m_step));
        float *v = buffers + size * threads, *m = v + points * v_step;
#pragma omp parallel num_threads(threads)
        for (long first = 0; first < tiles; first += block) {
            long count = std::min(block, tiles - first);
#pragma omp for
            for (long t = 0; t < count; t++)
                transform_tile(in, first + t, tiles_y, tiles_x, v + t * piece, v_step, block * piece);
            for (long c = 0; c < D; c += piece) {
                long d = std::min(piece, D - c);
#pragma omp for schedule(dynamic)
                for (long p = 0; p < panels; p += TOGETHER) {
                    float *u = buffers + size * omp_get_thread_num();
                    long together = std::min(TOGETHER, panels - p);
                    size_t u_step = one_point() ? inputs() * 16 : spread(together * d * 16);
                    for (long i = 0; i < together; i++)
                        transform_filters(w, p + i, c, one_point() ? inputs() : c + d, u + i * d * 16, u_step);
                    for (int point = 0; point < points; point++)
                        products(v + point * v_step + c * block, piece, d, count, u + point * u_step, d * 16, together,
                                 m + point * m_step + p * 16, K, c > 0);
                }
            }
#pragma omp for
            for (long t = 0; t < count; t++) finish_tile(out, first + t, tiles_y, tiles_x, m + t * K, m_step);
        }
    }
};

// --- to and from Theano's layout ------------------------------------------------------------------------------

// x is (n, channels, h, w), of which out gets images [0, out.n).
inline void pack(const float *x, long channels, Map &out, int threads) {
    long area = out.h * out.w;
#pragma omp parallel for collapse(2) num_threads(threads)
    for (long i = 0; i < out.n; i++)
        for (long r = 0; r < out.h; r++)
            for (long c = 0; c < out.channels; c += 4) {
                const float *from = x + (i * channels + c) * area + r * out.w;
                float *to = out.at(i, r, 0) + c;
                long j = 0;
                if (c + 4 <= channels)
                    for (; j + 4 <= out.w; j += 4) transpose(from + j, area, to + j * out.channels, out.channels);
                for (long k = 0; k < std::min(4l, out.channels - c); k++)
                    for (long l = j; l < out.w; l++)
                        to[l * out.channels + k] = c + k < channels ? from[k * area + l] : 0;
            }
}

inline void unpack(const Map &in, long channels, float *y, int threads) {
    long area = in.h * in.w;
#pragma omp parallel for collapse(2) num_threads(threads)
    for (long i = 0; i < in.n; i++)
        for (long r = 0; r < in.h; r++)
            for (long c = 0; c < channels; c += 4) {
                const float *from = in.at(i, r, 0) + c;
                float *to = y + (i * channels + c) * area + r * in.w;
                long j = 0;
                if (c + 4 <= channels)
                    for (; j + 4 <= in.w; j += 4) transpose(from + j * in.channels, in.channels, to + j, area);
                for (long k = 0; k < std::min(4l, channels - c); k++)
                    for (long l = j; l < in.w; l++) to[k * area + l] = from[l * in.channels + k];
            }
}

} // namespace
