/*
 * A conversion without LKF_VALBLK leaves the caller's value block alone. The original fills it with
 * zeros, or crashes where there is none.
 *
 * Libraries: libdlm libdlm_lt
 */

#include "check.h"

int main(void)
{
	char block[32] = "";
	struct dlm_lksb lksb = { .sb_lvbptr = block };

	start("lvb_convert");
	start_thread(space);
	lock_wait(space, LKM_NLMODE, &lksb, LKF_VALBLK, "r");
	memcpy(block, "mine", 5);
	lock_wait(space, LKM_PRMODE, &lksb, LKF_CONVERT, "");
	CHECK(strcmp(block, "mine") == 0);
	lksb.sb_lvbptr = NULL;
	lock_wait(space, LKM_EXMODE, &lksb, LKF_CONVERT, "");
	unlock_wait(space, &lksb);
	finish("lvb_convert");
	return 0;
}
