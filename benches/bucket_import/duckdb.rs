//! DuckDB in a process of its own, which does its work when it is told to.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use crate::turns;

/// Reads a parquet file with one thread, and writes its rows as JSON lines, once for each line of standard input.
const SCRIPT: &str = r#"
import sys, duckdb
db = duckdb.connect()
db.execute("SET threads = 1")
print("ready", flush=True)
for _ in sys.stdin:
    db.execute(f"COPY (SELECT * FROM '{sys.argv[1]}') TO '{sys.argv[2]}' (FORMAT json)")
    print("done", flush=True)
"#;

/// The process.
#[derive(Debug)]
pub(crate) struct DuckDb {
    child: Child,
    told: ChildStdin,
    said: BufReader<ChildStdout>,
}

impl DuckDb {
    /// Starts it, with a Python that has the package `duckdb`.
    pub(crate) fn start(python: &str, file: &Path, out: &Path) -> Self {
        let mut command = Command::new(python);
        command.args(["-c", SCRIPT]).arg(file).arg(out).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("Python with DuckDB");
        let told = child.stdin.take().expect("a pipe");
        let said = BufReader::new(child.stdout.take().expect("a pipe"));
        turns::count_too(child.id());
        let mut started = Self { child, told, said };
        started.answers("ready");
        started
    }

    fn answers(&mut self, expected: &str) {
        let mut line = String::new();
        self.said.read_line(&mut line).expect("an answer");
        assert_eq!(line.trim(), expected);
    }

    /// Converts the file once.
    pub(crate) fn convert(&mut self) {
        self.told.write_all(b"\n").expect("a pipe");
        self.answers("done");
    }
}

impl Drop for DuckDb {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
