/*
 * An unlock without LKF_VALBLK leaves the value block as it is, also if the lock was taken with it.
 * The original stores bytes of its stack.
 *
 * Libraries: libdlm libdlm_lt
 */

#include "check.h"

int main(void)
{
	char block[32] = "", seen[32];
	struct dlm_lksb a = { .sb_lvbptr = block }, b = { .sb_lvbptr = seen };

	start("lvb_sticky");
	start_thread(space);
	lock_wait(space, LKM_NLMODE, &b, 0, "r");
	lock_wait(space, LKM_EXMODE, &a, LKF_VALBLK, "r");
	memcpy(block, "stored by a conversion 32 bytes", 32);
	lock_wait(space, LKM_PWMODE, &a, LKF_CONVERT | LKF_VALBLK, "");
	memcpy(block, "and not meant to be stored.....", 32);
	unlock_wait(space, &a);
	lock_wait(space, LKM_PRMODE, &b, LKF_CONVERT | LKF_VALBLK, "");
	CHECK(memcmp(seen, "stored by a conversion 32 bytes", 32) == 0);
	CHECK(b.sb_flags == 0);
	finish("lvb_sticky");
	return 0;
}
