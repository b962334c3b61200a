/* cuDNN that computes nothing, of the version that -DVERSION gives. What chooses an algorithm answers as cuDNN
   does: a list whose first entries do not fit or do not work. STUB_CUDNN is what cudnnCreate answers. */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

size_t cudnnGetVersion(void) { return VERSION; }

const char *cudnnGetErrorString(int status) { return status ? "an error of the stub" : "no error"; }

/* --- descriptors: what is set in them can be asked for --- */

enum { MOST = 8 };

struct Descriptor {
  int type, dimensions, mode;
  int size[MOST], stride[MOST];                     /* of a tensor or filters */
  int padding[MOST], subsample[MOST], dilation[MOST]; /* of a convolution */
};

static int made(void **descriptor) {
  *descriptor = calloc(1, sizeof(struct Descriptor));
  return 0;
}

static void keep(int *to, const int *from, int count) { memcpy(to, from, count * sizeof *to); }

int cudnnCreateTensorDescriptor(void **descriptor) { return made(descriptor); }
int cudnnCreateFilterDescriptor(void **descriptor) { return made(descriptor); }
int cudnnCreateConvolutionDescriptor(void **descriptor) { return made(descriptor); }
int cudnnCreatePoolingDescriptor(void **descriptor) { return made(descriptor); }
int cudnnCreateReduceTensorDescriptor(void **descriptor) { return made(descriptor); }

int cudnnSetTensorNdDescriptor(struct Descriptor *d, int type, int n, const int *size, const int *stride) {
  d->type = type;
  d->dimensions = n;
  keep(d->size, size, n);
  keep(d->stride, stride, n);
  return 0;
}

int cudnnGetTensorNdDescriptor(struct Descriptor *d, int most, int *type, int *n, int *size, int *stride) {
  *type = d->type;
  *n = d->dimensions;
  keep(size, d->size, *n);
  keep(stride, d->stride, *n);
  return 0;
}

int cudnnSetFilterNdDescriptor(struct Descriptor *d, int type, int format, int n, const int *size) {
  return cudnnSetTensorNdDescriptor(d, type, n, size, size);
}

int cudnnGetFilterNdDescriptor(struct Descriptor *d, int most, int *type, int *format, int *n, int *size) {
  int stride[MOST];
  *format = 0;
  return cudnnGetTensorNdDescriptor(d, most, type, n, size, stride);
}

int cudnnSetConvolutionNdDescriptor(struct Descriptor *d, int n, const int *padding, const int *subsample,
                                    const int *dilation, int mode, int type) {
  d->type = type;
  d->mode = mode;
  d->dimensions = n;
  keep(d->padding, padding, n);
  keep(d->subsample, subsample, n);
  keep(d->dilation, dilation, n);
  return 0;
}

int cudnnGetConvolutionNdDescriptor(struct Descriptor *d, int most, int *n, int *padding, int *subsample,
                                    int *dilation, int *mode, int *type) {
  *type = d->type;
  *mode = d->mode;
  *n = d->dimensions;
  keep(padding, d->padding, *n);
  keep(subsample, d->subsample, *n);
  keep(dilation, d->dilation, *n);
  return 0;
}

int cudnnGetConvolutionNdForwardOutputDim(struct Descriptor *convolution, struct Descriptor *input,
                                          struct Descriptor *filters, int n, int *size) {
  size[0] = input->size[0];
  size[1] = filters->size[0];
  for (int i = 2; i < n; ++i) {
    int filter = (filters->size[i] - 1) * convolution->dilation[i - 2] + 1;
    int room = input->size[i] + 2 * convolution->padding[i - 2] - filter;
    size[i] = room / convolution->subsample[i - 2] + 1;
  }
  return 0;
}

/* --- the rest --- */

int cudnnCreate(void **handle) {
  const char *status = getenv("STUB_CUDNN");
  return status ? atoi(status) : made(handle);
}

#define DOES_NOTHING(name)                                                                                   \
  int name() { return 0; }
DOES_NOTHING(cudnnDestroy)
DOES_NOTHING(cudnnDestroyTensorDescriptor)
DOES_NOTHING(cudnnDestroyFilterDescriptor)
DOES_NOTHING(cudnnDestroyConvolutionDescriptor)
DOES_NOTHING(cudnnDestroyPoolingDescriptor)
DOES_NOTHING(cudnnSetConvolutionMathType)
DOES_NOTHING(cudnnSetConvolutionGroupCount)
DOES_NOTHING(cudnnSetPoolingNdDescriptor)
DOES_NOTHING(cudnnConvolutionForward)
DOES_NOTHING(cudnnConvolutionBackwardFilter)
DOES_NOTHING(cudnnConvolutionBackwardData)
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
