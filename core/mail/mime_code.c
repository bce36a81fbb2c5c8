/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers for the content types and encodings that most parts have. A summary holds them: rows are
 * added at the end of the enumerations only, or its version changes. */
#include "mail/mime.h"

#include <postern/text.h>

struct type_row {
	struct pn_slice type;
	struct pn_slice subtype;
};

#define ROW(type, subtype)                                                                         \
	{                                                                                          \
		{type, sizeof(type) - 1},                                                          \
		{                                                                                  \
			subtype, sizeof(subtype) - 1                                               \
		}                                                                                  \
	}

static const struct type_row types[PN_TYPE_CODES] = {
	[PN_TYPE_DEFAULT] = ROW("text", "plain"),
	[PN_TYPE_TEXT_PLAIN] = ROW("text", "plain"),
	[PN_TYPE_TEXT_HTML] = ROW("text", "html"),
	[PN_TYPE_MULTIPART_MIXED] = ROW("multipart", "mixed"),
	[PN_TYPE_MULTIPART_ALTERNATIVE] = ROW("multipart", "alternative"),
	[PN_TYPE_MULTIPART_RELATED] = ROW("multipart", "related"),
	[PN_TYPE_MULTIPART_SIGNED] = ROW("multipart", "signed"),
	[PN_TYPE_MULTIPART_REPORT] = ROW("multipart", "report"),
	[PN_TYPE_MULTIPART_DIGEST] = ROW("multipart", "digest"),
	[PN_TYPE_MESSAGE_RFC822] = ROW("message", "rfc822"),
	[PN_TYPE_MESSAGE_GLOBAL] = ROW("message", "global"),
	[PN_TYPE_OCTET_STREAM] = ROW("application", "octet-stream"),
	[PN_TYPE_IMAGE_PNG] = ROW("image", "png"),
	[PN_TYPE_IMAGE_JPEG] = ROW("image", "jpeg"),
	[PN_TYPE_PDF] = ROW("application", "pdf"),
	[PN_TYPE_CALENDAR] = ROW("text", "calendar"),
};

static const struct pn_slice encodings[PN_ENCODING_CODES] = {
	[PN_ENCODING_7BIT] = {"7bit", 4},
	[PN_ENCODING_8BIT] = {"8bit", 4},
	[PN_ENCODING_BINARY] = {"binary", 6},
	[PN_ENCODING_QUOTED_PRINTABLE] = {"quoted-printable", 16},
	[PN_ENCODING_BASE64] = {"base64", 6},
};

struct pn_slice pn_mime_type_text(enum pn_mime_type_code code)
{
	return types[code].type;
}

struct pn_slice pn_mime_subtype_text(enum pn_mime_type_code code)
{
	return types[code].subtype;
}

struct pn_slice pn_mime_encoding_text(enum pn_mime_encoding_code code)
{
	return encodings[code];
}

enum pn_mime_type_code pn_mime_type_code(struct pn_slice type, struct pn_slice subtype)
{
	/* The default comes with its parameter and is never what a field says. */
	for (int code = PN_TYPE_TEXT_PLAIN; code < PN_TYPE_CODES; code++) {
		if (pn_slice_equal(types[code].subtype, subtype) &&
		    pn_slice_equal(types[code].type, type))
			return (enum pn_mime_type_code)code;
	}
	return PN_TYPE_OTHER;
}

enum pn_mime_encoding_code pn_mime_encoding_code(struct pn_slice encoding)
{
	for (int code = PN_ENCODING_7BIT; code < PN_ENCODING_CODES; code++) {
		if (pn_slice_equal(encodings[code], encoding))
			return (enum pn_mime_encoding_code)code;
	}
	return PN_ENCODING_OTHER;
}
