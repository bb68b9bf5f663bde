/* A slow disk: every fsync of a file whose path has "/artifacts/" in it takes the milliseconds in the
   file KTRDR_TEST_SETTING longer. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int fsync(int file) {
    char name[64], path[4096] = "", text[32] = "";
    snprintf(name, sizeof name, "/proc/self/fd/%d", file);
    const char *setting = getenv("KTRDR_TEST_SETTING");
    if (setting && readlink(name, path, sizeof path - 1) > 0 && strstr(path, "/artifacts/")) {
        FILE *from = fopen(setting, "r");
        if (from) {
            if (fgets(text, sizeof text, from)) usleep(1000 * atol(text));
            fclose(from);
        }
    }
    return ((int (*)(int))dlsym(RTLD_NEXT, "fsync"))(file);
}
