/*
 * A blocking AST does not touch the status block of a conversion in flight. The original overwrites
 * its EINPROG.
 *
 * Libraries: libdlm libdlm_lt
 */

#include "check.h"

int main(void)
{
	struct dlm_lksb a = { 0 }, b = { 0 }, c = { 0 };
	int done = 0, blocked = 0;

	start("bast_status");
	/* The argument of both ASTs is the same: the blocking one counts here, too. */
	CHECK(dlm_ls_lock(space, LKM_CRMODE, &b, 0, "r", 1, 0, count_ast, &done, NULL, NULL) == 0);
	CHECK(dlm_ls_lock(space, LKM_CRMODE, &a, 0, "r", 1, 0, count_ast, &blocked, count_ast,
			  NULL) == 0);
	dispatch_until(space, &done, 1);
	dispatch_until(space, &blocked, 1);
	CHECK(dlm_ls_lock(space, LKM_EXMODE, &c, 0, "r", 1, 0, count_ast, &done, NULL, NULL) == 0);
	/* It waits for b, and c, waiting too, is blocked by it: that notice is not read yet. */
	CHECK(dlm_ls_lock(space, LKM_EXMODE, &a, LKF_CONVERT, NULL, 0, 0, count_ast, &blocked,
			  count_ast, NULL) == 0);
	CHECK(a.sb_status == EINPROG);
	dispatch_until(space, &blocked, 2);
	CHECK(a.sb_status == EINPROG);
	CHECK(dlm_ls_unlock(space, b.sb_lkid, 0, &b, &done) == 0);
	dispatch_until(space, &blocked, 3);
	CHECK(a.sb_status == 0);
	finish("bast_status");
	return 0;
}
