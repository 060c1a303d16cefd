/* Tells what is in libdlm.h: the rows of main() are written by the test. */

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif
#include <libdlm.h>
#ifdef __cplusplus
}
static const char *kind(int) { return "int"; }
static const char *kind(unsigned int) { return "unsigned int"; }
static const char *kind(long) { return "long"; }
static const char *kind(unsigned long) { return "unsigned long"; }
static const char *kind(short) { return "short"; }
static const char *kind(unsigned short) { return "unsigned short"; }
static const char *kind(char) { return "char"; }
static const char *kind(signed char) { return "signed char"; }
static const char *kind(unsigned char) { return "unsigned char"; }
static const char *kind(char *) { return "char *"; }
static const char *kind(const char *) { return "const char *"; }
static const char *kind(unsigned char *) { return "unsigned char *"; }
static const char *kind(void *) { return "void *"; }
/* All of them, so that none is unused. */
static const char *all[] = {
	kind(0), kind(0u), kind(0l), kind(0ul), kind((short)0), kind((unsigned short)0),
	kind('0'), kind((signed char)0), kind((unsigned char)0), kind((char *)0),
	kind((const char *)0), kind((unsigned char *)0), kind((void *)0),
};
#define KIND(x) (all[0] ? kind(x) : "")
#else
#define KIND(x) _Generic((x), int: "int", unsigned int: "unsigned int", \
	long: "long", unsigned long: "unsigned long", \
	short: "short", unsigned short: "unsigned short", \
	char: "char", signed char: "signed char", unsigned char: "unsigned char", \
	char *: "char *", const char *: "const char *", \
	unsigned char *: "unsigned char *", void *: "void *")
#endif

struct aligned { char c; struct dlm_lksb lksb; };

#define CONSTANT(name) printf(#name " = %lld, %s\n", (long long)(name), KIND(name));
#define SIZE(type) printf("size of " #type " = %zu\n", sizeof(type));
#define FIELD(name) \
	printf("dlm_lksb." #name " = at %zu, %zu bytes, %s\n", offsetof(struct dlm_lksb, name), \
	       sizeof(lksb.name), KIND(lksb.name));
#define FUNCTION(name) printf(#name " = %zu\n", sizeof(&name));
