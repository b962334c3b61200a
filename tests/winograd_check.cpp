/* Holds backend/winograd.cpp against plain sums in float64: prints the largest error of each check, fails where
   one is too large. tests/test_winograd.py compiles and runs it, with and without sanitisers. */

#include "../backend/winograd.cpp"

#include "plain_sums.h"

// --- one axis: what the comment at the top of winograd.h derives, for every input and every tap

static void one_axis() {
    double worst = 0;
    for (int i = 0; i < 6; i++)
        for (int j = 0; j < 3; j++) {
            floats d[6], v[6], m[6], y[4];
            for (int k = 0; k < 6; k++) d[k] = all(k == i);
            points_of(d, 1, v, 1);
            for (int k = 0; k < 6; k++) m[k] = v[k] * all(G_F4[k][j]);
            outputs_of(m, 1, y, 1);
            for (int k = 0; k < 4; k++) worst = std::max(worst, std::fabs(y[k][0] - (double)(i == k + j)));
        }
    check("F(4,3), one axis", worst, 5e-7);
}

// --- whole layers

static Plain rectified(Plain x, const std::vector<float> &b) {
    for (size_t i = 0; i < x.x.size(); i++) x.x[i] = std::max(x.x[i] + b[i / (x.h * x.w) % x.c], 0.);
    return x;
}

static Plain pooled(const Plain &in) {
    Plain out = {in.n, in.c, in.h / 2, in.w / 2, {}};
    for (long i = 0; i < in.n; i++)
        for (long c = 0; c < in.c; c++)
            for (long y = 0; y < out.h; y++)
                for (long x = 0; x < out.w; x++)
                    out.x.push_back(
                        std::max(std::max(in.at(i, c, 2 * y, 2 * x), in.at(i, c, 2 * y, 2 * x + 1)),
                                 std::max(in.at(i, c, 2 * y + 1, 2 * x), in.at(i, c, 2 * y + 1, 2 * x + 1))));
    return out;
}

static Plain summed(const Plain &in, const std::vector<float> &w) {
    Plain out = {in.n, 1, in.h, in.w, {}};
    for (long i = 0; i < in.n; i++)
        for (long y = 0; y < in.h; y++)
            for (long x = 0; x < in.w; x++) {
                double sum = 0;
                for (long c = 0; c < in.c; c++) sum += w[c] * in.at(i, c, y, x);
                out.x.push_back(sum);
            }
    return out;
}

// A chain of these steps on random images: the largest error in parts of the largest output, at three numbers of threads, and image by image.
static void chain(const char *name, std::vector<std::pair<Kind, long>> kinds, long n, long channels, long h, long w,
                  double bound, bool flip = false) {
    std::vector<float> images = normal(n * channels * h * w, 1);
    Plain expected = {n, channels, h, w, Doubles(images.begin(), images.end())};
    std::vector<std::vector<float>> arrays;
    std::vector<long> steps;
    for (auto &step : kinds) {
        long in = expected.c, filters = step.second;
        if (step.first == POOL) {
            expected = pooled(expected), filters = in;
        } else if (step.first == WEIGHTED_SUM) {
            arrays.push_back(normal(in, 1 / std::sqrt(in)));
            expected = summed(expected, arrays.back());
        } else {
            arrays.push_back(normal(filters * in * 9, std::sqrt(2 / (9. * in))));
            arrays.push_back(normal(filters, .1));
            if (step.first == UPSCALED_CONVOLUTION) expected = upscaled(expected);
            expected = rectified(convolved(expected, arrays[arrays.size() - 2], filters, flip), arrays.back());
        }
        steps.insert(steps.end(), {step.first, in, filters, flip});
    }
    std::vector<const float *> pointers;
    for (auto &array : arrays) pointers.push_back(array.data());
    size_t size = expected.x.size();
    std::vector<float> first(size);
    double error = 0, different = 0, largest = 0;
    for (double value : expected.x) largest = std::max(largest, std::fabs(value));
    for (int threads : {1, 2, 5}) {
        Chain *c = chain_new(steps.data(), kinds.size());
        std::vector<float> y(size, NAN), again(size, NAN), single(size, NAN);
        chain_run(c, pointers.data(), images.data(), y.data(), n, channels, h, w, threads);
        if (threads == 1) first = y;
        for (long i = 0; i < n; i++)
            chain_run(c, pointers.data(), images.data() + i * channels * h * w, single.data() + i * (size / n), 1,
                      channels, h, w, threads);
        chain_run(c, pointers.data(), images.data(), again.data(), n, channels, h, w, threads);
        for (size_t i = 0; i < size; i++)
            error = std::max(error, std::isnan(y[i]) ? INFINITY : std::fabs(y[i] - expected.x[i]));
        different += memcmp(first.data(), y.data(), 4 * size) != 0 || memcmp(single.data(), y.data(), 4 * size) != 0 ||
                     memcmp(again.data(), y.data(), 4 * size) != 0;
        chain_free(c);
    }
    check(name, error / largest, bound);
    if (different) check("  the same bytes at any number of threads and images", different, 0);
}

static void changed_weights() {
    std::vector<long> steps = {CONVOLUTION, 16, 16, 0};
    std::vector<float> w = normal(16 * 16 * 9, 1), b(16), x = normal(16 * 64, 1), before(16 * 64), after(16 * 64);
    const float *arrays[] = {w.data(), b.data()};
    Chain *c = chain_new(steps.data(), 1);
    chain_run(c, arrays, x.data(), before.data(), 1, 16, 8, 8, 1);
    for (float &value : w) value = -value;
    chain_run(c, arrays, x.data(), after.data(), 1, 16, 8, 8, 1);
    double same = 0;
    for (size_t i = 0; i < before.size(); i++) same += before[i] != 0 && before[i] == after[i];
    check("outputs that a change of sign leaves", same, 0);
    chain_free(c);
}

// A NaN in the image: where Theano's rectifier, (a + |a|) / 2, and its pool, the first of the four unless a later one
// is larger, have one, ours have it too; -inf stands for nothing here, as 0 * inf is not what is computed.
static void not_a_number() {
    const long H = 6, W = 10, K = 16;
    std::vector<float> w = normal(K * 9, 1), b(K), x = normal(H * W, 1), plain(K * H * W), pooled(K * H * W / 4);
    std::vector<long> steps = {CONVOLUTION, 1, K, 0, POOL, K, K, 0};
    const float *arrays[] = {w.data(), b.data()};
    double wrong = 0, found = 0;
    for (long at = 0; at < H * W; at++) {
        std::vector<float> broken = x;
        broken[at] = NAN;
        for (long count : {1, 2}) {
            Chain *c = chain_new(steps.data(), count);
            chain_run(c, arrays, broken.data(), count == 1 ? plain.data() : pooled.data(), 1, 1, H, W, 1);
            chain_free(c);
        }
        for (long k = 0; k < K; k++)
            for (long i = 0; i < H * W; i++) {
                bool near = std::abs(i / W - at / W) <= 1 && std::abs(i % W - at % W) <= 1;
                wrong += near != std::isnan(plain[k * H * W + i]);
                found += near;
            }
        for (long k = 0; k < K; k++)
            for (long i = 0; i < H * W / 4; i++) {
                const float *from = plain.data() + k * H * W + i / (W / 2) * 2 * W + i % (W / 2) * 2;
                float most = from[0];
                for (long to : {1l, W, W + 1}) most = from[to] > most ? from[to] : most;
                wrong += memcmp(&most, &pooled[k * H * W / 4 + i], 4) != 0 &&
                         !(std::isnan(most) && std::isnan(pooled[k * H * W / 4 + i]));
            }
    }
    check("NaN where Theano has none, or none where it has", found ? wrong : NAN, 0);
}

static void chains(std::initializer_list<bool> flips) {
    for (bool flip : flips) {
        chain("DIRECT, 3 channels, 20 x 12", {{CONVOLUTION, 64}}, 2, 3, 20, 12, 1e-6, flip);
        chain("DIRECT, 1 channel, 5 filters, 7 x 9", {{CONVOLUTION, 5}}, 3, 1, 7, 9, 1e-6, flip);
        chain("DIRECT, 7 channels, 18 filters, 1 x 1", {{CONVOLUTION, 18}}, 1, 7, 1, 1, 1e-6, flip);
        chain("DIRECT, 16 channels, 8 x 8", {{CONVOLUTION, 16}}, 1, 16, 8, 8, 1e-6, flip);
        chain("DIRECT, 33 channels, 1 filter, 5 x 3", {{CONVOLUTION, 1}}, 2, 33, 5, 3, 1e-6, flip);
        chain("DIRECT, 9 channels, 17 filters, 1 x 1", {{CONVOLUTION, 17}}, 3, 9, 1, 1, 1e-6, flip);
        chain("DIRECT, 256 channels, 2 x 7", {{CONVOLUTION, 16}}, 1, 256, 2, 7, 1e-6, flip);
        chain("F4, 16 channels, 12 x 12", {{CONVOLUTION, 16}}, 1, 16, 12, 12, 3e-6, flip);
        chain("F4, 64 channels, 48 x 40", {{CONVOLUTION, 64}}, 2, 64, 48, 40, 3e-6, flip);
        chain("F4, 13 channels, 21 filters, 18 x 10", {{CONVOLUTION, 21}}, 2, 13, 18, 10, 3e-6, flip);
        chain("F4, 33 channels, 1 filter, 1 x 33", {{CONVOLUTION, 1}}, 2, 33, 1, 33, 3e-6, flip);
        chain("F4, 256 channels, 9 x 11", {{CONVOLUTION, 16}}, 1, 256, 9, 11, 3e-6, flip);
        chain("UPSCALED, 16 channels, 4 x 4", {{UPSCALED_CONVOLUTION, 16}}, 1, 16, 4, 4, 1e-6, flip);
        chain("UPSCALED, 11 channels, 19 filters, 3 x 5", {{UPSCALED_CONVOLUTION, 19}}, 2, 11, 3, 5, 1e-6, flip);
        chain("UPSCALED, 64 channels, 24 x 32", {{UPSCALED_CONVOLUTION, 32}}, 2, 64, 24, 32, 1e-6, flip);
        chain("UPSCALED, 5 channels, 1 filter, 1 x 1", {{UPSCALED_CONVOLUTION, 1}}, 2, 5, 1, 1, 1e-6, flip);
    }
    chain("pool and sum, 5 channels, 6 x 10", {{POOL, 0}, {WEIGHTED_SUM, 1}}, 2, 5, 6, 10, 1e-6);
    chain("pool of odd sides, 20 channels, 7 x 5", {{POOL, 0}}, 2, 20, 7, 5, 0);
    // every kind, sides that shrink to one tile and less, buffers used again for other shapes
    for (long side : {2, 6, 16, 30, 46})
        chain("all steps",
              {{CONVOLUTION, 24},
               {POOL, 0},
               {CONVOLUTION, 40},
               {CONVOLUTION, 9},
               {UPSCALED_CONVOLUTION, 33},
               {WEIGHTED_SUM, 1}},
              3, 3, side, 16, 3e-6);
}

int main() {
    one_axis();
    changed_weights();
    not_a_number();
    chains({false, true});
    printf("all filters taken for large ones, in several groups of tiles\n");
    large = 0, group = 5;
    chains({true});
    printf(failures ? "%d checks failed\n" : "all good\n", failures);
    return failures != 0;
}
