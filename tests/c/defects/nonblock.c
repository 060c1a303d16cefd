/*
 * A descriptor that somebody has made non-blocking: the thread of the original then never sleeps.
 *
 * Not under valgrind: it takes more than the time that is allowed for itself.
 * Libraries: libdlm
 */

#include <fcntl.h>
#include <sys/resource.h>

#include "check.h"

int main(void)
{
	struct rusage usage;
	struct dlm_lksb a = { 0 };
	int fd;

	start("nonblock");
	fd = dlm_ls_get_fd(space);
	CHECK(fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) == 0);
	start_thread(space);
	lock_wait(space, LKM_EXMODE, &a, 0, "r");
	usleep(1000000);
	CHECK(getrusage(RUSAGE_SELF, &usage) == 0);
	CHECK(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec == 0);
	CHECK(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec < 400000);
	finish("nonblock");
	return 0;
}
