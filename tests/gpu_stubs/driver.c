/* NVIDIA's driver without a card: what libgpuarray asks of libcuda.so.1. Memory is the host's, copies are made,
   kernels are taken and not run. Behind it libgpuarray, NVRTC, gcc and Theano do their real work.

   From the environment: STUB_CAPABILITY (86: 8.6), STUB_CUDA (12060: 12.6), STUB_INIT (what cuInit answers),
   STUB_MEMORY (bytes of the card). */
#include <malloc.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SUCCESS = 0, OUT_OF_MEMORY = 2, NOT_SUPPORTED = 801 };
typedef uintptr_t Address;

static long setting(const char *name, long otherwise) {
  const char *text = getenv(name);
  return text ? atol(text) : otherwise;
}

/* --- what is asked of the card --- */

int cuInit(unsigned flags) { return setting("STUB_INIT", SUCCESS); }

int cuDriverGetVersion(int *version) {
  *version = setting("STUB_CUDA", 12060);
  return SUCCESS;
}

int cuGetErrorName(int error, const char **text) {
  *text = error == OUT_OF_MEMORY ? "CUDA_ERROR_OUT_OF_MEMORY" : "CUDA_ERROR_STUB";
  return SUCCESS;
}

int cuGetErrorString(int error, const char **text) {
  *text = error == OUT_OF_MEMORY ? "out of memory" : "an error of the stub";
  return SUCCESS;
}

int cuDeviceGetCount(int *count) {
  *count = 1;
  return SUCCESS;
}

int cuDeviceGet(int *device, int number) {
  *device = number;
  return SUCCESS;
}

int cuDeviceGetName(char *name, int size, int device) {
  snprintf(name, size, "Stub");
  return SUCCESS;
}

int cuDeviceGetPCIBusId(char *id, int size, int device) {
  snprintf(id, size, "0000:00:00.0");
  return SUCCESS;
}

int cuDeviceGetAttribute(int *value, int attribute, int device) {
  int capability = setting("STUB_CAPABILITY", 86);
  switch (attribute) {
  case 1: case 2: case 3: *value = 1024; break; /* threads of a block, in all and by axis */
  case 4: *value = 64; break;
  case 5: *value = 2147483647; break; /* blocks of a grid, by axis */
  case 6: case 7: *value = 65535; break;
  case 8: *value = 49152; break;      /* bytes that a block shares */
  case 10: *value = 32; break;        /* threads of a warp */
  case 16: *value = 80; break;        /* multiprocessors */
  case 75: *value = capability / 10; break;
  case 76: *value = capability % 10; break;
  default: *value = 1;
  }
  return SUCCESS;
}

int cuFuncGetAttribute(int *value, int attribute, void *function) {
  *value = 1024;
  return SUCCESS;
}

/* --- memory --- */

static size_t used;

int cuMemGetInfo_v2(size_t *available, size_t *total) {
  *total = setting("STUB_MEMORY", 8L << 30);
  *available = *total - used;
  return SUCCESS;
}

int cuMemAlloc_v2(Address *address, size_t size) {
  if (used + size > (size_t)setting("STUB_MEMORY", 8L << 30))
    return OUT_OF_MEMORY;
  *address = (Address)calloc(1, size ? size : 1);
  used += malloc_usable_size((void *)*address);
  return SUCCESS;
}

int cuMemFree_v2(Address address) {
  used -= malloc_usable_size((void *)address);
  free((void *)address);
  return SUCCESS;
}

int cuMemAllocHost_v2(void **address, size_t size) {
  *address = calloc(1, size);
  return SUCCESS;
}

int cuMemFreeHost(void *address) {
  free(address);
  return SUCCESS;
}

static int copied(Address to, Address from, size_t size) {
  memmove((void *)to, (void *)from, size);
  return SUCCESS;
}

int cuMemcpyHtoD_v2(Address to, Address from, size_t size) { return copied(to, from, size); }
int cuMemcpyHtoDAsync_v2(Address to, Address from, size_t size, void *stream) { return copied(to, from, size); }
int cuMemcpyDtoHAsync_v2(Address to, Address from, size_t size, void *stream) { return copied(to, from, size); }
int cuMemcpyDtoDAsync_v2(Address to, Address from, size_t size, void *stream) { return copied(to, from, size); }

int cuMemsetD8Async(Address to, unsigned char value, size_t size, void *stream) {
  memset((void *)to, value, size);
  return SUCCESS;
}

/* --- kernels: the PTX that NVRTC made is handed back as if linked --- */

struct Linker {
  void *code;
  size_t size;
};

int cuLinkCreate(unsigned n, void *options, void *values, struct Linker **linker) {
  *linker = calloc(1, sizeof **linker);
  return SUCCESS;
}

int cuLinkAddData(struct Linker *linker, int type, void *code, size_t size, const char *name, unsigned n,
                  void *options, void *values) {
  linker->code = code;
  linker->size = size;
  return SUCCESS;
}

int cuLinkComplete(struct Linker *linker, void **code, size_t *size) {
  *code = linker->code;
  *size = linker->size;
  return SUCCESS;
}

int cuLinkDestroy(struct Linker *linker) {
  free(linker);
  return SUCCESS;
}

/* --- handles that nothing is done with --- */

#define MAKES(name, ...)                                                                                     \
  int name(void **handle, ##__VA_ARGS__) {                                                                   \
    if (handle)                                                                                              \
      *handle = (void *)1;                                                                                   \
    return SUCCESS;                                                                                          \
  }
MAKES(cuDevicePrimaryCtxRetain, int device)
MAKES(cuCtxPopCurrent_v2)
MAKES(cuModuleLoadData, const void *code)
MAKES(cuModuleLoadDataEx, const void *code, unsigned n, void *options, void *values)
MAKES(cuModuleGetFunction, void *module, const char *name)
MAKES(cuEventCreate, unsigned flags)
MAKES(cuStreamCreate, unsigned flags)

int cuDevicePrimaryCtxGetState(int device, unsigned *flags, int *active) {
  *flags = *active = 0;
  return SUCCESS;
}

int cuCtxGetDevice(int *device) {
  *device = 0;
  return SUCCESS;
}

#define DOES_NOTHING(name)                                                                                   \
  int name() { return SUCCESS; }
DOES_NOTHING(cuDevicePrimaryCtxSetFlags)
DOES_NOTHING(cuDevicePrimaryCtxRelease)
DOES_NOTHING(cuCtxPushCurrent_v2)
DOES_NOTHING(cuModuleUnload)
DOES_NOTHING(cuLaunchKernel)
DOES_NOTHING(cuEventRecord)
DOES_NOTHING(cuEventSynchronize)
DOES_NOTHING(cuEventDestroy_v2)
DOES_NOTHING(cuStreamWaitEvent)
DOES_NOTHING(cuStreamSynchronize)
DOES_NOTHING(cuStreamDestroy_v2)

/* --- several cards and processes: none here --- */

#define NOT_HERE(name)                                                                                       \
  int name() { return NOT_SUPPORTED; }
NOT_HERE(cuMemcpyPeerAsync)
NOT_HERE(cuIpcGetMemHandle)
NOT_HERE(cuIpcOpenMemHandle)
NOT_HERE(cuIpcCloseMemHandle)
