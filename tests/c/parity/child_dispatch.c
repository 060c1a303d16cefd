/*
 * The example of libdlm's documentation: a forked child dispatches, and the parent locks, converts and
 * unlocks without ever being told of an end. What the kernel takes goes through, and at once: it was
 * once refused, after ten seconds.
 *
 * Not on dlm-engine: two processes.
 * Libraries: libdlm libdlm_lt
 */

#include <signal.h>

#include "check.h"

static struct dlm_lksb lksb, other, last;
static int asts, dispatched[2];

static double now(void)
{
	struct timespec time;

	CHECK(clock_gettime(CLOCK_MONOTONIC, &time) == 0);
	return time.tv_sec + time.tv_nsec / 1e9;
}

/* The child: tells of each dispatch. */
static void dispatch(struct pollfd *set)
{
	limit();
	CHECK(close(dispatched[0]) == 0);
	for (;;) {
		CHECK(poll(set, 1, -1) == 1);
		CHECK(dlm_dispatch(set->fd) == 0);
		/* The parent may have gone. */
		if (write(dispatched[1], "x", 1) != 1)
			_exit(1);
	}
}

/* Ends a step of the parent, after which the child is to take what the lock manager has to say. */
static void at_once(const char *what, double begin, int returned)
{
	char byte;

	CHECK(now() - begin < 5);
	say(what, returned, NULL);
	CHECK(read(dispatched[0], &byte, 1) == 1);
}

int main(void)
{
	struct pollfd set = { .events = POLLIN };
	double begin;
	pid_t child;

	start("child_dispatch");
	CHECK(pipe(dispatched) == 0);
	set.fd = dlm_ls_get_fd(space);
	fflush(stdout);
	child = fork();
	CHECK(child >= 0);
	if (child == 0)
		dispatch(&set);
	CHECK(close(dispatched[1]) == 0);
	begin = now();
	at_once("lock", begin, dlm_ls_lock(space, LKM_PWMODE, &lksb, LKF_NOQUEUE, "r", 1, 0, count_ast,
					   &asts, NULL, NULL));
	CHECK(lksb.sb_lkid != 0);
	begin = now();
	at_once("convert", begin, dlm_ls_lock(space, LKM_EXMODE, &lksb, LKF_CONVERT, NULL, 0, 0,
					      count_ast, &asts, NULL, NULL));
	begin = now();
	at_once("convert again", begin, dlm_ls_lock(space, LKM_PRMODE, &lksb, LKF_CONVERT, NULL, 0, 0,
						    count_ast, &asts, NULL, NULL));
	begin = now();
	at_once("unlock", begin, dlm_ls_unlock(space, lksb.sb_lkid, 0, &lksb, &asts));
	begin = now();
	at_once("NOQUEUE", begin, dlm_ls_lock(space, LKM_EXMODE, &other, LKF_NOQUEUE, "r", 1, 0,
					      count_ast, &asts, NULL, NULL));
	begin = now();
	at_once("unlock of NOQUEUE", begin, dlm_ls_unlock(space, other.sb_lkid, 0, &other, &asts));
	CHECK(kill(child, SIGKILL) == 0);
	CHECK(waitpid(child, NULL, 0) == child);
	CHECK(asts == 0);
	/* Nothing is held. The other blocks are the library's: what it has to say of them it says now. */
	start_thread(space);
	lock_wait(space, LKM_EXMODE, &last, LKF_NOQUEUE, "r");
	finish("child_dispatch");
	return 0;
}
