/*
 * An AST that ends its thread with pthread_exit: that thread alone ends, wherever the AST runs. What it
 * leaves behind works. After the AST thread there is none, and cannot be another one; whoever
 * dispatches runs the ASTs.
 *
 * Libraries: libdlm libdlm_lt
 */

#include "check.h"

static struct dlm_lksb held, asked, leaving, other;
static int handlers, left, ran;
static pthread_t in;

static void leave(void *argument)
{
	in = pthread_self();
	pthread_cleanup_push(count_ast, &handlers);
	count_ast(&left);
	pthread_exit(argument);
	pthread_cleanup_pop(0);
}

static void join(const char *where)
{
	void *result = NULL;

	await(&left, 1);
	CHECK(pthread_join(in, &result) == 0);
	printf("%s: left %s, %d handlers\n", where, result == &left ? "by itself" : "otherwise",
	       handlers);
	left = handlers = 0;
}

/* Others go on. */
static void check_others(void)
{
	ran = 0;
	CHECK(dlm_ls_lock(space, LKM_EXMODE, &other, 0, "other", 5, 0, count_ast, &ran, NULL, NULL) ==
	      0);
	dispatch_until(space, &ran, 1);
	printf("other: %s\n", status_name(other.sb_status));
	CHECK(dlm_ls_unlock(space, other.sb_lkid, 0, &other, NULL) == 0);
	dispatch_until(space, &ran, 2);
	printf("other: %s\n", status_name(other.sb_status));
}

static void lock_and_leave(const char *name)
{
	CHECK(dlm_ls_lock(space, LKM_EXMODE, &leaving, 0, name, strlen(name), 0, leave, &left, NULL,
			  NULL) == 0);
}

static void *dispatches(void *argument)
{
	int never = 0;

	dispatch_until(space, &never, 1);
	return argument;
}

#ifndef THREADED
static void *waits(void *argument)
{
	dlm_ls_lock_wait(space, LKM_EXMODE, &asked, 0, "held", 4, 0, NULL, NULL, NULL);
	return argument;
}
#endif

int main(void)
{
	pthread_t thread;

	start("pthread_exit");
	lock_and_leave("a");
	CHECK(pthread_create(&thread, NULL, dispatches, NULL) == 0);
	join("dispatch");
	check_others();
#ifdef THREADED
	(void)held, (void)asked;
	start_thread(space);
	lock_and_leave("b");
	join("AST thread");
	errno = 0;
	say("another thread", dlm_ls_pthread_init(space), NULL);
	check_others();
#else
	/* While its thread waits for another lock. */
	dlm_lshandle_t others = dlm_open_lockspace("pthread_exit");

	CHECK(others);
	lock_wait(others, LKM_EXMODE, &held, 0, "held");
	lock_and_leave("b");
	CHECK(pthread_create(&thread, NULL, waits, NULL) == 0);
	join("waiting call");
	check_others();
	CHECK(dlm_close_lockspace(others) == 0);
#endif
	finish("pthread_exit");
	return 0;
}
