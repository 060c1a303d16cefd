/*
 * A lockspace that is closed, or released, by an AST of its own: in the thread, and in dlm_dispatch.
 * The original waits for the thread in the thread.
 *
 * Libraries: libdlm libdlm_lt
 */

#include "check.h"

static int closed;

static void close_it(void *lockspace)
{
	CHECK(dlm_close_lockspace(lockspace) == 0);
	count_ast(&closed);
}

static void release_it(void *lockspace)
{
	CHECK(dlm_release_lockspace("close_in_ast", lockspace, 1) == 0);
	count_ast(&closed);
}

int main(void)
{
	struct dlm_lksb a = { 0 }, b = { 0 };
	dlm_lshandle_t other;
	int fd;

	start("close_in_ast");
	other = dlm_open_lockspace("close_in_ast");
	CHECK(other);
	start_thread(other);
	CHECK(dlm_ls_lock(other, LKM_EXMODE, &a, 0, "a", 1, 0, close_it, other, NULL, NULL) == 0);
	fd = dlm_ls_get_fd(other);
	while (IS_LIGHT && !closed)
		CHECK(dlm_dispatch(fd) == 0 || (closed && errno == EBADF));
	await(&closed, 1);
	CHECK(dlm_ls_get_fd(other) == -1 && errno == EBADF);
	/* The other handle is as before. */
	lock_wait(space, LKM_EXMODE, &b, 0, "a");
	unlock_wait(space, &b);
	CHECK(dlm_ls_lock(space, LKM_EXMODE, &b, 0, "b", 1, 0, release_it, space, NULL, NULL) == 0);
	fd = dlm_ls_get_fd(space);
	while (closed < 2)
		CHECK(dlm_dispatch(fd) == 0 || (closed == 2 && errno == EBADF));
	CHECK(!dlm_open_lockspace("close_in_ast") && errno == ENOENT);
	return 0;
}
