/*
 * A program that becomes a daemon after it has opened its lockspace: the parent leaves, the child
 * goes on with the handle, its locks, and what is in flight.
 *
 * Libraries: libdlm libdlm_lt
 */

#include "check.h"

static int done;

int main(void)
{
	struct dlm_lksb a = { 0 }, b = { 0 }, c = { 0 };
	int status;
	pid_t child;

	start("fork");
	CHECK(dlm_ls_lock(space, LKM_EXMODE, &a, 0, "a", 1, 0, count_ast, &done, NULL, NULL) == 0);
	dispatch_until(space, &done, 1);
	CHECK(dlm_ls_lock(space, LKM_PRMODE, &b, 0, "a", 1, 0, count_ast, &done, NULL, NULL) == 0);
	fflush(stdout);
	child = fork();
	CHECK(child >= 0);
	if (child > 0) {
		/* Only the child's descriptor keeps the locks from here. */
		CHECK(waitpid(child, &status, 0) == child);
		CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
		return 0;
	}
	limit();
	CHECK(dlm_ls_unlock(space, a.sb_lkid, 0, &a, &done) == 0);
	dispatch_until(space, &done, 3);
	printf("%s %s\n", status_name(a.sb_status), status_name(b.sb_status));
	CHECK(dlm_ls_lock(space, LKM_EXMODE, &c, 0, "c", 1, 0, count_ast, &done, NULL, NULL) == 0);
	dispatch_until(space, &done, 4);
	printf("%s\n", status_name(c.sb_status));
	CHECK(dlm_ls_unlock(space, c.sb_lkid, 0, &c, &done) == 0);
	dispatch_until(space, &done, 5);
	printf("%s\n", status_name(c.sb_status));
	fflush(stdout);
	return 0;
}
