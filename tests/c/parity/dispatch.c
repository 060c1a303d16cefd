/*
 * Asynchronous calls with poll and dispatch: the life of a lock, and of one that waits for it.
 *
 * Libraries: libdlm libdlm_lt
 */

#include "check.h"

static int calls;

static void tell(void *argument)
{
	struct dlm_lksb *lksb = argument;

	calls++;
	printf("  AST: %s, flags %d\n", status_name(lksb->sb_status), lksb->sb_flags);
}

static void blocked(void *argument)
{
	struct dlm_lksb *lksb = argument;

	calls++;
	printf("  blocking AST of %s\n", lksb->sb_status == 0 ? "a granted lock" : "another");
}

/* Dispatches as many ASTs as there will be, and what may come beside them. */
static void turn(const char *what, int wanted)
{
	struct pollfd set = { .fd = dlm_ls_get_fd(space), .events = POLLIN };

	printf("%s:\n", what);
	calls = 0;
	dispatch_until(space, &calls, wanted);
	while (poll(&set, 1, 20) != 0)
		CHECK(dlm_dispatch(set.fd) == 0);
	CHECK(calls == wanted);
}

static int lock(uint32_t mode, struct dlm_lksb *lksb, uint32_t flags)
{
	return dlm_ls_lock(space, mode, lksb, flags, "resource", 8, 0, tell, lksb, blocked, NULL);
}

int main(void)
{
	struct dlm_lksb a = { 0 }, b = { 0 }, c = { 0 };

	start("dispatch");
	CHECK(dlm_ls_get_fd(space) >= 0 && dlm_ls_get_fd(space) == dlm_ls_get_fd(space));
	say("lock", lock(LKM_PRMODE, &a, 0), &a);
	CHECK(a.sb_lkid != 0);
	turn("granted", 1);
	say("second", lock(LKM_EXMODE, &b, 0), &b);
	turn("blocked", 1);
	say("taken", lock(LKM_PRMODE, &c, LKF_NOQUEUE), NULL);
	turn("refused", 1);
	say("down", lock(LKM_NLMODE, &a, LKF_CONVERT), &a);
	turn("down, and the second granted", 2);
	say("up", lock(LKM_PRMODE, &a, LKF_CONVERT), &a);
	turn("the second blocks it", 1);
	say("busy", lock(LKM_CRMODE, &a, LKF_CONVERT), &a);
	say("cancel", dlm_ls_unlock(space, a.sb_lkid, LKF_CANCEL, &a, &a), &a);
	turn("cancelled", 1);
	say("unlock", dlm_ls_unlock(space, b.sb_lkid, 0, &b, &b), &b);
	turn("unlocked", 1);
	say("alternate", lock(LKM_EXMODE, &b, 0), &b);
	turn("granted beside NL", 1);
	say("PR or CW", lock(LKM_CWMODE, &c, LKF_NOQUEUE), NULL);
	turn("refused", 1);
	say("unlock both", dlm_ls_unlock(space, b.sb_lkid, 0, &b, &b), &b);
	turn("one", 1);
	say("and", dlm_ls_unlock(space, a.sb_lkid, 0, &a, &a), &a);
	turn("the other", 1);
	say("a waiting one", lock(LKM_EXMODE, &a, 0), &a);
	say("behind it", lock(LKM_EXMODE, &b, 0), &b);
	CHECK(dlm_ls_unlock(space, b.sb_lkid, 0, &b, &b) == 0);
	turn("taken back", 3);
	finish("dispatch");
	return 0;
}
