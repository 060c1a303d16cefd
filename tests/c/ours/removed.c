/*
 * A lockspace that is removed by force under a call that waits, and a request that ends in an AST:
 * the call ends, and the AST is called.
 *
 * Not on dlm-engine: two processes.
 * Libraries: libdlm libdlm_lt
 */

#include "check.h"

int main(void)
{
	struct dlm_lksb a = { 0 }, b = { 0 }, c = { 0 };
	int status, fds[2], count = 0;
	pid_t child;
	char byte;

	start("removed");
	CHECK(pipe(fds) == 0);
	child = fork();
	CHECK(child >= 0);
	if (child == 0) {
		dlm_lshandle_t holder, other;

		limit();
		CHECK(dlm_close_lockspace(space) == 0);
		holder = dlm_open_lockspace("removed");
		other = dlm_open_lockspace("removed");
		CHECK(holder && other);
		lock_wait(holder, LKM_EXMODE, &a, 0, "r");
		CHECK(dlm_ls_lock(other, LKM_EXMODE, &c, 0, "r", 1, 0, count_ast, &count, NULL,
				  NULL) == 0);
		CHECK(write(fds[1], "x", 1) == 1);
		CHECK(dlm_ls_lock_wait(other, LKM_EXMODE, &b, 0, "r", 1, 0, NULL, NULL, NULL) == -1);
		CHECK(errno == ENODEV);
		dispatch_until(other, &count, 1);
		CHECK(c.sb_status == ENODEV);
		CHECK(dlm_ls_lock(other, LKM_NLMODE, &c, 0, "s", 1, 0, count_ast, &count, NULL,
				  NULL) == -1);
		CHECK(errno == ENODEV);
		/* Closed by the end, for which the removal waits. */
		_exit(0);
	}
	CHECK(read(fds[0], &byte, 1) == 1);
	/* The result is the same if it sleeps for something else. */
	await_sleep(child);
	finish("removed");
	CHECK(waitpid(child, &status, 0) == child);
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	return 0;
}
