/*
 * Names of lockspaces that the kernel would choke on, and long ones that it takes.
 *
 * Libraries: libdlm libdlm_lt
 */

#include "check.h"

int main(void)
{
	static const char *const bad[] = { "", ".", "..", "a/b", "a b", "a\n", "\t" };
	char name[65] = "";

	limit();
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		CHECK(!dlm_create_lockspace(bad[i], 0600) && errno == EINVAL);
		CHECK(!dlm_open_lockspace(bad[i]) && errno == EINVAL);
	}
	for (int length = 1; length <= 64; length += length < 20 ? 1 : 11) {
		memset(name, 0, sizeof(name));
		memset(name, 'n', length);
		space = dlm_create_lockspace(name, 0600);
		CHECK(space);
		CHECK(dlm_release_lockspace("another", space, 1) == -1 && errno == EINVAL);
		finish(name);
	}
	return 0;
}
