//! Arguments.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Parser, Subcommand, ValueEnum};
use dlm_runtime::Mode;

/// Who holds a lock of the Linux DLM, who waits for it, and why
#[derive(Debug, Parser)]
#[command(name = "dlm", version, max_term_width = 100, after_help = STATUSES)]
pub struct Args {
    /// What all verbs have.
    #[command(flatten)]
    pub common: Common,
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// The exit statuses, for the help and the manual page.
pub const STATUSES: &str = "\
Exit status: 0: done, or nothing is wrong. 1: no such lock, a lock that was not had in time, a \
deadlock, something that is not in order. 64: wrong arguments. 66: no such lockspace. 69: a command \
cannot be run. 71: the kernel or the lock manager failed. 77: only root may. `dlm lock` has the status \
of its command, or 128 and the number of the signal that killed it.";

/// Arguments of all verbs.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Common {
    /// Print JSON, whose fields are stable
    #[arg(long, global = true)]
    pub json: bool,
    /// Look at a cluster of three that exists in this process only: no kernel is needed
    #[arg(long, global = true)]
    pub engine: bool,
    /// Look at what `dlm dump` wrote on a node, in place of this node (repeat for several)
    #[arg(long, global = true, value_name = "FILE", conflicts_with = "engine")]
    pub dump: Vec<PathBuf>,
    /// Ask the other nodes, too, by a command that runs `dlm dump` there; {} is the node's address,
    /// {id} its number: --ask 'ssh {} dlm dump'
    #[arg(long, global = true, value_name = "COMMAND", env = "DLM_ASK", conflicts_with = "engine")]
    pub ask: Option<String>,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// List the lockspaces of this node: state, members, users, what was left behind
    Ls,
    /// List resources and their locks
    Locks(LocksArgs),
    /// Tell why a lock is not granted: who holds it, who waits, what to do
    Why(WhyArgs),
    /// Draw who waits for whom, and find deadlocks (status 1)
    Graph(GraphArgs),
    /// Tell what happens: lockspaces that stop and run, members that come and go, deadlocks
    Watch(WatchArgs),
    /// Show lockspaces and what is waited for, again and again (keys: q, s, /, space)
    Top(TopArgs),
    /// Tell what is in order on this node, and what mends what is not (status 1)
    Doctor,
    /// Write all that this node knows, for `--dump` and `--ask` of another
    Dump,
    /// Run a command while a lock is held, on all nodes of the cluster
    Lock(LockArgs),
    /// Hold a lock until a signal comes, and tell who waits for it
    Hold(HoldArgs),
    /// Take over an orphan, a lock whose program is gone: to unlock it, or to run a command under it
    Adopt(AdoptArgs),
    /// Remove orphans, locks whose program is gone
    Purge(PurgeArgs),
    /// Give back a reference of a lockspace, the last of which removes it from this node
    Leave(LeaveArgs),
    /// Print the completion for a shell
    Completion {
        /// The shell
        #[arg(value_enum)]
        shell: clap_complete::Shell,
    },
    /// Print the manual page
    #[command(hide = true)]
    Manual,
    /// Run the command of `lock`, and die with it
    #[command(hide = true)]
    Exec(ExecArgs),
}

/// Arguments of `locks`.
#[derive(Debug, clap::Args)]
pub struct LocksArgs {
    /// Only this lockspace
    pub lockspace: Option<String>,
    /// Only resources for which somebody waits
    #[arg(long, short)]
    pub contended: bool,
    /// Only locks of this process, on any node
    #[arg(long, short, value_name = "PID")]
    pub pid: Option<u32>,
    /// Show value blocks
    #[arg(long, short)]
    pub blocks: bool,
}

/// Arguments of `why`.
#[derive(Debug, clap::Args)]
pub struct WhyArgs {
    /// The resource; \xNN stands for a byte
    pub resource: String,
    /// Its lockspace, if several have a resource of this name
    #[arg(long, short)]
    pub lockspace: Option<String>,
}

/// Arguments of `graph`.
#[derive(Debug, clap::Args)]
pub struct GraphArgs {
    /// Only this lockspace
    pub lockspace: Option<String>,
    /// The form
    #[arg(long, short, value_enum, default_value_t = GraphFormat::Text)]
    pub format: GraphFormat,
    /// Take all locks of a process for those of one party, and not those of a thread
    #[arg(long)]
    pub by_process: bool,
}

/// The form of a graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum GraphFormat {
    /// Lines
    Text,
    /// The language of Graphviz
    Dot,
    /// A picture
    Svg,
}

/// Arguments of `watch`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Deadlocks are looked for among the locks of the nodes at hand: of several nodes with --ask. One is told \
of when two looks in a row show it. With --end-deadlocks the wait of one party is cancelled, on the node \
of that party only: let each node watch. Its program is told that there was a deadlock, and keeps what \
it held.")]
pub struct WatchArgs {
    /// Only this lockspace
    pub lockspace: Option<String>,
    /// Look for deadlocks, too, which needs root
    #[arg(long, short)]
    pub deadlocks: bool,
    /// End deadlocks by cancelling one of the waits
    #[arg(long)]
    pub end_deadlocks: bool,
    /// The time from look to look
    #[arg(long, short, value_name = "SECONDS", value_parser = seconds, default_value = "0.5")]
    pub interval: Duration,
    /// End after this time
    #[arg(long = "for", value_name = "SECONDS", value_parser = seconds)]
    pub duration: Option<Duration>,
    /// End after so many looks
    #[arg(long, short)]
    pub count: Option<u64>,
}

/// Arguments of `top`.
#[derive(Debug, clap::Args)]
pub struct TopArgs {
    /// The time from look to look
    #[arg(long, short, value_name = "SECONDS", value_parser = seconds, default_value = "2")]
    pub interval: Duration,
    /// End after so many looks
    #[arg(long, short)]
    pub count: Option<u64>,
    /// Show so many resources
    #[arg(long, short, default_value_t = 20)]
    pub lines: usize,
}

/// A lock to ask for.
#[derive(Debug, clap::Args)]
pub struct Wanted {
    /// Beside others that are shared (PR)
    #[arg(long, short, conflicts_with_all = ["exclusive", "mode"])]
    pub shared: bool,
    /// Alone (EX); this is the default
    #[arg(long, short = 'x', conflicts_with = "mode")]
    pub exclusive: bool,
    /// NL, CR, CW, PR, PW or EX
    #[arg(long, short, value_parser = mode)]
    pub mode: Option<Mode>,
    /// Give up at once if the lock cannot be had now
    #[arg(long, short, conflicts_with = "timeout")]
    pub nonblock: bool,
    /// Give up after this time, such as 2.5; 0 is --nonblock
    #[arg(long, short = 'w', value_name = "SECONDS", value_parser = seconds)]
    pub timeout: Option<Duration>,
    /// The status after giving up
    #[arg(long, short = 'E', value_name = "NUMBER", default_value_t = 1)]
    pub conflict_exit_code: u8,
    /// Where the resource is; created if missing
    #[arg(long, short, default_value = "dlmlock")]
    pub lockspace: OsString,
    /// Tell how long the lock took, or why it was not had
    #[arg(long, short)]
    pub verbose: bool,
    /// The resource to lock
    pub resource: OsString,
}

impl Wanted {
    /// The mode that was asked for.
    #[must_use]
    pub fn mode(&self) -> Mode {
        self.mode.unwrap_or(if self.shared { Mode::Pr } else { Mode::Ex })
    }

    /// The time after which to give up; `None`: never.
    #[must_use]
    pub fn patience(&self) -> Option<Duration> {
        if self.nonblock { Some(Duration::ZERO) } else { self.timeout }
    }
}

/// Arguments of `lock`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The lock is held as long as the command runs. Should dlm itself be killed, the kernel drops the lock \
and kills the command; what the command has started goes on. While dlm waits for the lock, a signal \
ends it, and nothing is left in the queue. Afterwards signals are the command's.

The lockspace is created if this node has none of this name, which needs root, and is left in place: \
others may be about to use it. `dlm leave` removes it.

Neither --timeout nor --nonblock ends a wait for the cluster itself: while members change or the \
quorum is lost, the kernel holds every request up, and no signal helps.")]
pub struct LockArgs {
    /// The lock.
    #[command(flatten)]
    pub wanted: Wanted,
    /// The command, and its arguments
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    pub command: Vec<OsString>,
}

/// Arguments of `hold`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A line tells when the lock is granted, and one when somebody waits for it. SIGINT, SIGTERM and SIGHUP \
end it, and so does the time given by --for; the lock is unlocked then.")]
pub struct HoldArgs {
    /// The lock.
    #[command(flatten)]
    pub wanted: Wanted,
    /// Let the lock outlive this program: should it be killed, the lock stays, as an orphan
    #[arg(long, short)]
    pub persistent: bool,
    /// Unlock after this time
    #[arg(long = "for", value_name = "SECONDS", value_parser = seconds)]
    pub duration: Option<Duration>,
}

/// Arguments of `adopt`.
#[derive(Debug, clap::Args)]
pub struct AdoptArgs {
    /// Where the resource is
    #[arg(long, short)]
    pub lockspace: OsString,
    /// An orphan that holds this mode; without it the strongest
    #[arg(long, short, value_parser = mode)]
    pub mode: Option<Mode>,
    /// The resource
    pub resource: OsString,
    /// A command to run while it is held; without one it is unlocked at once
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub command: Vec<OsString>,
}

/// Arguments of `purge`.
#[derive(Debug, clap::Args)]
pub struct PurgeArgs {
    /// The lockspace
    pub lockspace: OsString,
    /// Those on this node of the cluster, which is asked and does not answer
    #[arg(long, short)]
    pub node: Option<u32>,
    /// Only those that were asked for by this thread
    #[arg(long, short)]
    pub thread: Option<u32>,
}

/// Arguments of `leave`.
#[derive(Debug, clap::Args)]
pub struct LeaveArgs {
    /// The lockspace
    pub lockspace: OsString,
    /// All references, those of programs that were killed too
    #[arg(long, short)]
    pub all_references: bool,
}

/// Arguments of the hidden `exec`.
#[derive(Debug, clap::Args)]
pub struct ExecArgs {
    /// The process with which the command is to die
    pub parent: i32,
    /// The numbers of signals that are not to be blocked in it
    pub unblocked: String,
    /// The command
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true, action = ArgAction::Append)]
    pub command: Vec<OsString>,
}

/// A mode by its name.
pub(crate) fn mode(name: &str) -> Result<Mode, String> {
    let named = |mode: &Mode| mode.name().eq_ignore_ascii_case(name);
    let found = Mode::ALL.into_iter().find(named);
    found.ok_or_else(|| "no such mode: NL, CR, CW, PR, PW or EX".to_owned())
}

/// A time in seconds.
pub(crate) fn seconds(text: &str) -> Result<Duration, String> {
    let wrong = |_| "not a number of seconds".to_owned();
    let seconds: f64 = text.parse().map_err(|_| "not a number of seconds".to_owned())?;
    Duration::try_from_secs_f64(seconds).map_err(wrong)
}
