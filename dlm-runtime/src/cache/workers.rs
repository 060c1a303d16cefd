//! The threads of a cache: hooks run in them, and what is to be done at a later time.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use crate::error::ErrorKind;
use crate::threads::{Condvar, Mutex, lock, now, thread, wait_until};

const THREAD_NAME: &str = "dlm-cache";

/// What a thread does with a job.
pub(super) type Work<J> = Box<dyn Fn(J) + Send + Sync>;

/// The threads of a cache. There is one from the beginning, and more when all are busy.
pub(super) struct Workers<J> {
    pool: Mutex<Pool<J>>,
    changed: Condvar,
    most: usize,
    work: Work<J>,
}

struct Pool<J> {
    jobs: VecDeque<J>,
    timers: BinaryHeap<Reverse<Timer<J>>>,
    last_timer: u64,
    threads: usize,
    idle: usize,
    /// Threads end when there is nothing to do.
    is_over: bool,
}

struct Timer<J> {
    at: Instant,
    number: u64,
    job: J,
}

impl<J> PartialEq for Timer<J> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl<J> Eq for Timer<J> {}

impl<J> PartialOrd for Timer<J> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<J> Ord for Timer<J> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

impl<J: Send + 'static> Workers<J> {
    /// The threads, of which one is started.
    pub(super) fn start(most: usize, work: Work<J>) -> Result<Arc<Self>, ErrorKind> {
        let pool = Pool {
            jobs: VecDeque::new(),
            timers: BinaryHeap::new(),
            last_timer: 0,
            threads: 1,
            idle: 0,
            is_over: false,
        };
        let most = most.max(1);
        let workers = Self { pool: Mutex::new(pool), changed: Condvar::new(), most, work };
        let workers = Arc::new(workers);
        workers.spawn()?;
        Ok(workers)
    }

    fn spawn(self: &Arc<Self>) -> Result<(), ErrorKind> {
        let workers = Arc::clone(self);
        let work = move || {
            while let Some(job) = workers.next() {
                (workers.work)(job);
            }
        };
        thread::Builder::new().name(THREAD_NAME.into()).spawn(work)?;
        Ok(())
    }

    /// Has something done by one of the threads.
    pub(super) fn run(self: &Arc<Self>, job: J) {
        let needs_thread = {
            let mut pool = lock(&self.pool);
            pool.jobs.push_back(job);
            let is_short = pool.jobs.len() > pool.idle && pool.threads < self.most;
            let needs = pool.threads == 0 || is_short;
            pool.threads += usize::from(needs);
            needs
        };
        self.changed.notify_one();
        self.add_thread(needs_thread);
    }

    /// Has something done then.
    pub(super) fn at(self: &Arc<Self>, at: Instant, job: J) {
        let needs_thread = {
            let mut pool = lock(&self.pool);
            if pool.is_over {
                // Nobody waits for it.
                drop(pool);
                return drop(job);
            }
            pool.last_timer += 1;
            let number = pool.last_timer;
            pool.timers.push(Reverse(Timer { at, number, job }));
            // Somebody must watch the clock.
            let needs = pool.threads == 0;
            pool.threads += usize::from(needs);
            needs
        };
        self.changed.notify_all();
        self.add_thread(needs_thread);
    }

    fn add_thread(self: &Arc<Self>, is_needed: bool) {
        // Without one, those that are there do the work.
        if is_needed && self.spawn().is_err() {
            lock(&self.pool).threads -= 1;
        }
    }

    /// Nothing comes any more that must be done at a certain time. Threads end when all is done that was
    /// given to them; what comes all the same is done.
    pub(super) fn end(&self) {
        let timers = {
            let mut pool = lock(&self.pool);
            pool.is_over = true;
            std::mem::take(&mut pool.timers)
        };
        self.changed.notify_all();
        drop(timers);
    }

    /// The next job, once there is one. `None`: the thread ends.
    fn next(&self) -> Option<J> {
        let mut pool = lock(&self.pool);
        loop {
            let is_due = |timer: &Reverse<Timer<J>>| timer.0.at <= now();
            while pool.timers.peek().is_some_and(is_due) {
                if let Some(Reverse(timer)) = pool.timers.pop() {
                    pool.jobs.push_back(timer.job);
                }
            }
            if let Some(job) = pool.jobs.pop_front() {
                return Some(job);
            }
            if pool.is_over {
                pool.threads -= 1;
                return None;
            }
            let until = pool.timers.peek().map(|timer| timer.0.at);
            pool.idle += 1;
            pool = wait_until(&self.changed, pool, until);
            pool.idle -= 1;
        }
    }
}
