/*
 * A conversion brings a new AST, a new argument, a new status block and a new blocking AST; an
 * unlock a new argument and status block for the AST that is there.
 *
 * Libraries: libdlm libdlm_lt
 */

#include "check.h"

static int done, blocked;

static void first(void *argument) { printf("first %s\n", (char *)argument); done++; }
static void second(void *argument) { printf("second %s\n", (char *)argument); done++; }
static void bast(void *argument) { printf("blocking %s\n", (char *)argument); blocked++; }

int main(void)
{
	struct dlm_lksb a = { 0 }, b = { 0 }, c = { 0 }, other = { 0 };

	start("changed_ast");
	CHECK(dlm_ls_lock(space, LKM_EXMODE, &a, 0, "r", 1, 0, first, "one", NULL, NULL) == 0);
	dispatch_until(space, &done, 1);
	b.sb_lkid = a.sb_lkid;
	a.sb_status = 77;
	CHECK(dlm_ls_lock(space, LKM_EXMODE, &b, LKF_CONVERT, NULL, 0, 0, second, "two", bast,
			  NULL) == 0);
	dispatch_until(space, &done, 2);
	printf("statuses %d %d\n", a.sb_status, b.sb_status);
	CHECK(b.sb_lkid == a.sb_lkid);
	CHECK(dlm_ls_lock(space, LKM_PRMODE, &other, 0, "r", 1, 0, first, "other", NULL, NULL) == 0);
	dispatch_until(space, &blocked, 1);
	CHECK(dlm_ls_unlock(space, a.sb_lkid, 0, &c, "three") == 0);
	dispatch_until(space, &done, 4);
	printf("statuses %d %s %s\n", a.sb_status, status_name(b.sb_status), status_name(c.sb_status));
	CHECK(dlm_ls_unlock(space, other.sb_lkid, 0, &other, NULL) == 0);
	dispatch_until(space, &done, 5);
	finish("changed_ast");
	return 0;
}
