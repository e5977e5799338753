//! A command that is run for each closed day.

use std::fmt;
use std::process::Stdio;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::delivery::closing::ClosedDay;
use crate::object::tags::date;
use crate::store::fault::outside_text;

/// Bytes of what it writes to its standard error that are read.
const COMPLAINT_MAX: u64 = 4_096;

/// A command and its arguments; no shell stands in between.
#[derive(Clone, Debug)]
pub struct Command {
    program: String,
    arguments: Vec<String>,
}

impl Command {
    /// A program and its arguments; `None` where there is no program.
    pub fn new(words: &[String]) -> Option<Self> {
        let (program, arguments) = words.split_first()?;
        Some(Self { program: program.clone(), arguments: arguments.to_vec() })
    }

    /// Runs it, with the message on its standard input and the day in its environment. Only exit code 0 says that all went
    /// well. Dropped half-way, the command is killed.
    pub(super) async fn tell(&self, day: &ClosedDay, message: &[u8]) -> Result<(), String> {
        let mut child = tokio::process::Command::new(&self.program)
            .args(&self.arguments)
            .env("FOREBAY_SOURCE", day.marker.source.as_str())
            .env("FOREBAY_DAY", day.marker.day.to_string())
            .env("FOREBAY_DATE", date(day.marker.day))
            .env("FOREBAY_BUCKET", day.bucket.to_string())
            .env("FOREBAY_KEY", day.key.as_str())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| format!("it cannot be started: {error}"))?;
        let (input, complaint) = (child.stdin.take(), child.stderr.take());
        let write = async {
            // One that does not want to read it may close it.
            if let Some(mut input) = input
                && let Err(error) = input.write_all(message).await
            {
                tracing::debug!(%error, "the command does not read its standard input");
            }
        };
        let read = async {
            let mut text = Vec::new();
            if let Some(complaint) = complaint {
                complaint
                    .take(COMPLAINT_MAX)
                    .read_to_end(&mut text)
                    .await
                    .map_err(|error| error.to_string())?;
            }
            Ok::<_, String>(String::from_utf8_lossy(&text).trim().to_owned())
        };
        let ((), complaint) = tokio::join!(write, read);
        let status = child.wait().await.map_err(|error| error.to_string())?;
        match (status.success(), complaint?) {
            (true, _) => Ok(()),
            (false, complaint) if complaint.is_empty() => Err(format!("it ended with {status}")),
            (false, complaint) => Err(format!("it ended with {status}: {}", outside_text(&complaint))),
        }
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "command {}", self.program)
    }
}
