/*
 * Flags with which the kernel would be left with a lock that nobody can release, or would warn.
 *
 * Libraries: libdlm libdlm_lt
 */

#include "check.h"

int main(void)
{
	struct dlm_lksb a = { 0 }, b = { 0 };

	start("flags");
	lock_wait(space, LKM_EXMODE, &a, LKF_FORCEUNLOCK | LKF_NODLCKBLK | 0x20000000, "r");
	CHECK(dlm_ls_lock_wait(space, LKM_PRMODE, &a, LKF_CONVERT | LKF_QUECVT, NULL, 0, 0, NULL,
			       NULL, NULL) == -1);
	CHECK(errno == EINVAL);
	CHECK(dlm_ls_unlock_wait(space, a.sb_lkid, LKF_FORCEUNLOCK, &a) == 0);
	CHECK(a.sb_status == EUNLOCK);
	lock_wait(space, LKM_EXMODE, &b, LKF_NOQUEUE, "r");
	unlock_wait(space, &b);
	finish("flags");
	return 0;
}
