/*
 * A cancel that waits, of a granted lock: the original waits for a completion that never comes.
 *
 * Libraries: libdlm libdlm_lt
 */

#include "check.h"

int main(void)
{
	struct dlm_lksb lksb = { 0 };

	start("cancel");
	start_thread(space);
	lock_wait(space, LKM_EXMODE, &lksb, 0, "r");
	CHECK(dlm_ls_unlock_wait(space, lksb.sb_lkid, LKF_CANCEL, &lksb) == 0);
	CHECK(lksb.sb_status == 0);
	unlock_wait(space, &lksb);
	finish("cancel");
	return 0;
}
