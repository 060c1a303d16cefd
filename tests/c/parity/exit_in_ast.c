/*
 * exit() in an AST, in dlm_dispatch and in the thread, also with operations in flight: what atexit has
 * registered runs, the process ends with the status, and its locks with it.
 *
 * Libraries: libdlm libdlm_lt
 */

#include "check.h"

static struct dlm_lksb held, waiting, other;
static int count;

static void last_words(void)
{
	printf("at exit\n");
	fflush(stdout);
}

static void leave(void *argument)
{
	(void)argument;
	CHECK(held.sb_status == 0);
	exit(7);
}

static void child(int by_thread)
{
	dlm_lshandle_t second;

	limit();
	CHECK(atexit(last_words) == 0);
	CHECK(on_engine() || dlm_close_lockspace(space) == 0);
	space = on_engine() ? dlm_create_lockspace("exit_in_ast", 0600) :
			      dlm_open_lockspace("exit_in_ast");
	second = dlm_open_lockspace("exit_in_ast");
	CHECK(space && second);
	/* In flight when it ends: one that waits, and one whose result is not read. */
	CHECK(dlm_ls_lock(second, LKM_EXMODE, &other, 0, "s", 1, 0, count_ast, &count, NULL, NULL) == 0);
	CHECK(dlm_ls_lock(space, LKM_EXMODE, &waiting, 0, "s", 1, 0, count_ast, &count, NULL, NULL) ==
	      0);
	if (by_thread)
		start_thread(space);
	CHECK(dlm_ls_lock(space, LKM_EXMODE, &held, 0, "r", 1, 0, leave, NULL, NULL, NULL) == 0);
	if (!by_thread)
		dispatch_until(space, &count, 100);
	for (;;)
		pause();
}

static void run(int by_thread)
{
	int status;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	CHECK(pid >= 0);
	if (pid == 0)
		child(by_thread);
	CHECK(waitpid(pid, &status, 0) == pid);
	CHECK(WIFEXITED(status));
	printf("exit status %d\n", WEXITSTATUS(status));
	if (on_engine())
		return;
	/* Nothing is held. */
	lock_wait(space, LKM_EXMODE, &held, LKF_NOQUEUE, "r");
	unlock_wait(space, &held);
	lock_wait(space, LKM_EXMODE, &held, LKF_NOQUEUE, "s");
	unlock_wait(space, &held);
}

int main(void)
{
	limit();
	/* The child of a process that uses dlm-engine could not use it. */
	if (!on_engine()) {
		start("exit_in_ast");
		start_thread(space);
	}
	run(0);
#ifdef THREADED
	run(1);
#endif
	if (!on_engine())
		finish("exit_in_ast");
	return 0;
}
