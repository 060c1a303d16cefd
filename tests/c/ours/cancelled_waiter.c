/*
 * What a cancelled waiter leaves behind: nothing. Its request does not stand in the way of others, it
 * is not granted to nobody, and its status block is not written to any more, also if it was in the
 * thread's frame. So for a conversion, which leaves the lock as it was, for a timed call, for an unlock,
 * and whether the thread sleeps at the device or behind another one that does.
 *
 * C libdlm: the request stays, is granted to nobody, and its grant is written into a frame that is gone.
 * Libraries: libdlm libdlm_lt
 */

#include "check.h"

#define THREADS 4

enum what { REQUEST, TIMED, CONVERSION, HOW_MANY };

static enum what what;
static dlm_lshandle_t others;
static struct dlm_lksb held, blocks[THREADS];
static int handlers;

static void *waits(void *argument)
{
	struct dlm_lksb *block = argument;
	uint64_t hundredths = 100000;

	pthread_cleanup_push(count_ast, &handlers);
	switch (what) {
	case REQUEST:
		dlm_ls_lock_wait(space, LKM_PRMODE, block, 0, "r", 1, 0, NULL, NULL, NULL);
		break;
	case TIMED:
		dlm_ls_lockx(space, LKM_PRMODE, block, LKF_WAIT | LKF_TIMEOUT, "r", 1, 0, NULL, NULL,
			     NULL, NULL, &hundredths);
		break;
	default:
		dlm_ls_lock_wait(space, LKM_PRMODE, block, LKF_CONVERT, "r", 1, 0, NULL, NULL, NULL);
		break;
	}
	pthread_cleanup_pop(0);
	return NULL;
}

static void check(void)
{
	pthread_t threads[THREADS];
	struct dlm_lksb again = { 0 };
	void *result;

	handlers = 0;
	memset(blocks, 0, sizeof(blocks));
	if (what == CONVERSION)
		for (int i = 0; i < THREADS; i++)
			lock_wait(space, LKM_NLMODE, &blocks[i], 0, "r");
	lock_wait(others, LKM_EXMODE, &held, 0, "r");
	for (int i = 0; i < THREADS; i++) {
		CHECK(pthread_create(&threads[i], NULL, waits, &blocks[i]) == 0);
		await_id(&blocks[i]);
		while (__atomic_load_n(&blocks[i].sb_status, __ATOMIC_ACQUIRE) != EINPROG)
			usleep(1000);
	}
	/* Some of them sleep by then, and some do not. */
	usleep(what * 5000);
	for (int i = 0; i < THREADS; i++)
		CHECK(pthread_cancel(threads[i]) == 0);
	for (int i = 0; i < THREADS; i++) {
		CHECK(pthread_join(threads[i], &result) == 0);
		CHECK(result == PTHREAD_CANCELED);
		/* The caller's from now on. */
		blocks[i].sb_status = 77;
	}
	CHECK(handlers == THREADS);
	/* Nobody is there to be granted this when it is released. */
	unlock_wait(others, &held);
	lock_wait(others, LKM_EXMODE, &again, LKF_NOQUEUE, "r");
	unlock_wait(others, &again);
	for (int i = 0; i < THREADS; i++) {
		CHECK(blocks[i].sb_status == 77);
		if (what == CONVERSION)
			unlock_wait(space, &blocks[i]);
	}
}

int main(void)
{
	start("cancelled_waiter");
	others = dlm_open_lockspace("cancelled_waiter");
	CHECK(others);
	for (what = REQUEST; what < HOW_MANY; what++)
		check();
	/* The same with a thread for ASTs. */
	start_thread(space);
	for (what = REQUEST; what < HOW_MANY; what++)
		check();
	CHECK(dlm_close_lockspace(others) == 0);
	finish("cancelled_waiter");
	return 0;
}
