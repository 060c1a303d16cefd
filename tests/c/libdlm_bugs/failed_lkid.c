/*
 * A request that failed leaves no id: that of the original may be another's lock a moment later.
 *
 * Libraries: libdlm_lt
 */

#include "check.h"

int main(void)
{
	struct dlm_lksb a = { 0 }, b = { 0 };

	start("failed_lkid");
	lock_wait(space, LKM_EXMODE, &a, 0, "r");
	CHECK(dlm_ls_lock_wait(space, LKM_EXMODE, &b, LKF_NOQUEUE, "r", 1, 0, NULL, NULL, NULL) ==
	      -1);
	CHECK(errno == EAGAIN && b.sb_status == EAGAIN);
	CHECK(b.sb_lkid == 0);
	finish("failed_lkid");
	return 0;
}
