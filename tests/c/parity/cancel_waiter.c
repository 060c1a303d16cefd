/*
 * A thread that is cancelled while it waits for a lock: its clean-up handlers run, and the thread ends
 * as cancelled. What comes of its request: ours/cancelled_waiter.
 *
 * Libraries: libdlm libdlm_lt
 */

#include "check.h"

static struct dlm_lksb held, wanted;
static int handlers;

static void *waits(void *argument)
{
	pthread_cleanup_push(count_ast, &handlers);
	dlm_ls_lock_wait(space, LKM_EXMODE, &wanted, 0, "r", 1, 0, NULL, NULL, NULL);
	pthread_cleanup_pop(0);
	return argument;
}

int main(void)
{
	pthread_t thread;
	void *result;

	start("cancel_waiter");
	start_thread(space);
	lock_wait(space, LKM_EXMODE, &held, 0, "r");
	CHECK(pthread_create(&thread, NULL, waits, NULL) == 0);
	await(&wanted.sb_status, EINPROG);
	/* It may sleep by then; before that it is cancelled in the same way. */
	usleep(50000);
	CHECK(pthread_cancel(thread) == 0);
	CHECK(pthread_join(thread, &result) == 0);
	printf("%s, %d handlers\n", result == PTHREAD_CANCELED ? "cancelled" : "returned", handlers);
	/* In the original nobody can wait any more. */
	return 0;
}
