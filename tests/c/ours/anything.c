/*
 * Any calls in any order, with arguments that are often no good: NULL, handles that were closed or
 * never were any, ids of other locks, lengths that are none. First by one thread, then by several, of
 * which now and then one is cancelled or left by its AST, while the main thread opens, closes and
 * forks. Nothing may crash or hang, a failure has an errno, and afterwards the library works as before.
 *
 * DLM_SEED and DLM_OPERATIONS repeat a run, or make another one: the calls of each thread are drawn
 * from it; how those of several mix is chance. What would be a fault of the program in any library is
 * left out: pointers into nowhere, and waits for what only the waiting thread could bring about.
 *
 * Only on dlm-engine: some of it would make a kernel warn.
 * Libraries: libdlm libdlm_lt
 */

#include <stddef.h>

#include "check.h"

#define SLOTS 4
#define BLOCKS 32
#define WORKERS 3

/* What a thread draws from, and memory of its own that the library may have for longer than the
 * thread is there. */
struct context {
	uint64_t state;
	struct dlm_lksb blocks[BLOCKS];
	char values[BLOCKS][DLM_LVB_LEN];
	char room[7][sizeof(struct dlm_lksb) + 8];
	int depth;
	int is_main;
	struct context *next;
};

struct worker {
	pthread_t thread;
	struct context context;
};

static const char *program;
static long seed;
static struct context main_context = { .is_main = 1 };
static struct worker workers[WORKERS];
/* Those of the threads that the library has started. */
static struct context *others;
static __thread struct context *me;
static int is_crowded, is_child;
static dlm_lshandle_t handles[SLOTS];
static int fds[SLOTS];
static dlm_lshandle_t closed[SLOTS];
static int asts, cancelled, left, forks;

static void sow(struct context *context, long number)
{
	context->state = (seed * 1000 + number) * UINT64_C(0x9e3779b97f4a7c15) + 1;
	context->depth = 0;
}

static uint32_t draw(uint32_t below)
{
	me->state ^= me->state << 13;
	me->state ^= me->state >> 7;
	me->state ^= me->state << 17;
	return (me->state >> 11) % below;
}

static int chance(uint32_t one_in)
{
	return draw(one_in) == 0;
}

static long setting(const char *name, long otherwise)
{
	const char *text = getenv(name);

	return text ? strtol(text, NULL, 0) : otherwise;
}

static dlm_lshandle_t handle(void)
{
	switch (draw(16)) {
	case 0: return NULL;
	case 1: return closed[draw(SLOTS)];
	case 2: return (dlm_lshandle_t)(uintptr_t)draw(0x80000);
	case 3: return (dlm_lshandle_t)handles;
	}
	return handles[draw(SLOTS)];
}

/* A block at an odd address, as in an array of bytes. */
static struct dlm_lksb *odd_block(int which)
{
	char *value = chance(3) ? NULL : me->values[which];
	char *place = &me->room[which][1 + which];

	memcpy(place + offsetof(struct dlm_lksb, sb_lvbptr), &value, sizeof(value));
	return (struct dlm_lksb *)place;
}

static struct dlm_lksb *block(void)
{
	if (chance(20))
		return NULL;
	if (chance(20))
		return odd_block(draw(7));
	return &me->blocks[draw(BLOCKS)];
}

static uint32_t id(void)
{
	switch (draw(8)) {
	case 0: return draw(64);
	case 1: return me->state;
	case 2: return workers[draw(WORKERS)].context.blocks[draw(BLOCKS)].sb_lkid;
	}
	return me->blocks[draw(BLOCKS)].sb_lkid;
}

static uint32_t flags(void)
{
	uint32_t flags = 0;

	for (int i = draw(4); i > 0; i--)
		flags |= 1u << draw(19);
	if (chance(30))
		flags |= me->state;
	return flags & ~LKF_WAIT;
}

static uint32_t mode(void)
{
	return chance(20) ? (uint32_t)me->state : draw(6);
}

/* A name, and a length that it has. */
static const void *name(unsigned int *length)
{
	static const char text[80] = "abcdefghijklmnopqrstuvwxyz";

	*length = chance(3) ? draw(70) : 1 + draw(3);
	if (chance(20)) {
		*length = me->state;
		/* Not readable for that long, unless it is refused. */
		if (*length <= sizeof(text))
			*length += 100;
	}
	return chance(20) ? NULL : text;
}

static const char *space_name(int slot)
{
	static const char *const names[SLOTS] = { "any0", "any1", "any2", "any3" };

	return chance(20) ? NULL : names[slot];
}

static void anything(void);

/* An AST that makes calls of its own. */
static void ast(void *argument)
{
	(void)argument;
	if (!me) {
		/* The library's own thread. */
		me = calloc(1, sizeof(*me));
		CHECK(me);
		me->next = __atomic_exchange_n(&others, me, __ATOMIC_SEQ_CST);
		sow(me, 100 + __atomic_load_n(&asts, __ATOMIC_RELAXED));
	}
	count_ast(&asts);
	if (is_crowded && !me->is_main && chance(200)) {
		count_ast(&left);
		pthread_exit(NULL);
	}
	if (me->depth < 2 && chance(4)) {
		me->depth++;
		anything();
		me->depth--;
	}
}

static void (*routine(void))(void *)
{
	switch (draw(10)) {
	case 0: return NULL;
	case 1: return (void (*)(void *))(uintptr_t)1;
	}
	return ast;
}

static void told(int returned)
{
	CHECK(returned == 0 || (returned == -1 && errno > 0 && errno <= EINPROG));
}

static void open_or_close(int slot)
{
	const char *text = space_name(slot);

	if (!handles[slot]) {
		switch (draw(3)) {
		case 0: handles[slot] = dlm_open_lockspace(text); break;
		case 1: handles[slot] = dlm_create_lockspace(text, me->state); break;
		case 2: handles[slot] = dlm_new_lockspace(text, 0600, chance(2) ? 0 : me->state); break;
		}
		CHECK(handles[slot] || (errno > 0 && errno < 4096));
		fds[slot] = dlm_ls_get_fd(handles[slot]);
		CHECK(!handles[slot] || fds[slot] >= 0);
		return;
	}
	if (!chance(4))
		return;
	closed[slot] = handles[slot];
	/* A child would wait for its parent to close it, too. */
	if (chance(3) || is_child) {
		CHECK(dlm_close_lockspace(handles[slot]) == 0);
	} else if (dlm_release_lockspace(text, handles[slot], chance(2)) == -1) {
		CHECK(errno == EBUSY || errno == EINVAL || errno == ENOENT);
		/* A wrong name has closed nothing. */
		if (errno == EINVAL)
			CHECK(dlm_close_lockspace(handles[slot]) == 0);
	}
	handles[slot] = NULL;
	CHECK(dlm_close_lockspace(closed[slot]) == -1 && errno == EINVAL);
}

static void lock_call(void)
{
	unsigned int length;
	const void *text = name(&length);
	uint64_t xid = me->state, timeout = draw(3), *time = chance(2) ? &timeout : NULL;

	switch (draw(6)) {
	case 0:
		told(dlm_ls_lock(handle(), mode(), block(), flags(), text, length, me->state, routine(),
				 handles, routine(), chance(20) ? handles : NULL));
		break;
	case 1:
		told(dlm_ls_lockx(handle(), mode(), block(), flags(), text, length, me->state, routine(),
				  handles, routine(), chance(2) ? &xid : NULL, time));
		break;
	case 2:
		/* Ends by its time. */
		timeout = 1;
		told(dlm_ls_lockx(handle(), mode(), block(), flags() | LKF_WAIT | LKF_TIMEOUT, text,
				  length, me->state, routine(), handles, routine(), NULL, &timeout));
		break;
	case 3:
		told(dlm_ls_lock_wait(handle(), mode(), block(), flags() | LKF_NOQUEUE, text, length,
				      me->state, handles, routine(), NULL));
		break;
	case 4:
		told(dlm_lock(mode(), block(), flags(), text, length, me->state, routine(), handles,
			      routine(), NULL));
		break;
	case 5:
		told(dlm_lock_wait(mode(), block(), flags() | LKF_NOQUEUE, text, length, me->state, handles,
				   routine(), NULL));
		break;
	}
}

static void unlock_call(void)
{
	switch (draw(5)) {
	case 0: told(dlm_ls_unlock(handle(), id(), flags(), block(), handles)); break;
	case 1: told(dlm_ls_unlock_wait(handle(), id(), flags(), block())); break;
	case 2: told(dlm_unlock(id(), chance(2) ? 0 : flags(), block(), NULL)); break;
	case 3: told(dlm_unlock_wait(id(), 0, block())); break;
	case 4: told(dlm_ls_deadlock_cancel(handle(), id(), flags())); break;
	}
}

static void other_call(void)
{
	uint32_t major, minor, patch;
	int fd;

	switch (draw(8)) {
	case 0:
		CHECK(dlm_kernel_version(chance(2) ? NULL : &major, NULL, &minor) == 0);
		dlm_library_version(&major, chance(2) ? NULL : &minor, &patch);
		break;
	case 1: told(dlm_ls_purge(handle(), draw(3), draw(3))); break;
	case 2: told(dlm_dispatch((int)draw(2000) - 2)); break;
	case 3:
		fd = dlm_get_fd();
		CHECK(fd >= 0 || is_crowded);
		told(dlm_dispatch(fd));
		break;
	case 4:
		fd = dlm_ls_get_fd(handle());
		CHECK(fd >= 0 || errno == EBADF || errno == ENOTCONN);
		break;
	case 5: told(dlm_close_lockspace(chance(2) ? NULL : closed[draw(SLOTS)])); break;
	case 6: told(dlm_release_lockspace(space_name(0), closed[draw(SLOTS)], 1)); break;
	case 7:
#ifdef THREADED
		fd = draw(BLOCKS);
		switch (draw(6)) {
		case 0: told(dlm_ls_pthread_init(handle())); break;
		case 1: told(dlm_pthread_init()); break;
		case 2: CHECK(dlm_pthread_cleanup() == 0); break;
		case 3: told(lock_resource(chance(9) ? NULL : "r", mode(), flags() | LKF_NOQUEUE,
					   chance(9) ? NULL : (int *)&me->blocks[fd].sb_lkid)); break;
		case 4: case 5: told(unlock_resource(id())); break;
		}
#endif
		break;
	}
}

static void anything(void)
{
	for (int i = 0; i < BLOCKS; i++)
		me->blocks[i].sb_lvbptr = chance(3) ? NULL : me->values[i];
	if (me->is_main && me->depth == 0 && chance(20))
		open_or_close(draw(SLOTS));
	switch (draw(8)) {
	case 0: case 1: case 2: lock_call(); break;
	case 3: case 4: unlock_call(); break;
	case 5: other_call(); break;
	default: told(dlm_dispatch(fds[draw(SLOTS)])); break;
	}
}

static void *works(void *argument)
{
	me = argument;
	for (;;)
		anything();
	return NULL;
}

static void begin(struct worker *worker, long number)
{
	sow(&worker->context, number);
	CHECK(pthread_create(&worker->thread, NULL, works, &worker->context) == 0);
}

static void end(struct worker *worker)
{
	void *result;

	CHECK(pthread_cancel(worker->thread) == 0);
	CHECK(pthread_join(worker->thread, &result) == 0);
	cancelled += result == PTHREAD_CANCELED;
}

/* The child goes on with what it has inherited, while its parent's other threads may have been
 * anywhere. */
static void fork_amid(void)
{
	int status;
	pid_t child = fork();

	CHECK(child >= 0);
	if (child == 0) {
		limit();
		is_child = 1;
		is_crowded = 0;
		for (int i = 0; i < 20; i++)
			anything();
		end_child(program);
	}
	CHECK(waitpid(child, &status, 0) == child);
	if (status)
		fprintf(stderr, "the child: %#x\n", status);
	CHECK(status == 0);
	forks++;
}

static void crowd(long rounds)
{
	is_crowded = 1;
	for (int i = 0; i < WORKERS; i++)
		begin(&workers[i], 1 + i);
	for (long round = 0; round < rounds; round++) {
		struct worker *worker = &workers[draw(WORKERS)];

		for (int i = draw(20); i >= 0; i--)
			anything();
		if (chance(5))
			fork_amid();
		end(worker);
		begin(worker, 10 + round);
	}
	for (int i = 0; i < WORKERS; i++)
		end(&workers[i]);
	is_crowded = 0;
	CHECK(rounds < 10 || (cancelled > rounds / 10 && forks > 0));
}

int main(int argc, char **argv)
{
	long operations = setting("DLM_OPERATIONS", 20000);
	struct dlm_lksb a = { 0 };

	program = argv[0];
	if (argc > 1)
		return 0;
	limit();
	seed = setting("DLM_SEED", 1);
	fprintf(stderr, "DLM_SEED=%ld DLM_OPERATIONS=%ld\n", seed, operations);
	me = &main_context;
	sow(me, 0);
	for (long i = 0; i < operations; i++)
		anything();
	CHECK(operations < 1000 || asts > operations / 100);
	crowd(operations / 200);
	for (int i = 0; i < SLOTS; i++)
		if (handles[i])
			CHECK(dlm_close_lockspace(handles[i]) == 0);
	start("afterwards");
	lock_wait(space, LKM_EXMODE, &a, 0, "r");
	unlock_wait(space, &a);
	finish("afterwards");
	return 0;
}
