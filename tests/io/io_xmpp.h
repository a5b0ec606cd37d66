/* io_xmpp.h: scripted XMPP servers for the tests of transport_xmpp. */
#ifndef TESTS_IO_XMPP_H
#define TESTS_IO_XMPP_H

#include "io_tls.h"

#include "core/xmpp/element.h"
#include "io/transport_xmpp.h"

#define XMPP_HEADER                                                                                \
  "<?xml version='1.0'?><stream:stream xmlns='jabber:client' "                                     \
  "xmlns:stream='" STWI_NS_STREAM "' from='localhost' id='1' version='1.0'>"
#define XMPP_STARTTLS                                                                              \
  "<stream:features><starttls xmlns='" STWI_NS_TLS "'><required/></starttls></stream:features>"
#define XMPP_PROCEED "<proceed xmlns='" STWI_NS_TLS "'/>"
#define XMPP_FEATURES "<stream:features/>"

/* Reads from the client until `end` has come; false at its end.  `request` has what came. */
static inline bool xmpp_read(struct peer *peer, int fd, SSL *ssl, const char *end) {
  size_t size = strlen(peer->request);
  while (strstr(peer->request, end) == NULL && size + 1 < sizeof peer->request) {
    const ssize_t got =
        ssl != NULL ? SSL_read(ssl, peer->request + size, 1) : recv(fd, peer->request + size, 1, 0);
    if (got != 1)
      return false;
    peer->request[++size] = '\0';
  }
  return true;
}

static inline bool xmpp_greet(struct peer *peer, int fd, const char *features) {
  peer->request[0] = '\0';
  return xmpp_read(peer, fd, NULL, "xml:lang='en'>") && send_text(fd, XMPP_HEADER) &&
         send_text(fd, features);
}

/* Up to and with <proceed/>. */
static inline bool xmpp_starttls(struct peer *peer, int fd) {
  return xmpp_greet(peer, fd, XMPP_STARTTLS) &&
         xmpp_read(peer, fd, NULL, "<starttls xmlns='" STWI_NS_TLS "'/>") &&
         send_text(fd, XMPP_PROCEED);
}

static inline bool xmpp_greet_tls(struct tls_peer *peer, SSL *ssl) {
  static const char answer[] = XMPP_HEADER XMPP_FEATURES;
  peer->peer.request[0] = '\0';
  return xmpp_read(&peer->peer, -1, ssl, "xml:lang='en'>") &&
         SSL_write(ssl, answer, sizeof answer - 1) > 0;
}

/* STARTTLS, then as serve_tls. */
static inline void serve_starttls(struct peer *peer, int fd) {
  if (xmpp_starttls(peer, fd))
    serve_tls(peer, fd);
}

/* A stream over TLS; what comes is read to the end. */
static inline void tls_stream(struct tls_peer *peer, SSL *ssl) {
  char buffer[16 * 1024];
  if (!xmpp_greet_tls(peer, ssl))
    return;
  while (SSL_read(ssl, buffer, sizeof buffer) > 0)
    continue;
}

static inline struct stwi_dial xmpp_dial(uint16_t port, const struct stwi_dial_xmpp *xmpp,
                                         const char *ca_file) {
  struct stwi_dial dial = plain_dial(port);
  dial.xmpp = xmpp;
  dial.ca_file = ca_file;
  return dial;
}

static const struct stwi_dial_xmpp xmpp_by_starttls = {
    .domain = "localhost", .tls = STWI_XMPP_TLS_STARTTLS, .element_bytes_max = 65536};
static const struct stwi_dial_xmpp xmpp_direct = {
    .domain = "localhost", .tls = STWI_XMPP_TLS_DIRECT, .element_bytes_max = 65536};
static const struct stwi_dial_xmpp xmpp_in_the_clear = {
    .domain = "localhost", .tls = STWI_XMPP_TLS_NONE, .element_bytes_max = 65536};

#endif
