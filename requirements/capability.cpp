/* libcuda.so, by the name that libgpuarray opens: the driver's, but for one answer.

   libgpuarray 0.7.6 writes a card's compute capability into eleven bytes, so that "compute_100" becomes
   "compute_10", and Theano takes the last two digits for the capability. A card newer than 9.x is therefore called
   9.0 here. Its kernels are compiled to PTX for 9.0, which the driver translates for the card that is there, as
   NVIDIA promises for every newer one. cuDNN and cuBLAS ask libcuda.so.1 itself and hear the truth. */
#include <dlfcn.h>

enum { SUCCESS = 0, NOT_INITIALIZED = 3 }; /* CUresult */
enum { MAJOR = 75, MINOR = 76 };           /* CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_.. */
enum { NEWEST = 9 };                       /* as in backend/cuda.py */

typedef int Ask(int *value, int attribute, int device);

static Ask *of_the_driver() {
  void *driver = dlopen("libcuda.so.1", RTLD_LAZY);
  return driver ? reinterpret_cast<Ask *>(dlsym(driver, "cuDeviceGetAttribute")) : nullptr;
}

extern "C" int cuDeviceGetAttribute(int *value, int attribute, int device) {
  static Ask *const ask = of_the_driver();
  if (!ask)
    return NOT_INITIALIZED;
  int major = 0;
  if (attribute == MAJOR || attribute == MINOR) {
    const int status = ask(&major, MAJOR, device);
    if (status != SUCCESS)
      return status;
  }
  if (major > NEWEST) {
    *value = attribute == MAJOR ? NEWEST : 0;
    return SUCCESS;
  }
  return ask(value, attribute, device);
}
