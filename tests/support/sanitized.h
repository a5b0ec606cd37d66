/* sanitized: whether this program is built for AddressSanitizer or ThreadSanitizer, under which
 * time passes ten times as slowly: there for the code, not for figures. */
#ifndef STEADWIRE_TESTS_SANITIZED_H
#define STEADWIRE_TESTS_SANITIZED_H

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define IS_SANITIZED true
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define IS_SANITIZED true
#endif
#endif
#ifndef IS_SANITIZED
#define IS_SANITIZED false
#endif

#endif
