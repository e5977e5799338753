//! Reads server-sent events, as a viewer of the live view.

use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Time for an event to come.
const PATIENCE: Duration = Duration::from_secs(120);

/// An open stream of events. Dropping it ends the connection.
#[derive(Debug)]
pub(crate) struct Events {
    socket: BufReader<TcpStream>,
}

impl Events {
    /// Opens `target` of the admin listener at `address` (`host:port`).
    pub(crate) async fn open(address: &str, target: &str) -> Self {
        Self::open_with(address, target, "").await
    }

    /// As [`Events::open`], with further header lines, each ended by `\r\n`.
    pub(crate) async fn open_with(address: &str, target: &str, headers: &str) -> Self {
        let mut socket = TcpStream::connect(address).await.unwrap();
        let request =
            format!("GET {target} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{headers}\r\n");
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut events = Self { socket: BufReader::new(socket) };
        let status = events.line().await.unwrap();
        assert!(status.starts_with("HTTP/1.1 200 "), "{status}");
        while !events.line().await.unwrap().is_empty() {}
        events
    }

    /// The next event's name and data; `None` if the stream has ended.
    pub(crate) async fn next(&mut self) -> Option<(String, Value)> {
        loop {
            let line = self.line().await?;
            if let Some(name) = line.strip_prefix("event: ") {
                let data = self.line().await?;
                let data = serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap();
                return Some((name.to_owned(), data));
            }
        }
    }

    /// The next event with this name.
    pub(crate) async fn next_of(&mut self, name: &str) -> Value {
        loop {
            let (got, data) = self.next().await.expect("the stream goes on");
            if got == name {
                return data;
            }
        }
    }

    /// A line. Chunk lengths look like lines without a colon, and are skipped by [`Events::next`].
    async fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        let read = timeout(PATIENCE, self.socket.read_line(&mut line)).await.expect("an event in time");
        (read.unwrap() > 0).then(|| line.trim_end().to_owned())
    }
}
