/* session_server_inside.h: what the files of session_server share.  Nobody else includes it. */
#ifndef STWI_CORE_SESSION_SERVER_INSIDE_H
#define STWI_CORE_SESSION_SERVER_INSIDE_H

#include "core/session_server.h"

#include <stdio.h>

/* A signed integer of every language holds them, and adding one cannot overflow. */
#define NUMBER_MAX ((uint64_t)INT64_MAX)

/* Sets the sentence. */
#define EXPLAIN(server, ...) ((void)snprintf((server)->why, sizeof(server)->why, __VA_ARGS__))
/* The same, and gives `status` back. */
#define REFUSE(server, status, ...) (EXPLAIN(server, __VA_ARGS__), (status))

/* The client holds the newest token: older ones are void. */
void stwi_server_confirm(struct stwi_server *server);

/* Drops what was half received. */
void stwi_server_drop_parts(struct stwi_server *server);

/* As stwi_ack_owe, for the lane. */
void stwi_server_owe_ack(struct stwi_server *server, stw_lane lane, uint64_t messages,
                         uint64_t bytes, uint64_t now);

/* Takes what the client has of the lane: window, ring. */
void stwi_server_client_has(struct stwi_server *server, struct stwi_server_lane *lane,
                            uint64_t accepted, uint64_t processed);

/* Makes room for `size` bytes: the oldest give way. */
void stwi_server_make_room(struct stwi_server_lane *lane, size_t size);

#endif
