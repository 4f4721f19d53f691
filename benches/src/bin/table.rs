//! Prints what criterion measured as a Markdown table: one row a workload, medians.
//!
//! `table [--all]` reads `criterion/` in the target folder; with `--all` a second table lists everything measured.
#![expect(clippy::print_stdout, reason = "a program prints")]

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde_json::Value;
use tachograph_benches::{Role, WORKLOADS};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// One median.
struct Measured {
    workload: String,
    role: String,
    name: String,
    nanos: f64,
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("table: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let mut measured = Vec::new();
    let folder = target_folder().join("criterion");
    collect(&folder, &mut measured)
        .map_err(|error| format!("{}: {error}; run the benches first", folder.display()))?;
    measured.sort_by(|one, other| one.nanos.total_cmp(&other.nanos));
    println!("{}\n", machine());
    print_rows(&measured);
    if std::env::args().any(|argument| argument == "--all") {
        print_all(&measured);
    }
    Ok(())
}

fn target_folder() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../target"),
        PathBuf::from,
    )
}

/// Finds every `new/benchmark.json` with its `estimates.json`.
fn collect(folder: &Path, measured: &mut Vec<Measured>) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() && path.ends_with("new") {
            measured.push(read(&path)?);
        } else if path.is_dir() {
            collect(&path, measured)?;
        }
    }
    Ok(())
}

fn read(folder: &Path) -> Result<Measured> {
    let parse = |file: &str| -> Result<Value> {
        Ok(serde_json::from_slice(&fs::read(folder.join(file))?)?)
    };
    let benchmark = parse("benchmark.json")?;
    let estimates = parse("estimates.json")?;
    let text = |key: &str| benchmark[key].as_str().unwrap_or_default().to_owned();
    let elements = benchmark["throughput"]["Elements"].as_f64().unwrap_or(1.0);
    let median = &estimates["median"]["point_estimate"];
    Ok(Measured {
        workload: text("group_id"),
        role: text("function_id"),
        name: text("value_str"),
        nanos: median.as_f64().ok_or("no median")? / elements,
    })
}

/// The first, and so the fastest, of a role in a workload.
fn best<'a>(measured: &'a [Measured], workload: &str, role: Role) -> Option<&'a Measured> {
    measured
        .iter()
        .find(|one| one.workload == workload && one.role == role.name())
}

fn print_rows(measured: &[Measured]) {
    println!("| workload | limit | tachograph | ÷ limit | best peer | peer ÷ tachograph |");
    println!("|---|---:|---:|---:|---:|---:|");
    for workload in WORKLOADS {
        let [limit, ours, peer] =
            [Role::Limit, Role::Ours, Role::Peer].map(|role| best(measured, workload, role));
        if limit.or(ours).or(peer).is_none() {
            continue;
        }
        let cell = |one: Option<&Measured>| one.map_or("–".into(), |one| duration(one.nanos));
        let named = |one: &Measured| format!("{} {}", one.name, duration(one.nanos));
        println!(
            "| {workload} | {} | {} | {} | {} | {} |",
            cell(limit),
            cell(ours),
            ratio(ours, limit),
            peer.map_or("–".into(), named),
            ratio(peer, ours),
        );
    }
}

fn print_all(measured: &[Measured]) {
    println!("\n| workload | role | what | median |");
    println!("|---|---|---|---:|");
    for workload in WORKLOADS {
        for one in measured.iter().filter(|one| one.workload == workload) {
            println!(
                "| {workload} | {} | {} | {} |",
                one.role,
                one.name,
                duration(one.nanos)
            );
        }
    }
}

fn ratio(of: Option<&Measured>, to: Option<&Measured>) -> String {
    match (of, to) {
        (Some(of), Some(to)) => format!("{:.2}", of.nanos / to.nanos),
        _ => "–".into(),
    }
}

fn duration(nanos: f64) -> String {
    match nanos {
        ..10.0 => format!("{nanos:.2} ns"),
        ..100.0 => format!("{nanos:.1} ns"),
        ..10_000.0 => format!("{nanos:.0} ns"),
        ..10_000_000.0 => format!("{:.0} µs", nanos / 1e3),
        _ => format!("{:.0} ms", nanos / 1e6),
    }
}

/// The processor, its number and the kernel.
fn machine() -> String {
    let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let models: Vec<&str> = cpus
        .lines()
        .filter_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map(|(_, model)| model)
        .collect();
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!(
        "{} × {}, Linux {}; medians of one run.",
        models.len(),
        models.first().unwrap_or(&"unknown processor"),
        kernel.trim()
    )
}
