/* Several numbers at a time, in the vectors of GCC and Clang: as many floats as a register of the machine holds.

   + - * work on them, between them and with single numbers; a product and a sum become one operation where the
   machine has it (-ffp-contract=fast). Loops over a few of them are unrolled whole (#pragma GCC unroll), so that
   arrays of them stay in registers. */

#pragma once

#include <cstdint>
#include <cstring>

namespace {

// LANES: floats in a register. ROWS x PANELS: the block of the matrix products, ROWS sums for each of 16 PANELS
// filters; they, a row of the filters and one of the values broadcast must fit into the registers.
#if defined(__AVX512F__)
const int LANES = 16, ROWS = 12, PANELS = 2; // 24 + 2 + 1 of 32 registers; one panel would wait for its loads
#elif defined(__AVX__)
const int LANES = 8, ROWS = 6, PANELS = 1; // 12 + 2 + 1 of 16
#elif defined(__aarch64__)
const int LANES = 4, ROWS = 4, PANELS = 1; // 16 + 4 + 4 of 32; 5 or 6 rows spill
#else
const int LANES = 4, ROWS = 2, PANELS = 1; // SSE2: 8 + 4 + 1 of 16
#endif

typedef float floats __attribute__((vector_size(4 * LANES)));
typedef float half_floats __attribute__((vector_size(2 * LANES)));
typedef double doubles __attribute__((vector_size(4 * LANES))); // LANES / 2 of them

// Of addresses that need not be aligned.
inline floats load(const float *p) {
    floats x;
    memcpy(&x, p, sizeof x);
    return x;
}

inline void store(float *p, floats x) { memcpy(p, &x, sizeof x); }

inline doubles load_doubles(const float *p) {
    doubles x = {};
#pragma GCC unroll 8
    for (int i = 0; i < LANES / 2; i++) x[i] = p[i];
    return x;
}

inline void store_rounded(float *p, doubles x) {
    half_floats y = __builtin_convertvector(x, half_floats);
    memcpy(p, &y, sizeof y);
}

inline floats all(double x) { return (float)x - floats{}; }

// The larger one; b where either is NaN.
inline floats larger(floats a, floats b) { return a > b ? a : b; }

// Four rows of four, `from` and `to` floats apart, to their columns.
inline void transpose(const float *x, long from, float *y, long to) {
    typedef float four __attribute__((vector_size(16)));
    four r[4], s[4];
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) memcpy(&r[i], x + i * from, 16);
#if defined(__clang__)
#define INTERLEAVED(a, b, i, j) __builtin_shufflevector(a, b, i, (i) + 4, j, (j) + 4)
#else
    typedef int32_t indices __attribute__((vector_size(16)));
#define INTERLEAVED(a, b, i, j) __builtin_shuffle(a, b, indices{i, (i) + 4, j, (j) + 4})
#endif
#pragma GCC unroll 2
    for (int i = 0; i < 2; i++) {
        s[2 * i] = INTERLEAVED(r[i], r[i + 2], 0, 1);
        s[2 * i + 1] = INTERLEAVED(r[i], r[i + 2], 2, 3);
    }
#pragma GCC unroll 2
    for (int i = 0; i < 2; i++) {
        r[2 * i] = INTERLEAVED(s[i], s[i + 2], 0, 1);
        r[2 * i + 1] = INTERLEAVED(s[i], s[i + 2], 2, 3);
    }
#undef INTERLEAVED
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) memcpy(y + i * to, &r[i], 16);
}

// n columns of 16 rows, `from` floats apart, to n rows of 16 side by side; rows from `there` on are taken for zeros.
inline void gather_rows(const float *x, long from, long there, long n, float *y) {
    for (long k = 0; k < 16; k += 4) {
        long j = 0;
        if (k + 4 <= there)
            for (; j + 4 <= n; j += 4) transpose(x + k * from + j, from, y + 16 * j + k, 16);
        for (; j < n; j++)
            for (long l = k; l < k + 4; l++) y[16 * j + l] = l < there ? x[l * from + j] : 0;
    }
}

} // namespace
