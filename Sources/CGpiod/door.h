// The door to libgpiod, 1.6 (Debian 12) or 2.x (Debian 13): one line of a chip, as an output. The two have no call in common that does this.
#pragma once
// The same feature macros in every door: the C library names struct members by them.
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <gpiod.h>
#include <stdlib.h>
#include <string.h>

#ifdef GPIOD_LINE_BULK_MAX_LINES // Only 1.6 has it.

/// A line that is ours.
struct cgpiod_output {
    struct gpiod_chip *chip;
    struct gpiod_line *line;
};

static inline void cgpiod_close(struct cgpiod_output *output) {
    gpiod_chip_close(output->chip); // And gives its lines back.
    free(output);
}

static inline int cgpiod_chip_has_label(struct gpiod_chip *chip, const char *label) { return strcmp(gpiod_chip_label(chip), label) == 0; }

/// Takes a line as an output that is not lit. NULL and errno: EBUSY where somebody has it, ENOENT or EINVAL where the chip has no such line.
static inline struct cgpiod_output *cgpiod_open(const char *path, unsigned offset, _Bool active_low, const char *consumer) {
    struct cgpiod_output *output = calloc(1, sizeof *output);
    if (!output) return NULL;
    output->chip = gpiod_chip_open(path);
    if (output->chip) output->line = gpiod_chip_get_line(output->chip, offset);
    int flags = active_low ? GPIOD_LINE_REQUEST_FLAG_ACTIVE_LOW : 0;
    if (output->line && gpiod_line_request_output_flags(output->line, consumer, flags, 0) == 0) return output;
    int code = errno;
    if (output->chip) gpiod_chip_close(output->chip);
    free(output);
    errno = code;
    return NULL;
}

static inline int cgpiod_set(struct cgpiod_output *output, _Bool lit) { return gpiod_line_set_value(output->line, lit); }

static inline void cgpiod_chip_holder(struct gpiod_chip *chip, unsigned offset, char *name, size_t size) {
    struct gpiod_line *line = gpiod_chip_get_line(chip, offset);
    const char *found = line ? gpiod_line_consumer(line) : NULL;
    if (found) strncat(name, found, size - 1);
}

#else

/// A line that is ours.
struct cgpiod_output {
    struct gpiod_line_request *request;
    unsigned offset;
};

static inline void cgpiod_close(struct cgpiod_output *output) {
    gpiod_line_request_release(output->request);
    free(output);
}

static inline int cgpiod_chip_has_label(struct gpiod_chip *chip, const char *label) {
    struct gpiod_chip_info *info = gpiod_chip_get_info(chip);
    if (!info) return -1;
    int same = strcmp(gpiod_chip_info_get_label(info), label) == 0;
    gpiod_chip_info_free(info);
    return same;
}

/// Takes a line as an output that is not lit. NULL and errno: EBUSY where somebody has it, EINVAL where the chip has no such line.
static inline struct cgpiod_output *cgpiod_open(const char *path, unsigned offset, _Bool active_low, const char *consumer) {
    struct cgpiod_output *output = calloc(1, sizeof *output);
    struct gpiod_chip *chip = output ? gpiod_chip_open(path) : NULL;
    struct gpiod_line_settings *settings = chip ? gpiod_line_settings_new() : NULL;
    struct gpiod_line_config *lines = settings ? gpiod_line_config_new() : NULL;
    struct gpiod_request_config *request = lines ? gpiod_request_config_new() : NULL;
    if (request) {
        gpiod_line_settings_set_direction(settings, GPIOD_LINE_DIRECTION_OUTPUT);
        gpiod_line_settings_set_active_low(settings, active_low);
        gpiod_line_settings_set_output_value(settings, GPIOD_LINE_VALUE_INACTIVE);
        gpiod_request_config_set_consumer(request, consumer);
        output->offset = offset;
        if (gpiod_line_config_add_line_settings(lines, &offset, 1, settings) == 0)
            output->request = gpiod_chip_request_lines(chip, request, lines);
    }
    int code = errno;
    if (request) gpiod_request_config_free(request);
    if (lines) gpiod_line_config_free(lines);
    if (settings) gpiod_line_settings_free(settings);
    if (chip) gpiod_chip_close(chip); // The line stays ours.
    if (output && output->request) return output;
    free(output);
    errno = code;
    return NULL;
}

static inline int cgpiod_set(struct cgpiod_output *output, _Bool lit) {
    return gpiod_line_request_set_value(output->request, output->offset, lit ? GPIOD_LINE_VALUE_ACTIVE : GPIOD_LINE_VALUE_INACTIVE);
}

static inline void cgpiod_chip_holder(struct gpiod_chip *chip, unsigned offset, char *name, size_t size) {
    struct gpiod_line_info *info = gpiod_chip_get_line_info(chip, offset);
    const char *found = info ? gpiod_line_info_get_consumer(info) : NULL;
    if (found) strncat(name, found, size - 1);
    if (info) gpiod_line_info_free(info);
}

#endif

/// Whether the chip behind a node has this label; -1 and errno where it is no chip.
static inline int cgpiod_has_label(const char *path, const char *label) {
    struct gpiod_chip *chip = gpiod_chip_open(path);
    if (!chip) return -1;
    int same = cgpiod_chip_has_label(chip, label);
    gpiod_chip_close(chip);
    return same;
}

/// Who has a line, by the name that it gave; empty where nobody has it or that can't be told.
static inline void cgpiod_holder(const char *path, unsigned offset, char *name, size_t size) {
    name[0] = 0;
    struct gpiod_chip *chip = gpiod_chip_open(path);
    if (!chip) return;
    cgpiod_chip_holder(chip, offset, name, size);
    gpiod_chip_close(chip);
}
