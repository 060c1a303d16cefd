/*
 * As many lockspaces as there are minor numbers: some 60 on Linux 5.10 and 120 on 6.1, which says EEXIST
 * when there is none left, as for a lockspace that exists; here it is ENOSPC. Nothing is left behind: when
 * one is released there is room again. Later kernels have a million.
 *
 * Libraries: libdlm libdlm_lt
 */

#include "check.h"

#define MANY 130

int main(void)
{
	dlm_lshandle_t all[MANY], again;
	char name[16];
	int count = 0;

	limit();
	for (; count < MANY; count++) {
		snprintf(name, sizeof(name), "minors%d", count);
		all[count] = dlm_create_lockspace(name, 0600);
		if (!all[count]) {
			CHECK(errno == ENOSPC);
			CHECK(!dlm_open_lockspace(name) && errno == ENOENT);
			break;
		}
	}
	CHECK(count > 40);
	for (int i = 0; i < 3 && count < MANY; i++) {
		CHECK(!dlm_create_lockspace(name, 0600) && errno == ENOSPC);
		CHECK(dlm_release_lockspace("minors0", all[0], 1) == 0);
		again = dlm_create_lockspace(name, 0600);
		CHECK(again);
		CHECK(dlm_release_lockspace(name, again, 1) == 0);
		all[0] = dlm_create_lockspace("minors0", 0600);
		CHECK(all[0]);
	}
	while (count > 0) {
		snprintf(name, sizeof(name), "minors%d", --count);
		CHECK(dlm_release_lockspace(name, all[count], 1) == 0);
	}
	return 0;
}
