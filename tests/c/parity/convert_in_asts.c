/*
 * Conversions that are begun in ASTs: by the completion AST up and down again, and by the blocking AST
 * to give way; with a status block for each lock, and in one AST after the other.
 *
 * Libraries: libdlm libdlm_lt
 */

#include "check.h"

static struct dlm_lksb a, b;
static int steps, granted, gave_way;

static void blocked(void *argument);

static void stepped(void *argument)
{
	static const uint32_t modes[] = { LKM_PRMODE, LKM_EXMODE, LKM_CRMODE, LKM_PWMODE, LKM_EXMODE };

	printf("step %d: %s\n", steps, status_name(a.sb_status));
	if (steps < 5)
		CHECK(dlm_ls_lock(space, modes[steps], &a, LKF_CONVERT, NULL, 0, 0, stepped, argument,
				  blocked, NULL) == 0);
	__atomic_fetch_add(&steps, 1, __ATOMIC_RELEASE);
}

static void gone(void *argument)
{
	(void)argument;
	printf("gave way: %s\n", status_name(a.sb_status));
	__atomic_fetch_add(&gave_way, 1, __ATOMIC_RELEASE);
}

static void blocked(void *argument)
{
	(void)argument;
	printf("blocking\n");
	CHECK(dlm_ls_lock(space, LKM_NLMODE, &a, LKF_CONVERT, NULL, 0, 0, gone, argument, NULL,
			  NULL) == 0);
}

static void run(int by_thread)
{
	steps = gave_way = granted = 0;
	CHECK(dlm_ls_lock(space, LKM_NLMODE, &a, 0, "r", 1, 0, stepped, &a, blocked, NULL) == 0);
	if (!by_thread)
		dispatch_until(space, &steps, 6);
	await(&steps, 6);
	CHECK(dlm_ls_lock(space, LKM_EXMODE, &b, 0, "r", 1, 0, count_ast, &granted, NULL, NULL) == 0);
	if (!by_thread) {
		dispatch_until(space, &gave_way, 1);
		dispatch_until(space, &granted, 1);
	}
	await(&gave_way, 1);
	await(&granted, 1);
	printf("the other: %s\n", status_name(b.sb_status));
	CHECK(dlm_ls_unlock(space, a.sb_lkid, 0, &a, &a) == 0);
	if (!by_thread)
		dispatch_until(space, &gave_way, 2);
	await(&gave_way, 2);
	CHECK(dlm_ls_unlock(space, b.sb_lkid, 0, &b, &granted) == 0);
	if (!by_thread)
		dispatch_until(space, &granted, 2);
	await(&granted, 2);
}

int main(void)
{
	start("convert_in_asts");
	run(0);
#ifdef THREADED
	start_thread(space);
	run(1);
#endif
	finish("convert_in_asts");
	return 0;
}
