// Embedded Swift 6.3 gives back a retained object without the tag bits of its pointer, where the compiler relies on getting what it gave: on
// 64-bit ARM it goes on with the result, and a short string that was copied so becomes a pointer to nowhere. Mended in Swift by
// swiftlang/swift pull request 91151, after 6.3. The library's own are weak symbols, so the linker takes these.
#include <stdint.h>

#if __SIZEOF_POINTER__ == 8
void *swift_retain_n(void *object, uint32_t n);

void *swift_bridgeObjectRetain_n(void *object, uint32_t n) {
    // The topmost bit says that there is nothing to count.
    swift_retain_n((void *)((uintptr_t)object & 0x8ffffffffffffff8), n);
    return object;
}

void *swift_bridgeObjectRetain(void *object) { return swift_bridgeObjectRetain_n(object, 1); }
#endif
