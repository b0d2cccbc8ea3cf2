//! Makes a data folder of a large fleet with a long past, to look at and to measure: see `--help`.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for the command line")]

use std::{path::PathBuf, process::ExitCode};
use tests::seeded::{self, Seed};

const HELP: &str = "\
Usage: holdfast-seed --data-dir DIR [--hosts N] [--jobs N]

Makes a data folder for holdfast-server with hosts that never were and the jobs of their last 30 days.

Options:
  --data-dir DIR   a folder that is not there yet
  --hosts N        how many hosts [10000]
  --jobs N         how many jobs of all of them [1000000]

Exit status: 0 made, 1 not made, 2 wrong usage.
";

fn main() -> ExitCode {
    let mut seed = Seed { hosts: 10_000, jobs: 1_000_000 };
    let mut folder: Option<PathBuf> = None;
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut number = || arguments.next().and_then(|text| text.parse::<u64>().ok());
        let is_read = match argument.as_str() {
            "--help" | "-h" => {
                print!("{HELP}");
                return ExitCode::SUCCESS;
            }
            "--hosts" => number().map(|hosts| seed.hosts = hosts).is_some(),
            "--jobs" => number().map(|jobs| seed.jobs = jobs).is_some(),
            "--data-dir" => {
                folder = arguments.next().map(PathBuf::from);
                folder.is_some()
            }
            _ => false,
        };
        if !is_read {
            eprintln!("holdfast-seed: {argument} is not understood\n\n{HELP}");
            return ExitCode::from(2);
        }
    }
    let Some(folder) = folder.filter(|folder| !folder.exists() && seed.hosts > 0) else {
        eprintln!("holdfast-seed: --data-dir has to name a folder that is not there yet\n\n{HELP}");
        return ExitCode::from(2);
    };
    match seeded::make(&folder, seed) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("holdfast-seed: {error}");
            ExitCode::FAILURE
        }
    }
}
