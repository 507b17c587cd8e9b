/* What the user sees: lines on standard output, progress, warnings and the one error line on standard error. Only
 * the rank that is told to speaks. Not collective. */
#ifndef MIGE_LOG_H
#define MIGE_LOG_H

enum mige_progress { MIGE_PROGRESS_AUTO, MIGE_PROGRESS_BAR, MIGE_PROGRESS_LINE, MIGE_PROGRESS_NONE };

/* speaks: 1 on the rank that prints; quiet: only warnings and errors. */
void mige_log_setup(int speaks, int quiet, enum mige_progress mode);

/* A line (the newline is added): on standard output; a result that was asked for, so printed even with --quiet; and
 * "mige: warning: ..." on standard error. */
enum mige_line_kind { MIGE_LINE_SAY, MIGE_LINE_PRINT, MIGE_LINE_WARN };
void mige_line(enum mige_line_kind kind, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
#define mige_say(...) mige_line(MIGE_LINE_SAY, __VA_ARGS__)
#define mige_print(...) mige_line(MIGE_LINE_PRINT, __VA_ARGS__)
#define mige_warn(...) mige_line(MIGE_LINE_WARN, __VA_ARGS__)
/* MIGE_EOUTPUT if any of what went to standard output so far is lost (a full disk, a closed stream). */
int mige_line_check(void);

/* Progress of `total` items: a bar on a terminal, else a line now and then (every tenth, and not more often than
 * every two seconds). `text` says what there is to see, may be "". One inside another shows nothing. */
void mige_progress_begin(const char *label, long total);
void mige_progress_update(long done, const char *text);
/* Whether the next update would show something: to spare the making of `text`. */
int mige_progress_due(long done);
void mige_progress_end(void);

/* "1:05" or "2:03:04". */
void mige_time_text(double seconds, char text[32]);
/* Width of the terminal that standard output goes to, 100 where it does not tell; 0: it goes elsewhere. */
int mige_columns(void);

#endif
