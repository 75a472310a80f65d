#include "tests/unit/zips.h"

#include <archive.h>
#include <archive_entry.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/cleanup.h"
#include "tests/unit/folder.h"

void zip_make(const char *folder, const char *name, const struct zip_part *parts, size_t count, const char *options)
{
	folder_text(folder, name, ""); /* the folders above it */
	CLEANUP(free_p) char *path = folder_path(folder, name);
	struct archive *zip = archive_write_new();
	archive_write_set_format_zip(zip);
	assert_int_equal(archive_write_set_options(zip, options), ARCHIVE_OK);
	archive_write_set_bytes_in_last_block(zip, 1);
	assert_int_equal(archive_write_open_filename(zip, path), ARCHIVE_OK);
	for (size_t i = 0; i < count; i++) {
		struct archive_entry *entry = archive_entry_new();
		archive_entry_set_pathname(entry, parts[i].name);
		archive_entry_set_filetype(entry, AE_IFREG);
		archive_entry_set_size(entry, (la_int64_t)parts[i].len);
		assert_int_equal(archive_write_header(zip, entry), ARCHIVE_OK);
		archive_write_data(zip, parts[i].data, parts[i].len);
		archive_entry_free(entry);
	}
	assert_int_equal(archive_write_close(zip), ARCHIVE_OK);
	archive_write_free(zip);
}

void torch_make_with(const char *folder, const char *name, const char *pickle, size_t len, const char *options)
{
	const struct zip_part parts[] = { { "model/data.pkl", pickle, len },
					  { "model/data/0", "0123456789abcdef", 16 } };
	zip_make(folder, name, parts, ARRAY_LEN(parts), options);
}
