/*
 * A call that waits, in an AST that runs in a call that waits and has slept: each returns when its
 * own lock is free, whichever comes first.
 *
 * Libraries: libdlm libdlm_lt
 */

#include "check.h"

static dlm_lshandle_t other;
static struct dlm_lksb a, b, c, held_a, held_b, held_c;
static int in_ast, has_c;

static void ast(void *unused)
{
	(void)unused;
	CHECK(b.sb_status == 0);
	__atomic_store_n(&in_ast, 1, __ATOMIC_RELEASE);
	lock_wait(space, LKM_EXMODE, &c, 0, "c");
	__atomic_store_n(&has_c, 1, __ATOMIC_RELEASE);
}

static void *holder(void *unused)
{
	(void)unused;
	/* The result is the same if it sleeps for something else. */
	await_sleep(getpid());
	unlock_wait(other, &held_b);
	await(&in_ast, 1);
	await_sleep(getpid());
	unlock_wait(other, &held_c);
	await(&has_c, 1);
	unlock_wait(other, &held_a);
	return NULL;
}

int main(void)
{
	pthread_t thread;

	start("nested_wait");
	other = dlm_open_lockspace("nested_wait");
	CHECK(other);
	lock_wait(other, LKM_EXMODE, &held_a, 0, "a");
	lock_wait(other, LKM_EXMODE, &held_b, 0, "b");
	lock_wait(other, LKM_EXMODE, &held_c, 0, "c");
	CHECK(dlm_ls_lock(space, LKM_EXMODE, &b, 0, "b", 1, 0, ast, NULL, NULL, NULL) == 0);
	CHECK(pthread_create(&thread, NULL, holder, NULL) == 0);
	lock_wait(space, LKM_EXMODE, &a, 0, "a");
	CHECK(has_c == 1);
	CHECK(pthread_join(thread, NULL) == 0);
	CHECK(dlm_close_lockspace(other) == 0);
	finish("nested_wait");
	return 0;
}
