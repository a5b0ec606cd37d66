#include "io/envelope_fields.h"

#define AT(member) (uint16_t) offsetof(struct stwi_sframe, u.member)
#define NEEDED(frame, name, what, field_kind, bytes, member)                                       \
  {                                                                                                \
    .key = name, .kind = field_kind, .size = bytes, .offset = AT(member),                          \
    .presence = STWI_FIELD_ALWAYS, .absent = frame ": " name " is missing",                        \
    .wrong = frame ": " name " is not " what                                                       \
  }
#define MAYBE(frame, name, what, field_kind, bytes, member, there)                                 \
  {                                                                                                \
    .key = name, .kind = field_kind, .size = bytes, .offset = AT(member), .presence = there,       \
    .absent = "", .wrong = frame ": " name " is not " what                                         \
  }

#define AN_INTEGER "an integer of 0 or more"
#define RECEIVED "two numbers of 0 to 2^63-1"
#define NUMBERS "two numbers of 1 to 2^63-1"

static const struct stwi_field hello[] = {
    NEEDED("HELLO", "v", "an array of integers", STWI_FIELD_VERSIONS, 0, hello.versions),
    NEEDED("HELLO", "cid", "bin of 16 bytes", STWI_FIELD_BIN, STWI_CID_BYTES, hello.cid),
    MAYBE("HELLO", "tok", "bin of 32 bytes", STWI_FIELD_BIN, STWI_TOKEN_BYTES, hello.token,
          AT(hello.has_token)),
    MAYBE("HELLO", "inc", AN_INTEGER, STWI_FIELD_UINT64, 0, hello.incarnation,
          AT(hello.has_incarnation)),
    NEEDED("HELLO", "rx", RECEIVED, STWI_FIELD_RECEIVED, 0, hello.received),
    NEEDED("HELLO", "lo", NUMBERS, STWI_FIELD_NUMBERS, 0, hello.lowest),
    NEEDED("HELLO", "nx", NUMBERS, STWI_FIELD_NUMBERS, 0, hello.next),
    NEEDED("HELLO", "pr", RECEIVED, STWI_FIELD_RECEIVED, 0, hello.processed),
    NEEDED("HELLO", "caps", AN_INTEGER, STWI_FIELD_BITS, 0, hello.caps),
    NEEDED("HELLO", "win_msgs", AN_INTEGER, STWI_FIELD_UINT64, 0, hello.window_messages),
    NEEDED("HELLO", "win_bytes", AN_INTEGER, STWI_FIELD_UINT64, 0, hello.window_bytes),
    NEEDED("HELLO", "max", AN_INTEGER, STWI_FIELD_UINT64, 0, hello.message_max),
    NEEDED("HELLO", "idle_ms", AN_INTEGER, STWI_FIELD_UINT64, 0, hello.idle_ms),
    MAYBE("HELLO", "auth", "a string", STWI_FIELD_TEXT, 0, hello.auth, STWI_FIELD_OPTIONAL),
};

static const struct stwi_field welcome[] = {
    NEEDED("WELCOME", "v", "a version", STWI_FIELD_UINT32, 0, welcome.version),
    NEEDED("WELCOME", "sid", "bin of 16 bytes", STWI_FIELD_BIN, 16, welcome.sid),
    NEEDED("WELCOME", "tok", "bin of 32 bytes", STWI_FIELD_BIN, STWI_TOKEN_BYTES, welcome.token),
    NEEDED("WELCOME", "inc", AN_INTEGER, STWI_FIELD_UINT64, 0, welcome.incarnation),
    NEEDED("WELCOME", "st", "0, 1 or 2", STWI_FIELD_RESUME, 0, welcome.resume),
    NEEDED("WELCOME", "rx", RECEIVED, STWI_FIELD_RECEIVED, 0, welcome.received),
    NEEDED("WELCOME", "lo", NUMBERS, STWI_FIELD_NUMBERS, 0, welcome.lowest),
    NEEDED("WELCOME", "nx", NUMBERS, STWI_FIELD_NUMBERS, 0, welcome.next),
    NEEDED("WELCOME", "pr", RECEIVED, STWI_FIELD_RECEIVED, 0, welcome.processed),
    NEEDED("WELCOME", "caps", AN_INTEGER, STWI_FIELD_BITS, 0, welcome.caps),
    NEEDED("WELCOME", "ttl_ms", AN_INTEGER, STWI_FIELD_UINT64, 0, welcome.ring_ms),
    NEEDED("WELCOME", "wm_ttl_ms", AN_INTEGER, STWI_FIELD_UINT64, 0, welcome.watermark_ms),
    NEEDED("WELCOME", "win_msgs", AN_INTEGER, STWI_FIELD_UINT64, 0, welcome.window_messages),
    NEEDED("WELCOME", "win_bytes", AN_INTEGER, STWI_FIELD_UINT64, 0, welcome.window_bytes),
    NEEDED("WELCOME", "max", AN_INTEGER, STWI_FIELD_UINT64, 0, welcome.message_max),
    NEEDED("WELCOME", "idle_ms", AN_INTEGER, STWI_FIELD_UINT64, 0, welcome.idle_ms),
    MAYBE("WELCOME", "loc", "a string", STWI_FIELD_TEXT, 0, welcome.location, STWI_FIELD_OPTIONAL),
    MAYBE("WELCOME", "srv", "a string", STWI_FIELD_TEXT, 0, welcome.server, STWI_FIELD_OPTIONAL),
};

static const struct stwi_field goaway[] = {
    NEEDED("GOAWAY", "after_ms", AN_INTEGER, STWI_FIELD_UINT64, 0, goaway.after_ms),
    NEEDED("GOAWAY", "spread_ms", AN_INTEGER, STWI_FIELD_UINT64, 0, goaway.spread_ms),
    NEEDED("GOAWAY", "code", AN_INTEGER, STWI_FIELD_UINT32, 0, goaway.code),
    NEEDED("GOAWAY", "resumable", "a boolean", STWI_FIELD_BOOL, 0, goaway.is_resumable),
    MAYBE("GOAWAY", "loc", "a string", STWI_FIELD_TEXT, 0, goaway.location, STWI_FIELD_OPTIONAL),
};

#define TABLE(fields) ((struct stwi_field_table){fields, sizeof fields / sizeof fields[0]})

struct stwi_field_table stwi_envelope_fields(uint32_t type) {
  switch (type) {
  case STWI_SF_HELLO:
    return TABLE(hello);
  case STWI_SF_WELCOME:
    return TABLE(welcome);
  case STWI_SF_GOAWAY:
    return TABLE(goaway);
  default:
    return (struct stwi_field_table){NULL, 0};
  }
}
