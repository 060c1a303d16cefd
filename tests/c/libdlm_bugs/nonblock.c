/*
 * A descriptor that somebody has made non-blocking: the thread of the original then never sleeps.
 *
 * Not under valgrind: it takes more than the time that is allowed for itself.
 * Libraries: libdlm
 */

#include <fcntl.h>
#include <sys/resource.h>

#include "check.h"

/* The processor's time that this process has had. */
static double used(void)
{
	struct rusage usage;

	CHECK(getrusage(RUSAGE_SELF, &usage) == 0);
	return usage.ru_utime.tv_sec + usage.ru_stime.tv_sec +
	       (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

int main(void)
{
	double begin;
	struct dlm_lksb a = { 0 };
	int fd;

	start("nonblock");
	fd = dlm_ls_get_fd(space);
	CHECK(fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) == 0);
	start_thread(space);
	lock_wait(space, LKM_EXMODE, &a, 0, "r");
	begin = used();
	usleep(1000000);
	CHECK(used() - begin < 0.4);
	finish("nonblock");
	return 0;
}
