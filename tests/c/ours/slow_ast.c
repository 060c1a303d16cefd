/*
 * An AST that does not return, in a thread that waits: another thread gets its own lock meanwhile.
 *
 * Libraries: libdlm libdlm_lt
 */

#include "check.h"

static dlm_lshandle_t other;
static struct dlm_lksb a, b, c, held_a, held_b, held_c;
static pid_t waiters[2];
static int in_ast, has_c;

static void ast(void *unused)
{
	(void)unused;
	__atomic_store_n(&in_ast, 1, __ATOMIC_RELEASE);
	await(&has_c, 1);
}

static void *first(void *unused)
{
	(void)unused;
	waiters[0] = this_thread();
	lock_wait(space, LKM_EXMODE, &a, 0, "a");
	return NULL;
}

static void *second(void *unused)
{
	(void)unused;
	waiters[1] = this_thread();
	lock_wait(space, LKM_EXMODE, &c, 0, "c");
	__atomic_store_n(&has_c, 1, __ATOMIC_RELEASE);
	return NULL;
}

int main(void)
{
	pthread_t threads[2];

	start("slow_ast");
	other = dlm_open_lockspace("slow_ast");
	CHECK(other);
	lock_wait(other, LKM_EXMODE, &held_a, 0, "a");
	lock_wait(other, LKM_EXMODE, &held_b, 0, "b");
	lock_wait(other, LKM_EXMODE, &held_c, 0, "c");
	CHECK(dlm_ls_lock(space, LKM_EXMODE, &b, 0, "b", 1, 0, ast, NULL, NULL, NULL) == 0);
	CHECK(pthread_create(&threads[0], NULL, first, NULL) == 0);
	await_id(&a);
	await_sleep(waiters[0]);
	CHECK(pthread_create(&threads[1], NULL, second, NULL) == 0);
	await_id(&c);
	await_sleep(waiters[1]);
	unlock_wait(other, &held_b);
	await(&in_ast, 1);
	unlock_wait(other, &held_c);
	CHECK(pthread_join(threads[1], NULL) == 0);
	unlock_wait(other, &held_a);
	CHECK(pthread_join(threads[0], NULL) == 0);
	CHECK(dlm_close_lockspace(other) == 0);
	finish("slow_ast");
	return 0;
}
