/* One 3 x 3 convolution and its gradients by Winograd's transforms, as training needs them: from and to arrays in
   Theano's layout (n, channel, row, column), with filters that are others at every call.

   backend/convolutions.py hands over the arrays, one call at a time.

   The gradient with respect to the input is a convolution with the filters' two first axes exchanged and their
   taps turned round (for UPSCALED it is SUMMED). The gradient with respect to the filters is the transpose of
   winograd.h's three steps: with V the transformed input and e the gradient of the outputs, per axis
       Z[p] = sum_k A[k][p] e[k]         gradient's points
       N[p] = sum over tiles of Z[p] V[p]
       g[j] = sum_p G[p][j] N[p]         the filter's three taps
   thirty-six products for what plain sums need 144 for; UPSCALED: nine for thirty-six. */

#include "winograd.h"

namespace {

const long FLOATS_AT_A_TIME = 8 << 20; // of input and output in winograd.h's layout, so that scratch is bounded
const long BLOCK = 256;                // tiles whose products are summed before they are added to N

// One axis of F4's gradient: four values e, `from` apart, to six points, `to` apart.
inline void gradient_points_of(const floats *e, int from, floats *z, int to) {
    floats e0 = e[0], e1 = e[from], e2 = e[2 * from], e3 = e[3 * from];
    floats even_a = e0 + all(A2) * e2, odd_a = all(A) * (e1 + all(A2) * e3);
    floats even_b = e0 + all(B2) * e2, odd_b = all(B) * (e1 + all(B2) * e3);
    z[0] = e0;
    z[to] = even_a + odd_a;
    z[2 * to] = even_a - odd_a;
    z[3 * to] = even_b + odd_b;
    z[4 * to] = even_b - odd_b;
    z[5 * to] = e3;
}

// A tile of gradients, whose first pixel is p, to the points: z[point * step + place(filter)].
inline void transform_gradient_f4(const float *p, const Map &in, float *z, size_t step, long panel) {
    transform_square<16, 4, gradient_points_of>(p, in, z, step, panel);
}

inline void transform_gradient_upscaled(const float *p, const Map &in, float *z, size_t step, long panel) {
    long row = in.row(), pixel = in.pixel();
    for (long k = 0; k < in.channels; k += LANES) {
        floats e[2][2] = {{load(p + k), load(p + pixel + k)}, {load(p + row + k), load(p + row + pixel + k)}};
        floats half[3][2];
        for (int j = 0; j < 2; j++) half[0][j] = e[0][j], half[1][j] = e[0][j] + e[1][j], half[2][j] = e[1][j];
        float *to = z + place<16>(k, panel);
        for (int i = 0; i < 3; i++) {
            store(to + (3 * i) * step, half[i][0]);
            store(to + (3 * i + 1) * step, half[i][0] + half[i][1]);
            store(to + (3 * i + 2) * step, half[i][1]);
        }
    }
}

// A pixel's channels, into panels of 16.
inline void copy(const float *p, long channels, float *v, long panel) {
    for (long c = 0; c < channels; c += LANES) store(v + place<16>(c, panel), load(p + c));
}

// n[r][0..16) += sum_t z[t][r] v[t][0..16) for R rows; both have 16 values a tile.
template <int R>
inline __attribute__((always_inline)) void add_products(const float *z, const float *v, long tiles, float *n) {
    const int N = 16 / LANES;
    floats sum[R][N];
#pragma GCC unroll 16
    for (int r = 0; r < R; r++)
#pragma GCC unroll 4
        for (int i = 0; i < N; i++) sum[r][i] = floats{};
#pragma GCC unroll 4
    for (long t = 0; t < tiles; t++) {
        floats by[N];
#pragma GCC unroll 4
        for (int i = 0; i < N; i++) by[i] = load(v + 16 * t + LANES * i);
#pragma GCC unroll 16
        for (int r = 0; r < R; r++)
#pragma GCC unroll 4
            for (int i = 0; i < N; i++) sum[r][i] += z[16 * t + r] * by[i];
    }
#pragma GCC unroll 16
    for (int r = 0; r < R; r++)
#pragma GCC unroll 4
        for (int i = 0; i < N; i++) {
            float *to = n + 16 * r + LANES * i;
            store(to, load(to) + sum[r][i]);
        }
}

// All 16 rows, in blocks of ROWS and one of what is left.
inline void add_square(const float *z, const float *v, long tiles, float *n) {
    const int left = 16 % ROWS;
    for (int r = 0; r + ROWS <= 16; r += ROWS) add_products<ROWS>(z + r, v, tiles, n + 16 * r);
    if (left) add_products<left ? left : 1>(z + 16 - left, v, tiles, n + 16 * (16 - left));
}

// What every call works in: as large as the largest needed so far.
struct Workspace {
    Map in, out;
    Convolution convolution;
    Buffer scratch, sums;
} workspace;

void convolve(const float *x, const float *w, float *y, long n, long h, long width, int threads) {
    Convolution &c = workspace.convolution;
    Map &in = workspace.in, &out = workspace.out;
    c.set_bias(nullptr);
    double grown = c.scheme == UPSCALED ? 4 : c.scheme == SUMMED ? .25 : 1;
    double floats = (up_to(c.channels, 16) + grown * c.padded_filters()) * h * width; // of an image
    long at_a_time = std::max(1l, (long)(FLOATS_AT_A_TIME / floats));
    for (long i = 0; i < n; i += at_a_time) {
        in.shape(std::min(at_a_time, n - i), up_to(c.channels, 16), h, width, threads);
        pack(x + i * c.channels * h * width, c.channels, in, threads);
        c.run(in, w, out, workspace.scratch, threads);
        unpack(out, c.filters, y + i * c.filters * out.h * out.w, threads);
    }
}

// Adds to `sums`, whose layout is N[point][panel of 16 channels][filter][16], what the images in the maps give.
void add_tiles(Scheme scheme, const Map &in, const Map &gradient, float *sums, Buffer &scratch, int threads) {
    long C = scheme == DIRECT ? 9 * in.channels : in.channels, K = gradient.channels;
    long side = SIDE[scheme], stride = STRIDE[scheme], points = POINTS[scheme];
    long tiles_y = (gradient.h + side - 1) / side, tiles_x = (gradient.w + side - 1) / side;
    long tiles = in.n * tiles_y * tiles_x, block = std::min(tiles, BLOCK), panel = 16 * block;
    size_t v_step = (size_t)block * C, z_step = (size_t)block * K;
    float *v = scratch.get(points * (v_step + z_step)), *z = v + points * v_step;
#pragma omp parallel num_threads(threads)
    for (long first = 0; first < tiles; first += block) {
        long count = std::min(block, tiles - first);
#pragma omp for
        for (long t = 0; t < count; t++) {
            long i = (first + t) / (tiles_y * tiles_x);
            long ty = (first + t) / tiles_x % tiles_y, tx = (first + t) % tiles_x;
            const float *p = in.at(i, ty * stride - 1, tx * stride - 1), *q = gradient.at(i, ty * side, tx * side);
            if (scheme == DIRECT) {
                for (int s = 0; s < 9; s++)
                    copy(p + s / 3 * in.row() + s % 3 * in.pixel(), in.channels,
                         v + place<16>(s * in.channels, panel) + 16 * t, panel);
                copy(q, K, z + 16 * t, panel);
            } else if (scheme == F4) {
                transform_f4<16>(p, in, v + 16 * t, v_step, panel);
                transform_gradient_f4(q, gradient, z + 16 * t, z_step, panel);
            } else {
                transform_upscaled<16>(p, in, v + 16 * t, v_step, panel);
                transform_gradient_upscaled(q, gradient, z + 16 * t, z_step, panel);
            }
        }
#pragma omp for
        for (long job = 0; job < points * C / 16; job++) {
            const float *from = v + job / (C / 16) * v_step + job % (C / 16) * panel;
            for (long k = 0; k < K / 16; k++) {
                const float *by = z + job / (C / 16) * z_step + k * panel;
                add_square(by, from, count, sums + (job * K + 16 * k) * 16);
            }
        }
    }
}

// dw (filters, channels, 3, 3) += the taps of N, which is 0 then.
void fold(Scheme scheme, float *sums, long K, long C, long filters, long channels, bool flip, double *dw, int threads) {
    if (scheme == DIRECT) {
        for (long s = 0; s < 9; s++)
            for (long c = 0; c < channels; c++)
                for (long k = 0; k < filters; k++) {
                    float &n = sums[((s * C + c) / 16 * K + k) * 16 + c % 16];
                    dw[(k * channels + c) * 9 + (flip ? 8 - s : s)] += n;
                    n = 0;
                }
        return;
    }
    int side = scheme == F4 ? 6 : 3;
    const double (*G)[3] = scheme == F4 ? G_F4 : G_UPSCALED;
#pragma omp parallel for collapse(2) num_threads(threads)
    for (long c = 0; c < C; c += 16)
        for (long k = 0; k < filters; k++) {
            double half[3][6][16] = {}, g[3][3][16] = {};
            for (int p = 0; p < side * side; p++) {
                float *n = sums + ((p * (C / 16) + c / 16) * K + k) * 16;
                for (int i = 0; i < 3; i++)
                    for (int l = 0; l < 16; l++) half[i][p % side][l] += G[p / side][i] * n[l];
                std::fill(n, n + 16, 0.f);
            }
            for (int i = 0; i < 3; i++)
                for (int j = 0; j < 3; j++)
                    for (int q = 0; q < side; q++)
                        for (int l = 0; l < 16; l++) g[i][j][l] += G[q][j] * half[i][q][l];
            for (long l = 0; l < std::min(16l, channels - c); l++)
                for (int s = 0; s < 9; s++) dw[(k * channels + c + l) * 9 + (flip ? 8 - s : s)] += g[s / 3][s % 3][l];
        }
}

void gradient_of_filters(Scheme scheme, bool flip, const float *x, const float *e, float *dw, long n, long channels,
                         long filters, long h, long w, int threads) {
    Map &in = workspace.in, &gradient = workspace.out;
    long C = up_to(channels, 16), K = up_to(filters, 16), grown = scheme == UPSCALED ? 2 : 1;
    size_t size = (scheme == DIRECT ? 9 : POINTS[scheme]) * C * K;
    float *sums = workspace.sums.get(size);
    std::fill(sums, sums + size, 0.f);
    std::vector<double> total(filters * channels * 9);
    long at_a_time = std::max(1l, FLOATS_AT_A_TIME / ((C + grown * grown * K) * h * w));
    for (long i = 0; i < n; i += at_a_time) {
        long images = std::min(at_a_time, n - i);
        in.shape(images, C, h, w, threads);
        pack(x + i * channels * h * w, channels, in, threads);
        gradient.shape(images, K, h * grown, w * grown, threads);
        pack(e + i * filters * h * w * grown * grown, filters, gradient, threads);
        add_tiles(scheme, in, gradient, sums, workspace.scratch, threads);
        fold(scheme, sums, K, C, filters, channels, flip, total.data(), threads);
    }
    std::copy(total.begin(), total.end(), dw);
}

} // namespace

extern "C" {

// What is asked for, and of which layer: F4, or UPSCALED, whose input is upscaled before.
enum Task { FORWARD, GRADIENT_OF_INPUT, GRADIENT_OF_FILTERS };

// The layer has `channels` inputs of h x w and `filters` outputs. FORWARD: a is its input, b its filters;
// GRADIENT_OF_INPUT: a is the gradient of its output, b its filters; GRADIENT_OF_FILTERS: a is its input, b the
// gradient of its output. Returns 0, or 1 where memory is short. Not for two threads of the caller at a time.
int convolution(int task, int upscaled, int flip, const float *a, const float *b, float *result, long n, long channels,
                long filters, long h, long w, int threads) {
    try {
        if (task == GRADIENT_OF_FILTERS) {
            gradient_of_filters(upscaled ? UPSCALED : fitting(h, w, n), flip, a, b, result, n, channels, filters, h, w,
                                threads);
            return 0;
        }
        bool forward = task == FORWARD;
        Convolution &c = workspace.convolution;
        c.scheme = !upscaled ? fitting(h, w, n) : forward ? UPSCALED : SUMMED;
        c.channels = forward ? channels : filters, c.filters = forward ? filters : channels;
        c.flip = forward ? flip : !flip, c.transposed = !forward, c.rectified = false;
        long grown = upscaled && !forward ? 2 : 1;
        convolve(a, b, result, n, h * grown, w * grown, threads);
        return 0;
    } catch (const std::bad_alloc &) {
        return 1;
    }
}
}
