// What by_hand.c needs of a C library, for linking it without one, as the Rust program is linked:
// src/start.rs and src/memory.rs in C, and the system calls of dlm-sys. x86-64 Linux only.

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stddef.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

static int error_number;

int *__errno_location(void)
{
	return &error_number;
}

static long call(long number, long a, long b, long c)
{
	long answer;

	__asm__ volatile("syscall"
			 : "=a"(answer)
			 : "a"(number), "D"(a), "S"(b), "d"(c)
			 : "rcx", "r11", "memory");
	if (answer < 0 && answer >= -4095) {
		error_number = -answer;
		return -1;
	}
	return answer;
}

int open(const char *path, int flags, ...)
{
	// Without O_CREAT there is no third argument.
	return call(SYS_open, (long)path, flags, 0);
}

int close(int fd)
{
	return call(SYS_close, fd, 0, 0);
}

ssize_t read(int fd, void *to, size_t count)
{
	return call(SYS_read, fd, (long)to, count);
}

ssize_t write(int fd, const void *from, size_t count)
{
	return call(SYS_write, fd, (long)from, count);
}

int poll(struct pollfd *fds, nfds_t count, int timeout)
{
	return call(SYS_poll, (long)fds, count, timeout);
}

int flock(int fd, int operation)
{
	return call(SYS_flock, fd, operation, 0);
}

int fstat(int fd, struct stat *to)
{
	return call(SYS_fstat, fd, (long)to, 0);
}

// Device numbers as fstat gives them to programs: twelve bits of major number and twenty of minor,
// each in two parts.
unsigned gnu_dev_major(dev_t device)
{
	return device >> 8 & 0xfff;
}

unsigned gnu_dev_minor(dev_t device)
{
	return (device & 0xff) | (device >> 12 & 0xfff00);
}

void *memcpy(void *restrict to, const void *restrict from, size_t count)
{
	void *end = to;

	__asm__ volatile("rep movsb" : "+D"(end), "+S"(from), "+c"(count) : : "memory");
	return to;
}

void *memset(void *to, int byte, size_t count)
{
	void *end = to;

	__asm__ volatile("rep stosb" : "+D"(end), "+c"(count) : "a"(byte) : "memory");
	return to;
}

int main(void);

__attribute__((used)) static _Noreturn void start(void)
{
	call(SYS_exit_group, main(), 0, 0);
	__builtin_unreachable();
}

// The kernel enters with an aligned stack; a function expects what a call leaves.
__asm__(".globl _start\n_start:\n\txor %ebp, %ebp\n\tcall start\n");
