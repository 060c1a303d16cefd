/*
 * A lockspace that is removed by force under a call that waits: the call ends.
 *
 * Libraries: libdlm libdlm_lt
 */

#include "check.h"

int main(void)
{
	struct dlm_lksb a = { 0 }, b = { 0 };
	int status;
	pid_t child;

	start("removed");
	child = fork();
	CHECK(child >= 0);
	if (child == 0) {
		dlm_lshandle_t holder, other;

		alarm(8);
		CHECK(dlm_close_lockspace(space) == 0);
		holder = dlm_open_lockspace("removed");
		other = dlm_open_lockspace("removed");
		CHECK(holder && other);
		lock_wait(holder, LKM_EXMODE, &a, 0, "r");
		CHECK(dlm_ls_lock_wait(other, LKM_EXMODE, &b, 0, "r", 1, 0, NULL, NULL, NULL) == -1);
		CHECK(errno == ENODEV);
		/* Closed by the end, for which the removal waits. */
		_exit(0);
	}
	usleep(300000);
	finish("removed");
	CHECK(waitpid(child, &status, 0) == child);
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	return 0;
}
