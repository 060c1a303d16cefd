/*
 * Children that are forked while other threads are in the library: none hangs in a call of its own.
 *
 * Libraries: libdlm libdlm_lt
 */

#include <signal.h>

#include "check.h"

#define FORKS 150

static int stop;

static void *hammer(void *argument)
{
	char name[16];

	snprintf(name, sizeof(name), "r%ld", (long)argument);
	while (!__atomic_load_n(&stop, __ATOMIC_ACQUIRE)) {
		struct dlm_lksb lksb = { 0 };

		lock_wait(space, LKM_EXMODE, &lksb, 0, name);
		unlock_wait(space, &lksb);
	}
	return NULL;
}

static void *open_and_close(void *unused)
{
	(void)unused;
	while (!__atomic_load_n(&stop, __ATOMIC_ACQUIRE)) {
		dlm_lshandle_t ls = dlm_open_lockspace("fork_any_time");

		CHECK(ls && dlm_close_lockspace(ls) == 0);
	}
	return NULL;
}

int main(void)
{
	pthread_t threads[2];
	int fd;

	start("fork_any_time");
	start_thread(space);
	fd = dlm_ls_get_fd(space);
	CHECK(fd >= 0);
	CHECK(pthread_create(&threads[0], NULL, hammer, NULL) == 0);
	CHECK(pthread_create(&threads[1], NULL, open_and_close, NULL) == 0);
	for (int i = 0; i < FORKS; i++) {
		int status;
		pid_t child;

		usleep(200);
		child = fork();
		CHECK(child >= 0);
		if (child == 0) {
			struct dlm_lksb lksb = { .sb_status = 3 };

			limit();
			/* No such lock: only what the library knows is asked. */
			if (dlm_ls_unlock(space, 0x7ffffff0, 0, &lksb, NULL) != -1 || errno != ENOENT)
				_exit(2);
			if (lksb.sb_status != 3 || dlm_ls_get_fd(space) != fd)
				_exit(3);
			_exit(dlm_close_lockspace(space) == 0 ? 0 : 4);
		}
		CHECK(waitpid(child, &status, 0) == child);
		CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	}
	__atomic_store_n(&stop, 1, __ATOMIC_RELEASE);
	for (int i = 0; i < 2; i++)
		CHECK(pthread_join(threads[i], NULL) == 0);
	finish("fork_any_time");
	return 0;
}
