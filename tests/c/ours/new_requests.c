/*
 * The first request for a resource waits for the lock on the device's node, where the kernel needs it
 * (Linux 6.10 and later), unless DLM_CONCURRENT_NEW_REQUESTS=1 says that the program sees to that.
 *
 * Libraries: libdlm libdlm_lt
 * Not on dlm-engine: it has no node to lock
 */

#include <fcntl.h>
#include <sys/file.h>
#include <sys/utsname.h>

#include "check.h"

#define NAME "new_requests"

struct program {
	pid_t pid;
	int begin[2];
};

static int asks[2];

static void request(void)
{
	struct dlm_lksb lksb = { 0 };

	CHECK(write(asks[1], "", 1) == 1);
	lock_wait(space, LKM_EXMODE, &lksb, 0, "a");
	unlock_wait(space, &lksb);
}

/* A program with this value, which it reads when it opens the lockspace: once it is told to begin. */
static void prepare(struct program *program, const char *value)
{
	char byte;

	CHECK(pipe(program->begin) == 0);
	program->pid = fork();
	CHECK(program->pid >= 0);
	if (program->pid)
		return;
	limit();
	CHECK(setenv("DLM_CONCURRENT_NEW_REQUESTS", value, 1) == 0);
	CHECK(read(program->begin[0], &byte, 1) == 1);
	space = dlm_open_lockspace(NAME);
	if (strcmp(value, "yes") == 0) {
		CHECK(!space && errno == ENOTSUP);
		_exit(0);
	}
	CHECK(space);
	request();
	CHECK(dlm_close_lockspace(space) == 0);
	_exit(0);
}

static void let_begin(struct program *program)
{
	CHECK(write(program->begin[1], "", 1) == 1);
}

static void await_request(void)
{
	char byte;

	CHECK(read(asks[0], &byte, 1) == 1);
}

static void await_end(struct program *program)
{
	int status;

	CHECK(waitpid(program->pid, &status, 0) == program->pid && status == 0);
}

static int is_needed(void)
{
	struct utsname name;
	int major, minor;

	CHECK(uname(&name) == 0 && sscanf(name.release, "%d.%d", &major, &minor) == 2);
	return major > 6 || (major == 6 && minor >= 10);
}

static int open_node(void)
{
	int node = open("/dev/misc/dlm_" NAME, O_RDWR);

	return node >= 0 ? node : open("/dev/dlm_" NAME, O_RDWR);
}

int main(void)
{
	struct program without, with, unknown;
	int node;

	CHECK(pipe(asks) == 0);
	prepare(&without, "1");
	prepare(&with, "0");
	prepare(&unknown, "yes");
	start(NAME);
	node = open_node();
	CHECK(node >= 0 && flock(node, LOCK_EX) == 0);
	let_begin(&without);
	await_request();
	await_end(&without);
	let_begin(&with);
	await_request();
	if (is_needed()) {
		/* However long one looks. */
		usleep(200000);
		CHECK(waitpid(with.pid, NULL, WNOHANG) == 0);
	}
	CHECK(flock(node, LOCK_UN) == 0);
	await_end(&with);
	let_begin(&unknown);
	await_end(&unknown);
	CHECK(close(node) == 0);
	finish(NAME);
	return 0;
}
