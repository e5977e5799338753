//! The load generator as a separate command, for any collector that takes calls by HTTP.
//!
//! `cargo bench --bench load -- --address 127.0.0.1:8080 --calls 100 --write-keys a,b --seconds 10`

#![expect(clippy::print_stdout, reason = "a bench prints its figures")]
#![allow(clippy::indexing_slicing, reason = "a bench that cannot go on stops where it is")]

#[path = "../corpus/mod.rs"]
mod corpus;
#[path = "mod.rs"]
#[expect(dead_code, reason = "some of it is only for the benches that start a collector themselves")]
mod load;
#[path = "../durable/packed.rs"]
mod packed;
#[path = "../corpus/statistics.rs"]
mod statistics;

use std::io;
use std::net::ToSocketAddrs as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;

use corpus::Seeded;
use load::bodies::{Form, SEED};
use load::{Acked, Bodies, Generator, Load, Outcome, Pace, Target};
use statistics::Statistics;

/// How many calls the statistics cover: as many as all bodies have.
const CALLS_DESCRIBED: usize = 8_192;

#[derive(Debug, Parser)]
#[command(about = "Sends calls to an address and prints how many were accepted, and how fast")]
#[expect(clippy::struct_excessive_bools, reason = "a command line has switches")]
struct Args {
    /// The address, as HOST:PORT
    #[arg(long, required_unless_present = "corpus")]
    address: Option<String>,
    /// Send nothing: print statistics of the generated calls, and those of captured calls
    #[arg(long)]
    corpus: bool,
    /// The path of the requests; by default that of the tracking API
    #[arg(long)]
    path: Option<String>,
    /// Calls in a request
    #[arg(long, default_value_t = 100)]
    calls: usize,
    /// The form of a body; by default a single call or an envelope, depending on --calls
    #[arg(long, value_enum)]
    body: Option<Form>,
    /// Connections, each kept alive
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// The largest number of connections with a request in flight at a time; by default all
    #[arg(long)]
    active: Option<usize>,
    /// Write keys, which the requests use in turn; without any, requests have no Authorization
    #[arg(long, value_delimiter = ',')]
    write_keys: Vec<String>,
    /// How long requests are sent
    #[arg(long, default_value_t = 10.0)]
    seconds: f64,
    /// Requests per second, sent on schedule even if earlier ones are unanswered; by default each connection
    /// sends its next request when the previous one is answered
    #[arg(long)]
    rate: Option<f64>,
    /// Use TLS
    #[arg(long, requires = "ca")]
    tls: bool,
    /// PEM file with the certificates to trust
    #[arg(long, requires = "tls")]
    ca: Option<PathBuf>,
    /// The name that the certificate must have; by default the host of --address
    #[arg(long, requires = "tls")]
    server_name: Option<String>,
    /// Write the messageId of each acknowledged call to this file, one per line
    #[arg(long)]
    acked: Option<PathBuf>,
    /// A broken connection ends the run without failure
    #[arg(long)]
    until_broken: bool,
    /// Print one line of JSON
    #[arg(long)]
    json: bool,
    /// Passed by `cargo bench`
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let done = match &args.address {
        Some(address) if !args.corpus => run(&args, address)
            .map(|outcome| if args.json { println!("{}", outcome.json()) } else { println!("{outcome}") }),
        _ => describe_corpus(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("load: {error}");
            ExitCode::FAILURE
        }
    }
}

fn describe_corpus() -> io::Result<()> {
    let mut random = Seeded(SEED);
    let sent: Vec<String> = (0..CALLS_DESCRIBED).map(|_| corpus::call(&mut random)).collect();
    println!("the calls that are sent\n{}", Statistics::of(&sent)?);
    for (name, calls) in statistics::captured()? {
        println!("captured: {name}\n{}", Statistics::of(&calls)?);
    }
    Ok(())
}

fn run(args: &Args, address: &str) -> io::Result<Outcome> {
    let form = args.body.unwrap_or_else(|| Form::of(args.calls));
    let load = Load {
        target: target(args, address, args.path.as_deref().unwrap_or(form.path()))?,
        connections: args.connections,
        active: args.active.unwrap_or(args.connections),
        write_keys: args.write_keys.clone(),
        pace: args.rate.map_or(Pace::Closed, |requests_per_second| Pace::Open { requests_per_second }),
        lasting: Duration::from_secs_f64(args.seconds),
        acked: args.acked.as_deref().map(Acked::create).transpose()?.map(Arc::new),
    };
    // Ids must differ from those of earlier runs against the same collector; otherwise the calls would be
    // repeats.
    let bodies = Arc::new(Bodies::in_form(form, args.calls, rand::random()));
    let mut generator = Generator::open(&load)?;
    if args.until_broken { generator.run_until_broken(&load, &bodies) } else { generator.run(&load, &bodies) }
}

fn target(args: &Args, host_port: &str, path: &str) -> io::Result<Target> {
    let address = host_port.to_socket_addrs()?.next();
    let address = address.ok_or_else(|| io::Error::other(format!("{host_port} has no address")))?;
    let Some(ca) = &args.ca else { return Ok(Target::plain(address, path)) };
    let (host, _) = host_port.rsplit_once(':').unwrap_or((host_port, ""));
    let host = host.trim_start_matches('[').trim_end_matches(']');
    Target::tls(address, path, args.server_name.as_deref().unwrap_or(host), ca)
}
