/* steadwire.h: a connection that stays up, messages that arrive. */
#ifndef STEADWIRE_H
#define STEADWIRE_H

#include <steadwire/config.h>
#include <steadwire/conn.h>
#include <steadwire/event.h>
#include <steadwire/metrics.h>
#include <steadwire/outbox.h>
#include <steadwire/session.h>
#include <steadwire/sim_explore.h>
#include <steadwire/sim_fleet.h>
#include <steadwire/sim_herd.h>
#include <steadwire/status.h>

#define STW_VERSION "0.1.0"

#ifdef __cplusplus
extern "C" {
#endif
/* The version of the library that runs, as STW_VERSION of the headers it was built from. */
STW_API const char *stw_version(void);
#ifdef __cplusplus
}
#endif
#endif
