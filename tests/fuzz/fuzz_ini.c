/* INI files and the values of options; what was accepted is written as INI text, and must be accepted again, as the
 * same, and be found to be the same. Whatever text an earlier version may have left is compared, or refused in one
 * line. */
#include "app/app.h"
#include "file.h"
#include "mige/error.h"
#include <string.h>

static char *parse(const uint8_t *bytes, size_t size, const mige_command *command) {
    static config c;
    char *text = NULL;
    if (mige_options_defaults(&option_table, &c)) abort();
    if (mige_options_file(&option_table, command, &c, as_file(bytes, size), 0)) {
        if (!*mige_error() || strchr(mige_error(), '\n')) abort();
        return NULL;
    }
    if (mige_options_config(&option_table, command, &c, &text)) abort();
    const mige_options_given given = {&option_table, command, &c};
    if (mige_options_same(&given, "text", text, "")) abort();
    return text;
}

static void compare(const uint8_t *bytes, size_t size, const mige_command *command) {
    static config c;
    const mige_options_given given = {&option_table, command, &c};
    char value[MIGE_OPT_TEXT_SIZE], *text = strndup((const char *)bytes, size);
    if (!text || mige_options_defaults(&option_table, &c)) abort();
    if (mige_options_same(&given, "text", text, "") && (!*mige_error() || strchr(mige_error(), '\n'))) abort();
    mige_options_find(text, "images", value);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    if (size < 1) return 0;
    const mige_command *command = &option_table.commands[bytes[0] % option_table.ncommands];
    compare(bytes + 1, size - 1, command);
    char *text = parse(bytes + 1, size - 1, command);
    if (!text) return 0;
    char *again = parse((const uint8_t *)text, strlen(text), command);
    if (!again || strcmp(text, again) != 0) {
        fprintf(stderr, "--- %s\n+++ %s\n%s\n", text, again ? again : "refused", mige_error());
        abort();
    }
    free(text);
    free(again);
    return 0;
}
