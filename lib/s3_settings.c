#include "lib/s3_settings.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lib/http_client.h"

#define S3_URL_PREFIX   "s3://"
#define S3_METADATA_URL "http://169.254.169.254"
#define S3_METADATA_MS  2000
#define S3_RENEW_S      300 /* before they expire */

/* The value of the first name that is set and not empty; NULL: none. */
static const char *s3_env(const char *const *names)
{
	for (; *names; names++) {
		const char *value = getenv(*names);
		if (value && *value)
			return value;
	}
	return NULL;
}
#define S3_ENV(...) s3_env((const char *const[]){ __VA_ARGS__, NULL })

static bool s3_is_bucket(const char *text, size_t len)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyz0123456789.-";
	CLEANUP(free_p) char *name = mem_strndup(text, len);
	return len >= 3 && len <= 63 && !name[strspn(name, allowed)] && !strchr(".-", name[0]) &&
	       !strchr(".-", name[len - 1]) && !strstr(name, "..");
}

bool s3_check_url(const char *url, struct error *err)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_=+:@,-./";
	bool is_s3 = strncmp(url, S3_URL_PREFIX, strlen(S3_URL_PREFIX)) == 0;
	const char *bucket = is_s3 ? url + strlen(S3_URL_PREFIX) : url;
	size_t len = strcspn(bucket, "/");
	const char *prefix = bucket + len;
	if (!is_s3 || !s3_is_bucket(bucket, len))
		return error_set(err, ERR_INPUT, "for example s3://my-bucket/runs",
				 "store %s: expected s3://bucket/prefix, and a bucket of 3 to 63 lower-case letters, "
				 "digits, dots, hyphens",
				 strchr(url, '@') && strchr(url, '@') < prefix ? "s3://…@…" : url);
	if (prefix[strspn(prefix, allowed)] || strstr(prefix, "//") || strstr(prefix, "/."))
		return error_set(
			err, ERR_INPUT, "for example s3://my-bucket/runs",
			"store %s: a prefix is made of letters, digits and _=+:@,-. in parts that do not begin "
			"with a dot",
			url);
	return true;
}

/* ---- keys ---- */

static void s3_set(char **field, const char *value)
{
	free(*field);
	*field = value ? mem_strdup(value) : NULL;
}

/* All of them from one place: what belongs to AWS's names does not fit ours. */
static bool s3_keys_from_environment(struct s3_settings *s, struct error *err)
{
	static const char *const names[][3] = {
		{ "STOKER_S3_ACCESS_KEY_ID", "STOKER_S3_SECRET_ACCESS_KEY", "STOKER_S3_SESSION_TOKEN" },
		{ "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN" },
	};
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		const char *id = S3_ENV(names[i][0]), *secret = S3_ENV(names[i][1]);
		if (!id && !secret)
			continue;
		if (!id || !secret)
			return error_set(err, ERR_AUTH, "set both, or neither", "store %s: %s is set, but not %s",
					 s->url, names[i][id ? 0 : 1], names[i][id ? 1 : 0]);
		s3_set(&s->id, id);
		s3_set(&s->secret, secret);
		s3_set(&s->session, S3_ENV(names[i][2]));
		return true;
	}
	return true;
}

static char *s3_trim(char *text)
{
	text += strspn(text, " \t");
	size_t len = strlen(text);
	while (len && strchr(" \t\r\n", text[len - 1]))
		text[--len] = '\0';
	return text;
}

/* [profile], then name = value. */
static bool s3_keys_from_file(struct s3_settings *s, struct error *err)
{
	const char *profile = S3_ENV("AWS_PROFILE");
	const char *named = S3_ENV("AWS_SHARED_CREDENTIALS_FILE");
	const char *home = getenv("HOME");
	CLEANUP(free_p) char *path = named ? mem_strdup(named) : mem_printf("%s/.aws/credentials", home ? home : "");
	CLEANUP(free_p) char *wanted = mem_printf("[%s]", profile ? profile : "default");
	FILE *file = fopen(path, "re");
	char line[8192];
	bool is_inside = false;
	if (!file && (errno == ENOENT || errno == ENOTDIR || !named) && !profile)
		return true;
	if (!file)
		return error_errno(err, ERR_AUTH, NULL, "store %s: cannot read the credentials file %s", s->url, path);
	while (fgets(line, sizeof line, file)) {
		char *text = s3_trim(line), *equals = strchr(text, '=');
		if (*text == '[')
			is_inside = strcmp(text, wanted) == 0;
		if (!is_inside || !equals)
			continue;
		*equals = '\0';
		const char *name = s3_trim(text), *value = s3_trim(equals + 1);
		char **field = !strcmp(name, "aws_access_key_id")       ? &s->id
			       : !strcmp(name, "aws_secret_access_key") ? &s->secret
			       : !strcmp(name, "aws_session_token")     ? &s->session
									: NULL;
		if (field)
			s3_set(field, *value ? value : NULL);
	}
	bool ok = !ferror(file);
	fclose(file);
	if (!ok)
		return error_set(err, ERR_AUTH, NULL, "store %s: cannot read the credentials file %s", s->url, path);
	if (profile && (!s->id || !s->secret))
		return error_set(err, ERR_AUTH, NULL, "store %s: %s has no keys of the profile %s (AWS_PROFILE)",
				 s->url, path, profile);
	return true;
}

/* One question to the metadata service; the caller frees the text. */
static char *s3_metadata(struct http_client *client, const char *method, const char *path, const char *header,
			 struct error *err)
{
	CLEANUP(http_answer) struct http_answer answer;
	const struct http_call call = {
		.method = method, .path = path, .header = header, .deadline_ms = S3_METADATA_MS
	};
	return http_client_call(client, &call, &answer, err) ? buf_take(&answer.body) : NULL;
}

static bool s3_keys_read_metadata(struct s3_settings *s, const char *text, struct error *err)
{
	struct tm tm = { 0 };
	json_auto_t *document = json_loads(text, 0, NULL);
	const char *id = json_string_value(json_object_get(document, "AccessKeyId"));
	const char *secret = json_string_value(json_object_get(document, "SecretAccessKey"));
	const char *session = json_string_value(json_object_get(document, "Token"));
	const char *expires = json_string_value(json_object_get(document, "Expiration"));
	const char *end = expires ? strptime(expires, "%Y-%m-%dT%H:%M:%S", &tm) : NULL;
	if (!id || !secret || !session || !end || *end != 'Z')
		return error_set(err, ERR_AUTH, NULL, "store %s: the instance's metadata service gave no keys", s->url);
	s3_set(&s->id, id);
	s3_set(&s->secret, secret);
	s3_set(&s->session, session);
	s->expires_s = (int64_t)timegm(&tm);
	return true;
}

/* Version 2: a token first, by PUT, which a server that was tricked into a GET cannot have. */
static bool s3_keys_from_instance(struct s3_settings *s, struct error *err)
{
	const char *url = S3_ENV("AWS_EC2_METADATA_SERVICE_ENDPOINT");
	const struct http_client_options options = { .url = url ? url : S3_METADATA_URL,
						     .peer = "the instance's metadata service",
						     .connect_ms = S3_METADATA_MS };
	struct http_client *client = http_client_new(&options, err);
	if (!client)
		return false;
	static const char folder[] = "/latest/meta-data/iam/security-credentials/";
	CLEANUP(free_p)
	char *token =
		s3_metadata(client, "PUT", "/latest/api/token", "X-aws-ec2-metadata-token-ttl-seconds: 21600", err);
	CLEANUP(free_p) char *header = token ? mem_printf("X-aws-ec2-metadata-token: %s", s3_trim(token)) : NULL;
	CLEANUP(free_p) char *role = header ? s3_metadata(client, "GET", folder, header, err) : NULL;
	CLEANUP(free_p) char *path = NULL;
	CLEANUP(free_p) char *text = NULL;
	if (role) {
		role[strcspn(role, "\r\n")] = '\0';
		path = mem_printf("%s%s", folder, role);
		text = s3_metadata(client, "GET", path, header, err);
	}
	http_client_free(client);
	return text && s3_keys_read_metadata(s, text, err);
}

static bool s3_find_keys(struct s3_settings *s, struct error *err)
{
	const char *disabled = S3_ENV("AWS_EC2_METADATA_DISABLED");
	if (!s3_keys_from_environment(s, err))
		return false;
	if (!s->id && !s3_keys_from_file(s, err))
		return false;
	if (s->id && s->secret)
		return true;
	struct error why = { .message = "it was not asked, AWS_EC2_METADATA_DISABLED is set" };
	if ((!disabled || strcmp(disabled, "true") != 0) && s3_keys_from_instance(s, &why))
		return true;
	return error_set(
		err, ERR_AUTH, "set STOKER_S3_ACCESS_KEY_ID and STOKER_S3_SECRET_ACCESS_KEY",
		"store %s: no keys in the environment or in ~/.aws/credentials, and none from the instance (%s)",
		s->url, why.message);
}

bool s3_settings_renew(struct s3_settings *s, int64_t now_s, struct error *err)
{
	struct error why;
	if (!s->expires_s || now_s < s->expires_s - S3_RENEW_S || s3_keys_from_instance(s, &why) ||
	    now_s < s->expires_s)
		return true; /* as long as they are valid, the next request asks again */
	return error_set(err, ERR_UNAVAILABLE, NULL, "store %s: the keys have expired, and there are no new ones: %s",
			 s->url, why.message);
}

/* ---- the place ---- */

static bool s3_find_place(struct s3_settings *s, struct error *err)
{
	const char *region = S3_ENV("STOKER_S3_REGION", "AWS_REGION", "AWS_DEFAULT_REGION");
	const char *endpoint = S3_ENV("STOKER_S3_ENDPOINT", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL");
	const char *style = S3_ENV("STOKER_S3_STYLE");
	const char *ca_file = S3_ENV("STOKER_S3_CA_FILE", "AWS_CA_BUNDLE");
	if (style && strcmp(style, "path") != 0 && strcmp(style, "virtual") != 0)
		return error_set(err, ERR_INPUT, NULL, "STOKER_S3_STYLE: expected path or virtual, got %s", style);
	s->region = mem_strdup(region ? region : "us-east-1");
	CLEANUP(free_p)
	char *url = endpoint ? mem_strdup(endpoint) : mem_printf("https://s3.%s.amazonaws.com", s->region);
	const char *host = strstr(url, "://");
	size_t scheme = host ? (size_t)(host - url) : 0;
	bool is_http = (scheme == 4 && !strncmp(url, "http", 4)) || (scheme == 5 && !strncmp(url, "https", 5));
	size_t len = strlen(url);
	while (len && url[len - 1] == '/')
		url[--len] = '\0';
	if (!is_http || !host[3] || strpbrk(host + 3, "/?#@ ")) /* what has an @ in it may hold a secret */
		return error_set(err, ERR_INPUT, "for example https://s3.example.org:9000",
				 "STOKER_S3_ENDPOINT: expected http:// or https:// and a host, got %s",
				 strchr(url, '@') ? "one with an @ in it" : url);
	s->is_path_style = style ? !strcmp(style, "path") : endpoint || strchr(s->bucket, '.');
	s->host = s->is_path_style ? mem_strdup(host + 3) : mem_printf("%s.%s", s->bucket, host + 3);
	s->base = mem_printf("%.*s://%s", (int)scheme, url, s->host);
	s3_set(&s->ca_file, ca_file);
	return true;
}

bool s3_settings_read(const char *url, struct s3_settings *s, struct error *err)
{
	*s = (struct s3_settings){ 0 };
	if (!s3_check_url(url, err))
		return false;
	const char *bucket = url + strlen(S3_URL_PREFIX);
	size_t len = strlen(url), name = strcspn(bucket, "/");
	while (url[len - 1] == '/')
		len--;
	s->url = mem_strndup(url, len);
	s->bucket = mem_strndup(bucket, name);
	const char *prefix = s->url + strlen(S3_URL_PREFIX) + name;
	s->prefix = *prefix ? mem_printf("%s/", prefix + 1) : mem_strdup("");
	return s3_find_place(s, err) && s3_find_keys(s, err);
}

void s3_settings_done(struct s3_settings *s)
{
	char *const all[] = { s->url,    s->bucket, s->prefix, s->base,    s->host,
			      s->region, s->id,     s->secret, s->session, s->ca_file };
	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		free(all[i]);
	*s = (struct s3_settings){ 0 };
}

struct s3_keys s3_settings_keys(const struct s3_settings *s)
{
	return (struct s3_keys){ .id = s->id, .secret = s->secret, .session = s->session, .region = s->region };
}
