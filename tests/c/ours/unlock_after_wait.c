/*
 * An unlock that does not wait, of a lock from a call that did. The original calls a function of
 * its own with a pointer into a stack frame that is gone.
 *
 * Libraries: libdlm
 */

#include "check.h"

static struct dlm_lksb lksb;

/* So that something else stands where the frame was. */
static __attribute__((noinline)) int scribble(void)
{
	volatile char stack[4096];

	memset((char *)stack, 0x5a, sizeof(stack));
	return stack[100];
}

int main(void)
{
	start("unlock_after");
	start_thread(space);
	lock_wait(space, LKM_EXMODE, &lksb, 0, "r");
	CHECK(scribble() == 0x5a);
	CHECK(dlm_ls_unlock(space, lksb.sb_lkid, 0, &lksb, NULL) == 0);
	while (__atomic_load_n(&lksb.sb_status, __ATOMIC_ACQUIRE) != EUNLOCK) {
		CHECK(scribble() == 0x5a);
		usleep(1000);
	}
	/* The thread is alive. */
	lock_wait(space, LKM_EXMODE, &lksb, 0, "r");
	finish("unlock_after");
	return 0;
}
