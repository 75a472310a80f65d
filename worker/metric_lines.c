#include "worker/metric_lines.h"

#include <ctype.h>
#include <math.h>
#include <string.h>
#include <strings.h>
#include "lib/buf.h"

enum { METRIC_LINE_MAX = 16 * 1024 }; /* a longer line is data, not a report */

struct metric_scan {
	const char *p, *start, *end;
	struct metric_point *point;
	bool has_tqdm_epoch; /* "Epoch 3:  45%|…": the counter of the bar is within the epoch */
};

/* Last words of names that are reports even behind a colon or a space ("val_loss: 0.3", "loss 2.7"). */
static const char *const metric_words[] = {
	"loss",  "acc",       "accuracy", "lr",      "rate", "ppl",   "perplexity", "f1",     "auc",
	"mae",   "mse",       "rmse",     "nll",     "bleu", "wer",   "cer",        "iou",    "psnr",
	"ssim",  "kl",        "bpb",      "bpc",     "elbo", "error", "reward",     "return", "norm",
	"score", "precision", "recall",   "entropy", "top1", "top5",  "dice",       "map",    "fid",
};
/* Numbers that are no measurement of the training. */
static const char *const metric_noise[] = { "time_ms", "ts",   "time",   "timestamp", "pid", "port",
					    "v_num",   "line", "lineno", "level",     "tid", "rank" };
static const char *const metric_total_words[] = { "steps", "total_steps", "max_steps", "num_steps" };
static const char *const metric_step_words[] = { "step", "global_step", "iter", "iteration", "train_step" };

static bool metric_is_one_of(const char *const *words, size_t count, const char *name, size_t len)
{
	for (size_t i = 0; i < count; i++)
		if (strlen(words[i]) == len && !strncasecmp(words[i], name, len))
			return true;
	return false;
}

/* Asked for every byte a program prints: M may start a name, N may stand in it. */
enum { M = 3, N = 2 };
static const unsigned char metric_chars[256] = {
	['a' ... 'z'] = M, ['A' ... 'Z'] = M, ['_'] = M, ['0' ... '9'] = N, ['.'] = N, ['/'] = N, ['-'] = N,
};

static bool metric_is_name_char(char c)
{
	return metric_chars[(unsigned char)c] != 0;
}

void metric_point_init(struct metric_point *point)
{
	point->step = point->total = -1;
	point->epoch = NAN;
	point->count = 0;
}

bool metric_point_add(struct metric_point *point, const char *name, size_t len, double value)
{
	if (!len || len > METRIC_NAME_MAX || !(isalpha((unsigned char)name[0]) || name[0] == '_'))
		return false;
	for (size_t i = 0; i < len; i++)
		if (!metric_is_name_char(name[i]))
			return false;
	if (len == 4 && !strncasecmp(name, "loss", 4))
		name = "loss"; /* one name, however it is written: it is what everybody looks for */
	for (size_t i = 0; i < point->count; i++) {
		if (!strncmp(point->values[i].name, name, len) && !point->values[i].name[len]) {
			point->values[i].value = value;
			return true;
		}
	}
	if (point->count == METRIC_VALUES_MAX)
		return false;
	struct metric_value *added = &point->values[point->count++];
	memcpy(added->name, name, len);
	added->name[len] = '\0';
	added->value = value;
	return true;
}

const struct metric_value *metric_point_find(const struct metric_point *point, const char *name)
{
	for (size_t i = 0; i < point->count; i++)
		if (!strcmp(point->values[i].name, name))
			return &point->values[i];
	return NULL;
}

void metric_point_settle(struct metric_point *point)
{
	for (size_t i = 0; point->step >= 0 && point->total < 0 && i < point->count; i++) {
		double value = point->values[i].value;
		const char *name = point->values[i].name;
		if (!metric_is_one_of(metric_total_words, ARRAY_LEN(metric_total_words), name, strlen(name)) ||
		    !(value >= (double)point->step && value < 1e15 && value == floor(value)))
			continue;
		point->total = (int64_t)value;
		point->count--;
		for (size_t j = i; j < point->count; j++)
			point->values[j] = point->values[j + 1];
	}
}

/* Length of the number at the start of text; 0: none. */
static size_t metric_number_len(const char *text, size_t len)
{
	static const char *const words[] = { "nan", "infinity", "inf" };
	size_t at = len && (text[0] == '-' || text[0] == '+'), digits = 0;
	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (len - at >= strlen(words[i]) && !strncasecmp(text + at, words[i], strlen(words[i])))
			return at + strlen(words[i]);
	for (; at < len && isdigit((unsigned char)text[at]); at++)
		digits++;
	if (at < len && text[at] == '.')
		for (at++; at < len && isdigit((unsigned char)text[at]); at++)
			digits++;
	if (!digits)
		return 0;
	if (text[at - 1] == '.')
		at--; /* the end of a sentence */
	if (at < len && (text[at] == 'e' || text[at] == 'E')) {
		size_t from = at + 1;
		if (from < len && (text[from] == '-' || text[from] == '+'))
			from++;
		size_t exponent = from;
		while (exponent < len && isdigit((unsigned char)text[exponent]))
			exponent++;
		if (exponent > from)
			at = exponent;
	}
	return at;
}

bool metric_lines_number(const char *text, size_t len, double *value)
{
	char copy[64];
	if (!len || len >= sizeof copy || metric_number_len(text, len) != len)
		return false;
	memcpy(copy, text, len);
	copy[len] = '\0';
	*value = strtod(copy, NULL);
	return true;
}

/* Whether a number that ends here is a number of its own, not the start of a version, a time or a unit. */
static bool metric_ends_number(const struct metric_scan *s, const char *p)
{
	if (p < s->end && *p == '%')
		p++;
	if (p == s->end || isspace((unsigned char)*p) || strchr(",;|)]}\"'", *p))
		return true;
	return *p == '.' && (p + 1 == s->end || isspace((unsigned char)p[1]));
}

/* Whether a name may start here: not inside an address, an option or another word. */
static bool metric_starts_name(const struct metric_scan *s, const char *p)
{
	return p == s->start || isspace((unsigned char)p[-1]) || strchr("[({,;|\"'", p[-1]);
}

static void metric_skip_space(struct metric_scan *s)
{
	while (s->p < s->end && (*s->p == ' ' || *s->p == '\t'))
		s->p++;
}

static const char *metric_skip_digits(const struct metric_scan *s, const char *p, int64_t *value)
{
	*value = 0;
	const char *from = p;
	for (; p < s->end && isdigit((unsigned char)*p) && p - from < 15; p++)
		*value = *value * 10 + (*p - '0');
	return p == from ? NULL : p;
}

/* "200", "200/2000", "[200/2000]", "3:": a position. Moves on only if it is one. */
static bool metric_take_position(struct metric_scan *s, int64_t *at, int64_t *total)
{
	const char *p = s->p + (s->p < s->end && *s->p == '[');
	*total = -1;
	p = metric_skip_digits(s, p, at);
	if (!p)
		return false;
	if (p < s->end && *p == '/') {
		p = metric_skip_digits(s, p + 1, total);
		if (!p)
			return false;
	}
	bool colon = p < s->end && *p == ':' && (p + 1 == s->end || isspace((unsigned char)p[1]));
	if (!colon && !metric_ends_number(s, p))
		return false;
	s->p = p;
	return true;
}

static bool metric_is_report(const char *name, size_t len)
{
	size_t word = len;
	while (word && !strchr("_/.-", name[word - 1]))
		word--;
	return metric_is_one_of(metric_words, ARRAY_LEN(metric_words), name + word, len - word);
}

/* "CUDA_VISIBLE_DEVICES": the environment, not a metric. */
static bool metric_is_variable(const char *name, size_t len)
{
	bool underscore = false;
	for (size_t i = 0; i < len; i++) {
		if (islower((unsigned char)name[i]))
			return false;
		underscore = underscore || name[i] == '_';
	}
	return underscore;
}

static void metric_note(struct metric_scan *s, const char *name, size_t len, double value)
{
	bool whole = isfinite(value) && value >= 0 && value < 1e15 && value == floor(value);
	if (metric_is_one_of(metric_step_words, ARRAY_LEN(metric_step_words), name, len)) {
		if (whole)
			s->point->step = (int64_t)value;
	} else if (len == 5 && !strncasecmp(name, "epoch", 5)) {
		s->point->epoch = value;
	} else if (!metric_is_one_of(metric_noise, ARRAY_LEN(metric_noise), name, len)) {
		metric_point_add(s->point, name, len, value);
	}
}

/* After "step" or "epoch" and maybe a separator: the position. */
static bool metric_take_named_position(struct metric_scan *s, const char *name, size_t len)
{
	int64_t at, total;
	bool is_epoch = len == 5 && !strncasecmp(name, "epoch", 5);
	if (!is_epoch && !metric_is_one_of(metric_step_words, ARRAY_LEN(metric_step_words), name, len))
		return false;
	if (!metric_take_position(s, &at, &total))
		return false;
	if (is_epoch) {
		s->point->epoch = (double)at;
		s->has_tqdm_epoch = s->p < s->end && *s->p == ':';
	} else {
		s->point->step = at;
		s->point->total = total;
	}
	return true;
}

/* How the name is tied to what follows decides how sure we must be. */
static bool metric_is_plausible(const char *name, size_t len, char separator, bool quoted, const char *number,
				size_t digits)
{
	if (quoted)
		return separator == ':';
	if (separator == '=')
		return !metric_is_variable(name, len);
	if (!metric_is_report(name, len))
		return false;
	/* Without any separator only what nobody writes in a sentence: "loss 2.713", not "error 404". */
	return separator == ':' || memchr(number, '.', digits) || !isdigit((unsigned char)number[digits - 1]);
}

/* Most words of most lines are followed by what is no number, no position and no text. */
static bool metric_may_begin_value(const struct metric_scan *s)
{
	return s->p < s->end && (isdigit((unsigned char)*s->p) || strchr("+-.[\"'nNiI", *s->p));
}

/* A name is at s->p. Takes the pair if it is one; in any case moves past the name. */
static void metric_take_name(struct metric_scan *s)
{
	bool quoted = s->p > s->start && strchr("\"'", s->p[-1]);
	const char *name = s->p;
	const char *after = name;
	while (after < s->end && metric_is_name_char(*after))
		after++;
	size_t len = (size_t)(after - name);
	s->p = after;
	if (quoted && (s->p == s->end || *s->p != name[-1]))
		return;
	s->p += quoted;
	metric_skip_space(s);
	char separator = s->p < s->end && (*s->p == '=' || *s->p == ':') ? *s->p++ : ' ';
	metric_skip_space(s);
	if (!metric_may_begin_value(s)) {
		s->p = after;
		return;
	}
	if (!quoted && metric_take_named_position(s, name, len))
		return;
	bool text = quoted && s->p < s->end && strchr("\"'", *s->p); /* a number in quotes is one, too */
	const char *number = s->p + text;
	size_t digits = metric_number_len(number, (size_t)(s->end - number));
	double value;
	if (digits && metric_ends_number(s, number + digits) &&
	    metric_is_plausible(name, len, separator, quoted, number, digits) &&
	    metric_lines_number(number, digits, &value)) {
		metric_note(s, name, len, value);
		s->p = number + digits;
	} else if (text) {
		const char *close = memchr(number, *s->p, (size_t)(s->end - number));
		s->p = close ? close + 1 : s->end; /* what stands in a text is no metric */
	} else {
		s->p = after;
	}
}

/* "Linear(in_features=784)": arguments of a call say nothing about the training. */
static void metric_skip_call(struct metric_scan *s)
{
	int depth = 0;
	for (; s->p < s->end; s->p++) {
		depth += *s->p == '(';
		depth -= *s->p == ')';
		if (!depth)
			return;
	}
}

/* "120/1000 [00:10<01:12, …": the counter of a progress bar is the step when nothing else says it. */
static void metric_find_bar(struct metric_scan *s, const char *text)
{
	for (const char *p = text; p < s->end && s->point->step < 0 && !s->has_tqdm_epoch; p++) {
		int64_t at, total;
		if (!isdigit((unsigned char)*p) ||
		    (p > text && (isdigit((unsigned char)p[-1]) || p[-1] == '/' || p[-1] == '.')))
			continue;
		const char *slash = metric_skip_digits(s, p, &at);
		const char *rest =
			slash && slash < s->end && *slash == '/' ? metric_skip_digits(s, slash + 1, &total) : NULL;
		if (rest && s->end - rest > 4 && rest[0] == ' ' && rest[1] == '[' && isdigit((unsigned char)rest[2]) &&
		    memchr(rest, '<', (size_t)(s->end - rest))) {
			s->point->step = at;
			s->point->total = total;
		}
	}
}

static size_t metric_without_escapes(const char *line, size_t len, char *into)
{
	size_t kept = 0;
	for (size_t i = 0; i < len; i++) {
		if (line[i] != '\033') {
			into[kept++] = line[i];
			continue;
		}
		if (i + 1 < len && line[i + 1] == '[')
			for (i += 2; i < len && !isalpha((unsigned char)line[i]); i++)
				;
	}
	return kept;
}

bool metric_lines_parse(const char *line, size_t len, struct metric_point *point)
{
	char plain[METRIC_LINE_MAX];
	const char *text = line;
	metric_point_init(point);
	if (len > METRIC_LINE_MAX)
		return false;
	if (memchr(line, '\033', len)) {
		len = metric_without_escapes(line, len, plain);
		text = plain;
	}
	struct metric_scan s = { .p = text, .start = text, .end = text + len, .point = point };
	while (s.p < s.end) {
		bool word = metric_chars[(unsigned char)*s.p] == M;
		if (*s.p == '(' && s.p > s.start && metric_is_name_char(s.p[-1]))
			metric_skip_call(&s);
		else if (word && metric_starts_name(&s, s.p))
			metric_take_name(&s);
		else
			s.p++;
	}
	if (point->count)
		metric_find_bar(&s, text);
	metric_point_settle(point);
	return point->count || point->step >= 0 || !isnan(point->epoch);
}
