/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/**
 * @file libdlm.h
 *
 * Locks of the Linux kernel's distributed lock manager (DLM), for programs in C and C++.
 *
 * A program links one of two libraries with this interface:
 *
 *   libdlm      delivers callbacks in a thread of its own, if asked to (define _REENTRANT, or
 *               compile with -pthread, for the five functions that only this library has)
 *   libdlm_lt   has no thread: the program polls a descriptor and calls dlm_dispatch()
 *
 * pkg-config knows them by these names. Everything here is explained at length in section 3 of
 * the manual, beginning with libdlm(3).
 *
 * Functions that return int return 0 for success and -1 with errno otherwise, unless something
 * else is said.
 */

#ifndef __LIBDLM_H
#define __LIBDLM_H

#include <stdint.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ------------------------------------------------------------------------------------------- */
/* Modes: what a lock allows its holder, and what it leaves to others                           */

#define LKM_NLMODE          0   /**< null: nothing, but the resource stays */
#define LKM_CRMODE          1   /**< concurrent read: reads, others may write */
#define LKM_CWMODE          2   /**< concurrent write: writes, others may write */
#define LKM_PRMODE          3   /**< protected read: reads, nobody writes (shared) */
#define LKM_PWMODE          4   /**< protected write: writes, others may read with CR */
#define LKM_EXMODE          5   /**< exclusive: reads and writes, nobody else does either */

/* ------------------------------------------------------------------------------------------- */
/* Flags of a request                                                                           */

#define LKF_NOQUEUE         0x00000001  /**< do not wait: end with EAGAIN */
#define LKF_CANCEL          0x00000002  /**< unlock: take back what the lock waits for */
#define LKF_CONVERT         0x00000004  /**< change the mode of the lock lksb->sb_lkid */
#define LKF_VALBLK          0x00000008  /**< read or write the value block at sb_lvbptr */
#define LKF_QUECVT          0x00000010  /**< convert: behind conversions that wait already */
#define LKF_IVVALBLK        0x00000020  /**< make the value block invalid */
#define LKF_CONVDEADLK      0x00000040  /**< convert: rather lose the mode held than deadlock */
#define LKF_PERSISTENT      0x00000080  /**< the lock outlives the process, as an orphan */
#define LKF_NODLCKWT        0x00000100  /**< convert: never end with EDEADLK */
#define LKF_NODLCKBLK       0x00000200  /**< without effect */
#define LKF_EXPEDITE        0x00000400  /**< a new NL lock: grant it at once in any case */
#define LKF_NOQUEUEBAST     0x00000800  /**< with NOQUEUE: tell those who are in the way */
#define LKF_HEADQUE         0x00001000  /**< wait at the head of the queue */
#define LKF_NOORDER         0x00002000  /**< do not wait for one's turn */
#define LKF_ORPHAN          0x00004000  /**< become the owner of an orphan */
#define LKF_ALTPR           0x00008000  /**< be content with PR */
#define LKF_ALTCW           0x00010000  /**< be content with CW */
#define LKF_FORCEUNLOCK     0x00020000  /**< unlock: also while an operation is on its way */
#define LKF_TIMEOUT         0x00040000  /**< dlm_ls_lockx(): give up after *timeout */
#define LKF_WAIT            0x80000000  /**< dlm_ls_lockx(): return when it has completed */

/* ------------------------------------------------------------------------------------------- */
/* Statuses of a lock beside the numbers of errno.h, in sb_status                               */

#define ECANCEL             0x10001     /**< cancelled */
#define EUNLOCK             0x10002     /**< unlocked */
#define EINPROG             0x10003     /**< not yet completed */

/* ------------------------------------------------------------------------------------------- */
/* The lock status block                                                                        */

/** Bytes of a lock value block, at sb_lvbptr. */
#define DLM_LVB_LEN         32

#ifndef BUILDING_LIBDLM

/** Most bytes of the name of a lockspace. */
#define DLM_LOCKSPACE_LEN   64

/** Most bytes of the name of a resource. */
#define DLM_RESNAME_MAXLEN  64

#ifndef __DLM_DOT_H__ /* linux/dlm.h has it, too */

/**
 * How a lock is. It belongs to the program, which keeps it where it is until the lock has ended
 * (EUNLOCK, or a request that failed), and does not touch it while sb_status is EINPROG.
 */
struct dlm_lksb {
	int sb_status;      /**< how the last operation ended: 0, a number of errno.h, or E... */
	uint32_t sb_lkid;   /**< identifies the lock in conversions and unlocks */
	char sb_flags;      /**< DLM_SBF_ flags that the last operation has set */
	char *sb_lvbptr;    /**< the value block, DLM_LVB_LEN bytes; for LKF_VALBLK only */
};
#endif

#define DLM_SBF_DEMOTED     0x01        /**< LKF_CONVDEADLK cost the lock its mode: it had NL */
#define DLM_SBF_VALNOTVALID 0x02        /**< nobody vouches for the value block */
#define DLM_SBF_ALTMODE     0x04        /**< granted in the mode of LKF_ALTPR or LKF_ALTCW */

/* Flags of dlm_new_lockspace() */

#define DLM_LSFL_TIMEWARN   0x00000002  /**< of old kernels; without effect */
#define DLM_LSFL_FS         0x00000004  /**< for file systems inside the kernel; not for you */
#define DLM_LSFL_NEWEXCL    0x00000008  /**< fail with EEXIST if the lockspace exists */

#endif

/* ------------------------------------------------------------------------------------------- */
/* Versions: dlm_kernel_version(3)                                                              */

/** The version of the interface that the kernel has. Fails where there is no DLM. */
extern int dlm_kernel_version(uint32_t *major, uint32_t *minor, uint32_t *patch);

/** The version of the interface that the library has been made for. */
extern void dlm_library_version(uint32_t *major, uint32_t *minor, uint32_t *patch);

/* ------------------------------------------------------------------------------------------- */
/* Lockspaces: dlm_create_lockspace(3)                                                          */

/** A lockspace that is open. Not a pointer to anything the program could look at. */
typedef void *dlm_lshandle_t;

/** Creates a lockspace if there is none of this name, and opens it. NULL on failure. */
extern dlm_lshandle_t dlm_create_lockspace(const char *lsname, mode_t permissions);

/** As dlm_create_lockspace(), with flags DLM_LSFL_. */
extern dlm_lshandle_t dlm_new_lockspace(const char *lsname, mode_t permissions, uint32_t flags);

/** Opens a lockspace that exists. NULL on failure. */
extern dlm_lshandle_t dlm_open_lockspace(const char *lsname);

/** Closes a lockspace; locks held through it end, but for persistent ones. */
extern int dlm_close_lockspace(dlm_lshandle_t handle);

/** Closes a lockspace and removes it from this node; with force even if there are locks in it. */
extern int dlm_release_lockspace(const char *lsname, dlm_lshandle_t handle, int force);

/* ------------------------------------------------------------------------------------------- */
/* Requests and conversions: dlm_lock(3)                                                        */

/** Begins a request or a conversion; ast(astarg) is called when it has completed. */
extern int dlm_ls_lock(dlm_lshandle_t handle, uint32_t mode, struct dlm_lksb *lksb,
		       uint32_t flags, const void *resname, unsigned int namelen,
		       uint32_t unused_parent, void (*ast)(void *), void *astarg,
		       void (*bast)(void *), void *unused_range);

/** As dlm_ls_lock(), with a transaction id and a time limit in hundredths of a second. */
extern int dlm_ls_lockx(dlm_lshandle_t handle, uint32_t mode, struct dlm_lksb *lksb,
			uint32_t flags, const void *resname, unsigned int namelen,
			uint32_t unused_parent, void (*ast)(void *), void *astarg,
			void (*bast)(void *), uint64_t *xid, uint64_t *timeout);

/** Requests or converts, and returns when that has completed. */
extern int dlm_ls_lock_wait(dlm_lshandle_t handle, uint32_t mode, struct dlm_lksb *lksb,
			    uint32_t flags, const void *resname, unsigned int namelen,
			    uint32_t unused_parent, void *bastarg, void (*bast)(void *),
			    void *unused_range);

/** dlm_ls_lock() in the default lockspace. */
extern int dlm_lock(uint32_t mode, struct dlm_lksb *lksb, uint32_t flags, const void *resname,
		    unsigned int namelen, uint32_t unused_parent, void (*ast)(void *),
		    void *astarg, void (*bast)(void *), void *unused_range);

/** dlm_ls_lock_wait() in the default lockspace. */
extern int dlm_lock_wait(uint32_t mode, struct dlm_lksb *lksb, uint32_t flags,
			 const void *resname, unsigned int namelen, uint32_t unused_parent,
			 void *bastarg, void (*bast)(void *), void *unused_range);

/* ------------------------------------------------------------------------------------------- */
/* Unlocks and cancellations: dlm_unlock(3)                                                     */

/** Begins an unlock, or cancels with LKF_CANCEL; the AST of the last lock call is called. */
extern int dlm_ls_unlock(dlm_lshandle_t handle, uint32_t lkid, uint32_t flags,
			 struct dlm_lksb *lksb, void *astarg);

/** Unlocks or cancels, and returns when that has completed. */
extern int dlm_ls_unlock_wait(dlm_lshandle_t handle, uint32_t lkid, uint32_t flags,
			      struct dlm_lksb *lksb);

/** Cancels what a lock waits for, which then ends with EDEADLK. */
extern int dlm_ls_deadlock_cancel(dlm_lshandle_t handle, uint32_t lkid, uint32_t flags);

/** dlm_ls_unlock() in the default lockspace. */
extern int dlm_unlock(uint32_t lkid, uint32_t flags, struct dlm_lksb *lksb, void *astarg);

/** dlm_ls_unlock_wait() in the default lockspace. */
extern int dlm_unlock_wait(uint32_t lkid, uint32_t flags, struct dlm_lksb *lksb);

/* ------------------------------------------------------------------------------------------- */
/* Orphans: dlm_ls_purge(3)                                                                     */

/** Ends orphans of a process (0: of any) on a node (0: this one). */
extern int dlm_ls_purge(dlm_lshandle_t handle, int nodeid, int pid);

/* ------------------------------------------------------------------------------------------- */
/* Callbacks, by polling: dlm_dispatch(3)                                                       */

/** The descriptor of the default lockspace, or -1. */
extern int dlm_get_fd(void);

/** The descriptor of a lockspace, or -1. It is readable when there is something to dispatch. */
extern int dlm_ls_get_fd(dlm_lshandle_t handle);

/** Calls the ASTs and blocking ASTs that are due, in the caller's thread; does not wait. */
extern int dlm_dispatch(int fd);

/* ------------------------------------------------------------------------------------------- */
/* What only libdlm has, and libdlm_lt has not                                                  */

#ifdef _REENTRANT

/** Starts a thread that calls the callbacks of the default lockspace: dlm_pthread_init(3). */
extern int dlm_pthread_init(void);

/** Starts a thread that calls the callbacks of a lockspace. */
extern int dlm_ls_pthread_init(dlm_lshandle_t handle);

/** Stops the thread of the default lockspace, and closes that. */
extern int dlm_pthread_cleanup(void);

/** Requests or converts in the default lockspace, with a string for a name: lock_resource(3). */
extern int lock_resource(const char *resname, int mode, int flags, int *lkid);

/** Unlocks what lock_resource() has locked. */
extern int unlock_resource(int lkid);

#endif

#ifdef __cplusplus
}
#endif

#endif
