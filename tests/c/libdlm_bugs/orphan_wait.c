/*
 * The adoption of an orphan with a call that waits: the original waits for a completion that never
 * comes.
 *
 * Libraries: libdlm libdlm_lt
 */

#include "check.h"

/* One for each library, as the original leaves an orphan. */
#define NAME (IS_LIGHT ? "orphan_wait_lt" : "orphan_wait")

int main(void)
{
	struct dlm_lksb lksb = { 0 };

	start(NAME);
	start_thread(space);
	lock_wait(space, LKM_EXMODE, &lksb, LKF_NOQUEUE | LKF_PERSISTENT, "r");
	CHECK(dlm_close_lockspace(space) == 0);
	space = dlm_open_lockspace(NAME);
	CHECK(space);
	start_thread(space);
	CHECK(dlm_ls_lock_wait(space, LKM_PRMODE, &lksb, LKF_ORPHAN, "r", 1, 0, NULL, NULL, NULL) ==
	      -1);
	CHECK(errno == EAGAIN);
	lock_wait(space, LKM_EXMODE, &lksb, LKF_ORPHAN | LKF_PERSISTENT, "r");
	unlock_wait(space, &lksb);
	CHECK(dlm_ls_lock_wait(space, LKM_EXMODE, &lksb, LKF_ORPHAN, "r", 1, 0, NULL, NULL, NULL) ==
	      -1);
	CHECK(errno == ENOENT);
	finish(NAME);
	return 0;
}
