/* NVRTC that compiles for the CPU: CUDA C++ goes to g++ behind kernel.h, and what is handed back as PTX is the
   name of the shared library that came of it. Libraries are kept by content, in a folder beside this one.

   -DHEADERS is the folder of kernel.h. From the environment: CARD_RACES (any: see driver.cpp), CARD_CXX. */
#include <dlfcn.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <functional>
#include <regex>
#include <sstream>
#include <string>

enum { SUCCESS = 0, COMPILATION = 6 };

struct Program {
  std::string source, log, library;
};

static std::string read(const std::string &path) {
  std::ifstream file(path);
  return std::string(std::istreambuf_iterator<char>(file), {});
}

static void write(const std::string &path, const std::string &text) { std::ofstream(path) << text; }

/* What macros cannot do: shared memory without a size, and PTX in assembler. */
static std::string rewritten(std::string source) {
  static const std::regex dynamic(R"(extern\s+__shared__\s+([^;()]+?)\s+(\w+)\s*\[\s*\]\s*;)");
  source = std::regex_replace(source, dynamic, "$1 *$2 = ($1 *)card->shared;");
  static const std::regex to_float(R"(asm\("\{ cvt\.f32\.f16[^;]*;[^;]*;)");
  source = std::regex_replace(source, to_float, "r = half_to_float(h.data);");
  static const std::regex to_half(R"(asm\("\{ cvt\.rn\.f16\.f32[^;]*;[^;]*;)");
  return std::regex_replace(source, to_half, "r.data = float_to_half(f);");
}

/* An ENTRY for every kernel of the source. */
static std::string entries(const std::string &source) {
  static const std::regex kernel(R"((?:\bKERNEL|extern\s+"C"\s+__global__)\s+void\s+)"
                                 R"((?:__launch_bounds__\([^)]*\)\s*)?(\w+)\s*\()");
  std::string found;
  for (std::sregex_iterator each(source.begin(), source.end(), kernel), end; each != end; ++each)
    found += "\nENTRY(" + (*each)[1].str() + ")";
  return found + "\n";
}

static std::string folder() {
  Dl_info here;
  dladdr((void *)folder, &here);
  std::string library = here.dli_fname;
  std::string path = library.substr(0, library.rfind('/')) + "/kernels";
  mkdir(path.c_str(), 0777);
  return path;
}

/* -nodefaultlibs: with -fsanitize=thread the calls for every access, without the library that answers them
   elsewhere (kernel.h does). */
static int compiled(Program *program, const std::string &options) {
  const char *compiler = getenv("CARD_CXX");
  const std::string command = std::string(compiler ? compiler : "g++") +
                              " -w -std=c++14 -O1 -g1 -fno-exceptions -fPIC -shared -nodefaultlibs -Wl,-Bsymbolic"
                              " -fvisibility=hidden -include '" HEADERS "/kernel.h'" + options;
  const std::string all = command + program->source + read(HEADERS "/kernel.h") + read(HEADERS "/launch.h");
  std::stringstream name;
  name << folder() << "/" << std::hex << std::hash<std::string>()(all);
  const std::string base = name.str(), scratch = base + "." + std::to_string(getpid());
  program->library = base + ".so";
  if (access(program->library.c_str(), R_OK) == 0)
    return SUCCESS;
  write(scratch + ".cu", program->source);
  const std::string files = " -x c++ '" + scratch + ".cu' -o '" + scratch + "' -lm -lgcc 2> '" + scratch + ".log'";
  const int status = system((command + files).c_str());
  program->log = read(scratch + ".log");
  remove((scratch + ".log").c_str());
  rename((scratch + ".cu").c_str(), (base + ".cu").c_str());
  if (status) {
    fprintf(stderr, "the kernel %s.cu does not compile:\n%s", base.c_str(), program->log.c_str());
    return COMPILATION;
  }
  rename(scratch.c_str(), program->library.c_str());
  return SUCCESS;
}

extern "C" {

int nvrtcVersion(int *major, int *minor) {
  *major = 12;
  *minor = 2; /* as requirements/gpu.txt has the real one */
  return SUCCESS;
}

static const int ARCHITECTURES[] = {50, 52, 53, 60, 61, 62, 70, 72, 75, 80, 86, 87, 89, 90};

int nvrtcGetNumSupportedArchs(int *count) {
  *count = sizeof ARCHITECTURES / sizeof *ARCHITECTURES;
  return SUCCESS;
}

int nvrtcGetSupportedArchs(int *found) {
  memcpy(found, ARCHITECTURES, sizeof ARCHITECTURES);
  return SUCCESS;
}

const char *nvrtcGetErrorString(int error) { return error ? "an error of g++" : "no error"; }

/* A header is put where it is included. */
int nvrtcCreateProgram(Program **program, const char *source, const char *, int headers, const char **texts,
                       const char **names) {
  std::string whole = source;
  for (int i = 0; i < headers; ++i) {
    std::string line = std::string("#include \"") + names[i] + "\"";
    for (size_t at; (at = whole.find(line)) != std::string::npos;)
      whole.replace(at, line.size(), texts[i]);
  }
  *program = new Program{rewritten(whole) + entries(whole), "", ""};
  return SUCCESS;
}

int nvrtcCompileProgram(Program *program, int count, const char **options) {
  std::string ours = getenv("CARD_RACES") ? " -fsanitize=thread --param tsan-distinguish-volatile=1" : "";
  for (int i = 0; i < count; ++i) {
    const char *number = strpbrk(options[i], "0123456789"); /* of -arch compute_86 */
    if (number)
      ours += std::string(" -D__CUDA_ARCH__=") + number + "0";
  }
  return compiled(program, ours);
}

int nvrtcDestroyProgram(Program **program) {
  delete *program;
  return SUCCESS;
}

#define GIVES(size_of, get, member)                                                                          \
  int size_of(Program *program, size_t *size) {                                                              \
    *size = program->member.size() + 1;                                                                      \
    return SUCCESS;                                                                                          \
  }                                                                                                          \
  int get(Program *program, char *text) {                                                                    \
    strcpy(text, program->member.c_str());                                                                   \
    return SUCCESS;                                                                                          \
  }
GIVES(nvrtcGetProgramLogSize, nvrtcGetProgramLog, log)
GIVES(nvrtcGetPTXSize, nvrtcGetPTX, library)
}
