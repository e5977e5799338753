//! What destinations can do, and what they cost: invocations per second, and what a function that hangs takes
//! from those who send. `benches/README.md` explains the figures and how to run it.

#![expect(clippy::print_stdout, reason = "a bench prints its figures")]
#![allow(clippy::indexing_slicing, reason = "a bench that cannot go on stops where it is")]

#[path = "../beside/mod.rs"]
mod beside;
#[path = "../corpus/mod.rs"]
mod corpus;
mod function;
#[path = "../load/mod.rs"]
#[expect(dead_code, reason = "some of it is only for the command `load`")]
mod load;
#[path = "../durable/node.rs"]
#[expect(dead_code, reason = "only the bench `scale` cuts off the store")]
mod node;
#[path = "../durable/process.rs"]
#[expect(dead_code, reason = "only the bench `scale` resets peaks of memory")]
mod process;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;

use beside::{Beside, generate, median};
use function::Function;
use load::{Bodies, Load, Pace};
use node::Node;
use process::on_cores;

/// Both cores, for the first part.
const CORES: &[usize] = &[0, 1];
/// The collector's core in the second part, and that of everything else.
const CORE: &[usize] = &[0];
const OTHER_CORE: &[usize] = &[1];
const WARM_UP: Duration = Duration::from_secs(2);
const MIB: f64 = 1_048_576.0;

#[derive(Debug, Parser)]
#[command(about = "What destinations can do, and what they cost")]
struct Args {
    /// Calls per request
    #[arg(long, default_value_t = 100)]
    calls: usize,
    /// How often each is measured, in turns
    #[arg(long, default_value_t = 5)]
    repeats: usize,
    /// Seconds of load for each measurement
    #[arg(long, default_value_t = 6)]
    seconds: u64,
    /// First part: calls per second that come in meanwhile, more than are invoked
    #[arg(long, default_value_t = 10_000)]
    rate: u32,
    /// First part: how long the function takes, in milliseconds
    #[arg(long, default_value_t = 5)]
    takes: u64,
    /// Invocations at once
    #[arg(long, default_value_t = 64)]
    concurrency: usize,
    /// `spool.max_bytes`. A function that hangs may keep a tenth of it in the log; beyond that its calls are
    /// copied
    #[arg(long, default_value = node::SPOOL_MAX)]
    spool: String,
    /// Only the first part
    #[arg(long)]
    invocations: bool,
    /// Only the second part
    #[arg(long)]
    hung: bool,
    /// The directory for the spool and the bucket
    #[arg(long, default_value = "/dev/shm")]
    dir: PathBuf,
    /// Another build of the program
    #[arg(long, default_value = env!("CARGO_BIN_EXE_forebay"))]
    program: PathBuf,
    /// Passed by `cargo bench`
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let bodies = Arc::new(Bodies::new(args.calls));
    if !args.hung {
        invocations(&args, &bodies);
    }
    if !args.invocations {
        hung(&args, &bodies);
    }
    ExitCode::SUCCESS
}

/// A collector in its own directory, whose destination has this function.
fn with_node<T>(
    args: &Args,
    function: Option<&Function>,
    (cores, other_cores): (&[usize], &[usize]),
    measure: impl FnOnce(&Node, &Load) -> T,
) -> T {
    let destination = function.map_or_else(String::new, |function| {
        format!(
            "[[destination]]\nname = \"crm\"\ntype = \"lambda\"\nendpoint_url = \"http://{}\"\nconcurrency = {}\n\
             function = \"arn:aws:lambda:us-east-1:000000000000:function:crm\"\n",
            function.address, args.concurrency
        )
    });
    let beside = Beside {
        program: &args.program,
        dir: &args.dir,
        cores,
        s3_cores: other_cores,
        more: &destination,
        calls: args.calls,
        seconds: args.seconds,
        spool_max: &args.spool,
    };
    beside.measure(measure)
}

/// Invocations per second while calls come in and are delivered, all on two cores.
#[expect(clippy::cast_precision_loss, reason = "invocations of some seconds")]
fn invocations(args: &Args, bodies: &Arc<Bodies>) {
    let mut rates = Vec::new();
    for repeat in 0..args.repeats {
        let function = on_cores(CORES, || Function::start(Some(Duration::from_millis(args.takes))));
        let (rate, micros) = with_node(args, Some(&function), (CORES, CORES), |node, load| {
            let requests_per_second = f64::from(args.rate) / args.calls as f64;
            let load = Load { pace: Pace::Open { requests_per_second }, ..load.clone() };
            generate(CORES, &Load { lasting: WARM_UP, ..load.clone() }, bodies);
            let (before, cpu, began) = (function.answered(), node.collector.cpu(), load::now());
            let outcome = generate(CORES, &load, bodies);
            let (took, cpu) = (began.elapsed(), node.collector.cpu().saturating_sub(cpu));
            let invoked = function.answered() - before;
            assert_eq!(outcome.refused, 0, "requests were refused");
            assert!(invoked < outcome.calls, "the destination kept up: it needs a higher --rate");
            (invoked as f64 / took.as_secs_f64(), cpu.as_secs_f64() * 1e6 / invoked as f64)
        });
        println!(
            "repeat={}: {rate:.0} invocations/s; {micros:.0} µs of CPU an invocation, with the intake of {} calls/s",
            repeat + 1,
            args.rate
        );
        rates.push(rate);
    }
    let (least, most) = ends(&rates);
    println!(
        "\n{} invocations at once of a function that takes {} ms: {:.0}/s ({least:.0} to {most:.0}), median of {}\n",
        args.concurrency,
        args.takes,
        median(rates),
        args.repeats
    );
}

/// What senders and memory notice of a function that hangs, compared with no destination.
#[expect(clippy::cast_precision_loss, reason = "calls of some seconds, and bytes of a process")]
fn hung(args: &Args, bodies: &Arc<Bodies>) {
    let function = on_cores(OTHER_CORE, || Function::start(None));
    let mut ratios: [Vec<f64>; 3] = Default::default();
    let mut peaks = [Vec::new(), Vec::new()];
    for repeat in 0..args.repeats {
        // Every second time in reverse order, so that a drift of the machine favours neither.
        let order = if repeat % 2 == 0 { [false, true] } else { [true, false] };
        let mut figures = [[0.0; 3]; 2];
        for has_destination in order {
            let function = has_destination.then_some(&function);
            let index = usize::from(has_destination);
            let peak = with_node(args, function, (CORE, OTHER_CORE), |node, load| {
                generate(OTHER_CORE, &Load { lasting: WARM_UP, ..load.clone() }, bodies);
                node.flush();
                let (cpu, began) = (node.collector.cpu(), load::now());
                let outcome = generate(OTHER_CORE, load, bodies);
                let answered = outcome.calls as f64 / began.elapsed().as_secs_f64();
                node.flush();
                let (took, cpu) = (began.elapsed(), node.collector.cpu().saturating_sub(cpu));
                assert_eq!(outcome.refused, 0, "requests were refused");
                let calls = outcome.calls as f64;
                figures[index] = [answered, calls / took.as_secs_f64(), cpu.as_secs_f64() * 1e6 / calls];
                node.collector.peak_rss()
            });
            peaks[index].push(peak as f64 / MIB);
        }
        let [none, hung] = figures;
        println!(
            "repeat={}: answered {:.0} calls/s without, {:.0} with a function that hangs; delivered {:.0}, {:.0}; \
             {:.2}, {:.2} µs of CPU a call; peak of memory {:.1}, {:.1} MiB",
            repeat + 1,
            none[0],
            hung[0],
            none[1],
            hung[1],
            none[2],
            hung[2],
            peaks[0][repeat],
            peaks[1][repeat],
        );
        for (place, ratios) in ratios.iter_mut().enumerate() {
            ratios.push(hung[place] / none[place]);
        }
    }
    let shown = ratios.map(|ratios| {
        let (least, most) = ends(&ratios);
        format!("× {:.3} ({least:.3} to {most:.3})", median(ratios))
    });
    let [answered, delivered, cpu] = shown;
    let more: Vec<f64> = peaks[1].iter().zip(&peaks[0]).map(|(hung, none)| hung - none).collect();
    let (least, most) = ends(&more);
    println!(
        "\na function that hangs: answered {answered}, delivered {delivered}, CPU a call {cpu}; \
         {:.1} MiB more memory ({least:.1} to {most:.1}); medians of {}",
        median(more),
        args.repeats
    );
}

/// The least and the most.
fn ends(values: &[f64]) -> (f64, f64) {
    values.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(least, most), value| {
        (least.min(*value), most.max(*value))
    })
}
