//! The collector's public side, on real sockets.

mod auth;
mod bodies;
mod bounds;
mod cors;
mod http2;
mod routes;
mod shutdown;
mod stored;
mod support;
mod tls;
mod unfinished;
mod unread;
mod wire;
