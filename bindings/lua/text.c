#include "core.h"

#include <string.h>

/* The length of the sequence that starts at `bytes`, 0 if it is malformed (Unicode table 3-7). */
static size_t sequence_length(const unsigned char *bytes, size_t size) {
  unsigned char lead = bytes[0];
  if (lead < 0x80)
    return 1;
  size_t length = lead >= 0xC2 && lead <= 0xDF ? 2 : (lead & 0xF0) == 0xE0 ? 3 : 4;
  if (length == 4 && (lead < 0xF0 || lead > 0xF4))
    return 0;
  if (length > size)
    return 0;
  unsigned char low = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
  unsigned char high = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
  if (bytes[1] < low || bytes[1] > high)
    return 0;
  for (size_t i = 2; i < length; i++)
    if ((bytes[i] & 0xC0) != 0x80)
      return 0;
  return length;
}

size_t stwi_lua_utf8_valid(const char *data, size_t size) {
  size_t at = 0;
  while (at < size) {
    uint64_t word;
    while (size - at >= sizeof word) {
      memcpy(&word, data + at, sizeof word);
      if (word & 0x8080808080808080u)
        break;
      at += sizeof word;
    }
    if (at == size)
      break;
    size_t length = sequence_length((const unsigned char *)data + at, size - at);
    if (!length)
      break;
    at += length;
  }
  return at;
}

void stwi_lua_push_id(lua_State *L, stw_message_id id) {
  static const char digits[] = "0123456789abcdef";
  char text[STWI_LUA_ID_SIZE];
  for (int i = 0; i < 16; i++) {
    text[i] = digits[id.stream >> (60 - 4 * i) & 15];
    text[16 + i] = digits[id.number >> (60 - 4 * i) & 15];
  }
  lua_pushlstring(L, text, sizeof text);
}

static bool parse_half(const char *text, uint64_t *half) {
  *half = 0;
  for (int i = 0; i < 16; i++) {
    char c = text[i];
    int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
    if (digit < 0)
      return false;
    *half = *half << 4 | (uint64_t)digit;
  }
  return true;
}

stw_message_id stwi_lua_check_id(lua_State *L, int index) {
  size_t size;
  const char *text = stwi_lua_check_string(L, index, "a message id", &size);
  stw_message_id id = {0, 0};
  if (size != STWI_LUA_ID_SIZE || !parse_half(text, &id.stream) ||
      !parse_half(text + 16, &id.number))
    stwi_lua_misuse(L, STW_E_ARGUMENT, "a message id has 32 hex digits");
  return id;
}

static const struct {
  const char *name;
  double ms;
} units[] = {{"", 1000}, {"s", 1000}, {"ms", 1}, {"min", 60000}, {"h", 3600000}};

static double parse_duration(const char *text) {
  double value = 0;
  double place = 1;
  const char *at = text;
  for (; *at >= '0' && *at <= '9'; at++)
    value = value * 10 + (*at - '0');
  if (at > text && at[0] == '.' && at[1] >= '0' && at[1] <= '9')
    for (at++; *at >= '0' && *at <= '9'; at++)
      value += (*at - '0') * (place /= 10);
  if (at == text)
    return -1;
  for (size_t i = 0; i < sizeof units / sizeof *units; i++)
    if (!strcmp(at, units[i].name))
      return value * units[i].ms;
  return -1;
}

int64_t stwi_lua_duration_ms(lua_State *L, int index, int64_t fallback) {
  if (lua_isnoneornil(L, index))
    return fallback;
  double ms = -1;
  if (lua_type(L, index) == LUA_TNUMBER)
    ms = (double)lua_tonumber(L, index) * 1000;
  else if (lua_type(L, index) == LUA_TSTRING)
    ms = parse_duration(lua_tostring(L, index));
  if (ms > 1e15)
    return fallback;
  if (!(ms >= 0))
    stwi_lua_misuse(
        L, STW_E_VALUE, "a duration is seconds (15, 0.25) or a text such as \"250ms\", not %s",
        lua_type(L, index) == LUA_TSTRING ? lua_tostring(L, index) : luaL_typename(L, index));
  int64_t whole = (int64_t)ms;
  return ms > (double)whole ? whole + 1 : whole; /* 0.1 ms must not become a poll */
}
