/*
 * A handle that was closed: the original has freed what it leads to.
 *
 * Libraries: libdlm libdlm_lt
 */

#include "check.h"

int main(void)
{
	struct dlm_lksb a = { 0 };
	dlm_lshandle_t other;
	int count = 0, fd;

	start("closed");
	other = dlm_open_lockspace("closed");
	CHECK(other);
	fd = dlm_ls_get_fd(other);
	CHECK(dlm_close_lockspace(other) == 0);
	CHECK(dlm_close_lockspace(other) == -1 && errno == EINVAL);
	CHECK(dlm_release_lockspace("closed", other, 0) == -1 && errno == EINVAL);
	CHECK(dlm_ls_lock(other, LKM_EXMODE, &a, 0, "r", 1, 0, count_ast, &count, NULL, NULL) == -1);
	CHECK(errno == EBADF);
	CHECK(dlm_ls_unlock(other, 1, 0, &a, NULL) == -1 && errno == EBADF);
	CHECK(dlm_ls_get_fd(other) == -1 && errno == EBADF);
	CHECK(dlm_ls_purge(other, 0, 0) == -1 && errno == EBADF);
	CHECK(dlm_ls_deadlock_cancel(other, 1, 0) == -1 && errno == EBADF);
	CHECK(dlm_dispatch(fd) == -1 && errno == EBADF);
	for (uintptr_t i = 1; i < 100; i++)
		CHECK(dlm_close_lockspace((dlm_lshandle_t)i) == -1 && errno == EINVAL);
	finish("closed");
	CHECK(dlm_close_lockspace(space) == -1 && errno == EINVAL);
	return 0;
}
