/* cuDNN 8 and 9 for Theano 1.0.5, which asks cuDNN for an algorithm by three calls that version 8 took away.
   They are put back here on the calls that replaced them. This folder comes first in the include path
   (dnn.include_path, set by backend/cuda.py), and everything else is NVIDIA's own header. */
#ifndef SALGAN_CUDNN_H
#define SALGAN_CUDNN_H
#include_next <cudnn.h>
#include <stdlib.h>
#include <string.h>

/* Theano lets an algorithm that it chooses by guess or by time have a quarter of the memory that is free, which
   libgpuarray then never gives back: 20 GB on a large card, and on a small one what the batch needs. */
#if __has_include(<gpuarray/buffer.h>)
#include <gpuarray/buffer.h>

static const size_t SALGAN_WORKSPACE = (size_t)1 << 30;

static inline int salgan_property(gpucontext *context, int property, void *value) {
  const int error = gpucontext_property(context, property, value);
  size_t *size = (size_t *)value;
  if (!error && property == GA_CTX_PROP_LARGEST_MEMBLOCK && *size > SALGAN_WORKSPACE)
    *size = SALGAN_WORKSPACE;
  return error;
}
#define gpucontext_property(context, property, value) salgan_property(context, property, value)
#endif

#if CUDNN_MAJOR >= 8

/* Under its default math cuDNN rounds float32 to TF32 on cards from Ampere on. A convolution in float32 is kept from
   that, whatever the environment says, unless the user asks for it. */
static inline cudnnStatus_t salgan_set_convolution(cudnnConvolutionDescriptor_t convolution, int axes,
                                                   const int *padding, const int *stride, const int *dilation,
                                                   cudnnConvolutionMode_t mode, cudnnDataType_t type) {
  const char *tf32 = getenv("NVIDIA_TF32_OVERRIDE");
  const bool asked_for = tf32 && !strcmp(tf32, "1");
  const cudnnStatus_t status =
      cudnnSetConvolutionNdDescriptor(convolution, axes, padding, stride, dilation, mode, type);
  if (status != CUDNN_STATUS_SUCCESS || type != CUDNN_DATA_FLOAT || asked_for)
    return status;
  return cudnnSetConvolutionMathType(convolution, CUDNN_FMA_MATH);
}

/* Theano sets the default math once more before it computes. */
static inline cudnnStatus_t salgan_set_math(cudnnConvolutionDescriptor_t convolution, cudnnMathType_t math) {
  cudnnMathType_t now = math;
  const cudnnStatus_t status = cudnnGetConvolutionMathType(convolution, &now);
  if (status != CUDNN_STATUS_SUCCESS || (math == CUDNN_DEFAULT_MATH && now == CUDNN_FMA_MATH))
    return status;
  return cudnnSetConvolutionMathType(convolution, math);
}
#define cudnnSetConvolutionMathType(convolution, math) salgan_set_math(convolution, math)
#define cudnnSetConvolutionNdDescriptor(convolution, axes, padding, stride, dilation, mode, type)            \
  salgan_set_convolution(convolution, axes, padding, stride, dilation, mode, type)

/* The one preference that Theano states: the fastest algorithm whose workspace is within a limit. */
enum {
  CUDNN_CONVOLUTION_FWD_SPECIFY_WORKSPACE_LIMIT,
  CUDNN_CONVOLUTION_BWD_FILTER_SPECIFY_WORKSPACE_LIMIT,
  CUDNN_CONVOLUTION_BWD_DATA_SPECIFY_WORKSPACE_LIMIT
};

enum { SALGAN_CANDIDATES = 16 }; /* more than there are algorithms of any kind */

/* In the forward pass Winograd's transforms in large tiles lose too many digits: on an H100 they moved the costs of
   `bce` from the record by 10.8 times its noise, all others by 2.6 times. In gradients they changed nothing. */
static inline bool salgan_rounds_well(cudnnConvolutionFwdAlgo_t algorithm) {
  return algorithm != CUDNN_CONVOLUTION_FWD_ALGO_WINOGRAD_NONFUSED;
}
static inline bool salgan_rounds_well(cudnnConvolutionBwdDataAlgo_t) { return true; }
static inline bool salgan_rounds_well(cudnnConvolutionBwdFilterAlgo_t) { return true; }

/* cuDNN sorts what it finds, the fastest first; what does not work here is among it. */
template <class Found>
static cudnnStatus_t salgan_first_within(size_t limit, cudnnStatus_t status, int count, const Found *found,
                                         Found *chosen) {
  if (status != CUDNN_STATUS_SUCCESS)
    return status;
  for (int i = 0; i < count; ++i) {
    if (found[i].status == CUDNN_STATUS_SUCCESS && found[i].memory <= limit && salgan_rounds_well(found[i].algo)) {
      *chosen = found[i];
      return CUDNN_STATUS_SUCCESS;
    }
  }
  return CUDNN_STATUS_NOT_SUPPORTED;
}

/* The two ways in which Theano lets cuDNN choose: by a guess, and by trying all. */
#define SALGAN_CHOOSES(way, Kind, A, B, C)                                                                   \
  static inline cudnnStatus_t cudnnGetConvolution##way##Algorithm(                                           \
      cudnnHandle_t handle, A a, B b, cudnnConvolutionDescriptor_t convolution, C c, int, size_t limit,      \
      cudnnConvolution##Kind##Algo_t *algorithm) {                                                           \
    cudnnConvolution##Kind##AlgoPerf_t found[SALGAN_CANDIDATES], chosen;                                     \
    int count = 0;                                                                                           \
    cudnnStatus_t status = cudnnGetConvolution##way##Algorithm_v7(handle, a, b, convolution, c,              \
                                                                  SALGAN_CANDIDATES, &count, found);         \
    status = salgan_first_within(limit, status, count, found, &chosen);                                      \
    if (status == CUDNN_STATUS_SUCCESS)                                                                      \
      *algorithm = chosen.algo;                                                                              \
    return status;                                                                                           \
  }                                                                                                          \
  static inline cudnnStatus_t salgan_find_##way(                                                             \
      cudnnHandle_t handle, A a, const void *at_a, B b, const void *at_b,                                    \
      cudnnConvolutionDescriptor_t convolution, C c, void *at_c, int, int *count,                            \
      cudnnConvolution##Kind##AlgoPerf_t *chosen, void *workspace, size_t limit) {                           \
    cudnnConvolution##Kind##AlgoPerf_t found[SALGAN_CANDIDATES];                                             \
    *count = 0;                                                                                              \
    const cudnnStatus_t status =                                                                             \
        cudnnFindConvolution##way##AlgorithmEx(handle, a, at_a, b, at_b, convolution, c, at_c,               \
                                               SALGAN_CANDIDATES, count, found, workspace, limit);           \
    return salgan_first_within(limit, status, *count, found, chosen);                                        \
  }
SALGAN_CHOOSES(Forward, Fwd, cudnnTensorDescriptor_t, cudnnFilterDescriptor_t, cudnnTensorDescriptor_t)
SALGAN_CHOOSES(BackwardData, BwdData, cudnnFilterDescriptor_t, cudnnTensorDescriptor_t, cudnnTensorDescriptor_t)
SALGAN_CHOOSES(BackwardFilter, BwdFilter, cudnnTensorDescriptor_t, cudnnTensorDescriptor_t, cudnnFilterDescriptor_t)
#define cudnnFindConvolutionForwardAlgorithmEx salgan_find_Forward
#define cudnnFindConvolutionBackwardDataAlgorithmEx salgan_find_BackwardData
#define cudnnFindConvolutionBackwardFilterAlgorithmEx salgan_find_BackwardFilter

#endif
#endif
