/*
 * lvmlockd's way: persistent modes by conversion, adoption after a restart with routines that are
 * none, the wrong mode first; then purging.
 *
 * Libraries: libdlm libdlm_lt
 */

#include "check.h"

static int adopt(uint32_t mode, struct dlm_lksb *lksb, const char *name)
{
	return dlm_ls_lockx(space, mode, lksb, LKF_PERSISTENT | LKF_ORPHAN, name, strlen(name), 0,
			    (void (*)(void *))1, (void *)1, (void (*)(void *))1, NULL, NULL);
}

static void restart(void)
{
	CHECK(dlm_close_lockspace(space) == 0);
	space = dlm_open_lockspace("orphan");
	CHECK(space);
	start_thread(space);
}

int main(void)
{
	char block[32] = "";
	struct dlm_lksb a = { .sb_lvbptr = block }, b = { 0 }, c = { 0 };
	uint32_t id;

	start("orphan");
	start_thread(space);
	lock_wait(space, LKM_NLMODE, &a, LKF_EXPEDITE | LKF_VALBLK, "vg");
	lock_wait(space, LKM_EXMODE, &a, LKF_CONVERT | LKF_NOQUEUE | LKF_PERSISTENT | LKF_VALBLK,
		  "");
	id = a.sb_lkid;
	lock_wait(space, LKM_PRMODE, &b, LKF_NOQUEUE | LKF_PERSISTENT, "lv");
	lock_wait(space, LKM_PRMODE, &c, LKF_NOQUEUE, "gone");
	restart();
	memset(&a, 0, sizeof(a));
	say("nothing there", adopt(LKM_EXMODE, &c, "gone"), NULL);
	say("wrong mode", adopt(LKM_PRMODE, &a, "vg"), NULL);
	say("right mode", adopt(LKM_EXMODE, &a, "vg"), NULL);
	CHECK(a.sb_lkid == id);
	say("once only", adopt(LKM_EXMODE, &b, "vg"), NULL);
	say("taken", dlm_ls_lock_wait(space, LKM_EXMODE, &c, LKF_NOQUEUE, "lv", 2, 0, NULL, NULL,
				      NULL), &c);
	CHECK(dlm_ls_purge(space, 0, 0) == 0);
	say("purged", dlm_ls_lock_wait(space, LKM_EXMODE, &c, LKF_NOQUEUE, "lv", 2, 0, NULL, NULL,
				       NULL), &c);
	say("the adopted is mine", dlm_ls_lock_wait(space, LKM_NLMODE, &a, LKF_CONVERT, NULL, 0, 0,
						    NULL, NULL, NULL), &a);
	unlock_wait(space, &a);
	unlock_wait(space, &c);
	CHECK(dlm_release_lockspace("orphan", space, 1) == 0);
	return 0;
}
