//! Tests of `scripts/lambda/`: each script runs with the AWS CLI against ministack, which runs the function too, and
//! the commands of docs/csv-lambda.md run as they stand there.

mod bucket;
mod function;
mod package;
mod page;
mod workshop;
