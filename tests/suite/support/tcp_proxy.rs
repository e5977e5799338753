//! A TCP proxy in front of a store, which can cut the connection or lose answers.

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
    /// Of so many pieces of requests, about one ends its connection: before it is passed on, or once its answer begins.
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
    broken: Arc<AtomicU64>,
    accepting: JoinHandle<()>,
}

impl TcpProxy {
    /// Starts a proxy in front of `upstream`, with the link up.
    pub(crate) async fn start(upstream: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("its address"));
        let (link, state) = watch::channel(Link::Up);
        let broken = Arc::new(AtomicU64::new(0));
        let accepting = tokio::spawn(accept(listener, upstream, state, Arc::clone(&broken)));
        Self { url, link, broken, accepting }
    }

    /// Changes the link. Connections of the previous state end.
    pub(crate) fn set(&self, link: Link) {
        self.link.send_replace(link);
    }

    /// Connections that were cut, or whose answer was lost, so far.
    pub(crate) fn broken(&self) -> u64 {
        self.broken.load(Ordering::Relaxed)
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
    broken: Arc<AtomicU64>,
) {
    while let Ok((client, _)) = listener.accept().await {
        tokio::spawn(connection(client, upstream, state.clone(), Arc::clone(&broken)));
    }
}

async fn connection(
    mut client: TcpStream,
    upstream: SocketAddr,
    mut state: watch::Receiver<Link>,
    broken: Arc<AtomicU64>,
) {
    let link = *state.borrow_and_update();
    let pass_on = async {
        if link == Link::Cut {
            broken.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let Ok(mut server) = TcpStream::connect(upstream).await else { return };
        if link == Link::Up {
            // Either side may end the connection.
            drop(copy_bidirectional(&mut client, &mut server).await);
        } else if let Link::Flaky { one_in } = link {
            if flaky(&mut client, &mut server, one_in).await {
                broken.fetch_add(1, Ordering::Relaxed);
            }
        } else if lose_answer(&mut client, &mut server).await {
            broken.fetch_add(1, Ordering::Relaxed);
        }
    };
    tokio::select! {
        () = pass_on => {}
        _ = state.changed() => {}
    }
}

/// Passes on until chance ends the connection. Returns whether it did.
async fn flaky(client: &mut TcpStream, server: &mut TcpStream, one_in: u32) -> bool {
    let (mut from_client, mut from_server) = (vec![0; 65_536], vec![0; 65_536]);
    loop {
        tokio::select! {
            read = client.read(&mut from_client) => match read {
                Ok(count @ 1..) => {
                    let ends = rand::random_range(0..one_in) == 0;
                    if ends && rand::random() {
                        return true;
                    }
                    if server.write_all(&from_client[..count]).await.is_err() {
                        return false;
                    }
                    if ends {
                        return lose_answer(client, server).await;
                    }
                }
                _ => return false,
            },
            read = server.read(&mut from_server) => match read {
                Ok(count @ 1..) => if client.write_all(&from_server[..count]).await.is_err() { return false },
                _ => return false,
            },
        }
    }
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
