//! What the tests of several rooms share: outside tools, servers with scripted misbehaviour, and the real
//! program as a process, with clients to talk to it and to read what it delivered.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests fail as tests do: by a panic that names the line"
)]

pub(crate) mod actions;
pub(crate) mod aws_double;
pub(crate) mod aws_tool;
pub(crate) mod bucket;
pub(crate) mod crash;
pub(crate) mod damage;
pub(crate) mod dice;
pub(crate) mod doubtful;
pub(crate) mod events;
pub(crate) mod faketime;
pub(crate) mod fault_proxy;
pub(crate) mod forebay;
pub(crate) mod granted;
pub(crate) mod hooked_disk;
pub(crate) mod http;
pub(crate) mod json;
pub(crate) mod kafka_status;
#[cfg(feature = "lambda")]
pub(crate) mod lambda_emulator;
pub(crate) mod loop_disk;
pub(crate) mod minio;
pub(crate) mod ministack;
#[cfg(feature = "lambda")]
pub(crate) mod moto;
pub(crate) mod raw_http2;
pub(crate) mod recorder;
pub(crate) mod resident;
pub(crate) mod scripted_http;
pub(crate) mod sim_disk;
pub(crate) mod stored;
pub(crate) mod tcp_proxy;
pub(crate) mod tls_front;
pub(crate) mod tools;
pub(crate) mod trace;
pub(crate) mod wait;
pub(crate) mod zip;
