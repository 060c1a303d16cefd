/*
 * dlm_dispatch in several threads: each AST runs once, and no thread stays in it.
 *
 * Libraries: libdlm libdlm_lt
 */

#include "check.h"

#define THREADS 4
#define EACH 500

static int asts, stop;

struct one {
	struct dlm_lksb lksb;
	int calls;
};

static struct one locks[THREADS][EACH];

static void ast(void *argument)
{
	struct one *one = argument;

	__atomic_fetch_add(&one->calls, 1, __ATOMIC_RELAXED);
	count_ast(&asts);
}

static void *dispatch(void *unused)
{
	struct pollfd set = { .fd = dlm_ls_get_fd(space), .events = POLLIN };

	(void)unused;
	while (!__atomic_load_n(&stop, __ATOMIC_ACQUIRE)) {
		CHECK(poll(&set, 1, 10) >= 0);
		CHECK(dlm_dispatch(set.fd) == 0);
	}
	return NULL;
}

static void *lock(void *argument)
{
	long thread = (long)argument;
	char name[32];

	for (int i = 0; i < EACH; i++) {
		int length = snprintf(name, sizeof(name), "%ld-%d", thread, i);
		struct one *one = &locks[thread][i];

		CHECK(dlm_ls_lock(space, LKM_EXMODE, &one->lksb, 0, name, length, 0, ast, one, NULL,
				  NULL) == 0);
	}
	return NULL;
}

int main(void)
{
	pthread_t dispatchers[THREADS], lockers[THREADS];

	start("dispatchers");
	for (long i = 0; i < THREADS; i++) {
		CHECK(pthread_create(&dispatchers[i], NULL, dispatch, NULL) == 0);
		CHECK(pthread_create(&lockers[i], NULL, lock, (void *)i) == 0);
	}
	for (int i = 0; i < THREADS; i++)
		CHECK(pthread_join(lockers[i], NULL) == 0);
	await(&asts, THREADS * EACH);
	for (int i = 0; i < THREADS; i++)
		for (int j = 0; j < EACH; j++)
			CHECK(dlm_ls_unlock(space, locks[i][j].lksb.sb_lkid, 0, &locks[i][j].lksb,
					    &locks[i][j]) == 0);
	await(&asts, 2 * THREADS * EACH);
	__atomic_store_n(&stop, 1, __ATOMIC_RELEASE);
	for (int i = 0; i < THREADS; i++)
		CHECK(pthread_join(dispatchers[i], NULL) == 0);
	for (int i = 0; i < THREADS; i++)
		for (int j = 0; j < EACH; j++)
			CHECK(locks[i][j].calls == 2 && locks[i][j].lksb.sb_status == EUNLOCK);
	finish("dispatchers");
	return 0;
}
