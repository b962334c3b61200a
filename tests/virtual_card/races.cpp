/* Of every four bytes the last access of each kind is kept, and of reads one by another thread besides. Two
   accesses have an order if one thread made both, or the block passed a barrier between them. */
#include "races.h"

#include "threads.h"

#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>

#include <set>
#include <string>
#include <tuple>
#include <unordered_map>

struct Touch {
  unsigned launch, block, phase, thread;
  Access access;
  const void *where;
};
struct History {
  Touch wrote, read, read_by_another, added;
};

/* Words that are watched. Of the card's memory it is those that a launch touches first, at least half as many. */
static const size_t MOST = 1 << 19;

static const Launch *now;
static const char *kernel_name;
static bool (*is_of_the_card)(const void *);
static unsigned launches;
static std::unordered_map<uintptr_t, History> memory;
static std::set<std::tuple<std::string, const void *, const void *>> said;

void Races::begin(const Launch *launch, const char *kernel, bool (*of_the_card)(const void *)) {
  now = launch;
  kernel_name = kernel;
  is_of_the_card = of_the_card;
  ++launches;
  if (memory.size() > MOST / 2)
    memory.clear();
}

static unsigned flat(Three at, Three size) { return at.x + size.x * (at.y + size.y * at.z); }

static const char *text(Access access) {
  return access == READS ? "reads" : access == WRITES ? "writes" : "adds to";
}

static void compare(const Touch &before, const Touch &after, bool of_the_card) {
  if (before.launch != after.launch)
    return;
  if (before.block == after.block ? before.phase != after.phase || before.thread == after.thread : !of_the_card)
    return;
  if (!said.insert({kernel_name, before.where, after.where}).second)
    return;
  Dl_info library;
  dladdr(after.where, &library);
  fprintf(stderr, "race in %s: thread %u of block %u %s (+%#lx) what thread %u of block %u %s (+%#lx); %s, %s\n",
          kernel_name, after.thread, after.block, text(after.access),
          (long)((char *)after.where - (char *)library.dli_fbase), before.thread, before.block,
          text(before.access), (long)((char *)before.where - (char *)library.dli_fbase),
          of_the_card ? "the card's memory" : "shared memory", library.dli_fname);
}

void Races::touched(const void *address, unsigned size, Access access, const void *where) {
  if (on_stack(address) || (address >= now && address < now + 1)) /* its own, and threadIdx and the like */
    return;
  const bool of_the_card = is_of_the_card(address);
  const Touch touch = {launches, flat(now->block, now->grid_size), now->phase,
                       flat(now->thread, now->block_size), access, where};
  for (uintptr_t word = (uintptr_t)address / 4; word <= ((uintptr_t)address + size - 1) / 4; ++word) {
    if (of_the_card && memory.size() > MOST && !memory.count(word))
      continue;
    History &history = memory[word];
    compare(history.wrote, touch, of_the_card);
    if (access != READS) {
      compare(history.read, touch, of_the_card);
      compare(history.read_by_another, touch, of_the_card);
    }
    if (access != ADDS)
      compare(history.added, touch, of_the_card);
    if (access == READS && (history.read.thread != touch.thread || history.read.block != touch.block))
      history.read_by_another = history.read;
    (access == WRITES ? history.wrote : access == READS ? history.read : history.added) = touch;
  }
}
