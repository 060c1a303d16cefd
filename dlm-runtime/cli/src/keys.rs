//! The keys of `dlm top`: what they choose, and the terminal that they come from.

use std::io::{self, IsTerminal, Read};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::libc::{SIGHUP, SIGTERM};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::termios::{LocalFlags, SetArg, Termios, tcgetattr, tcsetattr};

/// The order of resources.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// Those with most waiters first.
    #[default]
    Waiting,
    /// Those that are waited for the longest first.
    Longest,
    /// By name.
    Name,
}

impl Order {
    pub(crate) const fn text(self) -> &'static str {
        match self {
            Self::Waiting => "waiters",
            Self::Longest => "longest wait",
            Self::Name => "name",
        }
    }

    const fn next(self) -> Self {
        match self {
            Self::Waiting => Self::Longest,
            Self::Longest => Self::Name,
            Self::Name => Self::Waiting,
        }
    }
}

/// What is shown, as the keys have chosen it.
#[derive(Debug, Default)]
pub(crate) struct View {
    pub(crate) order: Order,
    /// Shown are resources with this in `LOCKSPACE/RESOURCE`.
    pub(crate) filter: String,
    is_typing: bool,
}

/// What comes after a key, or after a time without one.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Show the same again, as the keys have chosen.
    Draw,
    /// Look again.
    Look,
    /// End.
    Quit,
}

impl View {
    /// Takes a key.
    pub(crate) fn key(&mut self, key: u8) -> Next {
        const CTRL_C: u8 = 3;
        const CTRL_D: u8 = 4;
        const ESCAPE: u8 = 27;
        match key {
            CTRL_C | CTRL_D => return Next::Quit,
            ESCAPE => {
                self.is_typing = false;
                self.filter.clear();
            }
            b'\r' | b'\n' => self.is_typing = false,
            8 | 127 if self.is_typing => _ = self.filter.pop(),
            b' '..=b'~' if self.is_typing => self.filter.push(char::from(key)),
            b'q' => return Next::Quit,
            b's' => self.order = self.order.next(),
            b'/' => {
                self.is_typing = true;
                self.filter.clear();
            }
            b' ' => return Next::Look,
            _ => {}
        }
        Next::Draw
    }

    /// The line that tells of the keys.
    pub(crate) fn help(&self) -> String {
        let filter = match (self.is_typing, &*self.filter) {
            (true, text) => format!("with: {text}_ (enter: done, esc: all)"),
            (false, "") => "/ choose by text".to_owned(),
            (false, text) => format!("with: {text} (esc: all)"),
        };
        format!("q quit  s sort (by {})  {filter}  space look now\n", self.order.text())
    }
}

/// A terminal that gives each key at once, and shows none. As it was when this is dropped.
#[derive(Debug)]
pub(crate) struct Terminal {
    before: Termios,
    is_told_to_end: Arc<AtomicBool>,
}

impl Terminal {
    /// The terminal of this program's input and output, if both are one.
    pub(crate) fn open() -> Result<Option<Self>, io::Error> {
        if !io::stdin().is_terminal() || !io::stdout().is_terminal() {
            return Ok(None);
        }
        let before = tcgetattr(io::stdin())?;
        let is_told_to_end = Arc::new(AtomicBool::new(false));
        for signal in [SIGTERM, SIGHUP] {
            signal_hook::flag::register(signal, Arc::clone(&is_told_to_end))?;
        }
        let mut raw = before.clone();
        // Ctrl-C is a key, too: a signal would leave the terminal like this.
        raw.local_flags.remove(LocalFlags::ICANON | LocalFlags::ECHO | LocalFlags::ISIG);
        tcsetattr(io::stdin(), SetArg::TCSADRAIN, &raw)?;
        Ok(Some(Self { before, is_told_to_end }))
    }

    /// Waits for a key, until it is time for the next look.
    pub(crate) fn wait(&self, view: &mut View, until: Instant) -> Result<Next, io::Error> {
        let left = until.saturating_duration_since(Instant::now());
        // Up to a whole millisecond, so that it is over then; a long one in parts.
        let left = (left + Duration::from_micros(999)).min(Duration::from_secs(60));
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        let stdin = io::stdin();
        match poll(&mut [PollFd::new(stdin.as_fd(), PollFlags::POLLIN)], timeout) {
            _ if self.is_told_to_end.load(Ordering::SeqCst) => Ok(Next::Quit),
            Ok(0) if Instant::now() >= until => Ok(Next::Look),
            Ok(0) | Err(Errno::EINTR) => Ok(Next::Draw),
            Ok(_) => {
                let mut keys = [0; 64];
                let count = stdin.lock().read(&mut keys)?;
                if count == 0 {
                    return Ok(Next::Quit);
                }
                let keys = keys.iter().take(count);
                // Of several keys at once the last decides, unless one of them ends it.
                let wishes = keys.map(|&key| view.key(key));
                Ok(wishes.fold(Next::Draw, |first, next| match first {
                    Next::Quit => first,
                    _ => next,
                }))
            }
            Err(errno) => Err(errno.into()),
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // The terminal may be gone.
        let _ = tcsetattr(io::stdin(), SetArg::TCSADRAIN, &self.before);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn press(view: &mut View, keys: &str) -> Next {
        keys.bytes().map(|key| view.key(key)).last().unwrap_or(Next::Draw)
    }

    #[test]
    fn keys_choose_what_is_shown() {
        let mut view = View::default();
        assert_eq!(press(&mut view, "s"), Next::Draw);
        assert_eq!(view.order, Order::Longest);
        press(&mut view, "ss");
        assert_eq!(view.order, Order::Waiting);
        // While a text is typed its letters are no keys.
        assert_eq!(press(&mut view, "/disqs\x7f"), Next::Draw);
        assert_eq!((&*view.filter, view.order), ("disq", Order::Waiting));
        assert!(view.help().contains("disq_"), "{}", view.help());
        press(&mut view, "\x7f\rs");
        assert_eq!((&*view.filter, view.order), ("dis", Order::Longest));
        press(&mut view, "\x1b");
        assert_eq!(view.filter, "");
        assert_eq!(press(&mut view, " "), Next::Look);
        assert_eq!(press(&mut view, "q"), Next::Quit);
        assert_eq!(press(&mut view, "/\x03"), Next::Quit);
    }
}
