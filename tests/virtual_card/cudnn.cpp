/* cuDNN by plain sums: what Theano's graphs ask of it, in float32 and float64, in two dimensions. Compiled with
   NVIDIA's own cudnn.h, which gives the version and checks every signature.

   What chooses an algorithm answers as cuDNN does: a list whose first entries do not fit or do not work. An
   algorithm wants a workspace and leaves rubbish in it. Convolutions of float32 are rounded to TF32 where cuDNN may
   do so: on cards from Ampere on, unless the convolution asks for FMA math or NVIDIA_TF32_OVERRIDE is 0.
   CARD_CUDNN is what cudnnCreate answers. */
#include <cudnn.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <type_traits>
#include <vector>

enum { MOST = 8, WORKSPACE = 1000 };
static const auto SUCCESS = CUDNN_STATUS_SUCCESS, NOT_SUPPORTED = CUDNN_STATUS_NOT_SUPPORTED;

/* --- descriptors: what is set in them can be asked for --- */

struct cudnnTensorStruct {
  cudnnDataType_t type;
  int dimensions, size[MOST], stride[MOST];
};
struct cudnnFilterStruct : cudnnTensorStruct {};
struct cudnnConvolutionStruct {
  cudnnDataType_t type;
  cudnnConvolutionMode_t mode;
  cudnnMathType_t math;
  int dimensions, padding[MOST], step[MOST], dilation[MOST], groups = 1;
};
struct cudnnPoolingStruct {
  cudnnPoolingMode_t mode;
  int dimensions, window[MOST], padding[MOST], step[MOST];
};
struct cudnnReduceTensorStruct {
  cudnnReduceTensorOp_t operation;
  cudnnReduceTensorIndices_t indices;
};
struct cudnnContext {};

static void keep(int *to, const int *from, int count) { memcpy(to, from, count * sizeof *to); }

#define MADE(Kind)                                                                                           \
  cudnnStatus_t cudnnCreate##Kind##Descriptor(cudnn##Kind##Descriptor_t *made) {                             \
    *made = new std::remove_pointer<cudnn##Kind##Descriptor_t>::type();                                      \
    return SUCCESS;                                                                                          \
  }                                                                                                          \
  cudnnStatus_t cudnnDestroy##Kind##Descriptor(cudnn##Kind##Descriptor_t made) {                             \
    delete made;                                                                                             \
    return SUCCESS;                                                                                          \
  }
MADE(Tensor)
MADE(Filter)
MADE(Convolution)
MADE(Pooling)
MADE(ReduceTensor)

cudnnStatus_t cudnnSetTensorNdDescriptor(cudnnTensorDescriptor_t d, cudnnDataType_t type, int n, const int *size,
                                         const int *stride) {
  d->type = type;
  d->dimensions = n;
  keep(d->size, size, n);
  keep(d->stride, stride, n);
  return SUCCESS;
}

cudnnStatus_t cudnnGetTensorNdDescriptor(const cudnnTensorDescriptor_t d, int, cudnnDataType_t *type, int *n,
                                         int *size, int *stride) {
  *type = d->type;
  *n = d->dimensions;
  keep(size, d->size, *n);
  keep(stride, d->stride, *n);
  return SUCCESS;
}

cudnnStatus_t cudnnSetFilterNdDescriptor(cudnnFilterDescriptor_t d, cudnnDataType_t type, cudnnTensorFormat_t,
                                         int n, const int *size) {
  int stride[MOST], step = 1;
  for (int i = n; i-- > 0; step *= size[i])
    stride[i] = step;
  return cudnnSetTensorNdDescriptor(d, type, n, size, stride);
}

cudnnStatus_t cudnnGetFilterNdDescriptor(const cudnnFilterDescriptor_t d, int most, cudnnDataType_t *type,
                                         cudnnTensorFormat_t *format, int *n, int *size) {
  int stride[MOST];
  *format = CUDNN_TENSOR_NCHW;
  return cudnnGetTensorNdDescriptor(d, most, type, n, size, stride);
}

cudnnStatus_t cudnnSetConvolutionNdDescriptor(cudnnConvolutionDescriptor_t d, int n, const int *padding,
                                              const int *step, const int *dilation, cudnnConvolutionMode_t mode,
                                              cudnnDataType_t type) {
  d->type = type;
  d->mode = mode;
  d->math = CUDNN_DEFAULT_MATH;
  d->dimensions = n;
  keep(d->padding, padding, n);
  keep(d->step, step, n);
  keep(d->dilation, dilation, n);
  return SUCCESS;
}

cudnnStatus_t cudnnGetConvolutionNdDescriptor(const cudnnConvolutionDescriptor_t d, int, int *n, int *padding,
                                              int *step, int *dilation, cudnnConvolutionMode_t *mode,
                                              cudnnDataType_t *type) {
  *type = d->type;
  *mode = d->mode;
  *n = d->dimensions;
  keep(padding, d->padding, *n);
  keep(step, d->step, *n);
  keep(dilation, d->dilation, *n);
  return SUCCESS;
}

cudnnStatus_t cudnnSetConvolutionGroupCount(cudnnConvolutionDescriptor_t d, int groups) {
  d->groups = groups;
  return SUCCESS;
}

cudnnStatus_t cudnnGetConvolutionGroupCount(cudnnConvolutionDescriptor_t d, int *groups) {
  *groups = d->groups;
  return SUCCESS;
}

cudnnStatus_t cudnnSetConvolutionMathType(cudnnConvolutionDescriptor_t d, cudnnMathType_t math) {
  d->math = math;
  return SUCCESS;
}

cudnnStatus_t cudnnGetConvolutionMathType(const cudnnConvolutionDescriptor_t d, cudnnMathType_t *math) {
  *math = d->math;
  return SUCCESS;
}

cudnnStatus_t cudnnGetConvolutionNdForwardOutputDim(const cudnnConvolutionDescriptor_t d,
                                                    const cudnnTensorDescriptor_t input,
                                                    const cudnnFilterDescriptor_t filters, int n, int *size) {
  size[0] = input->size[0];
  size[1] = filters->size[0];
  for (int i = 2; i < n; ++i) {
    int filter = (filters->size[i] - 1) * d->dilation[i - 2] + 1;
    size[i] = (input->size[i] + 2 * d->padding[i - 2] - filter) / d->step[i - 2] + 1;
  }
  return SUCCESS;
}

cudnnStatus_t cudnnSetPoolingNdDescriptor(cudnnPoolingDescriptor_t d, const cudnnPoolingMode_t mode,
                                          const cudnnNanPropagation_t, int n, const int *window,
                                          const int *padding, const int *step) {
  d->mode = mode;
  d->dimensions = n;
  keep(d->window, window, n);
  keep(d->padding, padding, n);
  keep(d->step, step, n);
  return SUCCESS;
}

cudnnStatus_t cudnnSetReduceTensorDescriptor(cudnnReduceTensorDescriptor_t d, cudnnReduceTensorOp_t operation,
                                             cudnnDataType_t, cudnnNanPropagation_t,
                                             cudnnReduceTensorIndices_t indices, cudnnIndicesType_t) {
  d->operation = operation;
  d->indices = indices;
  return SUCCESS;
}

/* --- tensors of four axes --- */

template <class T> struct Maps {
  T *data;
  const int *size, *stride;
  Maps(const cudnnTensorStruct *d, const void *data) : data((T *)data), size(d->size), stride(d->stride) {}
  T &at(int i, int j, int y, int x) const {
    return data[(ptrdiff_t)i * stride[0] + (ptrdiff_t)j * stride[1] + (ptrdiff_t)y * stride[2] +
                (ptrdiff_t)x * stride[3]];
  }
  template <class F> void each(F what) const {
    for (int i = 0; i < size[0]; ++i)
      for (int j = 0; j < size[1]; ++j)
        for (int y = 0; y < size[2]; ++y)
          for (int x = 0; x < size[3]; ++x)
            what(at(i, j, y, x), i, j, y, x);
  }
  /* with beta 0 what was there is not read */
  void scale(T beta) const {
    each([&](T &value, int, int, int, int) { value = beta == 0 ? 0 : beta * value; });
  }
};

/* Calls what(T()) with the type of a tensor. */
template <class F> static cudnnStatus_t by_type(const cudnnTensorStruct *d, F what) {
  return d->type == CUDNN_DATA_FLOAT    ? what(float())
         : d->type == CUDNN_DATA_DOUBLE ? what(double())
                                        : NOT_SUPPORTED;
}

template <class T> static T number(const void *pointer) { return *(const T *)pointer; }

/* --- convolutions: one walk over all products, and three things to do with them --- */

static bool tf32; /* in this call */

static double rounded(double x) { return x; }
static float rounded(float x) {
  if (tf32) { /* ten bits behind the point */
    unsigned bits;
    memcpy(&bits, &x, sizeof bits);
    bits = (bits + 0x1000) & ~0x1fffu;
    memcpy(&x, &bits, sizeof x);
  }
  return x;
}

/* Whether a convolution can be computed; settles how it is rounded. */
static bool supported(const cudnnConvolutionStruct *d) {
  const char *capability = getenv("CARD_CAPABILITY"), *asked = getenv("NVIDIA_TF32_OVERRIDE");
  const bool forbidden = d->math == CUDNN_FMA_MATH || (asked && !strcmp(asked, "0"));
  tf32 = atoi(capability ? capability : "86") >= 80 && !forbidden;
  return d->dimensions == 2 && d->groups == 1;
}

/* A copy of maps (n, k, y, x) as (n, y, x, k), or of filters (k, c, y, x) as (c, y, x, k): with the axis of the
   filters last the innermost loop goes along memory. */
template <class T> struct Turned {
  const Maps<T> &of;
  const int axis, filters;
  std::vector<T> data;
  Turned(const Maps<T> &of, int axis)
      : of(of), axis(axis), filters(of.size[axis]),
        data((size_t)of.size[0] * of.size[1] * of.size[2] * of.size[3]) {}
  T *at(int first, int y, int x) {
    return data.data() + (((size_t)first * of.size[2] + y) * of.size[3] + x) * filters;
  }
  Turned &read() {
    of.each([&](T &value, int i, int j, int y, int x) {
      axis == 1 ? at(i, y, x)[j] = rounded(value) : at(j, y, x)[i] = rounded(value);
    });
    return *this;
  }
  void write(T alpha, T beta) {
    of.each([&](T &value, int i, int j, int y, int x) {
      const T result = alpha * (axis == 1 ? at(i, y, x)[j] : at(j, y, x)[i]);
      value = beta == 0 ? result : result + beta * value; /* with beta 0 what was there is not read */
    });
  }
};

/* Calls what(input, output, weights) for every value of the input that meets a weight: `output` and `weights` point
   at what belongs to it, of all filters. */
template <class T, class F>
static void walk(const cudnnConvolutionStruct *d, const Maps<T> &input, Turned<T> &filters, Turned<T> &output,
                 F what) {
  const int height = filters.of.size[2], width = filters.of.size[3];
  const bool turned = d->mode == CUDNN_CONVOLUTION;
  for (int c = 0; c < input.size[1]; ++c)
    for (int r = 0; r < height; ++r)
      for (int s = 0; s < width; ++s) {
        T *weights = filters.at(c, turned ? height - 1 - r : r, turned ? width - 1 - s : s);
        for (int n = 0; n < input.size[0]; ++n)
          for (int y = 0; y < output.of.size[2]; ++y) {
            const int row = y * d->step[0] + r * d->dilation[0] - d->padding[0];
            if (row < 0 || row >= input.size[2])
              continue;
            for (int x = 0; x < output.of.size[3]; ++x) {
              const int column = x * d->step[1] + s * d->dilation[1] - d->padding[1];
              if (column >= 0 && column < input.size[3])
                what(input.at(n, c, row, column), output.at(n, y, x), weights);
            }
          }
      }
}

template <class T>
static cudnnStatus_t forward(const cudnnConvolutionStruct *d, T alpha, Maps<T> input, Maps<T> filters, T beta,
                             Maps<T> output) {
  Turned<T> weights(filters, 0), result(output, 1);
  walk(d, input, weights.read(), result, [&](T in, T *out, const T *weight) {
    const T factor = rounded(in);
    for (int k = 0; k < result.filters; ++k)
      out[k] += factor * weight[k];
  });
  result.write(alpha, beta);
  return SUCCESS;
}

template <class T>
static cudnnStatus_t to_filters(const cudnnConvolutionStruct *d, T alpha, Maps<T> input, Maps<T> output, T beta,
                                Maps<T> filters) {
  Turned<T> given(output, 1), result(filters, 0);
  walk(d, input, result, given.read(), [&](T in, const T *out, T *weight) {
    const T factor = rounded(in);
    for (int k = 0; k < given.filters; ++k)
      weight[k] += factor * out[k];
  });
  result.write(alpha, beta);
  return SUCCESS;
}

template <class T>
static cudnnStatus_t to_input(const cudnnConvolutionStruct *d, T alpha, Maps<T> filters, Maps<T> output, T beta,
                              Maps<T> input) {
  Turned<T> weights(filters, 0), given(output, 1);
  input.scale(beta);
  walk(d, input, weights.read(), given.read(), [&](T &in, const T *out, const T *weight) {
    T sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int k = 0; k < given.filters; ++k)
      sum += out[k] * weight[k];
    in += alpha * sum;
  });
  return SUCCESS;
}

/* An algorithm leaves rubbish in its workspace. */
static bool spoilt(void *workspace, size_t size) {
  if (size < WORKSPACE)
    return false;
  memset(workspace, 255, WORKSPACE);
  return true;
}

/* Offered as the fastest of all, and wrong in the third digit: backend/include/cudnn.h must not choose it. */
static const auto UNWANTED = CUDNN_CONVOLUTION_FWD_ALGO_WINOGRAD_NONFUSED;

cudnnStatus_t cudnnConvolutionForward(cudnnHandle_t, const void *alpha, const cudnnTensorDescriptor_t x,
                                      const void *in, const cudnnFilterDescriptor_t w, const void *filters,
                                      const cudnnConvolutionDescriptor_t d,
                                      cudnnConvolutionFwdAlgo_t algorithm, void *workspace, size_t size,
                                      const void *beta, const cudnnTensorDescriptor_t y, void *out) {
  if (!supported(d) || !spoilt(workspace, size))
    return NOT_SUPPORTED;
  return by_type(x, [&](auto zero) {
    using T = decltype(zero);
    const T factor = algorithm == UNWANTED ? (T)1.001 : (T)1;
    return forward<T>(d, factor * number<T>(alpha), {x, in}, {w, filters}, number<T>(beta), {y, out});
  });
}

cudnnStatus_t cudnnConvolutionBackwardData(cudnnHandle_t, const void *alpha, const cudnnFilterDescriptor_t w,
                                           const void *filters, const cudnnTensorDescriptor_t y, const void *out,
                                           const cudnnConvolutionDescriptor_t d, cudnnConvolutionBwdDataAlgo_t,
                                           void *workspace, size_t size, const void *beta,
                                           const cudnnTensorDescriptor_t x, void *in) {
  if (!supported(d) || !spoilt(workspace, size))
    return NOT_SUPPORTED;
  return by_type(x, [&](auto zero) {
    using T = decltype(zero);
    return to_input<T>(d, number<T>(alpha), {w, filters}, {y, out}, number<T>(beta), {x, in});
  });
}

cudnnStatus_t cudnnConvolutionBackwardFilter(cudnnHandle_t, const void *alpha, const cudnnTensorDescriptor_t x,
                                             const void *in, const cudnnTensorDescriptor_t y, const void *out,
                                             const cudnnConvolutionDescriptor_t d,
                                             cudnnConvolutionBwdFilterAlgo_t, void *workspace, size_t size,
                                             const void *beta, const cudnnFilterDescriptor_t w, void *filters) {
  if (!supported(d) || !spoilt(workspace, size))
    return NOT_SUPPORTED;
  return by_type(x, [&](auto zero) {
    using T = decltype(zero);
    return to_filters<T>(d, number<T>(alpha), {x, in}, {y, out}, number<T>(beta), {w, filters});
  });
}

/* --- the choice of an algorithm --- */

template <class Found> static Found offered(int algorithm, cudnnStatus_t status, float time, size_t memory) {
  return {(decltype(Found::algo))algorithm, status, time, memory};
}

/* Begins a list with UNWANTED, for the forward pass alone; returns how many are in it. */
template <class Found> static int unwanted(int most, Found *found) {
  const bool there = most && std::is_same<Found, cudnnConvolutionFwdAlgoPerf_t>::value;
  if (there)
    *found = offered<Found>(UNWANTED, SUCCESS, .5, 0);
  return there;
}

template <class Found> static cudnnStatus_t listed(int most, int *count, Found *found) {
  const Found list[] = {offered<Found>(5, SUCCESS, 1, (size_t)1 << 60), offered<Found>(4, NOT_SUPPORTED, 2, 0),
                        offered<Found>(3, SUCCESS, 3, WORKSPACE)};
  *count = unwanted(most, found);
  for (int i = 0; i < 3 && *count < most; ++i)
    found[(*count)++] = list[i];
  return SUCCESS;
}

/* What tries them writes to the result and to the workspace, and lists those that fit first. */
template <class Found>
static cudnnStatus_t tried(const cudnnTensorStruct *d, void *result, int most, int *count, Found *found,
                           void *workspace, size_t size) {
  size_t elements = 1;
  for (int i = 0; i < d->dimensions; ++i)
    elements *= d->size[i];
  memset(result, 255, elements * (d->type == CUDNN_DATA_DOUBLE ? 8 : 4));
  if (!spoilt(workspace, size))
    return NOT_SUPPORTED;
  *count = unwanted(most, found);
  if (*count < most)
    found[(*count)++] = offered<Found>(3, SUCCESS, 3, WORKSPACE);
  return SUCCESS;
}

#define CHOOSES(what, Found, Algorithm, A, B, C, a, b, c)                                                    \
  cudnnStatus_t cudnnGetConvolution##what##Algorithm_v7(                                                     \
      cudnnHandle_t, const A, const B, const cudnnConvolutionDescriptor_t, const C, const int most, int *count, \
      Found *found) {                                                                                        \
    return listed(most, count, found);                                                                       \
  }                                                                                                          \
  cudnnStatus_t cudnnFindConvolution##what##AlgorithmEx(                                                     \
      cudnnHandle_t, const A, a, const B, b, const cudnnConvolutionDescriptor_t, const C result, c,          \
      const int most, int *count, Found *found, void *workspace, size_t size) {                              \
    return tried(result, data, most, count, found, workspace, size);                                         \
  }                                                                                                          \
  cudnnStatus_t cudnnGetConvolution##what##WorkspaceSize(cudnnHandle_t, const A, const B,                    \
                                                         const cudnnConvolutionDescriptor_t, const C,        \
                                                         Algorithm, size_t *size) {                          \
    *size = WORKSPACE;                                                                                       \
    return SUCCESS;                                                                                          \
  }
CHOOSES(Forward, cudnnConvolutionFwdAlgoPerf_t, cudnnConvolutionFwdAlgo_t, cudnnTensorDescriptor_t,
        cudnnFilterDescriptor_t, cudnnTensorDescriptor_t, const void *, const void *, void *data)
CHOOSES(BackwardFilter, cudnnConvolutionBwdFilterAlgoPerf_t, cudnnConvolutionBwdFilterAlgo_t,
        cudnnTensorDescriptor_t, cudnnTensorDescriptor_t, cudnnFilterDescriptor_t, const void *, const void *,
        void *data)
CHOOSES(BackwardData, cudnnConvolutionBwdDataAlgoPerf_t, cudnnConvolutionBwdDataAlgo_t, cudnnFilterDescriptor_t,
        cudnnTensorDescriptor_t, cudnnTensorDescriptor_t, const void *, const void *, void *data)

/* --- pools --- */

struct Window {
  int top, left, bottom, right; /* within the map; the ends are not in it */
  int area;                     /* to divide by */
};

static Window window(const cudnnPoolingStruct *d, const int *size, int y, int x) {
  const int top = y * d->step[0] - d->padding[0], left = x * d->step[1] - d->padding[1];
  Window w = {top > 0 ? top : 0, left > 0 ? left : 0, top + d->window[0], left + d->window[1], 0};
  w.bottom = w.bottom < size[2] ? w.bottom : size[2];
  w.right = w.right < size[3] ? w.right : size[3];
  w.area = d->mode == CUDNN_POOLING_AVERAGE_COUNT_INCLUDE_PADDING ? d->window[0] * d->window[1]
                                                                  : (w.bottom - w.top) * (w.right - w.left);
  return w;
}

static bool of_maxima(const cudnnPoolingStruct *d) {
  return d->mode == CUDNN_POOLING_MAX || d->mode == CUDNN_POOLING_MAX_DETERMINISTIC;
}

cudnnStatus_t cudnnPoolingForward(cudnnHandle_t, const cudnnPoolingDescriptor_t d, const void *alpha,
                                  const cudnnTensorDescriptor_t x, const void *in, const void *beta,
                                  const cudnnTensorDescriptor_t y, void *out) {
  if (d->dimensions != 2)
    return NOT_SUPPORTED;
  return by_type(x, [&](auto zero) {
    using T = decltype(zero);
    const Maps<T> input(x, in), output(y, out);
    output.scale(number<T>(beta));
    output.each([&](T &value, int n, int c, int i, int j) {
      const Window w = window(d, input.size, i, j);
      T most = -INFINITY, sum = 0;
      for (int row = w.top; row < w.bottom; ++row)
        for (int column = w.left; column < w.right; ++column) {
          const T each = input.at(n, c, row, column);
          sum += each;
          most = each > most || each != each ? each : most;
        }
      value += number<T>(alpha) * (of_maxima(d) ? most : sum / w.area);
    });
    return SUCCESS;
  });
}

/* Of equal maxima the first one has the gradient; Theano on the CPU gives it to each of them. */
cudnnStatus_t cudnnPoolingBackward(cudnnHandle_t, const cudnnPoolingDescriptor_t d, const void *alpha,
                                   const cudnnTensorDescriptor_t y, const void *out,
                                   const cudnnTensorDescriptor_t dy, const void *out_gradient,
                                   const cudnnTensorDescriptor_t x, const void *in, const void *beta,
                                   const cudnnTensorDescriptor_t dx, void *in_gradient) {
  if (d->dimensions != 2)
    return NOT_SUPPORTED;
  return by_type(x, [&](auto zero) {
    using T = decltype(zero);
    const Maps<T> input(x, in), output(y, out), given(dy, out_gradient), result(dx, in_gradient);
    result.scale(number<T>(beta));
    output.each([&](T &most, int n, int c, int i, int j) {
      const Window w = window(d, input.size, i, j);
      const T gradient = number<T>(alpha) * given.at(n, c, i, j);
      for (int row = w.top; row < w.bottom; ++row)
        for (int column = w.left; column < w.right; ++column) {
          if (!of_maxima(d)) {
            result.at(n, c, row, column) += gradient / w.area;
          } else if (input.at(n, c, row, column) == most) {
            result.at(n, c, row, column) += gradient;
            return;
          }
        }
    });
    return SUCCESS;
  });
}

/* --- sums, products and extremes over axes --- */

cudnnStatus_t cudnnGetReductionIndicesSize(cudnnHandle_t, const cudnnReduceTensorDescriptor_t,
                                           const cudnnTensorDescriptor_t, const cudnnTensorDescriptor_t,
                                           size_t *size) {
  *size = 0;
  return SUCCESS;
}

cudnnStatus_t cudnnGetReductionWorkspaceSize(cudnnHandle_t, const cudnnReduceTensorDescriptor_t,
                                             const cudnnTensorDescriptor_t, const cudnnTensorDescriptor_t,
                                             size_t *size) {
  *size = WORKSPACE;
  return SUCCESS;
}

template <class T> static T joined(cudnnReduceTensorOp_t operation, T a, T b) {
  switch (operation) {
  case CUDNN_REDUCE_TENSOR_MUL: return a * b;
  case CUDNN_REDUCE_TENSOR_MIN: return b < a || b != b ? b : a;
  case CUDNN_REDUCE_TENSOR_MAX:
  case CUDNN_REDUCE_TENSOR_AMAX: return b > a || b != b ? b : a;
  default: return a + b;
  }
}

cudnnStatus_t cudnnReduceTensor(cudnnHandle_t, const cudnnReduceTensorDescriptor_t d, void *, size_t,
                                void *workspace, size_t size, const void *alpha, const cudnnTensorDescriptor_t x,
                                const void *in, const void *beta, const cudnnTensorDescriptor_t y, void *out) {
  const auto operation = d->operation;
  const bool by_magnitude = operation == CUDNN_REDUCE_TENSOR_AMAX || operation == CUDNN_REDUCE_TENSOR_NORM1;
  if (d->indices != CUDNN_REDUCE_TENSOR_NO_INDICES || operation == CUDNN_REDUCE_TENSOR_MUL_NO_ZEROS ||
      !spoilt(workspace, size))
    return NOT_SUPPORTED;
  return by_type(x, [&](auto zero) {
    using T = decltype(zero);
    size_t elements = 1, results = 1;
    for (int i = 0; i < x->dimensions; ++i) {
      elements *= x->size[i];
      results *= y->size[i];
    }
    const size_t of_each = elements / results;
    std::vector<T> values(elements);
    std::vector<size_t> count(results);
    std::vector<ptrdiff_t> place(results);
    for (size_t n = 0; n < elements; ++n) {
      ptrdiff_t from = 0, to = 0;
      size_t index = 0, rest = n;
      for (int i = x->dimensions, step = 1; i-- > 0; rest /= x->size[i], step *= y->size[i]) {
        const int at = rest % x->size[i], kept = y->size[i] == 1 ? 0 : at;
        from += (ptrdiff_t)at * x->stride[i];
        to += (ptrdiff_t)kept * y->stride[i];
        index += (size_t)kept * step;
      }
      T value = ((const T *)in)[from];
      value = by_magnitude ? fabs(value) : operation == CUDNN_REDUCE_TENSOR_NORM2 ? value * value : value;
      values[index * of_each + count[index]++] = value;
      place[index] = to;
    }
    for (size_t index = 0; index < results; ++index) {
      T *joining = &values[index * of_each];
      /* in pairs, as a card's threads do; a sum one by one rounds ten times as much */
      for (size_t left = of_each; left > 1; left = (left + 1) / 2)
        for (size_t i = 0; i < left / 2; ++i)
          joining[i] = joined(operation, joining[i], joining[left - 1 - i]);
      T value = joining[0], &result = ((T *)out)[place[index]];
      value = operation == CUDNN_REDUCE_TENSOR_AVG ? value * results / elements : value;
      value = operation == CUDNN_REDUCE_TENSOR_NORM2 ? sqrt(value) : value;
      result = number<T>(alpha) * value + (number<T>(beta) == 0 ? 0 : number<T>(beta) * result);
    }
    return SUCCESS;
  });
}

/* --- the rest --- */

size_t cudnnGetVersion(void) { return CUDNN_VERSION; }

const char *cudnnGetErrorString(cudnnStatus_t status) { return status ? "an error of the virtual card" : "no error"; }

cudnnStatus_t cudnnCreate(cudnnHandle_t *handle) {
  const char *status = getenv("CARD_CUDNN");
  *handle = new cudnnContext();
  return status ? (cudnnStatus_t)atoi(status) : SUCCESS;
}

cudnnStatus_t cudnnDestroy(cudnnHandle_t handle) {
  delete handle;
  return SUCCESS;
}
