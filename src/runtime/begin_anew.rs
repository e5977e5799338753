//! Begins the program anew with variables that are read only when a process begins.

use std::env;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

/// Begins this program anew in the same process, with the same arguments and these variables. It returns only if that
/// fails. A signal SIGPIPE would end the process then, unless it is handled.
pub fn begin_anew(with: &[(&str, &str)]) -> io::Error {
    let program = match env::current_exe() {
        Ok(program) => program,
        Err(error) => return error,
    };
    let mut arguments = env::args_os();
    let mut command = Command::new(program);
    if let Some(name) = arguments.next() {
        command.arg0(name);
    }
    command.args(arguments).envs(with.iter().copied()).exec()
}
