/*
 * The example of libdlm's documentation: a forked child dispatches, and the parent locks, converts and
 * unlocks without ever being told of an end. What the kernel takes goes through, and at once.
 *
 * Not on dlm-engine: two processes.
 * Libraries: libdlm libdlm_lt
 */

#include <signal.h>

#include "check.h"

static struct dlm_lksb lksb, other;
static int asts;

/* As long as the lock manager may take for one result. */
static void moment(void)
{
	usleep(500000);
}

static double now(void)
{
	struct timespec time;

	CHECK(clock_gettime(CLOCK_MONOTONIC, &time) == 0);
	return time.tv_sec + time.tv_nsec / 1e9;
}

static void at_once(const char *what, double begin, int returned)
{
	CHECK(now() - begin < 1);
	say(what, returned, NULL);
}

int main(void)
{
	struct pollfd set = { .events = POLLIN };
	double begin;
	pid_t child;

	start("child_dispatch");
	set.fd = dlm_ls_get_fd(space);
	fflush(stdout);
	child = fork();
	CHECK(child >= 0);
	while (child == 0) {
		CHECK(poll(&set, 1, -1) == 1);
		CHECK(dlm_dispatch(set.fd) == 0);
	}
	begin = now();
	at_once("lock", begin, dlm_ls_lock(space, LKM_PWMODE, &lksb, LKF_NOQUEUE, "r", 1, 0, count_ast,
					   &asts, NULL, NULL));
	CHECK(lksb.sb_lkid != 0);
	moment();
	begin = now();
	at_once("convert", begin, dlm_ls_lock(space, LKM_EXMODE, &lksb, LKF_CONVERT, NULL, 0, 0,
					      count_ast, &asts, NULL, NULL));
	moment();
	begin = now();
	at_once("convert again", begin, dlm_ls_lock(space, LKM_PRMODE, &lksb, LKF_CONVERT, NULL, 0, 0,
						    count_ast, &asts, NULL, NULL));
	moment();
	begin = now();
	at_once("unlock", begin, dlm_ls_unlock(space, lksb.sb_lkid, 0, &lksb, &asts));
	moment();
	begin = now();
	CHECK(dlm_ls_lock(space, LKM_EXMODE, &other, LKF_NOQUEUE, "r", 1, 0, count_ast, &asts, NULL,
			  NULL) == 0);
	moment();
	begin = now();
	at_once("unlock of NOQUEUE", begin, dlm_ls_unlock(space, other.sb_lkid, 0, &other, &asts));
	moment();
	CHECK(kill(child, SIGKILL) == 0);
	CHECK(waitpid(child, NULL, 0) == child);
	CHECK(asts == 0);
	/* Nothing is held. */
	start_thread(space);
	lock_wait(space, LKM_EXMODE, &lksb, LKF_NOQUEUE, "r");
	finish("child_dispatch");
	return 0;
}
