/*
 * DLM_BACKEND: each value in a process of its own, and in one that is set-uid, where none counts. It
 * is started as root; a device node tells that a lockspace is the kernel's.
 */

#include "check.h"

#define NOBODY 65534

/* Whether the lockspace is the kernel's. */
static int is_on_kernel(void)
{
	struct stat node;
	int found;

	start("setuid");
	found = stat("/dev/dlm_setuid", &node) == 0;
	finish("setuid");
	return found;
}

/* The exit status of this program in another role. */
static int run(const char *program, const char *backend, const char *role)
{
	pid_t child = fork();
	int status;

	CHECK(child >= 0);
	if (child == 0) {
		limit();
		if (backend)
			setenv("DLM_BACKEND", backend, 1);
		else
			unsetenv("DLM_BACKEND");
		CHECK(setgid(NOBODY) == 0 || strcmp(role, "plain") == 0);
		if (strcmp(role, "set-uid") == 0)
			CHECK(setuid(NOBODY) == 0);
		execl(program, program, role, (char *)NULL);
		_exit(100);
	}
	CHECK(waitpid(child, &status, 0) == child);
	CHECK(WIFEXITED(status));
	return WEXITSTATUS(status);
}

/* In the other roles: 0 for the kernel, 10 for the engine, 11 for no lock manager. */
static int role(const char *name)
{
	uint32_t major = 0, minor, patch;

	if (strcmp(name, "set-uid") == 0)
		CHECK(getuid() == NOBODY && geteuid() == 0);
	if (dlm_kernel_version(&major, &minor, &patch) == -1) {
		CHECK(errno == ENOTSUP);
		CHECK(!dlm_create_lockspace("setuid", 0600) && errno == ENOTSUP);
		CHECK(!dlm_open_lockspace("setuid") && errno == ENOTSUP);
		CHECK(dlm_get_fd() == -1 && errno == ENOTSUP);
		return 11;
	}
	CHECK(major == 6);
	return is_on_kernel() ? 0 : 10;
}

int main(int argc, char **argv)
{
	const char *program = argv[0];

	limit();
	if (argc > 1)
		return role(argv[1]);
	CHECK(run(program, NULL, "plain") == 0);
	CHECK(run(program, "", "plain") == 0);
	CHECK(run(program, "kernel", "plain") == 0);
	CHECK(run(program, "engine", "plain") == 10);
	CHECK(run(program, "Engine", "plain") == 11);
	CHECK(chmod(program, 04755) == 0);
	CHECK(run(program, NULL, "set-uid") == 0);
	CHECK(run(program, "engine", "set-uid") == 0);
	CHECK(run(program, "Engine", "set-uid") == 0);
	return 0;
}
