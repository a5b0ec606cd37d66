/* An established connection: bytes in, bytes out. */
#include "io/transport_ws.h"

enum { TLS_READS_MAX = 8, TLS_RECORD_BYTES = 16 * 1024 };

/* ---- in ---- */

void stwi_ws_put_bytes(struct stwi_ws_link *link, const uint8_t *data, size_t size) {
  struct stwi_input input = {.kind = STWI_IN_BYTES, .u.bytes = {data, size}};
  stwi_ws_put(link, &input);
}

int stwi_ws_bytes(struct stwi_ws_lane *lane, const uint8_t *data, size_t size) {
  struct stwi_ws_link *link = lane->link;
  if (link->up != lane || link->is_over)
    return 0;
  link->ws->read_size = size;
  stwi_ws_put_bytes(link, data, size);
  return 0;
}

static int end_read(struct stwi_ws_lane *lane) {
  stwi_ws_lost(lane, NULL, 0);
  if (lws_partial_buffered(lane->wsi))
    stwi_ws_reset(lane);
  return -1;
}

static int read_once(struct stwi_ws_lane *lane) {
  struct stwi_ws *ws = lane->link->ws;
  char *buffer = (char *)ws->buffer;
  int size = STWI_WS_BUFFER_BYTES;
  ws->read_size = 0;
  return lws_http_client_read(lane->wsi, &buffer, &size);
}

/* While there is something to read libwebsockets looks at nothing else: without this a peer that
 * never stops sending would keep what we send waiting for ever. */
static int flush(struct stwi_ws_lane *lane) {
  if (!lane->link->is_writing || !lws_partial_buffered(lane->wsi))
    return 0;
  if (lws_write(lane->wsi, NULL, 0, LWS_WRITE_RAW) < 0)
    return -1;
  stwi_ws_writable(lane);
  return 0;
}

static int read_all(struct stwi_ws_lane *lane) {
  struct stwi_ws_link *link = lane->link;
  const bool is_tls = lws_get_ssl(lane->wsi) != NULL;
  int reads = 0;
  /* What is read may answer the last of what was written: that comes first. */
  stwi_ws_writable(lane);
  if (link->is_over)
    return 0;
  do {
    if (read_once(lane) < 0)
      return end_read(lane);
    /* TLS comes in records, and each wait for the next one costs three system calls. */
  } while (is_tls && ++reads < TLS_READS_MAX && link->ws->read_size >= TLS_RECORD_BYTES &&
           !link->is_paused && !link->is_over);
  if (link->is_over)
    return 0;
  return flush(lane) < 0 ? end_read(lane) : 0;
}

int stwi_ws_readable(struct stwi_ws_lane *lane) {
  /* The upgrade's headers, 5 KiB, which lws would keep as long as the body lasts. Not earlier: lws
   * puts their pointer back after ESTABLISHED_CLIENT_HTTP. */
  lws_http_headers_detach(lane->wsi);
  struct stwi_ws_link *link = lane->link;
  if (link->up != lane || link->is_over)
    return 0; /* it is being killed */
  if (link->is_paused) {
    link->is_held = true;
    return 0;
  }
  return read_all(lane);
}

void stwi_ws_resume(struct stwi_ws_link *link) {
  link->is_resuming = false;
  if (link->is_paused || link->is_over || link->up == NULL || !link->is_held)
    return;
  link->is_held = false;
  if (read_all(link->up) < 0)
    stwi_ws_kill(link->up);
}

/* ---- out ---- */

void stwi_ws_writable(struct stwi_ws_lane *lane) {
  struct stwi_ws_link *link = lane->link;
  if (link->up != lane || link->is_over || !link->is_writing || lws_partial_buffered(lane->wsi))
    return;
  link->is_writing = false;
  struct stwi_input input = {.kind = STWI_IN_WRITABLE};
  stwi_ws_put(link, &input);
}

void stwi_ws_write(struct stwi_ws_link *link, uint8_t *data, size_t size) {
  struct stwi_ws_lane *lane = link->up;
  link->is_writing = true;
  if (lws_write(lane->wsi, data, size, LWS_WRITE_RAW) >= 0) {
    stwi_ws_writable(lane);
    return;
  }
  link->is_broken = true;
  stwi_ws_defer(link);
}
