/*
 * Cancels: of nothing, twice, of what waits in a call, with a status block of its own.
 *
 * Libraries: libdlm libdlm_lt
 */

#include "check.h"

static struct dlm_lksb waiting;
static int returned;

static void *wait_for_lock(void *unused)
{
	(void)unused;
	returned = dlm_ls_lock_wait(space, LKM_EXMODE, &waiting, 0, "r", 1, 0, NULL, NULL, NULL);
	CHECK(returned == (IS_LIGHT ? -1 : 0));
	CHECK(!IS_LIGHT || errno == ECANCEL);
	return NULL;
}

int main(void)
{
	struct dlm_lksb a = { 0 }, b = { 0 }, c = { .sb_status = 3 };
	int count = 0;
	pthread_t thread;

	start("cancel");
	lock_wait(space, LKM_EXMODE, &a, 0, "r");
	CHECK(dlm_ls_unlock(space, a.sb_lkid, LKF_CANCEL, &c, NULL) == 0 && c.sb_status == 3);
	CHECK(dlm_ls_unlock(space, a.sb_lkid, LKF_CANCEL, &c, NULL) == 0 && c.sb_status == 3);
	/* One that ends in an AST, cancelled by a call that waits. */
	CHECK(dlm_ls_lock(space, LKM_EXMODE, &b, 0, "r", 1, 0, count_ast, &count, NULL, NULL) == 0);
	CHECK(dlm_ls_unlock_wait(space, b.sb_lkid, LKF_CANCEL, &c) == (IS_LIGHT ? -1 : 0));
	CHECK(!IS_LIGHT || errno == ECANCEL);
	CHECK(c.sb_status == ECANCEL);
	if (count == 0)
		dispatch_until(space, &count, 1);
	CHECK(b.sb_status == ECANCEL && b.sb_lkid == 0);
	/* Twice. */
	CHECK(dlm_ls_lock(space, LKM_EXMODE, &b, 0, "r", 1, 0, count_ast, &count, NULL, NULL) == 0);
	CHECK(dlm_ls_unlock(space, b.sb_lkid, LKF_CANCEL, &b, NULL) == 0);
	CHECK(dlm_ls_unlock(space, b.sb_lkid, LKF_CANCEL, &b, NULL) == -1 && errno == EINVAL);
	dispatch_until(space, &count, 2);
	CHECK(b.sb_status == ECANCEL);
	/* What waits in a call of another thread. */
	CHECK(pthread_create(&thread, NULL, wait_for_lock, NULL) == 0);
	await_id(&waiting);
	CHECK(dlm_ls_unlock(space, waiting.sb_lkid, LKF_CANCEL, &c, NULL) == 0);
	CHECK(pthread_join(thread, NULL) == 0);
	CHECK(waiting.sb_status == ECANCEL);
	/* An unlock over a conversion that waits in a call. */
	unlock_wait(space, &a);
	finish("cancel");
	return 0;
}
