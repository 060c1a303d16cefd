/*
 * Calls that wait: what they return and leave in the status block, for each way an operation ends.
 *
 * Libraries: libdlm libdlm_lt
 */

#include "check.h"

int main(void)
{
	dlm_lshandle_t other;
	struct dlm_lksb a = { 0 }, b = { 0 };
	const char *name = "resource";

	start("waiting");
	other = dlm_open_lockspace("waiting");
	CHECK(other && other != space);
	start_thread(space);
	start_thread(other);
	say("EX", dlm_ls_lock_wait(space, LKM_EXMODE, &a, 0, name, 8, 0, NULL, NULL, NULL), &a);
	CHECK(a.sb_lkid != 0);
	say("EX, taken", dlm_ls_lock_wait(other, LKM_EXMODE, &b, LKF_NOQUEUE, name, 8, 0, NULL,
					  NULL, NULL), &b);
	say("to PR", dlm_ls_lock_wait(space, LKM_PRMODE, &a, LKF_CONVERT, NULL, 0, 0, NULL, NULL,
				      NULL), &a);
	say("PR beside", dlm_ls_lock_wait(other, LKM_PRMODE, &b, LKF_NOQUEUE, name, 8, 0, NULL,
					  NULL, NULL), &b);
	say("to EX, taken", dlm_ls_lock_wait(space, LKM_EXMODE, &a, LKF_CONVERT | LKF_NOQUEUE, NULL,
					     0, 0, NULL, NULL, NULL), &a);
	say("unlock", dlm_ls_unlock_wait(other, b.sb_lkid, 0, &b), &b);
	say("to EX", dlm_ls_lock_wait(space, LKM_EXMODE, &a, LKF_CONVERT | LKF_NOQUEUE, NULL, 0, 0,
				      NULL, NULL, NULL), &a);
	say("NL, EXPEDITE", dlm_ls_lock_wait(other, LKM_NLMODE, &b, LKF_EXPEDITE, name, 8, 0, NULL,
					     NULL, NULL), &b);
	say("unlock NL", dlm_ls_unlock_wait(other, b.sb_lkid, 0, &b), &b);
	say("unlock EX", dlm_ls_unlock_wait(space, a.sb_lkid, 0, &a), &a);
	CHECK(dlm_close_lockspace(other) == 0);
	finish("waiting");
	return 0;
}
