//! A program on a terminal of a given size.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt as _;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Termios, Winsize, tcgetattr, tcsetwinsize};
use tokio::process::{Child, Command};

use crate::support::wait;

const PATIENCE: Duration = Duration::from_secs(80);

/// A running program, and what it wrote to its terminal. Killed when dropped.
pub(super) struct OnTerminal {
    child: Child,
    keys: File,
    /// Keeps the terminal, so that its modes can be read after the program has ended.
    terminal: File,
    written: Arc<Mutex<Vec<u8>>>,
}

impl OnTerminal {
    /// Starts it with standard input and output on a terminal of this size, and standard error elsewhere.
    pub(super) fn start(mut command: Command, columns: u16, rows: u16) -> Self {
        let keys = File::from(openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap());
        grantpt(&keys).unwrap();
        unlockpt(&keys).unwrap();
        let size = Winsize { ws_col: columns, ws_row: rows, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&keys, size).unwrap();
        let name = ptsname(&keys, Vec::new()).unwrap().into_string().unwrap();
        let noctty = i32::try_from(rustix::fs::OFlags::NOCTTY.bits()).unwrap();
        let terminal = OpenOptions::new().read(true).write(true).custom_flags(noctty).open(name).unwrap();
        let end = || Stdio::from(OwnedFd::from(terminal.try_clone().unwrap()));
        command.stdin(end()).stdout(end()).stderr(Stdio::null()).kill_on_drop(true);
        let child = command.spawn().unwrap();
        let written = Arc::<Mutex<Vec<u8>>>::default();
        let (mut reader, copy) = (keys.try_clone().unwrap(), Arc::clone(&written));
        // It ends when the terminal is closed.
        std::thread::spawn(move || {
            let mut bytes = [0; 4_096];
            while let Ok(count @ 1..) = reader.read(&mut bytes) {
                copy.lock().unwrap().extend_from_slice(&bytes[..count]);
            }
        });
        Self { child, keys, terminal, written }
    }

    /// All that was written so far.
    pub(super) fn written(&self) -> String {
        String::from_utf8_lossy(&self.written.lock().unwrap()).into_owned()
    }

    /// Waits until a text was written.
    pub(super) async fn shows(&self, text: &str) {
        wait::until(text, PATIENCE, async || self.written().contains(text).then_some(())).await;
    }

    /// Gives the terminal another size.
    pub(super) fn resize(&self, columns: u16, rows: u16) {
        let size = Winsize { ws_col: columns, ws_row: rows, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&self.keys, size).unwrap();
    }

    pub(super) fn press(&mut self, keys: &[u8]) {
        self.keys.write_all(keys).unwrap();
    }

    pub(super) fn modes(&self) -> Termios {
        tcgetattr(&self.terminal).unwrap()
    }

    pub(super) fn signal(&self, signal: rustix::process::Signal) {
        let pid = i32::try_from(self.child.id().unwrap()).unwrap();
        rustix::process::kill_process(rustix::process::Pid::from_raw(pid).unwrap(), signal).unwrap();
    }

    pub(super) async fn ended(&mut self) -> ExitStatus {
        tokio::time::timeout(PATIENCE, self.child.wait()).await.unwrap().unwrap()
    }
}
