/* Runs a chain of backend/winograd.cpp on what stdin brings, for tests/test_arm64.py: the number of steps, four
   numbers a step, the image's n, channels, rows and columns (all int64), the image, the arrays; float32. */

#include "../backend/winograd.cpp"

#include <cstdio>

static std::vector<long> numbers(size_t count) {
    std::vector<long> x(count);
    if (fread(x.data(), sizeof(long), count, stdin) != count) exit(1);
    return x;
}

static std::vector<float> values(size_t count) {
    std::vector<float> x(count);
    if (fread(x.data(), sizeof(float), count, stdin) != count) exit(1);
    return x;
}

int main() {
    std::vector<long> steps = numbers(4 * numbers(1)[0]), shape = numbers(4);
    std::vector<float> image = values(shape[0] * shape[1] * shape[2] * shape[3]);
    std::vector<std::vector<float>> arrays;
    for (size_t i = 0; i < steps.size(); i += 4) {
        long kind = steps[i], channels = steps[i + 1], filters = steps[i + 2];
        if (kind == POOL) continue;
        arrays.push_back(values(filters * channels * (kind == WEIGHTED_SUM ? 1 : 9)));
        if (kind != WEIGHTED_SUM) arrays.push_back(values(filters));
    }
    std::vector<const float *> pointers;
    for (auto &array : arrays) pointers.push_back(array.data());
    std::vector<float> y(shape[0] * shape[2] * shape[3]);
    Chain *chain = chain_new(steps.data(), steps.size() / 4);
    if (chain_run(chain, pointers.data(), image.data(), y.data(), shape[0], shape[1], shape[2], shape[3], 2)) return 1;
    fwrite(y.data(), sizeof(float), y.size(), stdout);
}
