//! The program itself, run as a collector: `forebay serve` with `[kafka]`.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::partition::Partition;
use crate::support::{CALL, until};

/// A collector in a process of its own. Dropped, it is killed.
pub(crate) struct Program {
    process: Child,
    pub(crate) at: SocketAddr,
    admin: SocketAddr,
    folder: tempfile::TempDir,
}

impl Program {
    /// Starts one, and waits until it is ready.
    pub(crate) fn start(partition: &Partition, more: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("collector.toml");
        let settings = &partition.settings;
        let brokers: Vec<String> = settings.brokers.split(',').map(|one| format!("{one:?}")).collect();
        let text = format!(
            "[collector]\nlisten = \"127.0.0.1:0\"\nreceipts = true\ndrain_delay = \"1s\"\n[admin]\nlisten = \"127.0.0.1:0\"\n\
             [s3]\nbucket = \"bucket\"\n[kafka]\nrole = \"collector\"\nbrokers = [{}]\nname = \"{}\"\n{more}\n\
             [[source]]\nid = \"web\"\nwrite_keys = [\"web\"]\nspread = 2\n[[source]]\nid = \"ios\"\nwrite_keys = [\"ios\"]\n",
            brokers.join(", "),
            settings.name,
        );
        fs::write(&config, text).unwrap();
        let log = fs::File::create(folder.path().join("log")).unwrap();
        let mut process = Command::new(env!("CARGO_BIN_EXE_forebay"))
            .args(["serve", "--config"])
            .arg(&config)
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut said = BufReader::new(process.stdout.take().unwrap()).lines();
        let mut address = |name: &str| -> SocketAddr {
            let line = said.next().map(|line| line.unwrap()).unwrap_or_default();
            let address = line.strip_prefix(name).unwrap_or_else(|| {
                panic!("{line}: {}", fs::read_to_string(folder.path().join("log")).unwrap())
            });
            address.trim_start_matches(" http://").trim_end_matches('/').parse().unwrap()
        };
        let (at, admin) = (address("collector"), address("console"));
        let program = Self { process, at, admin, folder };
        until("the program to be ready", CALL, || {
            program.get("/ready").starts_with("HTTP/1.1 200").then_some(())
        });
        program
    }

    /// What its admin listener answers.
    pub(crate) fn get(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(self.admin).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    /// Kills it, as a loss of power would.
    pub(crate) fn kill(mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Ends it as an operator does. Returns its log.
    pub(crate) fn end(mut self) -> String {
        let pid = Pid::from_raw(i32::try_from(self.process.id()).unwrap()).unwrap();
        kill_process(pid, Signal::TERM).unwrap();
        let status = self.process.wait().unwrap();
        let log = fs::read_to_string(self.folder.path().join("log")).unwrap();
        assert!(status.success(), "{status}: {log}");
        // No disk is used beside its own file.
        let names = fs::read_dir(self.folder.path()).unwrap().map(|one| one.unwrap().file_name());
        assert!(names.into_iter().all(|name| name == "log" || name == "collector.toml"));
        log
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if self.process.try_wait().is_ok_and(|ended| ended.is_none()) {
            self.process.kill().unwrap_or(());
            self.process.wait().map(drop).unwrap_or(());
        }
    }
}
