/* cuDNN that computes nothing, of the version that -DVERSION gives. What chooses an algorithm answers as cuDNN
   does: a list whose first entries do not fit or do not work. STUB_CUDNN is what cudnnCreate answers. */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

size_t cudnnGetVersion(void) { return VERSION; }

const char *cudnnGetErrorString(int status) { return status ? "an error of the stub" : "no error"; }

static int made(void **descriptor) {
  *descriptor = calloc(1, 1);
  return 0;
}

int cudnnCreate(void **handle) {
  const char *status = getenv("STUB_CUDNN");
  return status ? atoi(status) : made(handle);
}

int cudnnCreateTensorDescriptor(void **descriptor) { return made(descriptor); }
int cudnnCreateFilterDescriptor(void **descriptor) { return made(descriptor); }
int cudnnCreateConvolutionDescriptor(void **descriptor) { return made(descriptor); }
int cudnnCreatePoolingDescriptor(void **descriptor) { return made(descriptor); }
int cudnnCreateReduceTensorDescriptor(void **descriptor) { return made(descriptor); }

#define DOES_NOTHING(name)                                                                                   \
  int name() { return 0; }
DOES_NOTHING(cudnnDestroy)
DOES_NOTHING(cudnnDestroyTensorDescriptor)
DOES_NOTHING(cudnnDestroyFilterDescriptor)
DOES_NOTHING(cudnnDestroyConvolutionDescriptor)
DOES_NOTHING(cudnnDestroyPoolingDescriptor)
DOES_NOTHING(cudnnSetTensorNdDescriptor)
DOES_NOTHING(cudnnSetFilterNdDescriptor)
DOES_NOTHING(cudnnSetConvolutionNdDescriptor)
DOES_NOTHING(cudnnSetConvolutionMathType)
DOES_NOTHING(cudnnSetConvolutionGroupCount)
DOES_NOTHING(cudnnSetPoolingNdDescriptor)
DOES_NOTHING(cudnnConvolutionForward)
DOES_NOTHING(cudnnConvolutionBackwardFilter)
DOES_NOTHING(cudnnConvolutionBackwardData)
DOES_NOTHING(cudnnGetTensorNdDescriptor)
DOES_NOTHING(cudnnGetFilterNdDescriptor)
DOES_NOTHING(cudnnGetConvolutionNdDescriptor)
DOES_NOTHING(cudnnGetConvolutionNdForwardOutputDim)
DOES_NOTHING(cudnnGetConvolutionGroupCount)
DOES_NOTHING(cudnnGetConvolutionForwardWorkspaceSize)
DOES_NOTHING(cudnnGetConvolutionBackwardFilterWorkspaceSize)
DOES_NOTHING(cudnnGetConvolutionBackwardDataWorkspaceSize)
DOES_NOTHING(cudnnFindConvolutionForwardAlgorithmEx)
DOES_NOTHING(cudnnFindConvolutionBackwardFilterAlgorithmEx)
DOES_NOTHING(cudnnFindConvolutionBackwardDataAlgorithmEx)
DOES_NOTHING(cudnnPoolingForward)
DOES_NOTHING(cudnnPoolingBackward)
DOES_NOTHING(cudnnDestroyReduceTensorDescriptor)
DOES_NOTHING(cudnnSetReduceTensorDescriptor)
DOES_NOTHING(cudnnGetReductionIndicesSize)
DOES_NOTHING(cudnnGetReductionWorkspaceSize)
DOES_NOTHING(cudnnReduceTensor)

/* as in cudnn.h */
struct Found {
  int algorithm, status;
  float time;
  size_t memory;
  int determinism, math, reserved[3];
};

static int choose(int *count, struct Found *found) {
  const struct Found list[] = {{5, 0, 1, (size_t)1 << 60}, {4, 9, 2, 0}, {3, 0, 3, 1000}};
  memcpy(found, list, sizeof list);
  *count = 3;
  return 0;
}

#define CHOOSES(name)                                                                                        \
  int name(void *handle, void *a, void *b, void *convolution, void *c, int size, int *count,                \
           struct Found *found) {                                                                            \
    return choose(count, found);                                                                             \
  }
CHOOSES(cudnnGetConvolutionForwardAlgorithm_v7)
CHOOSES(cudnnGetConvolutionBackwardFilterAlgorithm_v7)
CHOOSES(cudnnGetConvolutionBackwardDataAlgorithm_v7)
