/*
 * A stranger who locks the control device, which our rules for udev and Debian's let everybody open:
 * it is nothing to those who create and release lockspaces.
 *
 * Not on dlm-engine: it has no devices.
 * Libraries: libdlm libdlm_lt
 */

#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>

#include "check.h"

int main(void)
{
	int fds[2];
	pid_t child;
	char byte;

	limit();
	CHECK(chmod("/dev/dlm-control", 0666) == 0);
	CHECK(pipe(fds) == 0);
	child = fork();
	CHECK(child >= 0);
	if (child == 0) {
		int fd;

		limit();
		CHECK(setuid(65534) == 0);
		fd = open("/dev/dlm-control", O_RDWR);
		CHECK(fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0);
		CHECK(write(fds[1], "x", 1) == 1);
		for (;;)
			pause();
	}
	CHECK(read(fds[0], &byte, 1) == 1);
	space = dlm_create_lockspace("stranger", 0600);
	CHECK(space);
	finish("stranger");
	CHECK(kill(child, SIGKILL) == 0);
	CHECK(waitpid(child, NULL, 0) == child);
	CHECK(chmod("/dev/dlm-control", 0600) == 0);
	printf("created and released\n");
	return 0;
}
