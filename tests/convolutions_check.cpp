/* Holds backend/convolutions.cpp against plain sums in float64, as winograd_check.cpp does winograd.cpp. */

#include "../backend/convolutions.cpp"

#include "plain_sums.h"

// --- one axis: that the gradient's points and the taps are the transpose of the forward transforms

static void one_axis() {
    double worst = 0;
    for (int i = 0; i < 6; i++)
        for (int k = 0; k < 4; k++) { // the gradient of y[k] = sum_j w[j] d[k+j] with respect to w[j] is d[k+j]
            floats d[6], v[6], e[4], z[6];
            for (int l = 0; l < 6; l++) d[l] = all(l == i);
            for (int l = 0; l < 4; l++) e[l] = all(l == k);
            points_of(d, 1, v, 1);
            gradient_points_of(e, 1, z, 1);
            for (int j = 0; j < 3; j++) {
                double g = 0;
                for (int p = 0; p < 6; p++) g += G_F4[p][j] * z[p][0] * v[p][0];
                worst = std::max(worst, std::fabs(g - (i == k + j)));
            }
        }
    check("F(4,3) transposed, one axis", worst, 5e-7);
}

// --- whole layers

// The sums that `convolved` is made of, the other way: to the input and to the filters.
static void gradients(const Plain &in, const std::vector<float> &w, const Plain &e, bool flip, Plain &to_input,
                      Doubles &to_filters) {
    to_input = {in.n, in.c, in.h, in.w, Doubles(in.x.size())};
    to_filters.assign(w.size(), 0);
    for (long i = 0; i < in.n; i++)
        for (long k = 0; k < e.c; k++)
            for (long y = 0; y < in.h; y++)
                for (long x = 0; x < in.w; x++)
                    for (long c = 0; c < in.c; c++)
                        for (int s = 0; s < 9; s++) {
                            long row = y + s / 3 - 1, column = x + s % 3 - 1,
                                 tap = (k * in.c + c) * 9 + (flip ? 8 - s : s);
                            if (row < 0 || column < 0 || row >= in.h || column >= in.w) continue;
                            to_filters[tap] += e.at(i, k, y, x) * in.at(i, c, row, column);
                            to_input.x[((i * in.c + c) * in.h + row) * in.w + column] += e.at(i, k, y, x) * w[tap];
                        }
}

static Plain summed_by_fours(const Plain &in) {
    Plain out = {in.n, in.c, in.h / 2, in.w / 2, {}};
    for (long i = 0; i < in.n; i++)
        for (long c = 0; c < in.c; c++)
            for (long y = 0; y < out.h; y++)
                for (long x = 0; x < out.w; x++)
                    out.x.push_back(in.at(i, c, 2 * y, 2 * x) + in.at(i, c, 2 * y, 2 * x + 1) +
                                    in.at(i, c, 2 * y + 1, 2 * x) + in.at(i, c, 2 * y + 1, 2 * x + 1));
    return out;
}

static double error(const std::vector<float> &ours, const Doubles &expected) {
    double worst = 0, largest = 0;
    for (size_t i = 0; i < ours.size(); i++) {
        worst = std::max(worst, std::isnan(ours[i]) ? INFINITY : std::fabs(ours[i] - expected[i]));
        largest = std::max(largest, std::fabs(expected[i]));
    }
    return worst / largest;
}

static void layer(const char *name, bool upscaled_before, long n, long channels, long filters, long h, long w,
                  bool flip) {
    std::vector<float> images = normal(n * channels * h * w, 1);
    std::vector<float> taps = normal(filters * channels * 9, std::sqrt(2 / (9. * channels)));
    Plain small = {n, channels, h, w, Doubles(images.begin(), images.end())};
    Plain in = upscaled_before ? upscaled(small) : small, out = convolved(in, taps, filters, flip), to_input;
    std::vector<float> e = normal(out.x.size(), 1);
    Plain gradient = {n, filters, out.h, out.w, Doubles(e.begin(), e.end())};
    Doubles to_filters;
    gradients(in, taps, gradient, flip, to_input, to_filters);
    if (upscaled_before) to_input = summed_by_fours(to_input);

    const float *given[3][2] = {{images.data(), taps.data()}, {e.data(), taps.data()}, {images.data(), e.data()}};
    const Doubles *expected[] = {&out.x, &to_input.x, &to_filters};
    const char *tasks[] = {"forward", "gradient of the input", "gradient of the filters"};
    printf("%s%s\n", name, flip ? ", flipped" : "");
    for (int task : {FORWARD, GRADIENT_OF_INPUT, GRADIENT_OF_FILTERS}) {
        std::vector<float> first, y(expected[task]->size());
        double different = 0;
        for (int threads : {1, 2, 5}) {
            std::fill(y.begin(), y.end(), NAN);
            convolution(task, upscaled_before, flip, given[task][0], given[task][1], y.data(), n, channels, filters, h,
                        w, threads);
            if (threads == 1) first = y;
            different += memcmp(first.data(), y.data(), 4 * y.size()) != 0;
        }
        check(tasks[task], error(y, *expected[task]), 3e-6);
        if (different) check("  the same bytes at any number of threads", different, 0);
    }
}

static void layers(std::initializer_list<bool> flips) {
    for (bool flip : flips) {
        layer("DIRECT, 16 -> 16, 8 x 8", false, 2, 16, 16, 8, 8, flip);
        layer("DIRECT, 13 -> 21, 6 x 3", false, 2, 13, 21, 6, 3, flip);
        layer("DIRECT, 17 -> 33, 1 x 1", false, 2, 17, 33, 1, 1, flip);
        layer("F4, 16 -> 16, 12 x 12", false, 1, 16, 16, 12, 12, flip);
        layer("F4, 13 -> 21, 10 x 6", false, 3, 13, 21, 10, 6, flip);
        layer("F4, 33 -> 1, 5 x 3", false, 7, 33, 1, 5, 3, flip);
        layer("F4, 1 -> 17, 1 x 1", false, 10, 1, 17, 1, 1, flip);
        layer("F4, 20 -> 17, 36 x 44, more than a block of tiles", false, 4, 20, 17, 36, 44, flip);
        layer("F4, 256 -> 16, 2 x 7", false, 5, 256, 16, 2, 7, flip);
        layer("UPSCALED, 16 -> 16, 4 x 4", true, 2, 16, 16, 4, 4, flip);
        layer("UPSCALED, 11 -> 19, 3 x 5", true, 2, 11, 19, 3, 5, flip);
        layer("UPSCALED, 18 -> 20, 20 x 24, more than a block of tiles", true, 2, 18, 20, 20, 24, flip);
        layer("UPSCALED, 5 -> 1, 1 x 1", true, 2, 5, 1, 1, 1, flip);
    }
}

int main() {
    one_axis();
    layers({false, true});
    // more images than are worked on at a time
    layer("F4, 1 -> 2, 256 x 160", false, 9, 1, 2, 256, 160, false);
    layer("UPSCALED, 2 -> 1, 128 x 80", true, 13, 2, 1, 128, 80, false);
    printf("all filters taken for large ones, in several groups of tiles\n");
    large = 0, group = 5;
    layers({true});
    printf(failures ? "%d checks failed\n" : "all good\n", failures);
    return failures != 0;
}
