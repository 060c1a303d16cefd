/*
 * A persistent request that waits is cancelled before its lockspace is closed, so that a purge does
 * not crash the kernel; a purge with the own thread's id leaves live locks alone.
 *
 * Libraries: libdlm libdlm_lt
 */

#include <sys/syscall.h>

#include "check.h"

int main(void)
{
	struct dlm_lksb a = { 0 }, b = { 0 }, c = { 0 };
	dlm_lshandle_t other;
	int count = 0;

	start("persistent");
	other = dlm_open_lockspace("persistent");
	CHECK(other);
	lock_wait(space, LKM_EXMODE, &a, 0, "r");
	CHECK(dlm_ls_lock(other, LKM_EXMODE, &b, LKF_PERSISTENT, "r", 1, 0, count_ast, &count, NULL,
			  NULL) == 0);
	CHECK(dlm_close_lockspace(other) == 0);
	CHECK(dlm_ls_purge(space, 0, 0) == 0);
	CHECK(dlm_ls_purge(space, 0, syscall(SYS_gettid)) == 0);
	other = dlm_open_lockspace("persistent");
	CHECK(other);
	CHECK(dlm_ls_lock_wait(other, LKM_EXMODE, &c, LKF_NOQUEUE, "r", 1, 0, NULL, NULL, NULL) ==
	      (IS_LIGHT ? -1 : 0));
	CHECK(c.sb_status == EAGAIN);
	unlock_wait(space, &a);
	lock_wait(other, LKM_EXMODE, &c, LKF_NOQUEUE, "r");
	CHECK(dlm_close_lockspace(other) == 0);
	finish("persistent");
	return 0;
}
