/*
 * A thread that is cancelled in the middle of an AST: the clean-up handlers of the AST run, and that
 * thread alone ends.
 *
 * Libraries: libdlm libdlm_lt
 */

#include "check.h"

static struct dlm_lksb lksb, other;
static int entered, handlers, ran;
static pthread_t in;

static void sleeps(void *argument)
{
	(void)argument;
	in = pthread_self();
	pthread_cleanup_push(count_ast, &handlers);
	count_ast(&entered);
	for (;;)
		pause();
	pthread_cleanup_pop(0);
}

#ifndef THREADED
static void *dispatches(void *argument)
{
	int never = 0;

	dispatch_until(space, &never, 1);
	return argument;
}
#endif

int main(void)
{
	void *result;

	start("cancel_in_ast");
	CHECK(dlm_ls_lock(space, LKM_EXMODE, &lksb, 0, "r", 1, 0, sleeps, NULL, NULL, NULL) == 0);
#ifdef THREADED
	start_thread(space);
#else
	CHECK(pthread_create(&in, NULL, dispatches, NULL) == 0);
#endif
	await(&entered, 1);
	CHECK(pthread_cancel(in) == 0);
	CHECK(pthread_join(in, &result) == 0);
	printf("%s, %d handlers\n", result == PTHREAD_CANCELED ? "cancelled" : "returned", handlers);
	CHECK(dlm_ls_lock(space, LKM_EXMODE, &other, 0, "o", 1, 0, count_ast, &ran, NULL, NULL) == 0);
	dispatch_until(space, &ran, 1);
	printf("other: %s\n", status_name(other.sb_status));
	finish("cancel_in_ast");
	return 0;
}
