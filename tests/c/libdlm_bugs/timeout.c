/*
 * dlm_ls_lockx with a timeout, on kernels that ignore it: with poll and dispatch, with the thread,
 * and waiting in the call; a request and a conversion; no time at all.
 *
 * Libraries: libdlm libdlm_lt
 */

#include "check.h"

static double now(void)
{
	struct timespec time;

	CHECK(clock_gettime(CLOCK_MONOTONIC, &time) == 0);
	return time.tv_sec + time.tv_nsec / 1e9;
}

int main(void)
{
	struct dlm_lksb holder = { 0 }, a = { 0 }, b = { 0 };
	uint64_t timeout = 20, nothing = 0;
	int count = 0, result;
	double begin;

	start("timeout");
	CHECK(dlm_ls_lock(space, LKM_PRMODE, &holder, 0, "r", 1, 0, count_ast, &count, NULL, NULL) ==
	      0);
	CHECK(dlm_ls_lock(space, LKM_PRMODE, &b, 0, "r", 1, 0, count_ast, &count, NULL, NULL) == 0);
	dispatch_until(space, &count, 2);
	begin = now();
	CHECK(dlm_ls_lockx(space, LKM_EXMODE, &a, LKF_TIMEOUT, "r", 1, 0, count_ast, &count, NULL,
			   NULL, &timeout) == 0);
	CHECK(a.sb_status == EINPROG);
	dispatch_until(space, &count, 3);
	CHECK(a.sb_status == ETIMEDOUT && a.sb_lkid == 0);
	CHECK(now() - begin > 0.19);
	start_thread(space);
	CHECK(dlm_ls_lockx(space, LKM_EXMODE, &b, LKF_TIMEOUT | LKF_CONVERT, NULL, 0, 0, count_ast,
			   &count, NULL, NULL, &timeout) == 0);
	if (IS_LIGHT)
		dispatch_until(space, &count, 4);
	await(&count, 4);
	CHECK(b.sb_status == ETIMEDOUT && b.sb_lkid != 0);
	begin = now();
	result = dlm_ls_lockx(space, LKM_EXMODE, &a, LKF_TIMEOUT | LKF_WAIT, "r", 1, 0, count_ast,
			      &count, NULL, NULL, &timeout);
	CHECK(result == (IS_LIGHT ? -1 : 0));
	CHECK(!IS_LIGHT || errno == ETIMEDOUT);
	CHECK(a.sb_status == ETIMEDOUT);
	CHECK(now() - begin > 0.19);
	/* No time at all: only what is free is got, by a call that waits, an AST, a conversion. */
	result = dlm_ls_lockx(space, LKM_EXMODE, &a, LKF_TIMEOUT | LKF_WAIT, "r", 1, 0, count_ast,
			      &count, NULL, NULL, &nothing);
	CHECK(result == (IS_LIGHT ? -1 : 0));
	CHECK(a.sb_status == ETIMEDOUT);
	result = dlm_ls_lockx(space, LKM_EXMODE, &b, LKF_TIMEOUT | LKF_WAIT | LKF_CONVERT, NULL, 0, 0,
			      count_ast, &count, NULL, NULL, &nothing);
	CHECK(result == (IS_LIGHT ? -1 : 0));
	CHECK(b.sb_status == ETIMEDOUT && b.sb_lkid != 0);
	CHECK(dlm_ls_lockx(space, LKM_EXMODE, &a, LKF_TIMEOUT, "r", 1, 0, count_ast, &count, NULL,
			   NULL, &nothing) == 0);
	if (IS_LIGHT)
		dispatch_until(space, &count, 5);
	await(&count, 5);
	CHECK(a.sb_status == ETIMEDOUT);
	/* The conversion that timed out has left the lock as it was. */
	unlock_wait(space, &holder);
	CHECK(dlm_ls_lockx(space, LKM_EXMODE, &b, LKF_TIMEOUT | LKF_WAIT | LKF_CONVERT, NULL, 0, 0,
			   count_ast, &count, NULL, NULL, &timeout) == 0);
	CHECK(b.sb_status == 0);
	CHECK(dlm_ls_lockx(space, LKM_EXMODE, &a, LKF_TIMEOUT | LKF_WAIT, "free", 4, 0, count_ast,
			   &count, NULL, NULL, &nothing) == 0);
	CHECK(a.sb_status == 0);
	finish("timeout");
	return 0;
}
