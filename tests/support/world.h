/* world: the short names of csrc/sim/world.h, whose sessions write frames as the product does. */
#ifndef STEADWIRE_TESTS_WORLD_H
#define STEADWIRE_TESTS_WORLD_H

#include "io/envelope.h"
#include "sim/world.h"

#include <stdio.h>

#define world stwi_world
#define world_new(seed) stwi_world_new(seed, &stwi_envelope)
#define WORLD_BROKEN_BYTES STWI_WORLD_BROKEN_BYTES
#define WORLD_DOOR_BLACKHOLE STWI_WORLD_DOOR_BLACKHOLE
#define WORLD_DOOR_CAUSE STWI_WORLD_DOOR_CAUSE
#define WORLD_DOOR_HTTP STWI_WORLD_DOOR_HTTP
#define WORLD_DOOR_NO_UPGRADE STWI_WORLD_DOOR_NO_UPGRADE
#define WORLD_DOOR_OPEN STWI_WORLD_DOOR_OPEN
#define WORLD_DOOR_REFUSED STWI_WORLD_DOOR_REFUSED
#define WORLD_LOGIN_MANY STWI_WORLD_LOGIN_MANY
#define WORLD_LOGIN_NEW_WINS STWI_WORLD_LOGIN_NEW_WINS
#define WORLD_LOGIN_OLD_WINS STWI_WORLD_LOGIN_OLD_WINS
#define WORLD_PONG_ANSWER STWI_WORLD_PONG_ANSWER
#define WORLD_PONG_CLOSE STWI_WORLD_PONG_CLOSE
#define WORLD_PONG_HOLD STWI_WORLD_PONG_HOLD
#define WORLD_PONG_LAST STWI_WORLD_PONG_LAST
#define WORLD_PONG_NEVER STWI_WORLD_PONG_NEVER
#define WORLD_START STWI_WORLD_START
#define world_cancel stwi_world_cancel
#define world_change stwi_world_change
#define world_check stwi_world_check
#define world_close stwi_world_close
#define world_condition stwi_world_condition
#define world_config stwi_world_config
#define world_conn stwi_world_conn
#define world_count stwi_world_count
#define world_crash stwi_world_crash
#define world_do stwi_world_do
#define world_door stwi_world_door
#define world_edit stwi_world_edit
#define world_event stwi_world_event
#define world_forget stwi_world_forget
#define world_free stwi_world_free
#define world_freeze stwi_world_freeze
#define world_inbound stwi_world_inbound
#define world_input stwi_world_input
#define world_inside stwi_world_inside
#define world_jumped stwi_world_jumped
#define world_kill stwi_world_kill
#define world_kill_host stwi_world_kill_host
#define world_lane stwi_world_lane
#define world_link stwi_world_link
#define world_live stwi_world_live
#define world_log stwi_world_log
#define world_login stwi_world_login
#define world_message stwi_world_message
#define world_metric stwi_world_metric
#define world_network stwi_world_network
#define world_open stwi_world_open
#define world_open_default stwi_world_open_default
#define world_open_restored stwi_world_open_restored
#define world_open_stored stwi_world_open_stored
#define world_opening stwi_world_opening
#define world_pong stwi_world_pong
#define world_processed stwi_world_processed
#define world_release_pongs stwi_world_release_pongs
#define world_restart stwi_world_restart
#define world_run stwi_world_run
#define world_run_settled stwi_world_run_settled
#define world_run_to stwi_world_run_to
#define world_run_until stwi_world_run_until
#define world_say stwi_world_say
#define world_say_so stwi_world_say_so
#define world_send stwi_world_send
#define world_server stwi_world_server
#define world_server_bytes stwi_world_server_bytes
#define world_server_close stwi_world_server_close
#define world_server_text stwi_world_server_text
#define world_session stwi_world_session
#define world_session_accept stwi_world_session_accept
#define world_session_close stwi_world_session_close
#define world_session_forget stwi_world_session_forget
#define world_session_frame stwi_world_session_frame
#define world_session_goaway stwi_world_session_goaway
#define world_session_role stwi_world_session_role
#define world_session_say stwi_world_session_say
#define world_slept stwi_world_slept
#define world_stalled stwi_world_stalled
#define world_state stwi_world_state
#define world_supply stwi_world_supply
#define world_swallow stwi_world_swallow
#define world_wire stwi_world_wire

void world_print(const struct world *world, FILE *out); /* the event log */

#endif
