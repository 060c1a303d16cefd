/*
 * Threads that lock, convert, unlock and dispatch, with ASTs that sleep, and are cancelled at any
 * moment. Nothing is left locked, no role is left taken, and afterwards the lockspace works as before.
 *
 * DLM_SEED repeats the calls; when a thread is hit is chance.
 *
 * C libdlm: results are written into frames that are gone.
 * Libraries: libdlm libdlm_lt
 */

#include <sched.h>

#include "check.h"

#define THREADS 4
#define ROUNDS 150

static const char *const names[] = { "a", "b", "c" };

static long seed;

struct worker {
	pthread_t thread;
	uint64_t state;
	/* The lock that it waits for or holds; the main thread lets go of it. */
	struct dlm_lksb lksb;
	/* Of its own: nobody else waits for it. */
	struct dlm_lksb own;
	int calls;
};

static struct worker workers[THREADS];
static long cancelled;

static uint32_t draw(struct worker *worker, uint32_t below)
{
	worker->state ^= worker->state << 13;
	worker->state ^= worker->state >> 7;
	worker->state ^= worker->state << 17;
	return (worker->state >> 11) % below;
}

static void dozes(void *argument)
{
	struct timespec moment = { .tv_nsec = 200000 };

	(void)argument;
	/* A cancellation point. */
	nanosleep(&moment, NULL);
}

static void *works(void *argument)
{
	struct worker *worker = argument;
	struct dlm_lksb *lksb = &worker->lksb;

	for (;;) {
		const char *name = names[draw(worker, 3)];
		int mode = draw(worker, 2) ? LKM_EXMODE : LKM_PRMODE;
		int fd = dlm_ls_get_fd(space);

		__atomic_fetch_add(&worker->calls, 1, __ATOMIC_RELEASE);
		switch (draw(worker, 5)) {
		case 0: CHECK(dlm_dispatch(fd) == 0); continue;
		case 1:
			/* Its AST runs wherever somebody is. */
			if (worker->own.sb_status != EINPROG)
				dlm_ls_lock(space, mode, &worker->own,
					    worker->own.sb_lkid ? LKF_CONVERT : 0, "own", 3, 0, dozes,
					    NULL, dozes, NULL);
			continue;
		}
		if (dlm_ls_lock_wait(space, mode, lksb, 0, name, 1, 0, NULL, dozes, NULL) != 0)
			continue;
		if (draw(worker, 3) == 0)
			dlm_ls_lock_wait(space, LKM_NLMODE, lksb, LKF_CONVERT, name, 1, 0, NULL, NULL,
					 NULL);
		if (draw(worker, 3) == 0)
			dlm_ls_lock_wait(space, LKM_PRMODE, lksb, LKF_CONVERT, name, 1, 0, NULL, NULL,
					 NULL);
		dlm_ls_unlock_wait(space, lksb->sb_lkid, 0, lksb);
	}
	return NULL;
}

static void begin(struct worker *worker)
{
	memset(&worker->lksb, 0, sizeof(worker->lksb));
	worker->calls = 0;
	CHECK(pthread_create(&worker->thread, NULL, works, worker) == 0);
}

static void end(struct worker *worker)
{
	struct dlm_lksb *lksb = &worker->lksb;
	void *result;

	CHECK(pthread_cancel(worker->thread) == 0);
	CHECK(pthread_join(worker->thread, &result) == 0);
	CHECK(result == PTHREAD_CANCELED);
	cancelled++;
	/* What it was granted it holds; what it waited for it does not. */
	if (lksb->sb_lkid && dlm_ls_unlock_wait(space, lksb->sb_lkid, LKF_FORCEUNLOCK, lksb) != 0)
		CHECK(errno == ENOENT || errno == EBUSY || errno == EINVAL);
}

int main(void)
{
	dlm_lshandle_t others;
	struct dlm_lksb last = { 0 };
	const char *text = getenv("DLM_SEED");

	seed = text ? strtol(text, NULL, 0) : 1;
	fprintf(stderr, "DLM_SEED=%ld\n", seed);
	start("cancel_storm");
	others = dlm_open_lockspace("cancel_storm");
	CHECK(others);
	srandom(seed);
	for (int i = 0; i < THREADS; i++) {
		workers[i].state = (seed + i) * UINT64_C(0x9e3779b97f4a7c15) + 1;
		begin(&workers[i]);
	}
	for (int round = 0; round < ROUNDS; round++) {
		struct worker *worker = &workers[random() % THREADS];

		if (round == ROUNDS / 2)
			start_thread(space);
		for (int calls = random() % 8; __atomic_load_n(&worker->calls, __ATOMIC_ACQUIRE) < calls;)
			sched_yield();
		usleep(random() % 300);
		end(worker);
		begin(worker);
	}
	for (int i = 0; i < THREADS; i++)
		end(&workers[i]);
	CHECK(cancelled == ROUNDS + THREADS);
	for (int i = 0; i < 3; i++) {
		memset(&last, 0, sizeof(last));
		CHECK(dlm_dispatch(dlm_ls_get_fd(space)) == 0);
		lock_wait(others, LKM_EXMODE, &last, 0, names[i]);
		unlock_wait(others, &last);
	}
	CHECK(dlm_close_lockspace(others) == 0);
	finish("cancel_storm");
	return 0;
}
