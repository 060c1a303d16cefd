/*
 * A program that loads the library and closes it again, a thousand times, with threads that are in it,
 * the AST thread among them, with threads that end afterwards, and with forks afterwards. Nothing of it
 * is gone while it can still be called: the libraries are marked as not to be unloaded.
 *
 * C libdlm: its AST thread goes on in memory that is gone.
 * Not linked with it: dlopen.
 * Libraries: libdlm libdlm_lt
 */

#include <dlfcn.h>

#include "check.h"

#define LOADS 1000

/* What it is called by: a program has no other reference to it. */
static struct {
	dlm_lshandle_t (*create)(const char *, mode_t);
	dlm_lshandle_t (*open)(const char *);
	int (*close)(dlm_lshandle_t);
	int (*release)(const char *, dlm_lshandle_t, int);
	int (*lock)(dlm_lshandle_t, uint32_t, struct dlm_lksb *, uint32_t, const void *, unsigned int,
		    uint32_t, void (*)(void *), void *, void (*)(void *), void *);
	int (*lock_wait)(dlm_lshandle_t, uint32_t, struct dlm_lksb *, uint32_t, const void *,
			 unsigned int, uint32_t, void *, void (*)(void *), void *);
	int (*unlock_wait)(dlm_lshandle_t, uint32_t, uint32_t, struct dlm_lksb *);
	int (*start_thread)(dlm_lshandle_t);
	int (*get_fd)(dlm_lshandle_t);
	int (*dispatch)(int);
} dlm;

static const char *program;
static void *library;
static int ran, has_locked, may_end;

static void load(void)
{
	const char *name = IS_LIGHT ? "libdlm_lt.so.3" : "libdlm.so.3";

	library = dlopen(name, RTLD_NOW | RTLD_LOCAL);
	if (!library)
		fprintf(stderr, "%s\n", dlerror());
	CHECK(library);
#define FIND(field, function) CHECK((*(void **)&dlm.field = dlsym(library, #function)))
	FIND(create, dlm_create_lockspace);
	FIND(open, dlm_open_lockspace);
	FIND(close, dlm_close_lockspace);
	FIND(release, dlm_release_lockspace);
	FIND(lock, dlm_ls_lock);
	FIND(lock_wait, dlm_ls_lock_wait);
	FIND(unlock_wait, dlm_ls_unlock_wait);
	FIND(get_fd, dlm_ls_get_fd);
	FIND(dispatch, dlm_dispatch);
	if (!IS_LIGHT)
		FIND(start_thread, dlm_ls_pthread_init);
}

static void unload(void)
{
	CHECK(dlclose(library) == 0);
}

/* Locks while the library is there, and ends when the program has closed it. */
static void *locks(void *argument)
{
	struct dlm_lksb lksb = { 0 };

	(void)argument;
	CHECK(dlm.lock_wait(space, LKM_PRMODE, &lksb, 0, "r", 1, 0, NULL, NULL, NULL) == 0);
	CHECK(dlm.unlock_wait(space, lksb.sb_lkid, 0, &lksb) == 0);
	count_ast(&has_locked);
	await(&may_end, 1);
	return NULL;
}

static void use_and_unload(void)
{
	struct dlm_lksb lksb = { 0 };
	pthread_t thread;
	pid_t child;
	int status;

	ran = has_locked = may_end = 0;
	load();
	space = dlm.create("loads", 0600);
	CHECK(space);
	if (dlm.start_thread)
		CHECK(dlm.start_thread(space) == 0);
	CHECK(pthread_create(&thread, NULL, locks, NULL) == 0);
	await(&has_locked, 1);
	CHECK(dlm.lock(space, LKM_PRMODE, &lksb, 0, "r", 1, 0, count_ast, &ran, NULL, NULL) == 0);
	unload();
	/* The AST thread, if there is one, runs on, and the other one ends. */
	if (dlm.start_thread)
		await(&ran, 1);
	count_ast(&may_end);
	CHECK(pthread_join(thread, NULL) == 0);
	child = fork();
	CHECK(child >= 0);
	if (child == 0)
		end_child(program);
	CHECK(waitpid(child, &status, 0) == child && status == 0);
	load();
	if (!dlm.start_thread)
		while (ran == 0)
			CHECK(dlm.dispatch(dlm.get_fd(space)) == 0);
	CHECK(dlm.unlock_wait(space, lksb.sb_lkid, 0, &lksb) == 0);
	CHECK(dlm.release("loads", space, 1) == 0);
	unload();
}

int main(int argc, char **argv)
{
	program = argv[0];
	if (argc > 1)
		return 0;
	limit();
	for (int i = 0; i < LOADS; i++) {
		if (i % 50 == 0) {
			use_and_unload();
			continue;
		}
		load();
		CHECK(dlm.open(i % 2 ? "no such" : NULL) == NULL);
		unload();
	}
	return 0;
}
