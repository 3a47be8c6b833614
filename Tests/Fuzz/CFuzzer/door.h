// The door to libFuzzer (https://llvm.org/docs/LibFuzzer.html), and what it asks of a program by name.
#pragma once
#include <stddef.h>
#include <stdint.h>
#include <time.h>

/// Runs the fuzzer with its command line until it is done or has found something; it does not come back then.
int LLVMFuzzerRunDriver(int *argc, char ***argv, int (*one_input)(const uint8_t *bytes, size_t count));
/// Changes bytes in place as libFuzzer would; how many there are then.
size_t LLVMFuzzerMutate(uint8_t *bytes, size_t count, size_t room);

/// Nanoseconds of processor time that this thread has taken: a loaded machine does not make it longer.
static inline int64_t cfuzzer_processor_time(void) {
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}
