/* The answers of an S3 server: a document, or none; paths and texts within their bounds. */
#include <string.h>

#include "lib/s3_xml.h"
#include "tests/fuzz/fuzz.h"

static void fuzz_s3_xml_element(void *arg, const char *path, const char *text)
{
	(void)arg;
	FUZZ_CHECK(path[0] && strlen(path) < 256 && strlen(text) <= 16 * 1024);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	s3_xml_read((const char *)data, size, fuzz_s3_xml_element, NULL);
	return 0;
}
