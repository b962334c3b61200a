/* NVIDIA's driver for a card that is this computer's processor: memory is the host's, and kernels run, each
   thread in its turn (threads.cpp). What nvrtc.cpp compiled is a shared library, and its name is the PTX. Real
   PTX, of NVIDIA's NVRTC, is taken and not run: what its kernels would have written stays not a number.

   From the environment: CARD_CAPABILITY (86: 8.6), CARD_CUDA (12060: 12.6), CARD_INIT (what cuInit answers),
   CARD_MEMORY (bytes of the card), CARD_TAKEN (bytes of them that others hold), CARD_ORDER (see threads.cpp),
   CARD_RACES (any: see races.cpp), CARD_LOG (any: on stderr, what is launched and when a context ends),
   CARD_PTX (a folder: real PTX is written to it). */
#include "launch.h"
#include "races.h"
#include "threads.h"

#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <fstream>
#include <functional>
#include <map>
#include <string>
#include <vector>

enum {
  SUCCESS = 0,
  OUT_OF_MEMORY = 2,
  NO_BINARY = 209,
  NOT_FOUND = 500,
  CONTEXT_ACTIVE = 708,
  LAUNCH_FAILED = 719,
  NOT_SUPPORTED = 801
};
typedef uintptr_t Address;

static long setting(const char *name, long otherwise) {
  const char *text = getenv(name);
  return text ? atol(text) : otherwise;
}

/* --- memory: what is not yet written is not a number (of a large piece its beginning) --- */

static const size_t MOST_SPOILT = 256 << 20;

static std::map<Address, size_t> allocated;
static size_t used;

static Address first, end; /* of the piece that was asked for last, and often is again */

static bool of_the_card(const void *pointer) {
  const Address address = (Address)pointer;
  if (address >= first && address < end)
    return true;
  auto next = allocated.upper_bound(address);
  if (next == allocated.begin() || address >= (--next)->first + next->second)
    return false;
  first = next->first;
  end = first + next->second;
  return true;
}

/* --- kernels --- */

struct Module {
  void *library; /* null: real PTX */
};
struct Function {
  std::string name;
  Entry enter; /* null: of real PTX */
};

static Launch launch;

static void launched(const Function *function, Three grid, Three block, unsigned shared, void **arguments) {
  static std::vector<char> memory;
  memory.resize(shared + 16);
  launch.grid_size = grid;
  launch.block_size = block;
  launch.shared = memory.data();
  launch.touched = [](const void *, unsigned, Access, const void *) {};
  if (getenv("CARD_RACES")) {
    Races::begin(&launch, function->name.c_str(), of_the_card);
    launch.touched = Races::touched;
  }
  for (unsigned z = 0; z < grid.z; ++z)
    for (unsigned y = 0; y < grid.y; ++y)
      for (unsigned x = 0; x < grid.x; ++x) {
        launch.block = {x, y, z};
        memset(memory.data(), 255, memory.size());
        const void *apart = run_block(launch, function->enter, arguments);
        static const void *said;
        if (apart && apart != said)
          fprintf(stderr, "%s: threads wait for one another at different barriers\n", function->name.c_str());
        if (apart)
          said = apart;
      }
}

extern "C" {

/* --- what is asked of the card --- */

int cuInit(unsigned) { return setting("CARD_INIT", SUCCESS); }

int cuDriverGetVersion(int *version) {
  *version = setting("CARD_CUDA", 12060);
  return SUCCESS;
}

int cuGetErrorName(int error, const char **text) {
  *text = error == OUT_OF_MEMORY ? "CUDA_ERROR_OUT_OF_MEMORY" : "CUDA_ERROR_UNKNOWN";
  return SUCCESS;
}

int cuGetErrorString(int error, const char **text) {
  *text = error == OUT_OF_MEMORY ? "out of memory" : "an error of the virtual card";
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

int cuDeviceGetName(char *name, int size, int) {
  snprintf(name, size, "Virtual card");
  return SUCCESS;
}

int cuDeviceGetPCIBusId(char *id, int size, int) {
  snprintf(id, size, "0000:00:00.0");
  return SUCCESS;
}

int cuDeviceGetAttribute(int *value, int attribute, int) {
  int capability = setting("CARD_CAPABILITY", 86);
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

int cuFuncGetAttribute(int *value, int, void *) {
  *value = 1024;
  return SUCCESS;
}

/* --- memory --- */

int cuMemGetInfo_v2(size_t *available, size_t *total) {
  *total = setting("CARD_MEMORY", 8L << 30);
  *available = *total - setting("CARD_TAKEN", 0) - used;
  return SUCCESS;
}

int cuMemAlloc_v2(Address *address, size_t size) {
  size_t available, total;
  cuMemGetInfo_v2(&available, &total);
  if (size > available)
    return OUT_OF_MEMORY;
  void *memory = aligned_alloc(256, (size + 256) / 256 * 256);
  if (!memory)
    return OUT_OF_MEMORY;
  memset(memory, 255, size < MOST_SPOILT ? size : MOST_SPOILT);
  *address = (Address)memory;
  allocated[*address] = size;
  used += size;
  return SUCCESS;
}

int cuMemFree_v2(Address address) {
  first = end = 0;
  used -= allocated[address];
  allocated.erase(address);
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
int cuMemcpyHtoDAsync_v2(Address to, Address from, size_t size, void *) { return copied(to, from, size); }
int cuMemcpyDtoHAsync_v2(Address to, Address from, size_t size, void *) { return copied(to, from, size); }
int cuMemcpyDtoDAsync_v2(Address to, Address from, size_t size, void *) { return copied(to, from, size); }

int cuMemsetD8Async(Address to, unsigned char value, size_t size, void *) {
  memset((void *)to, value, size);
  return SUCCESS;
}

/* --- kernels: the name of a library is linked and loaded --- */

struct Linker {
  void *code;
  size_t size;
};

int cuLinkCreate(unsigned, void *, void *, Linker **linker) {
  *linker = new Linker();
  return SUCCESS;
}

int cuLinkAddData(Linker *linker, int, void *code, size_t size, const char *, unsigned, void *, void *) {
  *linker = {code, size};
  return SUCCESS;
}

int cuLinkComplete(Linker *linker, void **code, size_t *size) {
  *code = linker->code;
  *size = linker->size;
  return SUCCESS;
}

int cuLinkDestroy(Linker *linker) {
  delete linker;
  return SUCCESS;
}

int cuModuleLoadData(Module **module, const char *code) {
  const bool real = code[0] != '/' || code[1] == '/'; /* PTX begins with a comment */
  if (real) {
    if (const char *folder = getenv("CARD_PTX"))
      std::ofstream(folder + ("/" + std::to_string(std::hash<std::string>()(code))) + ".ptx") << code;
    *module = new Module{nullptr};
    return SUCCESS;
  }
  void *library = dlopen(code, RTLD_NOW | RTLD_LOCAL);
  if (!library)
    return NO_BINARY;
  *(Launch **)dlsym(library, "card") = &launch;
  *module = new Module{library};
  return SUCCESS;
}

int cuModuleLoadDataEx(Module **module, const char *code, unsigned, void *, void *) {
  return cuModuleLoadData(module, code);
}

int cuModuleGetFunction(Function **function, Module *module, const char *name) {
  Entry enter = module->library ? (Entry)dlsym(module->library, (std::string("enter_") + name).c_str()) : nullptr;
  if (module->library && !enter)
    return NOT_FOUND;
  *function = new Function{name, enter};
  return SUCCESS;
}

int cuLaunchKernel(Function *function, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned x, unsigned y,
                   unsigned z, unsigned shared, void *, void **arguments, void **) {
  if (!grid_x || !grid_y || !grid_z || !x || !y || !z || x * y * z > 1024 || shared > 49152)
    return LAUNCH_FAILED;
  if (!function->enter)
    return SUCCESS;
  const clock_t start = clock();
  launched(function, {grid_x, grid_y, grid_z}, {x, y, z}, shared, arguments);
  if (getenv("CARD_LOG"))
    fprintf(stderr, "%s: %ux%ux%u blocks of %ux%ux%u threads, %.1f ms\n", function->name.c_str(), grid_x, grid_y,
            grid_z, x, y, z, 1e3 * (clock() - start) / CLOCKS_PER_SEC);
  return SUCCESS;
}

/* --- the context of the card: it ends when nobody keeps it, and its flags stand as long as it is there --- */

static unsigned kept, context_flags;

int cuDevicePrimaryCtxRetain(void **context, int) {
  *context = &kept;
  ++kept;
  return SUCCESS;
}

int cuDevicePrimaryCtxRelease(int) {
  if (!--kept && getenv("CARD_LOG"))
    fprintf(stderr, "the context ends\n");
  return SUCCESS;
}

int cuDevicePrimaryCtxGetState(int, unsigned *flags, int *active) {
  *flags = context_flags;
  *active = kept > 0;
  return SUCCESS;
}

int cuDevicePrimaryCtxSetFlags(int, unsigned flags) {
  if (kept)
    return CONTEXT_ACTIVE;
  context_flags = flags;
  return SUCCESS;
}

/* --- handles that nothing is done with --- */

#define MAKES(name, ...)                                                                                     \
  int name(void **handle, ##__VA_ARGS__) {                                                                   \
    if (handle)                                                                                              \
      *handle = (void *)1;                                                                                   \
    return SUCCESS;                                                                                          \
  }
MAKES(cuCtxPopCurrent_v2)
MAKES(cuEventCreate, unsigned flags)
MAKES(cuStreamCreate, unsigned flags)

int cuCtxGetDevice(int *device) {
  *device = 0;
  return SUCCESS;
}

#define ANSWERS(answer, name)                                                                                \
  int name() { return answer; }
ANSWERS(SUCCESS, cuCtxPushCurrent_v2)
ANSWERS(SUCCESS, cuCtxSynchronize)
ANSWERS(SUCCESS, cuModuleUnload)
ANSWERS(SUCCESS, cuEventRecord)
ANSWERS(SUCCESS, cuEventSynchronize)
ANSWERS(SUCCESS, cuEventDestroy_v2)
ANSWERS(SUCCESS, cuStreamWaitEvent)
ANSWERS(SUCCESS, cuStreamSynchronize)
ANSWERS(SUCCESS, cuStreamDestroy_v2)

/* several cards and processes: none here. NVRTC of CUDA 13 asks for the last one */
ANSWERS(NOT_SUPPORTED, cuMemcpyPeerAsync)
ANSWERS(NOT_SUPPORTED, cuIpcGetMemHandle)
ANSWERS(NOT_SUPPORTED, cuIpcOpenMemHandle)
ANSWERS(NOT_SUPPORTED, cuIpcCloseMemHandle)
ANSWERS(NOT_SUPPORTED, cuGetExportTable)
}
