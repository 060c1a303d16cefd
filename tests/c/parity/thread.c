/*
 * ASTs in the thread of the pthread build, beside threads that wait for locks of their own.
 *
 * Libraries: libdlm
 */

#include "check.h"

static pthread_t in_thread;
static int done;

static void ast(void *argument)
{
	in_thread = pthread_self();
	count_ast(argument);
}

static void *work(void *argument)
{
	char name[16];

	for (int i = 0; i < 200; i++) {
		struct dlm_lksb lksb = { 0 };

		snprintf(name, sizeof(name), "%p-%d", argument, i % 3);
		lock_wait(space, LKM_EXMODE, &lksb, 0, i % 2 ? "shared" : name);
		unlock_wait(space, &lksb);
	}
	return NULL;
}

int main(void)
{
	pthread_t threads[4];
	struct dlm_lksb lksb = { 0 };

	start("thread");
	CHECK(dlm_ls_pthread_init(space) == 0);
	CHECK(dlm_ls_pthread_init(space) == -1 && errno == EEXIST);
	for (long i = 0; i < 4; i++)
		CHECK(pthread_create(&threads[i], NULL, work, (void *)(i + 1)) == 0);
	for (int i = 0; i < 200; i++) {
		CHECK(dlm_ls_lock(space, LKM_EXMODE, &lksb, 0, "shared", 6, 0, ast, &done, NULL,
				  NULL) == 0);
		await(&done, 2 * i + 1);
		CHECK(lksb.sb_status == 0);
		CHECK(!pthread_equal(in_thread, pthread_self()));
		CHECK(dlm_ls_unlock(space, lksb.sb_lkid, 0, &lksb, &done) == 0);
		await(&done, 2 * i + 2);
		CHECK(lksb.sb_status == EUNLOCK);
	}
	for (int i = 0; i < 4; i++)
		CHECK(pthread_join(threads[i], NULL) == 0);
	printf("ASTs: %d\n", done);
	finish("thread");
	return 0;
}
