/* np: 1 */
/* The table of options: command line, INI files, help, and the text of a configuration. */
#include "mige/options.h"
#include "raised.h"
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A program of two commands. */
typedef struct {
    int64_t count, seed;
    double rate, share;
    int fast, solver;
    char name[MIGE_OPT_TEXT_SIZE], config[MIGE_OPT_TEXT_SIZE], extra[MIGE_OPT_TEXT_SIZE];
} settings;

enum { RUN = 1, SHOW = 2 };
#define AT(field) offsetof(settings, field)
static const mige_option options[] = {
    {"count", MIGE_OPT_INT, AT(count), "12", 1, 1000, NULL, RUN, 0, "images", "how many"},
    {"seed", MIGE_OPT_INT, AT(seed), "1", 0, 9e15, NULL, RUN | SHOW, SHOW, "N", "of all random numbers"},
    {"rate", MIGE_OPT_REAL, AT(rate), "1e-4", 1e-12, 1e3, NULL, RUN, 0, "X", "of learning"},
    {"share", MIGE_OPT_REAL, AT(share), "-0.5", 0, 0, NULL, RUN, 0, "X", "any number"},
    {"fast", MIGE_OPT_FLAG, AT(fast), "no", 0, 0, NULL, RUN, RUN | SHOW, "", "be quick about it"},
    {"solver", MIGE_OPT_CHOICE, AT(solver), "lapack", 0, 0, "auto|lapack|scalapack", RUN, 0, "", "of the problem"},
    {"name", MIGE_OPT_TEXT, AT(name), "nobody", 0, 0, NULL, RUN, 0, "TEXT", "what it is called"},
    {"config", MIGE_OPT_TEXT, AT(config), "", 0, 0, NULL, RUN | SHOW, 0, "FILE", "read options from a file"},
    {"extra", MIGE_OPT_TEXT, AT(extra), "", 0, 0, NULL, SHOW, 0, "TEXT", "only of show"},
};
static const mige_command commands[] = {
    {"run", RUN, "Runs.", "--name TEXT"},
    {"show", SHOW, "Shows.", ""},
};
static const mige_option_table table = {options, sizeof options / sizeof *options, commands, 2};

static int parse(settings *s, const char *line) {
    static char words[4096], *argv[64];
    int argc = 0, help;
    snprintf(words, sizeof words, "%s", line);
    for (char *w = strtok(words, " "); w; w = strtok(NULL, " ")) argv[argc++] = w;
    assert_int_equal(mige_options_defaults(&table, s), MIGE_OK);
    int err = mige_options_parse(&table, &commands[0], s, argc, argv, &help);
    if (!err) assert_int_equal(help, strstr(line, "-h") != NULL);
    return err;
}

static void option_defaults(void **state) {
    settings s;
    (void)state;
    memset(&s, 7, sizeof s);
    assert_int_equal(mige_options_defaults(&table, &s), MIGE_OK);
    assert_true(s.count == 12 && s.seed == 1 && s.rate == 1e-4 && s.share == -0.5 && s.fast == 0 && s.solver == 1);
    assert_string_equal(s.name, "nobody");
    assert_string_equal(s.config, "");
}

static void option_values(void **state) {
    settings s;
    (void)state;
    assert_int_equal(parse(&s, "--count 7 --rate=0.25 --fast --solver scalapack --name=a=b --share -3e2"), MIGE_OK);
    assert_true(s.count == 7 && s.rate == 0.25 && s.fast == 1 && s.solver == 2 && s.share == -300);
    assert_string_equal(s.name, "a=b");
    assert_int_equal(parse(&s, "--count 1000 --seed 9000000000000000 --rate 1e-12"), MIGE_OK);
    assert_true(s.count == 1000 && s.seed == INT64_C(9000000000000000) && s.rate == 1e-12);
    assert_int_equal(parse(&s, "--count 1e2 --name= --fast=no"), MIGE_OK);
    assert_true(s.count == 100 && s.fast == 0 && !*s.name);
    assert_int_equal(parse(&s, "--count 3 --count 4 --fast=YES"), MIGE_OK); /* the last one holds */
    assert_true(s.count == 4 && s.fast == 1);
    assert_int_equal(parse(&s, "--bad 1 --help"), MIGE_OK);
    assert_int_equal(parse(&s, "-h"), MIGE_OK);
    assert_int_equal(parse(&s, ""), MIGE_OK);
}

/* What each line is answered with: the parts that the message must have. */
static void option_errors(void **state) {
    static const struct {
        const char *line, *option, *why;
    } cases[] = {
        {"--cuont 3", "--cuont", "nearest: count"},
        {"--solvr=lapack", "--solvr", "nearest: solver"},
        {"--name x --rats 3", "--rats", "nearest: rate"},
        {"--hlep", "--hlep", "nearest: help"},
        {"--extra 3", "--extra", "not an option of run"},
        {"--extr 3", "--extr", "nearest: "}, /* not extra, which is another command's */
        {"--count 0", "--count", "out of range (1 to 1000)"},
        {"--count 1001", "--count", "out of range"},
        {"--count -1", "--count", "out of range"},
        {"--count 2.5", "--count", "whole number"},
        {"--count many", "--count", "\"many\" is not a number"},
        {"--count 3x", "--count", "not a number"},
        {"--count=", "--count", "not a number"},
        {"--count nan", "--count", "number"},
        {"--count inf", "--count", "number"},
        {"--count 99999999999999999999999", "--count", "number"},
        {"--rate 1e-13", "--rate", "out of range"},
        {"--rate nan", "--rate", "out of range"},
        {"--rate inf", "--rate", "out of range"},
        {"--rate 1e999", "--rate", "number"},
        {"--share nan", "--share", "out of range"},
        {"--solver qr", "--solver", "one of auto|lapack|scalapack"},
        {"--fast=maybe", "--fast", "yes or no"},
        {"--fast yes", "yes", "not an option"},
        {"--count", "--count", "value is missing"},
        {"--count --fast", "--count", "value is missing"},
        {"stray", "stray", "not an option"},
        {"-x", "-x", "not an option"},
        {"--", "--", "not an option"},
        {"--config", "--config", "value is missing"},
    };
    settings s;
    (void)state;
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        int err = parse(&s, cases[k].line);
        if (err != MIGE_EUSAGE) print_error("%s\n", cases[k].line);
        assert_raised(err, MIGE_EUSAGE, cases[k].why);
        assert_non_null(strstr(mige_error(), cases[k].option));
    }
    assert_null(strstr(mige_error(), "extra"));
    char line[2200] = "--name ";
    memset(line + 7, 'x', MIGE_OPT_TEXT_SIZE - 1);
    assert_int_equal(parse(&s, line), MIGE_OK);
    assert_int_equal(strlen(s.name), MIGE_OPT_TEXT_SIZE - 1);
    line[7 + MIGE_OPT_TEXT_SIZE - 1] = 'x';
    assert_raised(parse(&s, line), MIGE_EUSAGE, "--name: longer");
}

static void option_commands(void **state) {
    (void)state;
    assert_ptr_equal(mige_options_command(&table, "show"), &commands[1]);
    assert_null(mige_options_command(&table, "shwo"));
    assert_non_null(strstr(mige_error(), "nearest: show"));
    assert_null(mige_options_command(&table, ""));
    char text[8];
    mige_options_choice("lapack|scalapack", 1, text, sizeof text);
    assert_string_equal(text, "scalapa");
    mige_options_choice("lapack|qr", 0, text, sizeof text);
    assert_string_equal(text, "lapack");
    mige_options_choice("lapack|qr", 1, text, sizeof text);
    assert_string_equal(text, "qr");
}

static const char *const ini = "test_options.ini";

static void write_ini(const char *text) {
    FILE *f = fopen(ini, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static int from_ini(settings *s, const char *text) {
    write_ini(text);
    return parse(s, "--config test_options.ini");
}

static void ini_files(void **state) {
    settings s;
    (void)state;
    assert_int_equal(from_ini(&s,
                              "count = 5\n; a comment\n# another\n[run]\nrate=0.5\nfast = yes\n[show]\nextra = x\n"
                              "[run]\nname = two words\n"),
                     MIGE_OK);
    assert_true(s.count == 5 && s.rate == 0.5 && s.fast == 1);
    assert_string_equal(s.name, "two words");
    assert_string_equal(s.extra, ""); /* another command's */
    assert_string_equal(s.config, ini);
    /* The command line beats the file, wherever --config stands. */
    write_ini("count = 5\nrate = 0.5\n");
    assert_int_equal(parse(&s, "--count 6 --config test_options.ini"), MIGE_OK);
    assert_true(s.count == 6 && s.rate == 0.5);
    assert_int_equal(parse(&s, "--config=test_options.ini --count 6"), MIGE_OK);
    assert_true(s.count == 6 && s.rate == 0.5);
    assert_int_equal(from_ini(&s, ""), MIGE_OK);
    assert_int_equal(from_ini(&s, "[run]\r\ncount = 8\r\n"), MIGE_OK);
    assert_int_equal(s.count, 8);
    assert_int_equal(from_ini(&s, "count = 9"), MIGE_OK); /* no newline at the end */
    assert_int_equal(s.count, 9);
    assert_int_equal(from_ini(&s, "[run]\n  count = 3\n\tname = a\n  [show]\n  extra = x\n"), MIGE_OK);
    assert_true(s.count == 3); /* a section's indented lines do not go on with the one before */
    assert_string_equal(s.name, "a");
    unlink(ini);
}

static void ini_errors(void **state) {
    static const struct {
        const char *text, *where, *why;
    } cases[] = {
        {"[run]\ncount = 3\ncuont = 4\n", ".ini:3: cuont", "nearest: count"},
        {"\n\n[run]\n\ncount = 0\n", ".ini:5: count", "out of range"},
        {"; x\nsolver = qr\n", ".ini:2: solver", "one of"},
        {"[show]\nextra = 1\n[show]\nextar = 1\n", ".ini:4: extar", "nearest: extra"},
        {"[show]\ncount = 1\n", ".ini:2: count", "not an option of show"},
        {"[rnu]\ncount = 1\n", ".ini:1", "no command's section"},
        {"[rnu]\n", ".ini:1", "no command's section"},
        {"[run] count = 1\n", ".ini:1", "behind a section"},
        {"count = 1\ncount = 1\n", ".ini:2: count", "set already in line 1"},
        {"[run]\ncount = 1\n[show]\nextra = 1\n[run]\ncount = 1\n", ".ini:6: count", "set already in line 2"},
        {"name = a\n  count = 3\n", ".ini:2: name", "indented"},
        {"config = b.ini\n", ".ini:1: config", "cannot name another"},
        {"[run]\nnonsense\n", ".ini:2", "name = value"},
        {"[run\ncount = 1\n", ".ini:1", ""},
        {"extra = 1\n", ".ini:1: extra", "not an option of run"},
        {"count = 0\ncuont = 1\n", ".ini:1: count", "out of range"}, /* the first of two */
        /* found by fuzzing: what was written as INI text was not read back as it was */
        {"name = a\fb\n", ".ini:1: name", "control character"},
        {"name = x[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[y\n", ".ini:1: name", "brackets"},
        {"name = x                                                             y\n", ".ini:1: name", "spaces"},
    };
    settings s;
    (void)state;
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        int err = from_ini(&s, cases[k].text);
        if (err != MIGE_EUSAGE) print_error("%s\n", cases[k].text);
        assert_raised(err, MIGE_EUSAGE, cases[k].where);
        assert_non_null(strstr(mige_error(), cases[k].why));
    }
    unlink(ini);
    assert_raised(parse(&s, "--config test_options.ini"), MIGE_EINPUT, "test_options.ini: ");
    assert_raised(parse(&s, "--config ."), MIGE_EINPUT, ".: ");
}

/* The text of a configuration, read again, is the configuration. */
static void config_reads_back(void **state) {
    static const double reals[] = {0.1, 1e-4, 1. / 3, 1e-12, 999.99999999999, 123456789e-7};
    static char longest[MIGE_OPT_TEXT_SIZE];
    static const char *const texts[] = {
        "", "a b", "x=y:z", "/data/set;1.h5", "100% #1", "[x]", "\"quoted\"", "# 1", "=", longest,
    };
    settings s, back;
    char *text, *again;
    int failed = 0;
    (void)state;
    memset(longest, 'y', sizeof longest - 1);
    assert_int_equal(mige_options_defaults(&table, &s), MIGE_OK);
    for (size_t k = 0; k < sizeof texts / sizeof *texts; k++) {
        s.count = 1 + (int64_t)k;
        s.seed = INT64_C(8999999999999999) - (int64_t)k;
        s.rate = reals[k % 6];
        s.share = -reals[(k + 1) % 6];
        s.fast = k % 2;
        s.solver = k % 3;
        strcpy(s.name, texts[k]);
        assert_int_equal(mige_options_config(&table, &commands[0], &s, &text), MIGE_OK);
        int err = from_ini(&back, text);
        strcpy(back.config, s.config);
        if (err || back.count != s.count || back.seed != s.seed || back.rate != s.rate || back.share != s.share ||
            back.fast != s.fast || back.solver != s.solver || strcmp(back.name, s.name) != 0) {
            print_error("\"%.40s\" reads back as \"%.40s\": %s\n", texts[k], back.name, err ? mige_error() : "");
            failed++;
        }
        assert_int_equal(mige_options_config(&table, &commands[0], &back, &again), MIGE_OK);
        failed += strcmp(text, again) != 0;
        free(text);
        free(again);
    }
    unlink(ini);
    assert_int_equal(failed, 0);
}

/* What would not read back is refused at once. */
static void odd_texts(void **state) {
    static const char *const texts[] = {"run ; the second", "; last", " lead", "trail ", "two\nlines", "a\tb"};
    settings s;
    (void)state;
    assert_int_equal(mige_options_defaults(&table, &s), MIGE_OK);
    for (size_t k = 0; k < sizeof texts / sizeof *texts; k++)
        assert_raised(mige_options_set(&table, &commands[0], &s, "--name", "name", texts[k]), MIGE_EUSAGE,
                      "--name: ");
}

/* What was begun with some options is gone on with only with the same, but for those that change no result. */
static void earlier_texts(void **state) {
    static const struct {
        const char *text, *part; /* of the message; "": none, they are the same */
    } cases[] = {
        {"[run]\ncount = 7\nrate = 0.0001\n", ""},
        {"count = 7\n", ""},                         /* without a section; the others as their defaults */
        {"count = 7.0\nrate = 1E-4\n", ""},          /* by value, not by letters */
        {"count = 7\nfast = yes\n", ""},             /* free */
        {"count = 7\nfast = perhaps\n", ""},         /* free, whatever it says */
        {"count = 7\nwheels = 4\nimages = 9\n", ""}, /* another version's */
        {"count = 7\nconfig = some.ini\n", ""},
        {"count = 7\nextra = x\n", ""},         /* another command's */
        {"count = 7\nname = no\n  body\n", ""}, /* a value on two lines */
        {"", "--count: OLD has \"12\", this command \"7\" (DO)"},
        {"count = 7\nrate = 0.5\n", "--rate: OLD has \"0.5\", this command \"0.0001\" (DO)"},
        {"count = 7\nname = nobody\n  else\n", "--name: OLD has \"nobodyelse\", this command \"nobody\" (DO)"},
        {"count = 7\nseed = 2\n", "--seed"}, /* free for show, not for run */
        {"count = 7\nsolver = qr\n", "OLD:2: solver: \"qr\" is not a choice"},
    };
    settings s;
    (void)state;
    mige_options_given given = {&table, &commands[0], &s};
    assert_int_equal(parse(&s, "--count 7"), MIGE_OK);
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        int err = mige_options_same(&given, "OLD", cases[k].text, "DO");
        if (*cases[k].part || err) assert_raised(err, MIGE_EUSAGE, *cases[k].part ? cases[k].part : "none");
    }
    char value[MIGE_OPT_TEXT_SIZE], *text;
    assert_int_equal(mige_options_config(&table, &commands[0], &s, &text), MIGE_OK);
    assert_int_equal(mige_options_same(&given, "OLD", text, "DO"), MIGE_OK);
    free(text);
    mige_options_find("[run]\ncount = 7\nimages = 500\n", "images", value);
    assert_string_equal(value, "500");
    mige_options_find("[run]\nname = in\n  two\nseed = 1\n", "name", value);
    assert_string_equal(value, "intwo");
    mige_options_find("[run]\ncount = 7\n", "images", value);
    assert_string_equal(value, "");
}

/* Of the last place that a value came from, the command line counts for none. */
static void origins(void **state) {
    settings s;
    (void)state;
    write_ini("count = 3\n[run]\nname = a\n");
    assert_int_equal(parse(&s, "--name b --config test_options.ini"), MIGE_OK);
    assert_string_equal(mige_options_origin(&table, "count: is odd"), "test_options.ini:1: ");
    assert_string_equal(mige_options_origin(&table, "--count: is odd"), "test_options.ini:1: ");
    assert_string_equal(mige_options_origin(&table, "name \"b\": is short"), "");
    assert_string_equal(mige_options_origin(&table, "F.h5: count"), "");
    assert_int_equal(mige_options_file(&table, &commands[0], &s, ini, 0), MIGE_OK); /* of another configuration */
    assert_string_equal(mige_options_origin(&table, "name \"b\": is short"), "");
    unlink(ini);
}

static void help_tells_all(void **state) {
    char *text;
    (void)state;
    for (int c = 0; c < 2; c++) {
        assert_int_equal(mige_options_help(&table, &commands[c], "prog", c ? "rate=7 seed=77" : "", &text),
                         MIGE_OK);
        assert_non_null(strstr(text, commands[c].help));
        assert_non_null(strstr(text, "prog"));
        for (int i = 0; i < table.noptions; i++) {
            char name[80];
            snprintf(name, sizeof name, "--%s ", options[i].name);
            int has = strstr(text, name) && strstr(text, options[i].help);
            assert_int_equal(has, (options[i].commands & commands[c].bit) != 0);
        }
        if (c == 0) {
            assert_non_null(strstr(text, "1 to 1000"));
            assert_non_null(strstr(text, "default 1e-4"));
            assert_non_null(strstr(text, "auto|lapack|scalapack"));
            assert_non_null(strstr(text, "images"));
        } else {
            assert_non_null(strstr(text, "default 77;"));
        }
        free(text);
    }
}

int main(void) {
    char folder[] = "/tmp/mige-test-options-XXXXXX";
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(option_defaults),   cmocka_unit_test(option_values), cmocka_unit_test(option_errors),
        cmocka_unit_test(option_commands),   cmocka_unit_test(ini_files),     cmocka_unit_test(ini_errors),
        cmocka_unit_test(config_reads_back), cmocka_unit_test(odd_texts),     cmocka_unit_test(help_tells_all),
        cmocka_unit_test(earlier_texts),     cmocka_unit_test(origins),
    };
    if (!mkdtemp(folder) || chdir(folder) != 0) return 1;
    int failed = cmocka_run_group_tests_name("options", tests, NULL, NULL);
    if (chdir("/") != 0 || rmdir(folder) != 0) failed++;
    return failed;
}
