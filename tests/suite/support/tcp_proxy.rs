//! A TCP proxy in front of a store, which can cut the connection, lose answers or say that the store is overloaded.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// What happens to connections, including open ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Link {
    /// Everything is passed on.
    Up,
    /// Every connection ends as soon as it is made.
    Cut,
    /// Requests are passed on, but the connection ends when the answer begins: the store has done the work,
    /// and the client does not know.
    LosesAnswers,
    /// Of so many pieces of requests, about one ends its connection: before it is passed on, once its answer begins, or with
    /// an answer that the store is overloaded.
    Flaky {
        /// At least 1.
        one_in: u32,
    },
}

/// The proxy. When dropped, it stops accepting.
#[derive(Debug)]
pub(crate) struct TcpProxy {
    /// The proxy's base URL.
    pub(crate) url: String,
    link: watch::Sender<Link>,
    broken: Arc<Broken>,
    accepting: JoinHandle<()>,
}

/// What became of connections that were not passed on to their end.
#[derive(Debug, Default)]
struct Broken {
    cut: AtomicU64,
    overloaded: AtomicU64,
}

/// How chance ends a connection.
enum Ended {
    /// Client or server ended it.
    No,
    Cut,
    Overloaded,
}

/// What a store says that is overloaded.
const OVERLOADED: &[u8] = b"HTTP/1.1 503 Slow Down\r\nContent-Type: application/xml\r\nContent-Length: 100\r\nConnection: close\r\n\r\n\
    <?xml version=\"1.0\"?><Error><Code>SlowDown</Code><Message>Reduce your request rate</Message></Error>";

impl TcpProxy {
    /// Starts a proxy in front of `upstream`, with the link up.
    pub(crate) async fn start(upstream: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("its address"));
        let (link, state) = watch::channel(Link::Up);
        let broken = Arc::new(Broken::default());
        let accepting = tokio::spawn(accept(listener, upstream, state, Arc::clone(&broken)));
        Self { url, link, broken, accepting }
    }

    /// Changes the link. Connections of the previous state end.
    pub(crate) fn set(&self, link: Link) {
        self.link.send_replace(link);
    }

    /// Connections that were cut, or whose answer was lost, so far.
    pub(crate) fn broken(&self) -> u64 {
        self.broken.cut.load(Ordering::Relaxed)
    }

    /// Requests that were answered as by an overloaded store, so far.
    pub(crate) fn overloaded(&self) -> u64 {
        self.broken.overloaded.load(Ordering::Relaxed)
    }
}

impl Drop for TcpProxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(
    listener: TcpListener,
    upstream: SocketAddr,
    state: watch::Receiver<Link>,
    broken: Arc<Broken>,
) {
    while let Ok((client, _)) = listener.accept().await {
        tokio::spawn(connection(client, upstream, state.clone(), Arc::clone(&broken)));
    }
}

async fn connection(
    mut client: TcpStream,
    upstream: SocketAddr,
    mut state: watch::Receiver<Link>,
    broken: Arc<Broken>,
) {
    let link = *state.borrow_and_update();
    let pass_on = async {
        if link == Link::Cut {
            broken.cut.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let Ok(mut server) = TcpStream::connect(upstream).await else { return };
        if link == Link::Up {
            // Either side may end the connection.
            drop(copy_bidirectional(&mut client, &mut server).await);
        } else if let Link::Flaky { one_in } = link {
            let counter = match flaky(&mut client, &mut server, one_in).await {
                Ended::No => return,
                Ended::Cut => &broken.cut,
                Ended::Overloaded => &broken.overloaded,
            };
            counter.fetch_add(1, Ordering::Relaxed);
        } else if lose_answer(&mut client, &mut server).await {
            broken.cut.fetch_add(1, Ordering::Relaxed);
        }
    };
    tokio::select! {
        () = pass_on => {}
        _ = state.changed() => {}
    }
}

/// Passes on until chance ends the connection.
async fn flaky(client: &mut TcpStream, server: &mut TcpStream, one_in: u32) -> Ended {
    let (mut from_client, mut from_server) = (vec![0; 65_536], vec![0; 65_536]);
    loop {
        tokio::select! {
            read = client.read(&mut from_client) => match read {
                Ok(count @ 1..) => {
                    let ends = rand::random_range(0..one_in) == 0;
                    let how = if ends { rand::random_range(0..3) } else { 3 };
                    if how == 0 {
                        return Ended::Cut;
                    }
                    if how == 1 && begins_request(&from_client[..count]) {
                        overload(client).await;
                        return Ended::Overloaded;
                    }
                    if server.write_all(&from_client[..count]).await.is_err() {
                        return Ended::No;
                    }
                    if ends {
                        return if lose_answer(client, server).await { Ended::Cut } else { Ended::No };
                    }
                }
                _ => return Ended::No,
            },
            read = server.read(&mut from_server) => match read {
                Ok(count @ 1..) => if client.write_all(&from_server[..count]).await.is_err() { return Ended::No },
                _ => return Ended::No,
            },
        }
    }
}

/// Whether these bytes of a connection are the first of a request.
fn begins_request(bytes: &[u8]) -> bool {
    [&b"GET "[..], b"HEAD ", b"PUT ", b"POST ", b"DELETE "].iter().any(|method| bytes.starts_with(method))
}

/// Answers as an overloaded store, and waits until the client has gone: else it may lose the answer.
async fn overload(client: &mut TcpStream) {
    if client.write_all(OVERLOADED).await.is_err() || client.shutdown().await.is_err() {
        return;
    }
    let mut rest = vec![0; 65_536];
    while let Ok(1..) = client.read(&mut rest).await {}
}

/// Passes requests on until the server answers. Returns whether it did.
async fn lose_answer(client: &mut TcpStream, server: &mut TcpStream) -> bool {
    let (mut from_client, mut from_server) = (vec![0; 65_536], [0]);
    loop {
        tokio::select! {
            read = client.read(&mut from_client) => match read {
                Ok(count @ 1..) => if server.write_all(&from_client[..count]).await.is_err() { return false },
                _ => return false,
            },
            read = server.read(&mut from_server) => return matches!(read, Ok(1..)),
        }
    }
}
