//! A viewer of the live view, on a thread of its own.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::thread::JoinHandle;

use crate::OTHER_CORE;
use crate::process::on_cores;

/// A viewer that reads all that it gets.
#[derive(Debug)]
pub(crate) struct Viewer {
    socket: TcpStream,
    reading: JoinHandle<Seen>,
}

/// What a viewer got.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Seen {
    /// Calls.
    pub(crate) calls: u64,
}

impl Viewer {
    /// Opens the live view.
    pub(crate) fn open(admin: SocketAddr) -> Self {
        let mut socket = TcpStream::connect(admin).expect("the admin listener");
        let request = format!("GET /api/live HTTP/1.1\r\nHost: {admin}\r\n\r\n");
        socket.write_all(request.as_bytes()).expect("a request");
        let reader = BufReader::new(socket.try_clone().expect("a second handle"));
        let reading = std::thread::spawn(move || on_cores(OTHER_CORE, || read(reader)));
        Self { socket, reading }
    }

    /// Leaves.
    pub(crate) fn close(self) -> Seen {
        self.socket.shutdown(Shutdown::Both).expect("an open connection");
        self.reading.join().expect("the viewer's thread")
    }
}

fn read(reader: BufReader<TcpStream>) -> Seen {
    let mut seen = Seen::default();
    for line in reader.lines().map_while(Result::ok) {
        if line.starts_with("data: {\"calls\":[") {
            seen.calls += line.matches("\"at_ms\":").count() as u64;
        }
    }
    seen
}
