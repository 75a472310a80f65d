#include "cli/goodput.h"

#include "lib/clock.h"
#include "lib/fields.h"

static const struct {
	const char *field, *words;
} goodput_rows[] = {
	{ "queued_ms", "queued" },     { "setup_ms", "setup" },   { "restore_ms", "restore" },
	{ "training_ms", "training" }, { "saving_ms", "saving" }, { "lost_ms", "lost" },
};

void goodput_share(const json_t *time, char *into, size_t size)
{
	double share;
	into[0] = '\0';
	if (fields_number(time, "productive", &share))
		str_format(into, size, "%.1f %%", share * 100);
}

void goodput_line(const json_t *time, struct buf *into)
{
	char text[32];
	for (size_t i = 0; i < ARRAY_LEN(goodput_rows); i++) {
		int64_t ms = fields_int(time, goodput_rows[i].field, 0), loading_ms = fields_int(time, "loading_ms", 0);
		if (ms <= 0)
			continue;
		clock_human(ms, text, sizeof text);
		buf_printf(into, "%s%s %s", into->len ? ", " : "", goodput_rows[i].words, text);
		clock_human(loading_ms, text, sizeof text);
		if (i == 1 && loading_ms > 0)
			buf_printf(into, " (%s of it loading)", text);
	}
	goodput_share(time, text, sizeof text);
	if (*text)
		buf_printf(into, "%s%s productive", into->len ? ": " : "", text);
}

void goodput_interval_line(const json_t *interval, const char *queue, struct buf *into)
{
	char every[32], save[32], mtbf[32], ran[32];
	int64_t ends = fields_int(interval, "ends", 0);
	if (!interval)
		return;
	clock_human(fields_int(interval, "every_ms", 0), every, sizeof every);
	clock_human(fields_int(interval, "save_ms", 0), save, sizeof save);
	clock_human(fields_int(interval, "mtbf_ms", 0), mtbf, sizeof mtbf);
	clock_human(fields_int(interval, "ran_ms", 0), ran, sizeof ran);
	buf_printf(into, "about every %s: one takes %s, and in queue %s ", every, save, queue);
	if (ends > 0)
		buf_printf(into, "an attempt ends badly every %s (%lld in %s)", mtbf, (long long)ends, ran);
	else
		buf_printf(into, "none has ended badly in %s", ran);
}
