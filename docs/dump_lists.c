/* dump_lists: prints the engine's lists and tables as JSON, for docs/generate.py.
 *
 * Public lists come from the walkers of the ABI, the tables of states and causes from the core
 * itself, so that no page can say anything else than the code does.
 */
#include <assert.h>
#include <stdio.h>

#include <steadwire/steadwire.h>

#include "core/cause.h"
#include "core/link.h"
#include "core/outbox.h"
#include "core/xmpp/condition.h"
#include "sim/path_model.h"

/* --- JSON --- */

static void print_text(const char *text) {
  putchar('"');
  for (; *text != '\0'; text++) {
    assert((unsigned char)*text >= ' ');
    if (*text == '"' || *text == '\\')
      putchar('\\');
    putchar(*text);
  }
  putchar('"');
}

/* A member; the comma stands before all but the first. */
static void print_key(bool is_first, const char *key) {
  fputs(is_first ? "" : ", ", stdout);
  print_text(key);
  fputs(": ", stdout);
}

static void print_member(bool is_first, const char *key, const char *text) {
  print_key(is_first, key);
  print_text(text);
}

static void print_flag(const char *key, bool value) {
  print_key(false, key);
  fputs(value ? "true" : "false", stdout);
}

static void print_number(bool is_first, const char *key, long value) {
  print_key(is_first, key);
  printf("%ld", value);
}

static void begin_list(const char *key) {
  printf(",\n");
  print_key(true, key);
  putchar('[');
}

static void begin_row(size_t index) {
  fputs(index == 0 ? "\n  {" : ",\n  {", stdout);
}

/* --- public lists --- */

static void print_words(const char *key, const stw_word *(*at)(size_t)) {
  const stw_word *word;
  begin_list(key);
  for (size_t i = 0; (word = at(i)) != NULL; i++) {
    begin_row(i);
    print_member(true, "name", word->name);
    print_member(false, "text", word->text);
    putchar('}');
  }
  putchar(']');
}

static void print_options(void) {
  static const char *const types[] = {
      [STW_OPTION_TEXT] = "text",   [STW_OPTION_DURATION] = "duration",
      [STW_OPTION_BYTES] = "bytes", [STW_OPTION_COUNT] = "count",
      [STW_OPTION_BOOL] = "bool",   [STW_OPTION_CHOICE] = "choice",
      [STW_OPTION_LIST] = "list",   [STW_OPTION_MAP] = "map",
  };
  const stw_option *option;
  begin_list("options");
  for (size_t i = 0; (option = stw_option_at(i)) != NULL; i++) {
    begin_row(i);
    print_member(true, "name", option->name);
    print_member(false, "type", types[option->type]);
    print_member(false, "default", option->default_value);
    print_member(false, "range", option->range);
    print_member(false, "text", option->text);
    print_flag("secret", option->is_secret);
    print_flag("face", option->is_face);
    putchar('}');
  }
  putchar(']');
}

static void print_statuses(void) {
  const stw_status_info *info;
  begin_list("statuses");
  for (size_t i = 0; (info = stw_status_at(i)) != NULL; i++) {
    begin_row(i);
    print_number(true, "value", (long)info->status);
    print_member(false, "name", info->name);
    print_flag("retryable", info->retryable);
    print_member(false, "text", info->text);
    print_member(false, "remedy", info->remedy);
    putchar('}');
  }
  putchar(']');
}

static void print_metrics(void) {
  const stw_metric_info *info;
  begin_list("metrics");
  for (size_t i = 0; (info = stw_metric_at(i)) != NULL; i++) {
    begin_row(i);
    print_member(true, "name", info->name);
    print_member(false, "type", info->type == STW_METRIC_COUNTER ? "counter" : "gauge");
    print_member(false, "unit", info->unit);
    print_member(false, "text", info->text);
    putchar('}');
  }
  putchar(']');
}

/* --- causes --- */

static void print_causes(void) {
  static const char *const paces[] = {[STWI_PACE_NOW] = "now",
                                      [STWI_PACE_WINDOW] = "window",
                                      [STWI_PACE_WINDOW_X4] = "window_x4",
                                      [STWI_PACE_OVERLOAD] = "overload"};
  static const char *const permanences[] = {[STWI_PERMANENT_NEVER] = "never",
                                            [STWI_PERMANENT_FIRST] = "first",
                                            [STWI_PERMANENT_FRESH] = "fresh",
                                            [STWI_PERMANENT_REPEATED] = "repeated",
                                            [STWI_PERMANENT_ALWAYS] = "always"};
  const stw_cause_info *info;
  begin_list("causes");
  for (size_t i = 0; (info = stw_cause_at(i)) != NULL; i++) {
    const struct stwi_cause_row *row = stwi_cause_row(info->cause);
    begin_row(i);
    print_member(true, "name", info->name);
    print_member(false, "class", stw_class_at((size_t)info->cls)->name);
    print_member(false, "pace", paces[row->pace]);
    print_member(false, "permanence", permanences[row->permanence]);
    print_member(false, "text", info->text);
    print_member(false, "remedy", info->remedy);
    putchar('}');
  }
  putchar(']');
}

/* The cause of every code from `first` to `last`. */
static void print_codes(const char *key, stw_cause (*cause_of)(uint16_t), uint16_t first,
                        uint16_t last) {
  begin_list(key);
  for (uint16_t code = first; code <= last; code++) {
    begin_row(code - first);
    print_number(true, "code", code);
    print_member(false, "cause", stw_cause_at((size_t)cause_of(code))->name);
    putchar('}');
  }
  putchar(']');
}

static void print_conditions(const char *key, enum stwi_conditions table) {
  struct stwi_condition condition = {.name = ""};
  begin_list(key);
  for (size_t i = 0; condition.name != NULL; i++) {
    condition = stwi_condition_at(table, i);
    begin_row(i);
    print_member(true, "condition", condition.name == NULL ? "" : condition.name);
    print_member(false, "cause", stw_cause_at((size_t)condition.cause)->name);
    putchar('}');
  }
  putchar(']');
}

/* --- state machines --- */

static const stw_word actions[] = {
    {STWI_DO_CUT, "cut", "fence and cut the active link"},
    {STWI_DO_DROP, "drop", "drop attempts and candidates"},
    {STWI_DO_COMMIT, "commit", "fence the old link, promote the candidate that is ready"},
    {STWI_DO_DIAL, "dial", "dial now, if no attempt is under way"},
    {STWI_DO_DIAL_SOON, "dial_soon", "dial within 250 ms, if no attempt is under way"},
    {STWI_DO_RACE, "race", "dial one attempt more, at most three at once"},
    {STWI_DO_HEDGE, "hedge", "dial a candidate, within the hedge budget"},
    {STWI_DO_PROBE, "probe", "ask the active link now"},
    {STWI_DO_PACE, "pace", "set the time of the next attempt"},
    {STWI_DO_PARK, "park", "stop all timers but one: another attempt after 30 s"},
    {STWI_DO_UP, "up", "publish online, replay what is unproven"},
    {STWI_DO_END, "end", "cut everything, publish the last events"},
};
static const size_t action_count = sizeof actions / sizeof *actions;

static const stw_word *action_at(size_t index) {
  return index < action_count ? &actions[index] : NULL;
}

static void print_actions(unsigned bits) {
  size_t count = 0;
  print_key(false, "actions");
  putchar('[');
  for (size_t i = 0; i < action_count; i++) {
    if ((bits & (unsigned)actions[i].value) == 0)
      continue;
    fputs(count++ == 0 ? "" : ", ", stdout);
    print_text(actions[i].name);
    bits &= ~(unsigned)actions[i].value;
  }
  assert(bits == 0); /* an action without a name here */
  putchar(']');
}

static void print_rules(void) {
  const stw_word *from, *input;
  size_t count = 0;
  begin_list("rules");
  for (size_t i = 0; (from = stw_state_at(i)) != NULL; i++) {
    for (size_t k = 0; (input = stwi_link_input_at(k)) != NULL; k++) {
      const struct stwi_link_rule *rule =
          stwi_link_rule((stw_state)from->value, (enum stwi_link_input)input->value);
      if (!rule->is_legal)
        continue;
      begin_row(count++);
      print_member(true, "from", from->name);
      print_member(false, "input", input->name);
      print_member(false, "to", stw_state_at((size_t)rule->to)->name);
      print_actions(rule->actions);
      putchar('}');
    }
  }
  putchar(']');
}

static const stw_word message_inputs[] = {
    {STWI_MSG_WRITE, "write", "written on a link"},
    {STWI_MSG_PROVE, "prove", "got the proof it wants"},
    {STWI_MSG_LINK_LOST, "link_lost", "the link died under it"},
    {STWI_MSG_EXPIRE, "expire", "its ttl ended"},
    {STWI_MSG_CANCEL, "cancel", "the host takes it back"},
    {STWI_MSG_DROP, "drop", "removed by outbox_overflow, or replaced by its key"},
    {STWI_MSG_POISON, "poison", "three links in a row ended because of it"},
    {STWI_MSG_HOLD, "hold", "the host keeps it back"},
    {STWI_MSG_RELEASE, "release", "put back into a lane by the host"},
    {STWI_MSG_DOUBT, "doubt", "whether it arrived cannot be learnt any more"},
};
_Static_assert(sizeof message_inputs / sizeof *message_inputs == (size_t)STWI_MSG_INPUT_COUNT,
               "one name for each input of a message");

static const stw_word *message_input_at(size_t index) {
  return index < STWI_MSG_INPUT_COUNT ? &message_inputs[index] : NULL;
}

static void print_message_rules(const char *key, stw_guarantee guarantee) {
  const stw_word *from;
  size_t count = 0;
  begin_list(key);
  for (size_t i = 0; (from = stw_message_state_at(i)) != NULL; i++) {
    for (size_t k = 0; k < STWI_MSG_INPUT_COUNT; k++) {
      const stw_message_state to = stwi_msg_next(
          (stw_message_state)from->value, (enum stwi_msg_input)message_inputs[k].value, guarantee);
      if (to == STW_MESSAGE_STATE_COUNT)
        continue;
      begin_row(count++);
      print_member(true, "from", from->name);
      print_member(false, "input", message_inputs[k].name);
      print_member(false, "to", stw_message_state_at((size_t)to)->name);
      putchar('}');
    }
  }
  putchar(']');
}

/* --- the fault model --- */

static void print_fault_model(void) {
  static const char *const marks[] = {[STWI_PATH_ASSUMED] = "assumed",
                                      [STWI_PATH_READ] = "read",
                                      [STWI_PATH_MEASURED] = "measured"};
  struct stwi_path_parameter parameter;
  begin_list("fault_profiles");
  for (size_t i = 0; i < STWI_PATH_PROFILES; i++) {
    fputs(i == 0 ? "" : ", ", stdout);
    print_text(stwi_path_profile_at(i)->name);
  }
  putchar(']');
  begin_list("fault_model");
  for (size_t i = 0; stwi_path_parameter_at(i, &parameter); i++) {
    begin_row(i);
    print_member(true, "name", parameter.name);
    print_member(false, "unit", parameter.unit);
    print_member(false, "mark", marks[parameter.mark]);
    print_member(false, "source", parameter.source);
    print_key(false, "values");
    for (size_t k = 0; k < STWI_PATH_PROFILES; k++)
      printf("%s%.3g", k == 0 ? "[" : ", ", parameter.values[k]);
    fputs("]}", stdout);
  }
  putchar(']');
}

int main(void) {
  putchar('{');
  print_member(true, "version", STW_VERSION);
  print_words("states", stw_state_at);
  print_words("inputs", stwi_link_input_at);
  print_words("actions", action_at);
  print_rules();
  print_words("phases", stw_phase_at);
  print_words("message_states", stw_message_state_at);
  print_words("message_inputs", message_input_at);
  print_message_rules("message_rules", STW_AT_LEAST_ONCE);
  print_message_rules("message_rules_at_most_once", STW_AT_MOST_ONCE);
  print_words("proofs", stw_proof_at);
  print_words("guarantees", stw_guarantee_at);
  print_words("classes", stw_class_at);
  print_words("event_kinds", stw_event_kind_at);
  print_words("gap_reasons", stw_gap_reason_at);
  print_words("lanes", stw_lane_at);
  print_words("store_healths", stw_store_health_at);
  print_words("edits", stw_edit_at);
  print_options();
  print_statuses();
  print_metrics();
  print_causes();
  print_codes("close_codes", stwi_cause_of_close, 1000, 4999);
  print_codes("http_statuses", stwi_cause_of_http, 100, 599);
  print_fault_model();
  print_conditions("stream_errors", STWI_CONDITIONS_STREAM);
  print_conditions("login_failures", STWI_CONDITIONS_SASL);
  puts("}");
  return fflush(stdout) != 0 || ferror(stdout);
}
