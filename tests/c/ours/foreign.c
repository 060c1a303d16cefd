/*
 * Ids of locks that were taken through another handle: of this process, and of another one.
 *
 * Libraries: libdlm libdlm_lt
 */

#include "check.h"

int main(void)
{
	struct dlm_lksb a = { 0 }, b = { 0 }, c = { 0 };
	dlm_lshandle_t other;
	int count = 0, status;
	pid_t child;

	start("foreign");
	other = dlm_open_lockspace("foreign");
	CHECK(other);
	CHECK(dlm_ls_lock(other, LKM_EXMODE, &a, 0, "r", 1, 0, count_ast, &count, NULL, NULL) == 0);
	dispatch_until(other, &count, 1);
	lock_wait(space, LKM_PRMODE, &a, LKF_CONVERT, "");
	CHECK(dlm_ls_lock(other, LKM_EXMODE, &a, LKF_CONVERT, NULL, 0, 0, count_ast, &count, NULL,
			  NULL) == 0);
	dispatch_until(other, &count, 2);
	unlock_wait(space, &a);
	dispatch_until(other, &count, 3);
	lock_wait(space, LKM_EXMODE, &a, 0, "r");
	fflush(stdout);
	child = fork();
	CHECK(child >= 0);
	if (child == 0) {
		dlm_lshandle_t third;

		/* What the parent has taken since is not known here. */
		limit();
		third = dlm_open_lockspace("foreign");
		CHECK(third);
		CHECK(dlm_close_lockspace(space) == 0);
		CHECK(dlm_ls_unlock(third, a.sb_lkid, 0, &b, NULL) == -1 && errno == ENOENT);
		lock_wait(third, LKM_NLMODE, &c, 0, "r");
		_exit(0);
	}
	CHECK(waitpid(child, &status, 0) == child);
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	CHECK(dlm_ls_lock_wait(other, LKM_PRMODE, &b, LKF_NOQUEUE, "r", 1, 0, NULL, NULL, NULL) ==
	      (IS_LIGHT ? -1 : 0));
	CHECK(b.sb_status == EAGAIN);
	unlock_wait(space, &a);
	CHECK(dlm_close_lockspace(other) == 0);
	finish("foreign");
	return 0;
}
