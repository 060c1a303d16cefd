// Has the compiler write down what the kernel's headers say. It is compiled to an object and never
// run, so that a compiler for 32-bit programs is enough, without a library or a machine for them.
// The rows are made by probe.rs.

#include <stddef.h>
#include <linux/dlm.h>
#include <linux/dlm_device.h>
#include <linux/dlmconstants.h>

#define OFFSET(record, field) { "offset " #record "." #field, offsetof(struct record, field) },
#define WIDTH(record, field) { "width " #record "." #field, sizeof(((struct record *)0)->field) },
#define SIZE(record) { "size " #record, sizeof(struct record) },
#define VALUE(name) { #name, name },

static const struct {
	char name[88];
	long long value;
} __attribute__((packed)) rows[] __attribute__((used, section("dlm_probe"))) = {
@ROWS@
};
