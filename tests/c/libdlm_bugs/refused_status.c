/*
 * A call that was refused leaves the status block as it was; in the original it says for ever that
 * the operation is in progress.
 *
 * Libraries: libdlm libdlm_lt
 */

#include "check.h"

int main(void)
{
	struct dlm_lksb a = { .sb_status = 5 };
	int count = 0;

	start("refused");
	CHECK(dlm_ls_lock(space, LKM_EXMODE, &a, LKF_EXPEDITE, "r", 1, 0, count_ast, &count, NULL,
			  NULL) == -1);
	CHECK(errno == EINVAL);
	CHECK(a.sb_status == 5);
	CHECK(dlm_ls_unlock(space, 0x12345, 0, &a, NULL) == -1);
	CHECK(errno == ENOENT);
	CHECK(a.sb_status == 5);
	finish("refused");
	return 0;
}
