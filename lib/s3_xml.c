#include "lib/s3_xml.h"

#include <expat.h>
#include <string.h>

#include "lib/buf.h"

#define S3_XML_PATH_MAX 256
#define S3_XML_TEXT_MAX (16 * 1024)

struct s3_xml {
	XML_Parser parser;
	s3_xml_fn *fn;
	void *arg;
	char path[S3_XML_PATH_MAX];
	struct buf text; /* of the element that was begun last */
	bool is_bad;
};

static void s3_xml_stop(struct s3_xml *x)
{
	x->is_bad = true;
	XML_StopParser(x->parser, XML_FALSE);
}

static void XMLCALL s3_xml_start(void *arg, const char *name, const char **attributes)
{
	struct s3_xml *x = arg;
	size_t len = strlen(x->path);
	(void)attributes;
	buf_clear(&x->text);
	if (!str_format(x->path + len, sizeof x->path - len, "%s%s", len ? "/" : "", name))
		s3_xml_stop(x);
}

static void XMLCALL s3_xml_end(void *arg, const char *name)
{
	struct s3_xml *x = arg;
	if (x->is_bad)
		return; /* expat ends an empty element also when it was stopped at its start */
	size_t len = strlen(x->path) - strlen(name);
	x->fn(x->arg, x->path, buf_text(&x->text));
	buf_clear(&x->text);
	x->path[len ? len - 1 : 0] = '\0';
}

static void XMLCALL s3_xml_text(void *arg, const char *text, int len)
{
	struct s3_xml *x = arg;
	if (!buf_add(&x->text, text, (size_t)len))
		s3_xml_stop(x);
}

static void XMLCALL s3_xml_doctype(void *arg, const char *name, const char *system, const char *public, int has_subset)
{
	(void)name;
	(void)system;
	(void)public;
	(void)has_subset;
	s3_xml_stop(arg);
}

bool s3_xml_read(const char *xml, size_t len, s3_xml_fn *fn, void *arg)
{
	struct s3_xml x = { .parser = mem_must(XML_ParserCreate(NULL)), .fn = fn, .arg = arg };
	while (len && strchr(" \t\r\n", *xml)) { /* S3 keeps a connection alive with blanks before the document */
		xml++;
		len--;
	}
	if (len > 64 * 1024 * 1024)
		return false;
	buf_init(&x.text, S3_XML_TEXT_MAX);
	XML_SetUserData(x.parser, &x);
	XML_SetElementHandler(x.parser, s3_xml_start, s3_xml_end);
	XML_SetCharacterDataHandler(x.parser, s3_xml_text);
	XML_SetStartDoctypeDeclHandler(x.parser, s3_xml_doctype);
	bool ok = XML_Parse(x.parser, xml, (int)len, XML_TRUE) == XML_STATUS_OK && !x.is_bad;
	XML_ParserFree(x.parser);
	buf_done(&x.text);
	return ok;
}
