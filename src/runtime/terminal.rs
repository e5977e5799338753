//! The terminal that a command writes to, and how a command that runs until it is interrupted ends.

use std::io::{self, IsTerminal, Read as _, Write as _};
use std::os::fd::AsFd;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use crate::runtime::colour;

/// Keys that may wait to be read. Further ones are dropped.
const KEYS_MAX: usize = 16;

/// The columns of a terminal; `None` elsewhere.
pub fn columns(output: &(impl AsFd + IsTerminal)) -> Option<usize> {
    size(output).map(|(columns, _)| columns)
}

/// The columns and rows of a terminal; `None` elsewhere, and if the terminal does not know them.
pub fn size(output: &(impl AsFd + IsTerminal)) -> Option<(usize, usize)> {
    if !output.is_terminal() {
        return None;
    }
    let size = tcgetwinsize(output).ok()?;
    (size.ws_col > 0 && size.ws_row > 0).then_some((size.ws_col.into(), size.ws_row.into()))
}

/// Whether the reader of a pipe has gone, so that a write would fail.
pub fn is_unread(output: &impl AsFd) -> bool {
    let mut fds = [PollFd::new(output, PollFlags::empty())];
    let polled = poll(&mut fds, Some(&Timespec::default()));
    polled.is_ok() && fds.iter().any(|fd| fd.revents().contains(PollFlags::ERR))
}

/// The signals that end a command.
#[derive(Debug)]
pub struct Interrupts {
    interrupt: Signal,
    terminate: Signal,
    hang_up: Signal,
}

impl Interrupts {
    /// Registers handlers for the signals. Errors: a handler cannot be registered.
    pub fn listen() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    /// Waits for the next signal. Cancel-safe.
    pub async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = self.hang_up.recv() => {}
        }
    }
}

/// Switches to the terminal's second screen, and hides the cursor.
const ENTER: &str = "\u{1b}[?1049h\u{1b}[?25l";
/// Switches back to the first screen, and shows the cursor.
const LEAVE: &str = "\u{1b}[?25h\u{1b}[?1049l";
const HOME: &str = "\u{1b}[H";
const CLEAR_LINE: &str = "\u{1b}[K";
const CLEAR_BELOW: &str = "\u{1b}[J";

/// The whole terminal, until this is dropped: the terminal is then restored, also after a panic.
#[derive(Debug)]
pub struct Screen {
    /// The terminal modes of standard input before; `None` if it is no terminal.
    before: Option<Termios>,
}

impl Screen {
    /// Takes the terminal over; `None` if standard output cannot be drawn on.
    pub fn open() -> io::Result<Option<Self>> {
        if !colour::is_drawable(&io::stdout()) {
            return Ok(None);
        }
        let screen = Self { before: keys_at_once() };
        write(ENTER)?;
        Ok(Some(screen))
    }

    /// Shows these lines in place of what is shown. Each must fit the width, and all of them the height.
    pub fn draw(&self, lines: &[String]) -> io::Result<()> {
        // Lines are overwritten, not cleared first, and all in one write: the picture does not flicker.
        let lines: Vec<String> = lines.iter().map(|line| format!("{line}{CLEAR_LINE}")).collect();
        write(&format!("{HOME}{}{CLEAR_BELOW}", lines.join("\r\n")))
    }

    /// The keys that are pressed. They are read on a thread that ends with the process.
    /// Errors: no thread can be started.
    pub fn keys(&self) -> io::Result<mpsc::Receiver<u8>> {
        let (sender, keys) = mpsc::channel(KEYS_MAX);
        if self.before.is_some() {
            let read = move || {
                for key in io::stdin().lock().bytes().map_while(Result::ok) {
                    if let Err(mpsc::error::TrySendError::Closed(_)) = sender.try_send(key) {
                        return;
                    }
                }
            };
            std::thread::Builder::new().name("keys".into()).spawn(read)?;
        }
        Ok(keys)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        if let Some(before) = &self.before
            && let Err(error) = tcsetattr(io::stdin(), OptionalActions::Now, before)
        {
            tracing::debug!(%error, "the terminal's modes cannot be restored");
        }
        if let Err(error) = write(LEAVE) {
            tracing::debug!(%error, "standard output cannot be written");
        }
    }
}

/// Makes the terminal hand over each key at once and show none. Ctrl-C remains a signal.
fn keys_at_once() -> Option<Termios> {
    let stdin = io::stdin();
    let before = tcgetattr(&stdin).ok()?;
    let mut modes = before.clone();
    modes.local_modes.remove(LocalModes::ICANON | LocalModes::ECHO);
    tcsetattr(&stdin, OptionalActions::Now, &modes).ok()?;
    Some(before)
}

fn write(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}
