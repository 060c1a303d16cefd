/*
 * Closing a lockspace while its thread is in an AST waits for that. The original cancels the thread
 * where it is, with whatever it holds.
 *
 * Libraries: libdlm
 */

#include "check.h"

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static int in_callback, closes;

static void ast(void *argument)
{
	CHECK(pthread_mutex_lock(&mutex) == 0);
	count_ast(argument);
	/* Until the other thread waits, and with the original has cancelled this one. */
	await(&closes, 1);
	await_sleep(getpid());
	pthread_testcancel();
	CHECK(pthread_mutex_unlock(&mutex) == 0);
}

int main(void)
{
	struct dlm_lksb lksb = { 0 };

	start("callback");
	start_thread(space);
	CHECK(dlm_ls_lock(space, LKM_EXMODE, &lksb, 0, "r", 1, 0, ast, &in_callback, NULL, NULL) ==
	      0);
	await(&in_callback, 1);
	__atomic_store_n(&closes, 1, __ATOMIC_RELEASE);
	CHECK(dlm_close_lockspace(space) == 0);
	CHECK(pthread_mutex_trylock(&mutex) == 0);
	space = dlm_open_lockspace("callback");
	CHECK(space);
	finish("callback");
	return 0;
}
