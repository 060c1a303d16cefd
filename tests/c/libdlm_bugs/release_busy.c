/*
 * A lockspace in which somebody has a lock is not released, and the caller is told.
 *
 * Libraries: libdlm libdlm_lt
 */

#include "check.h"

/* One for each library: the last reference stays. */
#define NAME (IS_LIGHT ? "release_busy_lt" : "release_busy")

int main(void)
{
	struct dlm_lksb a = { 0 };
	int count = 0;

	start(NAME);
	CHECK(dlm_ls_lock(space, LKM_EXMODE, &a, LKF_PERSISTENT | LKF_NOQUEUE, "r", 1, 0, count_ast,
			  &count, NULL, NULL) == 0);
	dispatch_until(space, &count, 1);
	CHECK(dlm_release_lockspace(NAME, space, 0) == -1);
	CHECK(errno == EBUSY);
	space = dlm_open_lockspace(NAME);
	CHECK(space);
	CHECK(dlm_release_lockspace(NAME, space, 1) == 0);
	CHECK(!dlm_open_lockspace(NAME));
	/* The last reference is gone. */
	space = dlm_create_lockspace(NAME, 0600);
	CHECK(space);
	if (on_engine()) {
		/* Which asks for no privileges. */
		finish(NAME);
		return 0;
	}
	CHECK(setuid(65534) == 0);
	CHECK(dlm_release_lockspace(NAME, space, 1) == -1);
	CHECK(errno == EPERM || errno == EACCES);
	return 0;
}
