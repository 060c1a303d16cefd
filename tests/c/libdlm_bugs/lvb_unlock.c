/*
 * An unlock with LKF_VALBLK stores the caller's value block. The original stores bytes of its stack.
 *
 * Libraries: libdlm libdlm_lt
 */

#include "check.h"

int main(void)
{
	char block[32] = "", seen[32];
	struct dlm_lksb a = { .sb_lvbptr = block }, b = { .sb_lvbptr = seen };

	start("lvb_unlock");
	start_thread(space);
	lock_wait(space, LKM_NLMODE, &b, 0, "r");
	lock_wait(space, LKM_EXMODE, &a, LKF_VALBLK, "r");
	memcpy(block, "stored by the unlock, 32 bytes.", 32);
	CHECK(dlm_ls_unlock_wait(space, a.sb_lkid, LKF_VALBLK, &a) == 0);
	lock_wait(space, LKM_PRMODE, &b, LKF_CONVERT | LKF_VALBLK, "");
	CHECK(memcmp(seen, "stored by the unlock, 32 bytes.", 32) == 0);
	finish("lvb_unlock");
	return 0;
}
