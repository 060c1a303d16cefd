/*
 * Value blocks: what is fetched and what is stored, by requests and conversions.
 *
 * Libraries: libdlm libdlm_lt
 */

#include "check.h"

static dlm_lshandle_t other;

static void show(const char *what, int returned, struct dlm_lksb *lksb)
{
	say(what, returned, lksb);
	printf("  %.32s\n", lksb->sb_lvbptr);
}

static int lock(dlm_lshandle_t ls, uint32_t mode, struct dlm_lksb *lksb, uint32_t flags)
{
	return dlm_ls_lock_wait(ls, mode, lksb, flags | LKF_VALBLK, "r", 1, 0, NULL, NULL, NULL);
}

int main(void)
{
	char a_block[33] = "garbage of the first", b_block[33] = "garbage of the second";
	struct dlm_lksb a = { .sb_lvbptr = a_block }, b = { .sb_lvbptr = b_block };

	start("lvb");
	other = dlm_open_lockspace("lvb");
	CHECK(other);
	start_thread(space);
	start_thread(other);
	show("NL", lock(space, LKM_NLMODE, &a, 0), &a);
	show("other NL", lock(other, LKM_NLMODE, &b, LKF_EXPEDITE), &b);
	show("to EX", lock(space, LKM_EXMODE, &a, LKF_CONVERT), &a);
	memcpy(a_block, "written by the first            ", 32);
	show("EX to NL stores", lock(space, LKM_NLMODE, &a, LKF_CONVERT), &a);
	show("other to PR fetches", lock(other, LKM_PRMODE, &b, LKF_CONVERT), &b);
	show("other to EX fetches", lock(other, LKM_EXMODE, &b, LKF_CONVERT), &b);
	memcpy(b_block, "written by the second           ", 32);
	show("other EX to EX stores", lock(other, LKM_EXMODE, &b, LKF_CONVERT), &b);
	memcpy(b_block, "changed in memory               ", 32);
	CHECK(dlm_ls_lock_wait(other, LKM_NLMODE, &b, LKF_CONVERT | LKF_IVVALBLK, NULL, 0, 0, NULL,
			       NULL, NULL) == 0);
	show("to PR, not valid", lock(space, LKM_PRMODE, &a, LKF_CONVERT), &a);
	show("to EX, not valid", lock(space, LKM_EXMODE, &a, LKF_CONVERT), &a);
	memcpy(a_block, "valid again                     ", 32);
	show("to PW stores", lock(space, LKM_PWMODE, &a, LKF_CONVERT), &a);
	show("to EX fetches", lock(space, LKM_EXMODE, &a, LKF_CONVERT), &a);
	show("to NL stores", lock(space, LKM_NLMODE, &a, LKF_CONVERT), &a);
	unlock_wait(space, &a);
	show("other to CR", lock(other, LKM_CRMODE, &b, LKF_CONVERT), &b);
	unlock_wait(other, &b);
	CHECK(dlm_close_lockspace(other) == 0);
	finish("lvb");
	return 0;
}
