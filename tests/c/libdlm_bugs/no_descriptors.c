/*
 * A process that has no descriptor left: each call says so, at whichever of its steps that happens, and
 * leaves nothing behind, no reference of the lockspace, no descriptor, no thread. The original leaves the
 * lockspace that it has made and cannot open.
 *
 * Libraries: libdlm libdlm_lt
 */

#include <dirent.h>
#include <sys/resource.h>

#include "check.h"

static struct rlimit enough;

static int descriptors(void)
{
	DIR *folder = opendir("/proc/self/fd");
	int count = 0;

	CHECK(folder);
	while (readdir(folder))
		count++;
	CHECK(closedir(folder) == 0);
	return count;
}

/* Allows so many descriptors beside those that are open. */
static void allow(int count)
{
	struct rlimit few = enough;
	int open[16], last = -1;

	/* Those that are open may not be the lowest ones. */
	for (int i = 0; i < count; i++) {
		open[i] = dup(0);
		CHECK(open[i] >= 0);
		last = open[i];
	}
	for (int i = 0; i < count; i++)
		CHECK(close(open[i]) == 0);
	if (count == 0) {
		last = dup(0);
		CHECK(last >= 0 && close(last) == 0);
		last--;
	}
	few.rlim_cur = last + 1;
	CHECK(setrlimit(RLIMIT_NOFILE, &few) == 0);
}

static void allow_all(void)
{
	int number = errno;

	CHECK(setrlimit(RLIMIT_NOFILE, &enough) == 0);
	errno = number;
}

/* Repeats a call with ever more descriptors until it succeeds. Not with the first few of them. */
#define STEPS(call, is_done, least, check)                                                         \
	do {                                                                                       \
		int before_ = descriptors(), count_ = 0;                                           \
                                                                                                   \
		for (;; count_++) {                                                                \
			CHECK(count_ < 16);                                                        \
			allow(count_);                                                             \
			errno = 0;                                                                 \
			call;                                                                      \
			allow_all();                                                               \
			if (is_done)                                                               \
				break;                                                             \
			CHECK(errno == EMFILE);                                                    \
			CHECK(descriptors() == before_);                                           \
			check;                                                                     \
		}                                                                                  \
		CHECK(count_ >= (least));                                                          \
	} while (0)

static void is_gone(const char *name)
{
	char path[64];
	struct stat node;

	CHECK(!dlm_open_lockspace(name) && errno == ENOENT);
	snprintf(path, sizeof(path), "/dev/dlm_%s", name);
	CHECK(stat(path, &node) == -1 && errno == ENOENT);
}

/* Drops one reference of the default lockspace, if there is any. */
static int drop_default(void)
{
	dlm_lshandle_t ls = dlm_open_lockspace("default");

	CHECK(ls || errno == ENOENT);
	return ls && dlm_release_lockspace("default", ls, 1) == 0;
}

/* In a process of its own, as a lockspace that is open in this one cannot be removed by it. */
static void try_default(void)
{
	int fd = -1, status;
	pid_t child;

	if (on_engine()) {
		STEPS(fd = dlm_get_fd(), fd >= 0, 1, is_gone("default"));
		return;
	}
	/* Other programs may have left it. */
	while (drop_default())
		;
	child = fork();
	CHECK(child >= 0);
	if (child == 0) {
		limit();
		STEPS(fd = dlm_get_fd(), fd >= 0, 2, is_gone("default"));
		CHECK(fd == dlm_get_fd());
		exit(0);
	}
	CHECK(waitpid(child, &status, 0) == child);
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	CHECK(drop_default());
	CHECK(!drop_default());
}

int main(void)
{
	dlm_lshandle_t new = NULL, again = NULL, other = NULL;
	struct dlm_lksb a = { 0 };
	/* The lockspaces of dlm-engine have no device. */
	int least = on_engine() ? 0 : 1, count = 0, fd = -1;
	uint64_t timeout = 5;

	limit();
	CHECK(getrlimit(RLIMIT_NOFILE, &enough) == 0);
	/* What a library keeps for good it has from here on. */
	start("no_descriptors");
	finish("no_descriptors");

	/* The control device, and what keeps creations apart. */
	STEPS(new = dlm_create_lockspace("no_descriptors", 0600), new, 3 * least,
	      is_gone("no_descriptors"));
	STEPS(again = dlm_create_lockspace("no_descriptors", 0600), again, least, );
	CHECK(dlm_release_lockspace("no_descriptors", again, 0) == 0);
	STEPS(other = dlm_open_lockspace("no_descriptors"), other, least, );
	STEPS(fd = dlm_ls_get_fd(other), fd >= 0, IS_LIGHT && on_engine() ? 1 : 0, );
#ifdef THREADED
	int started = -1;

	STEPS(started = dlm_ls_pthread_init(new), started == 0, 0, );
	CHECK(dlm_ls_pthread_init(new) == -1 && errno == EEXIST);
	/* It does its work. */
	allow(0);
	CHECK(dlm_ls_lock(new, LKM_EXMODE, &a, 0, "s", 1, 0, count_ast, &count, NULL, NULL) == 0);
	await(&count, 1);
	allow_all();
	unlock_wait(new, &a);
#endif
	/* Calls that wait, and what ends by its time, need none. */
	allow(0);
	lock_wait(new, LKM_EXMODE, &a, 0, "r");
	CHECK(dlm_ls_lockx(other, LKM_EXMODE, &a, LKF_TIMEOUT | LKF_WAIT, "r", 1, 0, count_ast, &count,
			   NULL, NULL, &timeout) == (IS_LIGHT ? -1 : 0));
	CHECK(a.sb_status == ETIMEDOUT);
	allow_all();
	CHECK(dlm_close_lockspace(other) == 0);
	/* That was the one reference. */
	CHECK(dlm_release_lockspace("no_descriptors", new, 1) == 0);
	is_gone("no_descriptors");

	try_default();
	return 0;
}
