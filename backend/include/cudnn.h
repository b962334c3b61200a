/* cuDNN 8 and 9 for Theano 1.0.5, which asks cuDNN for an algorithm by three calls that version 8 took away.
   They are put back here on the calls that replaced them. This folder comes first in the include path
   (dnn.include_path, set by backend/cuda.py), and everything else is NVIDIA's own header. */
#ifndef SALGAN_CUDNN_H
#define SALGAN_CUDNN_H
#include_next <cudnn.h>
#if CUDNN_MAJOR >= 8

/* The one preference that Theano states: the fastest algorithm whose workspace is within a limit. */
enum {
  CUDNN_CONVOLUTION_FWD_SPECIFY_WORKSPACE_LIMIT,
  CUDNN_CONVOLUTION_BWD_FILTER_SPECIFY_WORKSPACE_LIMIT,
  CUDNN_CONVOLUTION_BWD_DATA_SPECIFY_WORKSPACE_LIMIT
};

enum { SALGAN_CANDIDATES = 16 }; /* more than there are algorithms of any kind */

/* cuDNN sorts what it finds, the fastest first; what does not work here is among it. */
template <class Found, class Algorithm>
static cudnnStatus_t salgan_first_within(size_t limit, cudnnStatus_t status, int count, const Found *found,
                                         Algorithm *algorithm) {
  if (status != CUDNN_STATUS_SUCCESS)
    return status;
  for (int i = 0; i < count; ++i) {
    if (found[i].status == CUDNN_STATUS_SUCCESS && found[i].memory <= limit) {
      *algorithm = found[i].algo;
      return CUDNN_STATUS_SUCCESS;
    }
  }
  return CUDNN_STATUS_NOT_SUPPORTED;
}

static inline cudnnStatus_t cudnnGetConvolutionForwardAlgorithm(
    cudnnHandle_t handle, cudnnTensorDescriptor_t input, cudnnFilterDescriptor_t filters,
    cudnnConvolutionDescriptor_t convolution, cudnnTensorDescriptor_t output, int, size_t limit,
    cudnnConvolutionFwdAlgo_t *algorithm) {
  cudnnConvolutionFwdAlgoPerf_t found[SALGAN_CANDIDATES];
  int count = 0;
  cudnnStatus_t status = cudnnGetConvolutionForwardAlgorithm_v7(
      handle, input, filters, convolution, output, SALGAN_CANDIDATES, &count, found);
  return salgan_first_within(limit, status, count, found, algorithm);
}

static inline cudnnStatus_t cudnnGetConvolutionBackwardFilterAlgorithm(
    cudnnHandle_t handle, cudnnTensorDescriptor_t input, cudnnTensorDescriptor_t output_gradient,
    cudnnConvolutionDescriptor_t convolution, cudnnFilterDescriptor_t filter_gradient, int, size_t limit,
    cudnnConvolutionBwdFilterAlgo_t *algorithm) {
  cudnnConvolutionBwdFilterAlgoPerf_t found[SALGAN_CANDIDATES];
  int count = 0;
  cudnnStatus_t status = cudnnGetConvolutionBackwardFilterAlgorithm_v7(
      handle, input, output_gradient, convolution, filter_gradient, SALGAN_CANDIDATES, &count, found);
  return salgan_first_within(limit, status, count, found, algorithm);
}

static inline cudnnStatus_t cudnnGetConvolutionBackwardDataAlgorithm(
    cudnnHandle_t handle, cudnnFilterDescriptor_t filters, cudnnTensorDescriptor_t output_gradient,
    cudnnConvolutionDescriptor_t convolution, cudnnTensorDescriptor_t input_gradient, int, size_t limit,
    cudnnConvolutionBwdDataAlgo_t *algorithm) {
  cudnnConvolutionBwdDataAlgoPerf_t found[SALGAN_CANDIDATES];
  int count = 0;
  cudnnStatus_t status = cudnnGetConvolutionBackwardDataAlgorithm_v7(
      handle, filters, output_gradient, convolution, input_gradient, SALGAN_CANDIDATES, &count, found);
  return salgan_first_within(limit, status, count, found, algorithm);
}

#endif
#endif
