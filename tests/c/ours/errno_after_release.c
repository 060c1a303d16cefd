/*
 * After a release that has removed the lockspace errno is ENOENT, which C libdlm leaves where udev
 * makes the nodes. A client (XenServer's) takes 0 with EBUSY, left from before, for a failure.
 *
 * C libdlm: leaves errno as it was if udev does not run, as in the guests of these tests.
 * Libraries: libdlm libdlm_lt
 */

#include "check.h"

int main(void)
{
	dlm_lshandle_t again;

	start("errno_release");
	again = dlm_create_lockspace("errno_release", 0600);
	CHECK(again);
	errno = EBUSY;
	CHECK(dlm_release_lockspace("errno_release", again, 0) == 0);
	/* There is a lockspace yet, and C libdlm would have found it. */
	CHECK(errno == EBUSY);
	CHECK(dlm_release_lockspace("errno_release", space, 0) == 0);
	CHECK(errno == ENOENT);
	return 0;
}
