/* io_xmpp.h: scripted XMPP servers for the tests of transport_xmpp. */
#ifndef TESTS_IO_XMPP_H
#define TESTS_IO_XMPP_H

#include "io_tls.h"

#include "core/xmpp/element.h"
#include "io/transport_xmpp.h"

#include <signal.h>

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

/* ---- what every test uses ---- */

static struct cert root, other_root;
static char root_file[256];

static inline int make_roots(void **state) {
  (void)state;
  signal(SIGPIPE, SIG_IGN);                /* for the peers' threads */
  setenv("SSL_CERT_FILE", "/dev/null", 1); /* libstrophe reads it each time, which takes 30 ms */
  root = cert_make((struct cert_wish){.name = "Test Root", .is_ca = true});
  other_root = cert_make((struct cert_wish){.name = "Other Root", .is_ca = true});
  cert_save(&root, false, root_file, sizeof root_file);
  return 0;
}

static inline int free_roots(void **state) {
  (void)state;
  unlink(root_file);
  cert_free(&root);
  cert_free(&other_root);
  return 0;
}

static inline struct cert good_cert(void) {
  return cert_make((struct cert_wish){.name = "Server", .san = "DNS:localhost", .issuer = &root});
}

/* Dials, runs until it is ready or down, and answers what was seen. */
static inline const struct seen *dial_once(struct world *world, uint16_t port,
                                           const struct stwi_dial_xmpp *xmpp) {
  const struct stwi_dial dial = xmpp_dial(port, xmpp, root_file);
  world_open_with(world, stwi_transport_xmpp_new);
  world_dial(world, 1, &dial);
  world_run(world, link_1_is_ready_or_down);
  return &world->links[1];
}

static inline void send_times(int fd, const char *text, size_t count) {
  for (size_t i = 0; i < count && send_text(fd, text); i++)
    continue;
}

static inline bool link_1_has_an_element(struct world *world) {
  return world->links[1].element_count > 0;
}

#endif
