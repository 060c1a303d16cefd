//! The work on one lock: the same as in the machines, ten times as fast.

use crate::history::Owner;
use crate::plan::RESOURCES;
use crate::plan::{KINDS, Kind, MODES};
use crate::program::{Call, Heard, Operation, Program, Stage, What, Who};
use crate::round::{MS, Round, Work};
use anyhow::{Context, Result, bail};
use dlm_runtime::{Completion, ErrorKind, LockStatus, Mode, ValueBlock};

const DEADLINE: u64 = 100 * MS;
/// How long a holder waits for somebody who wants its lock.
const LENT: u64 = 300 * MS;

impl Round {
    /// A worker looks for something to do.
    pub(crate) fn begin(&mut self, node: usize, worker: usize) -> Result<()> {
        if self.is_ending() {
            return Ok(());
        }
        let kind = *self.random.of(&KINDS).unwrap_or(&Kind::Plain);
        let mode = match kind {
            Kind::Converts => Mode::Pr,
            _ => *self.random.of(&MODES).unwrap_or(&Mode::Ex),
        };
        let resource = *self.random.of(&RESOURCES).context("no resources")?;
        self.operations += 1;
        let operation = Operation {
            number: self.operations,
            kind,
            resource,
            mode,
            stage: Stage::Asks,
            lock: None,
            at_least: 0,
            read: (0, false),
            writes: None,
            is_cancelled: false,
            since: self.quiet_time(),
            written: None,
        };
        let own = self.program(node)?.worker(worker)?;
        own.serial += 1;
        own.operation = Some(operation);
        self.call(node, Call::Ask(worker))
    }

    /// Makes a call, or leaves it until it would return.
    pub(crate) fn call(&mut self, node: usize, call: Call) -> Result<()> {
        if self.is_held_up(node) {
            self.program(node)?.held_up.push(call);
            return Ok(());
        }
        let done = match call {
            Call::Keep(number) => self.keep(node, number),
            Call::Found(number) => self.found(node, number),
            Call::Ask(worker) => self.ask(node, worker),
            Call::Cancel(worker, serial) => self.cancel(node, worker, serial),
            Call::ConvertUp(worker) => self.convert_up(node, worker),
            Call::ConvertDown(worker) => self.convert_down(node, worker),
            Call::Unlock(worker) => self.unlock(node, worker),
        };
        done.with_context(|| format!("node {}: {call:?}", node + 1))
    }

    fn keep(&mut self, node: usize, number: usize) -> Result<()> {
        let resource = RESOURCES.get(number).context("no such resource")?;
        let program = self.program(node)?;
        let (sender, run) = (program.sender.clone(), program.owner.run);
        let mode = if program.is_first { Mode::Ex } else { Mode::Nl };
        let request = program.space.lock(resource, mode).with_lvb();
        let lock = request.start(move |completion| {
            let who = Who::Keeper(number);
            let _ = sender.send(Heard { run, who, what: What::Ended(completion) });
        })?;
        program.keepers.push(lock);
        Ok(())
    }

    /// Writes a block for the first time.
    fn found(&mut self, node: usize, number: usize) -> Result<()> {
        let program = self.program(node)?;
        let (sender, run) = (program.sender.clone(), program.owner.run);
        // They were all asked for in their order.
        let lock = program.keepers.get(number).context("no null lock")?;
        lock.convert(Mode::Nl).write_lvb(block(0)).start(move |completion| {
            let who = Who::Keeper(number);
            let _ = sender.send(Heard { run, who, what: What::Ended(completion) });
        })?;
        Ok(())
    }

    fn ask(&mut self, node: usize, worker: usize) -> Result<()> {
        let quiet = self.quiet_time();
        let (program, history) = self.program_and_history(node)?;
        let (run, serial) = (program.owner.run, program.worker(worker)?.serial);
        let who = Who::Worker(worker, serial);
        let (ended, blocked) = (program.sender.clone(), program.sender.clone());
        let operation = program.workers.get_mut(worker).and_then(|it| it.operation.as_mut());
        let operation = operation.context("nothing to do")?;
        operation.at_least = history.committed(operation.resource);
        operation.written = Some(quiet);
        let mut request = program.space.lock(operation.resource, operation.mode).with_lvb();
        if operation.kind == Kind::NoQueue {
            request = request.no_queue();
        }
        let request = request.on_blocking(move |_| {
            let _ = blocked.send(Heard { run, who, what: What::Blocked });
        });
        operation.lock = Some(request.start(move |completion| {
            let _ = ended.send(Heard { run, who, what: What::Ended(completion) });
        })?);
        let Operation { kind, resource, mode, number, .. } = *operation;
        history.note(&format!("node {} asks for {resource} {mode} ({number}): {kind:?}", node + 1));
        let after = match kind {
            Kind::Cancel => self.random.below(60 * MS),
            Kind::Deadline => DEADLINE,
            _ => return Ok(()),
        };
        self.later(node, after, Work::Cancel(worker, serial))
    }

    /// Whatever comes of it, the request ends.
    fn cancel(&mut self, node: usize, worker: usize, serial: u64) -> Result<()> {
        let own = self.program(node)?.worker(worker)?;
        let Some(operation) = own.at(serial).filter(|it| it.stage == Stage::Asks) else {
            return Ok(());
        };
        operation.is_cancelled = true;
        let number = operation.number;
        let answer = operation.lock.as_ref().map(dlm_runtime::Lock::cancel);
        self.history().note(&format!("node {} cancels {number}", node + 1));
        match answer {
            Some(Err(error)) if !matches!(error.kind, ErrorKind::NothingToCancel) => bail!(error),
            _ => Ok(()),
        }
    }

    fn convert_up(&mut self, node: usize, worker: usize) -> Result<()> {
        let quiet = self.quiet_time();
        let (program, history) = self.program_and_history(node)?;
        let (ended, run) = (program.sender.clone(), program.owner.run);
        let own = program.worker(worker)?;
        let who = Who::Worker(worker, own.serial);
        let operation = own.operation.as_mut().context("nothing to convert")?;
        operation.at_least = history.committed(operation.resource);
        operation.stage = Stage::ConvertsUp;
        operation.since = quiet;
        history.note(&format!("node {} converts {} to EX", node + 1, operation.number));
        let lock = operation.lock.as_ref().context("no lock")?;
        lock.convert(Mode::Ex).read_lvb().start(move |completion| {
            let _ = ended.send(Heard { run, who, what: What::Ended(completion) });
        })?;
        Ok(())
    }

    fn convert_down(&mut self, node: usize, worker: usize) -> Result<()> {
        let quiet = self.quiet_time();
        let (program, history) = self.program_and_history(node)?;
        let (ended, owner) = (program.sender.clone(), program.owner);
        let own = program.worker(worker)?;
        let who = Who::Worker(worker, own.serial);
        let operation = own.operation.as_mut().context("nothing to convert")?;
        let Operation { number, resource, read: (value, valid), .. } = *operation;
        let value = history.next_value(resource, value, valid);
        operation.stage = Stage::ConvertsDown;
        operation.since = quiet;
        operation.writes = Some(value);
        // No more than what it converts to from here on.
        history.gives_up(resource, number);
        history.granted(resource, owner, number, Mode::Pr, |_| false);
        let lock = operation.lock.as_ref().context("no lock")?;
        lock.convert(Mode::Pr).write_lvb(block(value)).start(move |completion| {
            let _ = ended.send(Heard { run: owner.run, who, what: What::Ended(completion) });
        })?;
        Ok(())
    }

    fn unlock(&mut self, node: usize, worker: usize) -> Result<()> {
        let quiet = self.quiet_time();
        let (program, history) = self.program_and_history(node)?;
        let (ended, run) = (program.sender.clone(), program.owner.run);
        let own = program.worker(worker)?;
        let who = Who::Worker(worker, own.serial);
        let operation = own.operation.as_mut().context("nothing to unlock")?;
        let Operation { number, resource, mode, read: (value, valid), .. } = *operation;
        operation.stage = Stage::Unlocks;
        operation.since = quiet;
        let writes = mode != Mode::Pr;
        operation.writes = writes.then(|| history.next_value(resource, value, valid));
        let mut unlock = operation.lock.take().context("no lock")?.unlock();
        if let Some(value) = operation.writes {
            unlock = unlock.write_lvb(block(value));
        }
        history.gives_up(resource, number);
        history.note(&format!("node {} unlocks {resource} ({number})", node + 1));
        unlock.start(move |completion| {
            let _ = ended.send(Heard { run, who, what: What::Ended(completion) });
        })?;
        Ok(())
    }

    /// A callback has run.
    pub(crate) fn hear(&mut self, node: usize, heard: &Heard) -> Result<()> {
        let (worker, serial) = match (heard.who, &heard.what) {
            (Who::Worker(worker, serial), _) => (worker, serial),
            (Who::Keeper(number), What::Ended(it)) => return self.kept(node, number, *it),
            (Who::Keeper(_), What::Blocked) => return Ok(()),
        };
        let quiet = self.quiet_time();
        let own = self.program(node)?.worker(worker)?;
        let Some(operation) = own.at(serial) else {
            return match heard.what {
                What::Blocked => Ok(()),
                What::Ended(_) => bail!("node {}: an operation has ended twice", node + 1),
            };
        };
        let (stage, kind, waited) = (operation.stage, operation.kind, quiet - operation.since);
        let What::Ended(completion) = heard.what else {
            if kind == Kind::UntilBlocked {
                return self.held(node, worker, serial);
            }
            return Ok(());
        };
        self.waited(waited, node, stage);
        match stage {
            Stage::Asks => self.asked(node, worker, completion),
            Stage::ConvertsUp => self.converted_up(node, worker, completion),
            Stage::ConvertsDown => self.converted_down(node, worker, completion),
            Stage::Unlocks => self.unlocked(node, worker, completion),
            Stage::Holds | Stage::Ends => {
                bail!("node {}: {completion:?} for a lock at rest", node + 1)
            }
        }
    }

    fn kept(&mut self, node: usize, number: usize, completion: Completion) -> Result<()> {
        match completion.mode {
            Some(Mode::Nl) if completion.is_granted() => {}
            Some(Mode::Ex) if completion.is_granted() => {
                return self.call(node, Call::Found(number));
            }
            _ => bail!("node {}: a null lock ended with {}", node + 1, completion.status),
        }
        let program = self.program(node)?;
        program.kept += 1;
        if program.works() {
            self.settled(node);
            for worker in 0..crate::program::WORKERS {
                self.begin(node, worker)?;
            }
        }
        Ok(())
    }

    fn asked(&mut self, node: usize, worker: usize, completion: Completion) -> Result<()> {
        let operation = self.operation(node, worker)?;
        let Operation { kind, is_cancelled, mode, .. } = *operation;
        match completion.status {
            LockStatus::Granted => {}
            LockStatus::Again if kind == Kind::NoQueue => {
                self.tally.refused += 1;
                return self.over(node, worker);
            }
            LockStatus::Cancelled if is_cancelled => {
                match kind {
                    Kind::Deadline => self.tally.timed_out += 1,
                    _ => self.tally.cancelled += 1,
                }
                return self.over(node, worker);
            }
            status => bail!("node {}: a request ended with {status}", node + 1),
        }
        self.granted(node, worker, mode, completion)?;
        let operation = self.operation(node, worker)?;
        if mode == Mode::Pr && !operation.read.1 {
            // A reader cannot mend an invalid block. Were the master to die now, the block of
            // whoever reads would count as valid: so it gives way to a writer at once.
            operation.stage = Stage::Ends;
            return self.call(node, Call::Unlock(worker));
        }
        let hold = if kind == Kind::UntilBlocked { LENT } else { self.random.below(40 * MS) };
        let serial = self.program(node)?.worker(worker)?.serial;
        self.later(node, hold, Work::Held(worker, serial))
    }

    /// Notes a grant and the value block with it.
    fn granted(
        &mut self,
        node: usize,
        worker: usize,
        mode: Mode,
        completion: Completion,
    ) -> Result<()> {
        let (program, history) = self.program_and_history(node)?;
        let owner: Owner = program.owner;
        let own = program.worker(worker)?;
        let operation = own.operation.as_mut().context("no operation")?;
        let lvb = completion.lvb.context("a grant without its value block")?;
        operation.stage = Stage::Holds;
        operation.read = (lvb.block.u64_at(0).unwrap_or(0), lvb.valid);
        let Operation { resource, number, at_least, read: (value, valid), .. } = *operation;
        history.granted(resource, owner, number, mode, |_| false);
        history.read(resource, value, valid, at_least);
        Ok(())
    }

    fn converted_up(&mut self, node: usize, worker: usize, completion: Completion) -> Result<()> {
        match completion.status {
            LockStatus::Granted => {}
            LockStatus::Deadlock => {
                self.tally.deadlocks += 1;
                self.operation(node, worker)?.stage = Stage::Ends;
                return self.call(node, Call::Unlock(worker));
            }
            status => bail!("node {}: a conversion ended with {status}", node + 1),
        }
        self.tally.conversions += 1;
        let Operation { number, resource, .. } = *self.operation(node, worker)?;
        self.history().gives_up(resource, number);
        self.granted(node, worker, Mode::Ex, completion)?;
        self.operation(node, worker)?.stage = Stage::Ends;
        self.call(node, Call::ConvertDown(worker))
    }

    fn converted_down(&mut self, node: usize, worker: usize, completion: Completion) -> Result<()> {
        if !completion.is_granted() {
            bail!("node {}: a conversion down ended with {}", node + 1, completion.status);
        }
        self.written(node, worker)?;
        self.operation(node, worker)?.stage = Stage::Ends;
        self.call(node, Call::Unlock(worker))
    }

    fn unlocked(&mut self, node: usize, worker: usize, completion: Completion) -> Result<()> {
        if completion.status != LockStatus::Unlocked {
            bail!("node {}: an unlock ended with {}", node + 1, completion.status);
        }
        self.written(node, worker)?;
        self.over(node, worker)
    }

    /// A write of the value block is done, if one was meant.
    fn written(&mut self, node: usize, worker: usize) -> Result<()> {
        let operation = self.operation(node, worker)?;
        let (resource, value) = (operation.resource, operation.writes.take());
        if let Some(value) = value {
            self.history().wrote(resource, value);
        }
        Ok(())
    }

    fn over(&mut self, node: usize, worker: usize) -> Result<()> {
        self.program(node)?.worker(worker)?.operation = None;
        let pause = self.random.below(2 * MS);
        self.later(node, pause, Work::Begin(worker))
    }

    fn operation(&mut self, node: usize, worker: usize) -> Result<&mut Operation> {
        self.program(node)?.worker(worker)?.operation.as_mut().context("no operation")
    }

    /// A lock was held for as long as it was to be.
    pub(crate) fn held(&mut self, node: usize, worker: usize, serial: u64) -> Result<()> {
        let own = self.program(node)?.worker(worker)?;
        let Some(operation) = own.at(serial).filter(|it| it.stage == Stage::Holds) else {
            return Ok(());
        };
        operation.stage = Stage::Ends;
        match operation.kind {
            Kind::Converts => self.call(node, Call::ConvertUp(worker)),
            _ => self.call(node, Call::Unlock(worker)),
        }
    }

    /// Whether nothing is left to do for a program.
    pub(crate) fn is_idle(program: &Program) -> bool {
        program.held_up.is_empty() && program.workers.iter().all(|it| it.operation.is_none())
    }
}

fn block(value: u64) -> ValueBlock {
    ValueBlock::ZERO.with_u64_at(0, value).unwrap_or_default()
}
