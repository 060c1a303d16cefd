/*
 * Calls that wait inside an AST, also inside a blocking one that gives way.
 *
 * Libraries: libdlm libdlm_lt
 */

#include "check.h"

static struct dlm_lksb outer, inner, second;
static int done, gave_way;

static void ast(void *argument)
{
	(void)argument;
	printf("AST: %s\n", status_name(outer.sb_status));
	if (outer.sb_status == 0) {
		lock_wait(space, LKM_EXMODE, &inner, 0, "inner");
		unlock_wait(space, &inner);
		printf("locked and unlocked in the AST\n");
	}
	count_ast(&done);
}

static void bast(void *argument)
{
	(void)argument;
	CHECK(dlm_ls_lock_wait(space, LKM_NLMODE, &outer, LKF_CONVERT, NULL, 0, 0, NULL, NULL,
			       NULL) == 0);
	printf("gave way: %s\n", status_name(outer.sb_status));
	count_ast(&gave_way);
}

int main(void)
{
	int granted = 0;

	start("wait_in_ast");
	start_thread(space);
	CHECK(dlm_ls_lock(space, LKM_EXMODE, &outer, 0, "outer", 5, 0, ast, NULL, bast, NULL) == 0);
	if (IS_LIGHT)
		dispatch_until(space, &done, 1);
	await(&done, 1);
	CHECK(dlm_ls_lock(space, LKM_EXMODE, &second, 0, "outer", 5, 0, count_ast, &granted, NULL,
			  NULL) == 0);
	if (IS_LIGHT) {
		dispatch_until(space, &gave_way, 1);
		dispatch_until(space, &granted, 1);
	}
	await(&gave_way, 1);
	await(&granted, 1);
	printf("second: %s\n", status_name(second.sb_status));
	finish("wait_in_ast");
	return 0;
}
