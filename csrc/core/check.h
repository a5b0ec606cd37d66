/* check.h: what may go on the wire as URL, header or subprotocol.
 *
 * Bytes that end a line or a token (CR, LF, NUL, spaces, controls) and bytes outside ASCII are
 * refused before any library sees them: libwebsockets 4.1 passes a CRLF in a path on to the server.
 * Sizes are given apart from the text, so that an embedded NUL is found.  All answer NULL for good
 * text, otherwise a static sentence without the text itself, which may be a secret.  Any thread.
 */
#ifndef STWI_CORE_CHECK_H
#define STWI_CORE_CHECK_H

#include <stddef.h>

#define STWI_TEXT_MAX 8192u

/* Any part of a URL: printable ASCII without space, 1 to STWI_TEXT_MAX bytes. */
const char *stwi_check_url_text(const char *text, size_t size);

/* A header's name: a token (RFC 9110 section 5.6.2) and none of those that the handshake itself
 * writes: Host, Upgrade, Connection, Sec-WebSocket-*, Content-Length, Transfer-Encoding. */
const char *stwi_check_header_name(const char *text, size_t size);

/* A header's value: printable ASCII; spaces and tabs inside it, not at its ends; may be empty. */
const char *stwi_check_header_value(const char *text, size_t size);

/* One subprotocol: a token (RFC 6455 section 4.1), so no comma list. */
const char *stwi_check_subprotocol(const char *text, size_t size);

#endif
