/*
 * An AST that ends its thread in the middle of a call that waits: what that waited for is taken back,
 * and others that wait go on. So by pthread_exit and by pthread_cancel, and inside of an AST that waits
 * itself.
 *
 * C libdlm: the request stays, is granted to nobody, and its grant is written into a frame that is gone.
 * Libraries: libdlm libdlm_lt
 */

#include "check.h"

static dlm_lshandle_t others;
static struct dlm_lksb held, other, outer, inner, behind, again;
static int is_cancelled, is_nested;
static int entered, may_leave, handlers, done, is_over;
static pthread_t waiting;

static void wait_for_held(const char *name, void (*ast)(void *), struct dlm_lksb *lksb)
{
	struct dlm_lksb mine = { 0 };

	CHECK(dlm_ls_lock(space, LKM_EXMODE, lksb, 0, name, strlen(name), 0, ast, NULL, NULL, NULL) ==
	      0);
	pthread_cleanup_push(count_ast, &handlers);
	dlm_ls_lock_wait(space, LKM_EXMODE, &mine, 0, "held", 4, 0, NULL, NULL, NULL);
	CHECK(!"it has left");
	pthread_cleanup_pop(0);
}

static void leaves(void *argument)
{
	(void)argument;
	/* Unlocks call the AST, too. */
	if (is_over)
		return;
	CHECK(pthread_equal(pthread_self(), waiting));
	count_ast(&entered);
	await(&may_leave, 1);
	if (!is_cancelled)
		pthread_exit(NULL);
	for (;;)
		pause();
}

static void waits_itself(void *argument)
{
	(void)argument;
	if (!is_over)
		wait_for_held("inner", leaves, &inner);
}

static void *waits(void *argument)
{
	waiting = pthread_self();
	wait_for_held("outer", is_nested ? waits_itself : leaves, &outer);
	return argument;
}

static void *waits_behind(void *argument)
{
	lock_wait(space, LKM_EXMODE, &behind, 0, "other");
	unlock_wait(space, &behind);
	count_ast(&done);
	return argument;
}

static void check(void)
{
	pthread_t thread, beside;
	void *result;

	entered = may_leave = handlers = done = is_over = 0;
	memset(&behind, 0, sizeof(behind));
	lock_wait(others, LKM_EXMODE, &held, 0, "held");
	lock_wait(others, LKM_EXMODE, &other, 0, "other");
	CHECK(pthread_create(&thread, NULL, waits, NULL) == 0);
	await(&entered, 1);
	CHECK(pthread_create(&beside, NULL, waits_behind, NULL) == 0);
	await_id(&behind);
	if (is_cancelled)
		CHECK(pthread_cancel(thread) == 0);
	count_ast(&may_leave);
	CHECK(pthread_join(thread, &result) == 0);
	CHECK(result == (is_cancelled ? PTHREAD_CANCELED : NULL));
	CHECK(handlers == 1 + is_nested);
	unlock_wait(others, &other);
	await(&done, 1);
	CHECK(pthread_join(beside, NULL) == 0);
	unlock_wait(others, &held);
	lock_wait(others, LKM_EXMODE, &again, LKF_NOQUEUE, "held");
	unlock_wait(others, &again);
	is_over = 1;
	unlock_wait(space, &outer);
	if (is_nested)
		unlock_wait(space, &inner);
}

int main(void)
{
	start("exit_in_wait");
	others = dlm_open_lockspace("exit_in_wait");
	CHECK(others);
	for (is_nested = 0; is_nested < 2; is_nested++)
		for (is_cancelled = 0; is_cancelled < 2; is_cancelled++)
			check();
	CHECK(dlm_close_lockspace(others) == 0);
	finish("exit_in_wait");
	return 0;
}
