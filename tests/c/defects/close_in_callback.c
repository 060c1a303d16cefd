/*
 * Closing a lockspace while its thread is in an AST waits for that. The original cancels the thread
 * where it is, with whatever it holds.
 *
 * Libraries: libdlm
 */

#include "check.h"

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static int in_callback;

static void ast(void *argument)
{
	CHECK(pthread_mutex_lock(&mutex) == 0);
	count_ast(argument);
	usleep(300000);
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
	CHECK(dlm_close_lockspace(space) == 0);
	CHECK(pthread_mutex_trylock(&mutex) == 0);
	space = dlm_open_lockspace("callback");
	CHECK(space);
	finish("callback");
	return 0;
}
