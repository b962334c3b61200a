/* What the checks of the C++ share: random arrays, plain sums in float64, and who counts failures. Include it
   after the file that is checked. */

#include <cstdio>
#include <random>

static std::mt19937 random_bits(1);
static int failures = 0;

static std::vector<float> normal(size_t n, double deviation) {
    std::normal_distribution<double> of(0, deviation);
    std::vector<float> x(n);
    for (float &value : x) value = of(random_bits);
    return x;
}

static void check(const char *name, double error, double bound) {
    bool good = error <= bound; // not of NaN
    failures += !good;
    printf("%s %s %.2e (at most %.0e)\n", good ? "ok" : "FAILED", name, error, bound);
}

typedef std::vector<double> Doubles;

struct Plain {
    long n, c, h, w;
    Doubles x;
    double at(long i, long k, long y, long z) const {
        return y < 0 || z < 0 || y >= h || z >= w ? 0 : x[((i * c + k) * h + y) * w + z];
    }
};

static Plain convolved(const Plain &in, const std::vector<float> &w, long filters, bool flip) {
    Plain out = {in.n, filters, in.h, in.w, {}};
    for (long i = 0; i < in.n; i++)
        for (long k = 0; k < filters; k++)
            for (long y = 0; y < in.h; y++)
                for (long x = 0; x < in.w; x++) {
                    double sum = 0;
                    for (long c = 0; c < in.c; c++)
                        for (int s = 0; s < 9; s++)
                            sum +=
                                w[(k * in.c + c) * 9 + (flip ? 8 - s : s)] * in.at(i, c, y + s / 3 - 1, x + s % 3 - 1);
                    out.x.push_back(sum);
                }
    return out;
}

static Plain upscaled(const Plain &in) {
    Plain out = {in.n, in.c, in.h * 2, in.w * 2, {}};
    for (long i = 0; i < in.n; i++)
        for (long c = 0; c < in.c; c++)
            for (long y = 0; y < out.h; y++)
                for (long x = 0; x < out.w; x++) out.x.push_back(in.at(i, c, y / 2, x / 2));
    return out;
}
