/* A program that knows only what is installed; built as C and as C++. */
#include <steadwire/steadwire.h>

#include <string.h>

int main(void) {
  return strcmp(stw_version(), STW_VERSION);
}
