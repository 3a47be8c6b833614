// The door to libgpiod by itself, for either version of the library: takes a line, lights it, and waits for a signal.
#include "../../Sources/CGpiod/door.h"
#include <stdio.h>
#include <unistd.h>

int main(int count, char **words) { // door NODE LABEL LINE ACTIVE-LOW
    if (count != 5) return 64;
    const char *node = words[1];
    unsigned offset = (unsigned)atoi(words[3]);
    printf("label %d\n", cgpiod_has_label(node, words[2]));
    struct cgpiod_output *output = cgpiod_open(node, offset, atoi(words[4]), "sublet");
    if (!output) {
        int code = errno;
        char holder[64];
        cgpiod_holder(node, offset, holder, sizeof holder);
        printf("error %s, held by \"%s\"\n", strerror(code), holder);
        return 69;
    }
    printf("dark\n");
    fflush(stdout);
    sleep(2);
    printf("lit %d\n", cgpiod_set(output, 1));
    fflush(stdout);
    sleep(8);
    printf("dark %d\n", cgpiod_set(output, 0));
    cgpiod_close(output);
    return 0;
}
