/*
 * An unlock that waits, of a lock with an AST. The original calls the AST with an address of its
 * own, and hangs.
 *
 * Libraries: libdlm
 */

#include "check.h"

int main(void)
{
	struct dlm_lksb lksb = { 0 };
	static int count;

	start("unlock_wait");
	start_thread(space);
	CHECK(dlm_ls_lock(space, LKM_EXMODE, &lksb, 0, "r", 1, 0, count_ast, &count, NULL, NULL) ==
	      0);
	await(&count, 1);
	unlock_wait(space, &lksb);
	await(&count, 2);
	finish("unlock_wait");
	return 0;
}
