/*
 * A conversion deadlock, and a waiting lock that is chosen as a victim.
 *
 * Libraries: libdlm libdlm_lt
 */

#include "check.h"

static int done;

int main(void)
{
	struct dlm_lksb a = { 0 }, b = { 0 }, c = { 0 };

	start("deadlock");
	CHECK(dlm_ls_lock(space, LKM_PRMODE, &a, 0, "r", 1, 0, count_ast, &done, NULL, NULL) == 0);
	CHECK(dlm_ls_lock(space, LKM_PRMODE, &b, 0, "r", 1, 0, count_ast, &done, NULL, NULL) == 0);
	dispatch_until(space, &done, 2);
	CHECK(dlm_ls_lock(space, LKM_EXMODE, &a, LKF_CONVERT, NULL, 0, 0, count_ast, &done, NULL,
			  NULL) == 0);
	CHECK(dlm_ls_lock(space, LKM_EXMODE, &b, LKF_CONVERT, NULL, 0, 0, count_ast, &done, NULL,
			  NULL) == 0);
	dispatch_until(space, &done, 3);
	printf("%s %s\n", status_name(a.sb_status), status_name(b.sb_status));
	say("victim", dlm_ls_deadlock_cancel(space, a.sb_lkid, LKF_CANCEL), NULL);
	dispatch_until(space, &done, 4);
	printf("%s %s\n", status_name(a.sb_status), status_name(b.sb_status));
	CHECK(dlm_ls_lock(space, LKM_EXMODE, &c, 0, "r", 1, 0, count_ast, &done, NULL, NULL) == 0);
	say("victim", dlm_ls_deadlock_cancel(space, c.sb_lkid, LKF_CANCEL), NULL);
	dispatch_until(space, &done, 5);
	printf("%s\n", status_name(c.sb_status));
	finish("deadlock");
	return 0;
}
