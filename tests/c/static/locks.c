/*
 * A static program: takes a lock in each of the ways that its library has, on the kernel.
 */

#include "check.h"

int main(void)
{
	struct dlm_lksb a = { 0 }, b = { 0 };
	struct stat node;
	int count = 0;

	start("static");
	CHECK(stat("/dev/dlm_static", &node) == 0);
	lock_wait(space, LKM_EXMODE, &a, 0, "r");
	CHECK(dlm_ls_lock(space, LKM_PRMODE, &b, 0, "r", 1, 0, count_ast, &count, NULL, NULL) == 0);
	unlock_wait(space, &a);
	dispatch_until(space, &count, 1);
	CHECK(b.sb_status == 0);
	start_thread(space);
	CHECK(dlm_ls_unlock(space, b.sb_lkid, 0, &b, &count) == 0);
	if (IS_LIGHT)
		dispatch_until(space, &count, 2);
	await(&count, 2);
	CHECK(b.sb_status == EUNLOCK);
	finish("static");
	return 0;
}
