/* jid.h: XMPP addresses, local@domain/resource (RFC 7622), in a struct without pointers.
 *
 * What is kept is normalised: ASCII letters of local part and domain are lower case, and the dot
 * behind a domain is gone.  Of RFC 7622's PRECIS profiles this is the part that needs no Unicode
 * tables: letters outside ASCII are kept as they are, so two spellings of one non-ASCII address may
 * compare unequal, never two addresses equal.  A server normalises what it is sent; what it sends
 * is normalised.  Refused is what no address may hold: controls, spaces in local part and domain,
 * the characters of section 3.3.1, and parts that are empty or over 1023 bytes.  Any thread.
 */
#ifndef STWI_CORE_XMPP_JID_H
#define STWI_CORE_XMPP_JID_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STWI_JID_PART_MAX 1023u
#define STWI_JID_MAX (3u * STWI_JID_PART_MAX + 2u)

struct stwi_jid { /* all zero: none */
  uint16_t local_size, domain_size, resource_size;
  char text[STWI_JID_MAX + 1]; /* the whole address, normalised, terminated */
};

/* Copies.  NULL: good; else a static sentence, and `jid` is none. */
const char *stwi_jid_parse(struct stwi_jid *jid, const char *text, size_t size);

/* Lend a part, which is not terminated; its size is in the struct, 0: none. */
const char *stwi_jid_local(const struct stwi_jid *jid);
const char *stwi_jid_domain(const struct stwi_jid *jid);
const char *stwi_jid_resource(const struct stwi_jid *jid);

/* Bytes of `text` that are local@domain. */
size_t stwi_jid_bare_size(const struct stwi_jid *jid);

/* None equals none. */
bool stwi_jid_is_same(const struct stwi_jid *a, const struct stwi_jid *b);
bool stwi_jid_is_same_bare(const struct stwi_jid *a, const struct stwi_jid *b);
bool stwi_jid_is_same_domain(const struct stwi_jid *a, const struct stwi_jid *b);

/* What a store or a peer's memory gave as a jid: does it hold together?  A none does. */
bool stwi_jid_is_sound(const struct stwi_jid *jid);

#endif
