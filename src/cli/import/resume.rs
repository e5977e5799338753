//! How to continue an import that was stopped.

use std::ffi::OsString;

use crate::cli::failure::{self, Failure};
use crate::words::shell_word;

/// The failure of an import that a signal stopped.
pub(super) fn stopped() -> Failure {
    let how = how_to_continue(std::env::args_os());
    Failure::with_code(failure::INTERRUPTED, format!("stopped; {how}"))
}

/// Says how to continue: with the same command line, if that still means the same.
fn how_to_continue(line: impl IntoIterator<Item = OsString>) -> String {
    let mut command: Vec<String> = Vec::new();
    let (mut is_key, mut has_key) = (false, false);
    let (mut forced, mut from_shell, mut from_stdin) = (false, false, false);
    for argument in line {
        let argument = argument.to_string_lossy();
        if std::mem::take(&mut is_key) {
            command.push("KEY".to_owned());
            continue;
        }
        match &*argument {
            "--force" => {
                forced = true;
                continue;
            }
            "--write-key" => (is_key, has_key) = (true, true),
            "-" => from_stdin = true,
            path if path.starts_with("/dev/fd/") || path.starts_with("/proc/self/fd/") => from_shell = true,
            _ => {}
        }
        if argument.starts_with("--write-key=") {
            has_key = true;
            command.push("--write-key=KEY".to_owned());
        } else {
            command.push(shell_word(&argument));
        }
    }
    // The pipe of a shell (`<(…)`) has ended, and the shell makes a new one only for the command as it was
    // typed.
    let mut text = match (from_shell, forced) {
        (true, false) => "run the same command again to continue".to_owned(),
        (true, true) => "run the same command again without --force to continue".to_owned(),
        (false, _) => format!("to continue: {}", command.join(" ")),
    };
    if has_key && !from_shell {
        text.push_str(" (with your write key for KEY)");
    }
    if from_stdin {
        text.push_str(" (with the same standard input)");
    }
    if forced {
        text.push_str(
            "; --force begins files again at their first rows: use it only for those that had not begun",
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_that_continues_is_the_same_without_force_and_key() {
        let check = |line: &[&str], expected: &str| {
            assert_eq!(how_to_continue(line.iter().map(OsString::from)), expected);
        };
        check(
            &["forebay", "import", "csv", "a b/track_1.csv", "--delimiter", "|", "--quote", "'"],
            r"to continue: forebay import csv 'a b/track_1.csv' --delimiter '|' --quote ''\'''",
        );
        check(
            &["./forebay", "import", "csv", "-", "--type", "track"],
            "to continue: ./forebay import csv - --type track (with the same standard input)",
        );
        check(
            &["forebay", "import", "csv", "*.csv", "--force", "--write-key", "secret"],
            "to continue: forebay import csv '*.csv' --write-key KEY (with your write key for KEY); --force begins files \
             again at their first rows: use it only for those that had not begun",
        );
        check(
            &["forebay", "import", "retry-rejects", "a.ndjson", "--write-key=secret"],
            "to continue: forebay import retry-rejects a.ndjson --write-key=KEY (with your write key for KEY)",
        );
        check(
            &["forebay", "import", "csv", "/dev/fd/63", "--type", "track"],
            "run the same command again to continue",
        );
    }
}
