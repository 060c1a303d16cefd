/*
 * dlm_ls_lockx with LKF_WAIT, as XAPI calls it, and a transaction id; a timeout that is not needed.
 *
 * Libraries: libdlm libdlm_lt
 */

#include "check.h"

int main(void)
{
	struct dlm_lksb a = { 0 };
	uint64_t xid = 0x123456789abcdef, timeout = 500;
	int count = 0;

	start("lockx");
	start_thread(space);
	say("wait", dlm_ls_lockx(space, LKM_EXMODE, &a, LKF_WAIT | LKF_TIMEOUT, "r", 1, 0,
				 count_ast, &count, NULL, &xid, &timeout), &a);
	say("convert", dlm_ls_lockx(space, LKM_PRMODE, &a, LKF_WAIT | LKF_CONVERT | LKF_NOQUEUE,
				    NULL, 0, 0, count_ast, &count, NULL, NULL, NULL), &a);
	say("unlock", dlm_ls_unlock_wait(space, a.sb_lkid, 0, &a), &a);
	printf("ASTs %d\n", count);
	finish("lockx");
	return 0;
}
