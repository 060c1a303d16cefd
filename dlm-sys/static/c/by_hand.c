// What src/main.rs does, in C, with the kernel's header and nothing else: the yardstick for the
// size of the Rust program. It makes the same system calls in the same order and looks at the same
// parts of each answer. The exit status is 0 or the step that went wrong.

#include <errno.h>
#include <fcntl.h>
#include <linux/dlm.h>
#include <linux/dlm_device.h>
#include <linux/dlmconstants.h>
#include <poll.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define LOCKSPACE "dlm-by-hand"
#define RESOURCE "disk0"
#define NODE "dlm_" LOCKSPACE

// Milliseconds.
#define PATIENCE 10000
#define MISC_MAJOR 10

// As in src/main.rs; step 1 checks the lockspace's name, which is a constant here.
enum step {
	OPEN_CONTROL = 2,
	CREATE,
	OPEN_LOCKSPACE,
	LOCK,
	LOCKED,
	CONVERT,
	CONVERTED,
	UNLOCK,
	UNLOCKED,
	REMOVE,
};

// The opaque words of the lock. The kernel only wants the first and the last not to be zero.
#define COMPLETION ((void *)0x444c4d01)
#define BLOCKING ((void *)0x444c4d02)
#define TOKEN ((void *)(uintptr_t)0x100000007)
#define OWNER ((struct dlm_lksb *)1)

// A request with room for the name. On x86-64 it starts at the end of the struct.
union request {
	struct dlm_write_request head;
	char bytes[sizeof(struct dlm_write_request) + DLM_RESNAME_MAXLEN];
};

// A result with room for a value block: with less, the kernel drops it in silence.
union result {
	struct dlm_lock_result head;
	char bytes[sizeof(struct dlm_lock_result) + DLM_USER_LVB_LEN];
};

static int open_node(const char *path, const char *other, int flags)
{
	int fd;

	do
		fd = open(path, flags | O_RDWR | O_CLOEXEC);
	while (fd < 0 && errno == EINTR);
	if (fd >= 0 || errno != ENOENT || !other)
		return fd;
	return open_node(other, NULL, flags);
}

static ssize_t read_some(int fd, void *to, size_t count)
{
	ssize_t got;

	do
		got = read(fd, to, count);
	while (got < 0 && errno == EINTR);
	return got;
}

// Whether the kernel takes requests of version 6.0.
static int speaks_v6(int fd)
{
	struct dlm_device_version version;

	return read_some(fd, &version, sizeof version) == sizeof version &&
	       version.version[0] == DLM_DEVICE_VERSION_MAJOR;
}

static void start_request(union request *request, int cmd)
{
	memset(request, 0, sizeof *request);
	request->head.version[0] = DLM_DEVICE_VERSION_MAJOR;
	request->head.cmd = cmd;
	request->head.is64bit = sizeof(void *) == 8;
}

// The return value is what the command answers, and no count of bytes.
static ssize_t submit(int fd, const union request *request, size_t name_len)
{
	ssize_t answer;

	do
		answer = write(fd, request, sizeof request->head + name_len);
	while (answer < 0 && errno == EINTR);
	return answer;
}

// Creations and removals: kernels up to 6.12 do not bear two at the same time.
static ssize_t submit_alone(int fd, const union request *request, size_t name_len)
{
	ssize_t answer;

	while (flock(fd, LOCK_EX) != 0)
		if (errno != EINTR)
			return -1;
	answer = submit(fd, request, name_len);
	flock(fd, LOCK_UN);
	return answer;
}

static ssize_t submit_lock(int fd, int cmd, int mode, uint32_t flags, uint32_t lkid, size_t name_len)
{
	union request request;
	struct dlm_lock_params *lock = &request.head.i.lock;

	start_request(&request, cmd);
	lock->mode = mode;
	lock->flags = flags;
	lock->lkid = lkid;
	lock->castaddr = COMPLETION;
	lock->castparam = TOKEN;
	lock->bastaddr = BLOCKING;
	lock->bastparam = TOKEN;
	lock->lksb = OWNER;
	lock->namelen = name_len;
	memcpy(lock->name, RESOURCE, name_len);
	return submit(fd, &request, name_len);
}

static int completes(int fd, uint32_t lkid, int status)
{
	struct pollfd wait = { .fd = fd, .events = POLLIN };
	union result result;
	const struct dlm_lock_result *head = &result.head;
	ssize_t got;

	if (poll(&wait, 1, PATIENCE) <= 0)
		return 0;
	got = read_some(fd, &result, sizeof result);
	return got == sizeof *head && head->length == (uint32_t)got && head->lvb_offset == 0 &&
	       head->version[0] == DLM_DEVICE_VERSION_MAJOR && head->user_astaddr == COMPLETION &&
	       head->user_astparam == TOKEN && head->lksb.sb_lkid == lkid &&
	       head->lksb.sb_status == status;
}

static int use_lock(int fd)
{
	ssize_t lkid = submit_lock(fd, DLM_USER_LOCK, DLM_LOCK_EX, 0, 0, sizeof RESOURCE - 1);

	if (lkid <= 0 || lkid > UINT32_MAX)
		return LOCK;
	if (!completes(fd, lkid, 0))
		return LOCKED;
	if (submit_lock(fd, DLM_USER_LOCK, DLM_LOCK_NL, DLM_LKF_CONVERT, lkid, 0) != 0)
		return CONVERT;
	if (!completes(fd, lkid, 0))
		return CONVERTED;
	if (submit_lock(fd, DLM_USER_UNLOCK, 0, 0, lkid, 0) != 0)
		return UNLOCK;
	if (!completes(fd, lkid, -DLM_EUNLOCK))
		return UNLOCKED;
	return 0;
}

static int use_lockspace(unsigned number)
{
	int fd = open_node("/dev/" NODE, "/dev/misc/" NODE, O_NONBLOCK);
	int failed = OPEN_LOCKSPACE;
	struct stat node;

	if (fd < 0)
		return failed;
	if (fstat(fd, &node) == 0 && S_ISCHR(node.st_mode) && major(node.st_rdev) == MISC_MAJOR &&
	    minor(node.st_rdev) == number && speaks_v6(fd))
		failed = use_lock(fd);
	close(fd);
	return failed;
}

int main(void)
{
	int control = open_node("/dev/dlm-control", "/dev/misc/dlm-control", 0);
	union request request;
	struct dlm_lspace_params *space = &request.head.i.lspace;
	ssize_t number;
	int failed;

	if (control < 0 || !speaks_v6(control))
		return OPEN_CONTROL;

	start_request(&request, DLM_USER_CREATE_LOCKSPACE);
	space->flags = DLM_LSFL_NEWEXCL;
	memcpy(space->name, LOCKSPACE, sizeof LOCKSPACE - 1);
	number = submit_alone(control, &request, sizeof LOCKSPACE - 1);
	// Removing minor number 0 would hit any lockspace that has no device.
	if (number <= 0 || number > UINT32_MAX)
		return CREATE;

	failed = use_lockspace(number);

	start_request(&request, DLM_USER_REMOVE_LOCKSPACE);
	space->minor = number;
	if (submit_alone(control, &request, 0) != 0 && !failed)
		failed = REMOVE;
	close(control);
	return failed;
}
