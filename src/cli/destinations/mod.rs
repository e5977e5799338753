//! `forebay destinations`: tests the functions of destinations, shows what they got, sends calls again, and
//! drops what waits for a removed destination.

pub mod args;
mod configured;
mod render;
mod replay;
mod sent;
mod testing;

use std::io::Write;
use std::time::Duration;

use http::Method;
use serde_json::Value;

use self::args::{DestinationsCommand, RemoveArgs, StatusArgs};
use super::failure::Failure;
use super::print_json::print_json;
use crate::admin::{AllDestinations, Attempts};

const PATIENCE: Duration = Duration::from_secs(10);

/// Runs a command about destinations.
/// Errors: [`Failure`]: the collector does not answer or refuses, or a test or replay failed.
pub async fn run(command: &DestinationsCommand, out: &mut (dyn Write + Send)) -> Result<(), Failure> {
    match command {
        DestinationsCommand::Status(args) => status(args, out).await,
        DestinationsCommand::Test(args) => testing::run(args, out).await,
        DestinationsCommand::Replay(args) => replay::run(args, out).await,
        DestinationsCommand::Remove(args) => remove(args, out).await,
    }
}

async fn status(args: &StatusArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let client = args.admin.client()?;
    let Some(name) = &args.name else {
        let all: Value = client.ask(Method::GET, "/api/destinations", PATIENCE).await?;
        if args.json {
            print_json(out, &all)?;
        } else {
            let all: AllDestinations = serde_json::from_value(all).map_err(std::io::Error::other)?;
            out.write_all(render::all(&all).as_bytes())?;
        }
        return Ok(());
    };
    let mut path = format!("/api/destinations/{name}/deliveries?limit={}", args.limit);
    if let Some(class) = &args.class {
        path.push_str("&class=");
        path.push_str(class);
    }
    let one: Value = client.ask(Method::GET, &format!("/api/destinations/{name}"), PATIENCE).await?;
    let attempts: Attempts = client.ask(Method::GET, &path, PATIENCE).await?;
    if args.json {
        print_json(out, &serde_json::json!({ "destination": one, "deliveries": attempts }))?;
        return Ok(());
    }
    let one = serde_json::from_value(one).map_err(std::io::Error::other)?;
    out.write_all(render::one(&one, &attempts).as_bytes())?;
    Ok(())
}

async fn remove(args: &RemoveArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let name = &args.name;
    let client = args.admin.client()?;
    if !args.discard {
        return Err(Failure::usage(format!(
            "a destination ends by itself once it is no longer in the configuration and what waits has been sent; to drop what \
             waits instead: forebay destinations remove {name} --discard"
        )));
    }
    let _: Value = client.ask(Method::POST, &format!("/api/destinations/{name}/discard"), PATIENCE).await?;
    writeln!(out, "{name}: what waited is dropped; it is still in the archive")?;
    Ok(())
}
