/*
 * The XML of S3's answers, read by expat: flat enough that the path of an element and
 * its text say everything. Bounded, and without a document type: nothing is expanded.
 */
#ifndef STOKER_LIB_S3_XML_H
#define STOKER_LIB_S3_XML_H

#include <stdbool.h>
#include <stddef.h>

/* At the end of each element: path is "ListBucketResult/Contents/Key"; text is what stands directly in it. */
typedef void s3_xml_fn(void *arg, const char *path, const char *text);

/* False: it is not such a document; fn may have been called for a part of it. */
bool s3_xml_read(const char *xml, size_t len, s3_xml_fn *fn, void *arg);

#endif
