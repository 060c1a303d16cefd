//! What the delivery thread does.

use std::sync::{Arc, Weak};

use super::delivery::{Control, THREAD_NAME};
use super::device::CloseReason;
use super::face::Face;
use super::host::{Host, at_once};
use super::shared::Driver;
use super::signal::AsFd;
use crate::error::ErrorKind;
use crate::threads::thread;

impl<F: Face> Driver<F> {
    /// Makes a thread of the caller's the one that runs callbacks, see [`Duty::deliver_on`].
    ///
    /// # Errors
    ///
    /// [`ErrorKind::HasThread`], the end of the lockspace, or [`ErrorKind::System`].
    pub fn prepare_delivery(&self) -> Result<Duty<F>, ErrorKind> {
        self.slot.get()?;
        // It could tell nobody that there is no descriptor for that.
        let control = self.delivery.begin(|| self.readiness.work().map(drop))?;
        self.task_reader.ring();
        Ok(Duty { driver: self.weak_self.clone(), control, end: Ok(()), is_amid: false })
    }

    /// Starts the thread. It runs callbacks on this host, of which none panics.
    pub(crate) fn start_delivery_on(
        &self,
        host: impl Host<F> + Send + 'static,
    ) -> Result<Arc<Control>, ErrorKind> {
        let duty = self.prepare_delivery()?;
        let control = duty.control();
        let builder = thread::Builder::new().name(THREAD_NAME.into());
        let thread = builder.spawn(move || at_once(duty.deliver_on(&host)))?;
        control.set_id(thread.thread().id());
        Ok(control)
    }

    /// One turn of the thread: sleeps until there is something to do, and does it. `false`: stop.
    async fn deliver_once(
        &self,
        host: &impl Host<F>,
        control: &Control,
    ) -> Result<bool, ErrorKind> {
        let device = self.slot.get()?;
        let is_idle = self.state().interest() == 0 && self.flush.is_idle();
        // Without callbacks to come, the results belong to threads that wait for them in a call:
        // being woken for each of those would only slow them down.
        let others = [control.bell.as_fd(), self.readiness.work()?];
        if self.sleep(host, &device, !is_idle, &others, self.next_alarm()).await? {
            control.bell.clear();
        }
        if control.stops() {
            return Ok(false);
        }
        drop(device);
        self.dispatch_on(host).await?;
        Ok(true)
    }

    /// Runs what is due although the lockspace has ended.
    async fn deliver_last(&self, host: &impl Host<F>, control: &Control) {
        while !control.stops() {
            let Some(due) = self.due.pop() else { return };
            host.run(self, due).await;
        }
    }
}

/// The duty to run the callbacks of a lockspace. It ends when this is dropped.
pub struct Duty<F: Face> {
    driver: Weak<Driver<F>>,
    control: Arc<Control>,
    end: Result<(), ErrorKind>,
    /// The thread has begun and has not come to its end: a callback that ends it leaves it so.
    is_amid: bool,
}

impl<F: Face> Duty<F> {
    /// The thread, for who starts it.
    #[must_use]
    pub fn control(&self) -> Arc<Control> {
        Arc::clone(&self.control)
    }

    /// What the thread does, until it is stopped or the lockspace ends.
    pub async fn deliver_on(mut self, host: &impl Host<F>) {
        self.control.set_id(thread::current().id());
        self.is_amid = true;
        self.end = self.deliver(host).await;
        self.is_amid = false;
    }

    async fn deliver(&self, host: &impl Host<F>) -> Result<(), ErrorKind> {
        while let Some(driver) = self.driver.upgrade() {
            let held = Held(Some(driver));
            let Some(driver) = held.0.as_deref() else { return Ok(()) };
            match driver.deliver_once(host, &self.control).await {
                _ if !self.control.is_here() => return Ok(()),
                Ok(true) => {}
                Ok(false) => return Ok(()),
                Err(kind) => {
                    driver.end_reading(&kind);
                    if !matches!(driver.slot.get(), Err(CloseReason::Closed)) {
                        driver.deliver_last(host, &self.control).await;
                    }
                    return Err(kind);
                }
            }
        }
        Ok(())
    }
}

impl<F: Face> Drop for Duty<F> {
    fn drop(&mut self) {
        if !self.control.is_here() {
            // A callback has forked, and this is the child: nothing of the parent's is touched.
            std::mem::forget(std::mem::take(&mut self.driver));
            return;
        }
        // After a thread that a callback has ended there is no other one, as with C libdlm.
        if let Some(driver) = self.driver.upgrade().filter(|_| !self.is_amid) {
            driver.delivery.forget(&self.control);
            driver.readers_left();
        }
        self.control.set_ended(std::mem::replace(&mut self.end, Ok(())));
    }
}

/// A driver that is not dropped in a forked child.
struct Held<F: Face>(Option<Arc<Driver<F>>>);

impl<F: Face> Drop for Held<F> {
    fn drop(&mut self) {
        if self.0.as_ref().is_some_and(|driver| driver.check_fork().is_err()) {
            std::mem::forget(self.0.take());
        }
    }
}
