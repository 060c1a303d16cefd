//! A program of somebody else: it caches a lock, and listens to what the library tells of that.

use std::fmt::{self, Write};
use std::sync::{Condvar, Mutex};
use std::time::{Duration, Instant};

use dlm_runtime::cache::LockCache;
use dlm_runtime::engine::ClusterOptions;
use dlm_runtime::{Lockspace, Mode};
use tracing::field::{Field, Visit};
use tracing::{Event, Metadata, Subscriber, span};

const PATIENCE: Duration = Duration::from_secs(60);

static TOLD: Mutex<Vec<String>> = Mutex::new(Vec::new());
static CHANGED: Condvar = Condvar::new();

struct Listener;

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() != "held" {
            let _ = write!(self.0, " {}={value:?}", field.name());
        }
    }
}

impl Subscriber for Listener {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn event(&self, event: &Event<'_>) {
        let mut line = Line(String::new());
        event.record(&mut line);
        TOLD.lock().unwrap().push(line.0);
        CHANGED.notify_all();
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

/// Waits until the library has told this.
fn expect(told: &str) {
    let (end, mut lines) = (Instant::now() + PATIENCE, TOLD.lock().unwrap());
    while !lines.iter().any(|line| line.contains(told)) {
        let left = end.saturating_duration_since(Instant::now());
        assert!(!left.is_zero(), "not told: {told}, but {lines:#?}");
        lines = CHANGED.wait_timeout(lines, left).unwrap().0;
    }
}

fn main() -> Result<(), dlm_runtime::Error> {
    tracing::subscriber::set_global_default(Listener).expect("it is the first");
    let cluster = ClusterOptions::new().nodes(2).start();
    let lockspace = Lockspace::create_on(cluster.node(1), "example")?;
    lockspace.lock("disk0", Mode::Ex).wait()?.unlock().wait()?;
    let other = Lockspace::create_on(cluster.node(2), "example")?;
    let cache = LockCache::builder(&lockspace).minimum_hold(Duration::ZERO).start()?;
    drop(cache.lock("disk1").exclusive().wait()?);
    expect("cached lock granted resource=disk1 from=None to=Exclusive");
    drop(other.lock("disk1", Mode::Pr).wait()?);
    expect("cached lock gave way resource=disk1 from=Exclusive to=Shared cause=Wanted(Shared)");
    lockspace.close()?;
    expect("cached lock lost resource=disk1 from=Shared");
    other.release()
}
