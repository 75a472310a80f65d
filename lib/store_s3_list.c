/* Listing S3: objects, and uploads that were not completed. */
#include <string.h>
#include <time.h>

#include "lib/s3_xml.h"
#include "lib/store_s3.h"

enum { PAGE_MAX = 1000 };

/* One page of objects, or of uploads. */
struct s3_page {
	char *entries[PAGE_MAX]; /* keys in the bucket */
	char *uploads[PAGE_MAX];
	struct store_stat stats[PAGE_MAX];
	size_t count;
	bool has_more, is_too_long;
	char *next, *next_upload; /* where the next page begins */
};

static void s3_page_clear(struct s3_page *page)
{
	for (size_t i = 0; i < page->count; i++) {
		free(page->entries[i]);
		free(page->uploads[i]);
	}
	free(page->next);
	free(page->next_upload);
	memset(page, 0, sizeof *page);
}

static int64_t s3_time_ms(const char *text)
{
	struct tm tm = { 0 };
	return strptime(text, "%Y-%m-%dT%H:%M:%S", &tm) ? (int64_t)timegm(&tm) * 1000 : 0;
}

static void s3_page_text(char **into, const char *text)
{
	free(*into);
	*into = mem_strdup(text);
}

static void s3_read_page(void *arg, const char *path, const char *text)
{
	struct s3_page *page = arg;
	const char *name = strchr(path, '/'); /* behind the root: ListBucketResult, ListMultipartUploadsResult */
	if (!name)
		return;
	name++;
	bool is_entry = !strncmp(name, "Contents", 8) || !strncmp(name, "Upload", 6);
	if (is_entry && page->count == PAGE_MAX) {
		page->is_too_long = page->is_too_long || !strchr(name, '/');
		return;
	}
	if (!strcmp(name, "IsTruncated"))
		page->has_more = !strcmp(text, "true");
	else if (!strcmp(name, "NextContinuationToken") || !strcmp(name, "NextKeyMarker"))
		s3_page_text(&page->next, text);
	else if (!strcmp(name, "NextUploadIdMarker"))
		s3_page_text(&page->next_upload, text);
	else if (!strcmp(name, "Contents/Key") || !strcmp(name, "Upload/Key"))
		s3_page_text(&page->entries[page->count], text);
	else if (!strcmp(name, "Upload/UploadId"))
		s3_page_text(&page->uploads[page->count], text);
	else if (!strcmp(name, "Contents/Size"))
		page->stats[page->count].size = strtoll(text, NULL, 10);
	else if (!strcmp(name, "Contents/LastModified") || !strcmp(name, "Upload/Initiated"))
		page->stats[page->count].modified_ms = s3_time_ms(text);
	else if ((!strcmp(name, "Contents") || !strcmp(name, "Upload")) && page->entries[page->count])
		page->count++;
}

static bool s3_same(const char *a, const char *b)
{
	return a && b ? !strcmp(a, b) : a == b;
}

/* The page after the one that is in `page`. */
static bool s3_page_next(struct store *store, const char *prefix, bool is_uploads, struct s3_page *page,
			 struct error *err)
{
	CLEANUP(free_p) char *next = STEAL(page->next);
	CLEANUP(free_p) char *next_upload = STEAL(page->next_upload);
	CLEANUP(s3_call) struct s3_call call;
	s3_page_clear(page);
	s3_call_init(&call, "GET", NULL);
	if (is_uploads)
		s3_call_query(&call, "uploads", "");
	else
		s3_call_query(&call, "list-type", "2");
	s3_call_query(&call, "prefix", prefix);
	s3_call_query(&call, is_uploads ? "max-uploads" : "max-keys", "1000");
	if (next)
		s3_call_query(&call, is_uploads ? "key-marker" : "continuation-token", next);
	if (next_upload)
		s3_call_query(&call, "upload-id-marker", next_upload);
	if (!s3_run(store_s3_of(store), &call, err))
		return false;
	bool is_read = s3_xml_read(buf_text(&call.text), call.text.len, s3_read_page, page) && !page->is_too_long;
	bool goes_on =
		page->next && *page->next && !(s3_same(page->next, next) && s3_same(page->next_upload, next_upload));
	if (!is_read || (page->has_more && !goes_on))
		return error_set(err, ERR_UNAVAILABLE, NULL, "store %s: a listing in a form that is not known",
				 store->url);
	return true;
}

/* The key below the store's prefix; NULL: not one of ours. */
static const char *s3_page_key(const struct store *store, const struct s3_page *page, size_t i)
{
	const char *prefix = s3_settings_of(((const struct store_s3 *)store)->s3)->prefix;
	size_t len = strlen(prefix);
	const char *key = page->entries[i];
	return !strncmp(key, prefix, len) && store_is_key(key + len) ? key + len : NULL;
}

/* One walk serves listing (fn) and sweeping (leftover). */
static bool s3_walk(struct store *store, const char *prefix, store_list_fn *fn, store_leftover_fn *leftover, void *arg,
		    struct error *err)
{
	CLEANUP(free_p) char *whole = mem_printf("%s%s", s3_settings_of(store_s3_of(store))->prefix, prefix);
	struct s3_page *page = mem_alloc(sizeof *page);
	bool ok;
	do {
		ok = s3_page_next(store, whole, leftover != NULL, page, err);
		for (size_t i = 0; ok && i < page->count; i++) {
			const char *key = s3_page_key(store, page, i);
			if (!key || (leftover && !leftover(arg, key, page->stats[i].modified_ms)))
				continue;
			if (fn) {
				ok = fn(arg, key, &page->stats[i], err);
				continue;
			}
			CLEANUP(s3_call) struct s3_call call;
			struct error why;
			s3_call_init(&call, "DELETE", key);
			s3_call_query(&call, "uploadId", page->uploads[i] ? page->uploads[i] : "");
			ok = s3_run(store_s3_of(store), &call, &why) || call.status == 404;
			if (!ok && err)
				*err = why;
		}
	} while (ok && page->has_more);
	s3_page_clear(page);
	free(page);
	return ok;
}

bool store_s3_list(struct store *store, const char *prefix, store_list_fn *fn, void *arg, struct error *err)
{
	return s3_walk(store, prefix, fn, NULL, arg, err);
}

bool store_s3_sweep(struct store *store, const char *prefix, store_leftover_fn *fn, void *arg, struct error *err)
{
	return s3_walk(store, prefix, NULL, fn, arg, err);
}
