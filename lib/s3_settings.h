/*
 * Where an s3:// store is and who we are there: from its URL, the environment, the
 * credentials file of AWS's tools, or the instance's metadata service (version 2 of it).
 *
 * A name of ours wins over AWS's: what begins with STOKER_ is not handed to the programs
 * that a worker runs, what begins with AWS_ is.
 */
#ifndef STOKER_LIB_S3_SETTINGS_H
#define STOKER_LIB_S3_SETTINGS_H

#include <stdbool.h>
#include <stdint.h>
#include "lib/error.h"
#include "lib/s3_sign.h"

struct s3_settings {
	char *url; /* "s3://bucket/prefix", without a slash at its end */
	char *bucket;
	char *prefix; /* "", or with a slash at its end */
	char *base;   /* "https://host:port" */
	char *host;   /* as it is sent and signed */
	char *region;
	char *id, *secret, *session; /* session NULL: keys that last */
	int64_t expires_s;           /* when they must be asked for again; 0: never */
	bool is_path_style;          /* /bucket/key, not bucket.host/key */
	char *ca_file;               /* NULL: the system's authorities */
};

/* Only the URL. */
bool s3_check_url(const char *url, struct error *err);

/* ERR_AUTH when there are no keys anywhere. s is the caller's (s3_settings_done), also on failure. */
bool s3_settings_read(const char *url, struct s3_settings *s, struct error *err) MUST_CHECK;
void s3_settings_done(struct s3_settings *s);

/* Keys that are about to expire are fetched anew. */
bool s3_settings_renew(struct s3_settings *s, int64_t now_s, struct error *err) MUST_CHECK;

struct s3_keys s3_settings_keys(const struct s3_settings *s);

#endif
