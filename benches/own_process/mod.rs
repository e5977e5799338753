//! A server in a process of its own: this program once more, with an argument that says so.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

/// The server, until it is dropped.
pub(crate) struct OwnProcess {
    child: Child,
    pub(crate) url: String,
}

impl OwnProcess {
    /// Starts it with these arguments. It prints its URL as its first line.
    pub(crate) fn start(arguments: [&str; 2]) -> Self {
        let program = std::env::current_exe().expect("this program");
        let mut command = Command::new(program);
        let mut child =
            command.args(arguments).stdout(Stdio::piped()).spawn().expect("this program once more");
        let mut url = String::new();
        let out = child.stdout.take().expect("a pipe");
        BufReader::new(out).read_line(&mut url).expect("an address");
        Self { child, url: url.trim().to_owned() }
    }
}

impl Drop for OwnProcess {
    fn drop(&mut self) {
        self.child.kill().expect("a child");
        self.child.wait().expect("a child");
    }
}
