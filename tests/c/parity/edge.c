/*
 * Edge-triggered epoll: one event and one dispatch are enough for all that was there, and what comes
 * later is another event.
 *
 * Libraries: libdlm libdlm_lt
 */

#include <sys/epoll.h>

#include "check.h"

#define MANY 1000

static struct dlm_lksb locks[MANY];
static int done;

static void count(void *unused)
{
	(void)unused;
	done++;
}

static void all(int fd, int set, int wanted)
{
	struct epoll_event event;

	while (done < wanted) {
		CHECK(epoll_wait(set, &event, 1, -1) == 1);
		CHECK(dlm_dispatch(fd) == 0);
	}
}

int main(void)
{
	struct epoll_event event = { .events = EPOLLIN | EPOLLET };
	int fd, set = epoll_create1(0);
	char name[16];

	start("edge");
	fd = dlm_ls_get_fd(space);
	CHECK(epoll_ctl(set, EPOLL_CTL_ADD, fd, &event) == 0);
	for (int round = 0; round < 3; round++) {
		done = 0;
		for (int i = 0; i < MANY; i++) {
			int length = snprintf(name, sizeof(name), "%d", i);

			CHECK(dlm_ls_lock(space, LKM_EXMODE, &locks[i], 0, name, length, 0, count,
					  NULL, NULL, NULL) == 0);
		}
		all(fd, set, MANY);
		for (int i = 0; i < MANY; i++)
			CHECK(dlm_ls_unlock(space, locks[i].sb_lkid, 0, &locks[i], NULL) == 0);
		all(fd, set, 2 * MANY);
	}
	printf("%d\n", done);
	finish("edge");
	return 0;
}
