#include "lib/prometheus.h"

#include <inttypes.h>

void histogram_add(struct histogram *h, double seconds)
{
	double bound = h->first;
	h->count++;
	h->sum += seconds;
	for (size_t i = 0; i < HISTOGRAM_BOUNDS; i++) {
		if (seconds <= bound) {
			h->counts[i]++;
			return;
		}
		bound *= h->step;
	}
}

void prometheus_family(struct buf *out, const char *name, enum prometheus_type type, const char *help)
{
	static const char *const types[] = {
		[PROMETHEUS_GAUGE] = "gauge", [PROMETHEUS_COUNTER] = "counter", [PROMETHEUS_HISTOGRAM] = "histogram"
	};
	buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, types[type]);
}

static void prometheus_value(struct buf *out, const char *text)
{
	for (; *text; text++)
		if (*text == '\n')
			buf_str(out, "\\n");
		else
			buf_printf(out, "%s%c", *text == '"' || *text == '\\' ? "\\" : "", *text);
}

static void prometheus_labels(struct buf *out, struct prometheus_label a, struct prometheus_label b)
{
	const struct prometheus_label both[] = { a, b };
	bool is_open = false;
	for (size_t i = 0; i < ARRAY_LEN(both); i++) {
		if (!both[i].name)
			continue;
		buf_printf(out, "%s%s=\"", is_open ? "," : "{", both[i].name);
		prometheus_value(out, both[i].value);
		buf_byte(out, '"');
		is_open = true;
	}
	if (is_open)
		buf_byte(out, '}');
}

void prometheus_sample(struct buf *out, const char *name, struct prometheus_label a, struct prometheus_label b,
		       double value)
{
	buf_str(out, name);
	prometheus_labels(out, a, b);
	buf_printf(out, " %.15g\n", value);
}

void prometheus_histogram(struct buf *out, const char *name, struct prometheus_label label, const struct histogram *h)
{
	static const struct prometheus_label none = { NULL, NULL };
	double bound = h->first;
	uint64_t below = 0;
	CLEANUP(free_p) char *bucket = mem_printf("%s_bucket", name);
	CLEANUP(free_p) char *sum = mem_printf("%s_sum", name);
	CLEANUP(free_p) char *count = mem_printf("%s_count", name);
	for (size_t i = 0; i < HISTOGRAM_BOUNDS; i++) {
		char text[32];
		str_format(text, sizeof text, "%.6g", bound);
		below += h->counts[i];
		prometheus_sample(out, bucket, label, (struct prometheus_label){ "le", text }, (double)below);
		bound *= h->step;
	}
	prometheus_sample(out, bucket, label, (struct prometheus_label){ "le", "+Inf" }, (double)h->count);
	prometheus_sample(out, sum, label, none, h->sum);
	prometheus_sample(out, count, label, none, (double)h->count);
}
