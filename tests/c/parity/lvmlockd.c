/*
 * As lvmlockd does: a status block at an odd address, in an array of bytes; NL once, then
 * conversions that do not wait; a version in the value block, written with the way back to NL;
 * routines that are numbers, where one must be given and is never called.
 *
 * Libraries: libdlm libdlm_lt
 */

#include "check.h"

#define FLAGS (LKF_CONVERT | LKF_NOQUEUE | LKF_VALBLK)

/* A copy that can be looked at. */
static struct dlm_lksb copy(const char *place)
{
	struct dlm_lksb lksb;

	memcpy(&lksb, place, sizeof(lksb));
	return lksb;
}

int main(void)
{
	char room[sizeof(struct dlm_lksb) + 8] = { 0 }, value[DLM_LVB_LEN] = { 0 };
	struct dlm_lksb before = { .sb_lvbptr = value }, now;

	start("lvmlockd");
	start_thread(space);
	for (int shift = 1; shift < 8; shift++) {
		struct dlm_lksb *lksb = (struct dlm_lksb *)(void *)(room + shift);

		memcpy(lksb, &before, sizeof(before));
		CHECK(dlm_ls_lock_wait(space, LKM_NLMODE, lksb, LKF_EXPEDITE | LKF_VALBLK, "VGLK", 4,
				       0, NULL, NULL, NULL) == 0);
		CHECK(dlm_ls_lock_wait(space, LKM_EXMODE, lksb, FLAGS, "VGLK", 4, 0, NULL, NULL,
				       NULL) == 0);
		now = copy(room + shift);
		printf("version %d, status %s, flags %d\n", value[0], status_name(now.sb_status),
		       now.sb_flags & 7);
		value[0]++;
		CHECK(dlm_ls_lock_wait(space, LKM_NLMODE, lksb, FLAGS, "VGLK", 4, 0, NULL, NULL,
				       NULL) == 0);
		CHECK(dlm_ls_lock_wait(space, LKM_PRMODE, lksb, FLAGS, "VGLK", 4, 0, NULL, NULL,
				       NULL) == 0);
		now = copy(room + shift);
		CHECK(dlm_ls_unlock_wait(space, now.sb_lkid, 0, lksb) == 0);
		now = copy(room + shift);
		printf("unlocked: %s\n", status_name(now.sb_status));
		before.sb_lkid = 0;
	}
	/* A lock that is kept over the end of the process, and the routines of its adoption. */
	CHECK(dlm_ls_lock_wait(space, LKM_EXMODE, &before, LKF_PERSISTENT | LKF_NOQUEUE, "LV", 2, 0,
			       NULL, NULL, NULL) == 0);
	CHECK(dlm_close_lockspace(space) == 0);
	space = dlm_open_lockspace("lvmlockd");
	CHECK(space);
	now = before;
	now.sb_lkid = 0;
	CHECK(dlm_ls_lockx(space, LKM_EXMODE, &now, LKF_PERSISTENT | LKF_ORPHAN, "LV", 2, 0,
			   (void (*)(void *))1, (void *)1, (void (*)(void *))1, NULL, NULL) == 0);
	printf("adopted the same: %d\n", now.sb_lkid == before.sb_lkid);
	start_thread(space);
	CHECK(dlm_ls_lock_wait(space, LKM_NLMODE, &now, LKF_CONVERT | LKF_PERSISTENT, "LV", 2, 0,
			       NULL, NULL, NULL) == 0);
	CHECK(dlm_ls_unlock_wait(space, now.sb_lkid, 0, &now) == 0);
	finish("lvmlockd");
	return 0;
}
