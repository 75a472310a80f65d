/*
 * The only file that turns the C library's process-wide time zone, which it puts back
 * before it returns. glibc reads what tzdata says, the rule for years past the end of a
 * table included; the other libraries that do are in C++ (cctz), come with zones of their
 * own (ICU), or are far larger than this file (GLib).
 *
 * glibc is given the path of a file that was looked at just before, never a name: what it
 * cannot read it silently takes for UTC.
 */
#include "lib/zone.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include "lib/buf.h"
#include "lib/nearest.h"

#define ZONE_FOLDER   "/usr/share/zoneinfo"
#define ZONE_PATH_MAX 512
#define ZONE_PROBE_S  21600 /* finer than any two changes of an offset are apart */

#define ZONE_HINT "name a zone of the IANA database, such as Europe/Berlin, or UTC"

static const char *zone_folder(void)
{
	const char *folder = getenv("TZDIR"); /* as the C library does */
	return folder && *folder ? folder : ZONE_FOLDER;
}

/* Neither "." nor "..", nor an absolute path can be said in these letters. */
static bool zone_is_name(const char *name)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_+-/";
	static const char *const others[] = { "localtime", "posixrules" };
	size_t len = strlen(name);

	if (len == 0 || len > ZONE_NAME_MAX || name[strspn(name, letters)] != '\0')
		return false;
	if (name[0] == '/' || name[len - 1] == '/' || strstr(name, "//"))
		return false;
	for (size_t i = 0; i < ARRAY_LEN(others); i++)
		if (strcmp(name, others[i]) == 0)
			return false;
	return strncmp(name, "right/", 6) != 0 && strncmp(name, "posix/", 6) != 0;
}

static bool zone_is_utc(const char *name)
{
	return strcmp(name, "UTC") == 0;
}

/* The folder holds tables for people, too. */
static bool zone_is_file(const char *path)
{
	CLEANUP(close_fd) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	struct stat st;
	char magic[4];
	return fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && read(fd, magic, sizeof magic) == sizeof magic &&
	       memcmp(magic, "TZif", sizeof magic) == 0;
}

static bool zone_path(const char *name, char path[ZONE_PATH_MAX], struct error *err)
{
	return str_format(path, ZONE_PATH_MAX, "%s/%s", zone_folder(), name) ||
	       error_set(err, ERR_SYSTEM, "give TZDIR a shorter path", "time zone %s: the path of its file is too long",
			 name);
}

/* The zone that was probably meant, from the table that tzdata brings along: "Z <zone> …", "L <zone> <other name>".
 * Names without a region are too short for guesses. */
static void zone_guess(const char *name, char guess[ZONE_NAME_MAX + 1])
{
	char path[ZONE_PATH_MAX], line[512], candidate[ZONE_NAME_MAX + 1];
	struct nearest nearest = { .name = name };

	guess[0] = '\0';
	CLEANUP(fclose_p)
	FILE *f = str_format(path, sizeof path, "%s/tzdata.zi", zone_folder()) ? fopen(path, "re") : NULL;
	while (f && fgets(line, sizeof line, f)) {
		if (sscanf(line, "Z %64s", candidate) != 1 && sscanf(line, "L %*s %64s", candidate) != 1)
			continue;
		if (strchr(candidate, '/'))
			nearest_offer(&nearest, candidate);
		if (nearest.best == candidate) {
			str_copy(guess, ZONE_NAME_MAX + 1, candidate);
			nearest.best = guess;
		}
	}
}

static bool zone_unknown(const char *name, struct error *err)
{
	char guess[ZONE_NAME_MAX + 1], hint[sizeof guess + 16];

	zone_guess(name, guess);
	return error_set(err, ERR_INPUT,
			 *guess && str_format(hint, sizeof hint, "did you mean %s?", guess) ? hint : ZONE_HINT,
			 "there is no time zone \"%s\"", name);
}

bool zone_find(const char *name, struct zone *zone, struct error *err)
{
	char path[ZONE_PATH_MAX];

	if (!zone_is_name(name))
		return error_set(err, ERR_INPUT, ZONE_HINT, "\"%.*s\" cannot be the name of a time zone", ZONE_NAME_MAX,
				 name);
	if (!zone_is_utc(name)) {
		if (!zone_path(name, path, err))
			return false;
		if (!zone_is_file(path) && access(zone_folder(), F_OK) != 0)
			return error_set(err, ERR_SYSTEM, "install tzdata; UTC works without it",
					 "time zone %s: there are no time zones in %s", name, zone_folder());
		if (!zone_is_file(path))
			return zone_unknown(name, err);
	}
	str_copy(zone->name, sizeof zone->name, name);
	return true;
}

/* What the C library says in the zone that is set. */
static int64_t zone_offset(int64_t at_s)
{
	time_t at = (time_t)at_s;
	struct tm tm;
	return localtime_r(&at, &tm) ? tm.tm_gmtoff : 0; /* fails for years past 2^31 alone */
}

/* The first second with another offset than from_s has; until_s has one. */
static int64_t zone_change(int64_t from_s, int64_t until_s)
{
	int64_t offset_s = zone_offset(from_s);
	while (until_s - from_s > 1) {
		int64_t middle_s = from_s + (until_s - from_s) / 2;
		if (zone_offset(middle_s) == offset_s)
			from_s = middle_s;
		else
			until_s = middle_s;
	}
	return until_s;
}

static void zone_survey(struct zone_view *view)
{
	int64_t at_s = view->spans[0].from_s;
	int64_t offset_s = zone_offset(at_s);

	view->spans[0].offset_s = offset_s;
	while (at_s < view->until_s - 1 && view->count < ZONE_SPANS_MAX) {
		int64_t next_s = at_s + ZONE_PROBE_S < view->until_s ? at_s + ZONE_PROBE_S : view->until_s - 1;
		if (zone_offset(next_s) != offset_s) {
			next_s = zone_change(at_s, next_s);
			offset_s = zone_offset(next_s);
			view->spans[view->count++] = (struct zone_span){ next_s, offset_s };
		}
		at_s = next_s;
	}
}

/* Runs the survey with TZ set to tz. */
static bool zone_survey_in(const char *tz, struct zone_view *view)
{
	CLEANUP(free_p) char *was = mem_strdup(getenv("TZ"));

	if (setenv("TZ", tz, 1) != 0)
		return false;
	tzset();
	zone_survey(view);
	bool is_back = was ? setenv("TZ", was, 1) == 0 : unsetenv("TZ") == 0;
	tzset();
	return is_back;
}

bool zone_look(const struct zone *zone, int64_t from_s, int64_t until_s, struct zone_view *view, struct error *err)
{
	char path[ZONE_PATH_MAX], tz[ZONE_PATH_MAX + 1];

	if (until_s <= from_s || until_s - from_s > ZONE_LOOK_MAX_S)
		return error_set(err, ERR_INTERNAL, NULL, "time zone %s: a view of %lld s was asked for", zone->name,
				 (long long)(until_s - from_s));
	*view = (struct zone_view){ .spans = { { .from_s = from_s } }, .count = 1, .until_s = until_s };
	if (zone_is_utc(zone->name))
		return true;
	if (!zone_path(zone->name, path, err))
		return false;
	if (!zone_is_file(path) || !str_format(tz, sizeof tz, ":%s", path))
		return error_set(err, ERR_SYSTEM, "install tzdata; UTC works without it",
				 "time zone %s: %s is no file of a time zone any more", zone->name, path);
	return zone_survey_in(tz, view) || error_errno(err, ERR_SYSTEM, NULL, "time zone %s: setting TZ", zone->name);
}
