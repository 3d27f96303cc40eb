//! Runs all the programs side by side, so many rounds, and prints one table: medians, their spread, ratios to the floor of the
//! same run, and which bars are met. `compare [--rounds N] [--quick] [--json FILE]`.

use std::collections::BTreeMap;
use std::io::{IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// What is asked of each program, in one round.
fn plan(quick: bool, otp: bool) -> Vec<(&'static str, Vec<String>)> {
    let (many, n, samples, secs) = if quick {
        ("10000", "1000", "500", "1")
    } else {
        ("100000", "10000", "2000", "3")
    };
    let mut plan: Vec<(&'static str, String)> = Vec::new();
    for of in ["floor", "ours", "task", "ractor"] {
        // One of them takes ten seconds to digest as many as the others start at once.
        for size in if of == "ractor" {
            &["1000", "10000"][..]
        } else {
            &["1000", "10000", "100000"][..]
        } {
            if size.len() <= many.len() {
                plan.push((
                    of,
                    format!(
                        "start {size} {}",
                        if of == "floor" { "joinset" } else { "static" }
                    ),
                ));
            }
        }
        plan.push((
            of,
            format!(
                "latency {n} {samples} error {}",
                if of == "floor" { "own-runtime" } else { "static" }
            ),
        ));
        plan.push((
            of,
            format!(
                "rate {secs} {n} 64 error {}",
                if of == "floor" { "own-runtime" } else { "static" }
            ),
        ));
        plan.push((of, format!("shutdown {n} static")));
    }
    plan.push(("ours", format!("start {n} static-apart")));
    plan.push(("ours", format!("start {n} dynamic")));
    plan.push(("ours", format!("shutdown {n} static-apart")));
    plan.push(("ours", format!("latency 100 {samples} error static")));
    plan.push(("ours", format!("latency {many} {samples} error static")));
    plan.push(("ours", format!("latency {n} {samples} panic static")));
    plan.push(("ours", "tree 300 together".to_owned()));
    plan.push(("ours", "tree 300 -apart".to_owned()));
    for workers in ["1", "2"] {
        for how in ["wakes", "busy"] {
            plan.push(("ours", format!("hang {workers} {how} 3")));
        }
    }
    plan.push((
        "ours",
        format!("leak {}", if quick { "100000" } else { "1000000" }),
    ));
    if otp {
        plan.push(("otp", format!("start {n} static")));
        plan.push(("otp", format!("latency {n} {samples} error static")));
        plan.push(("otp", "tree 300".to_owned()));
    }
    let words = |line: String| line.split(' ').map(str::to_owned).collect();
    plan.into_iter().map(|(of, line)| (of, words(line))).collect()
}

/// Builds OTP's program, if there is an OTP.
fn otp(beside: &Path) -> Option<PathBuf> {
    let out = beside.join("otp");
    std::fs::create_dir_all(&out).ok()?;
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/compare.erl");
    let built = Command::new("erlc")
        .arg("-o")
        .arg(&out)
        .arg(source)
        .status()
        .ok()?;
    built.success().then_some(out)
}

/// Median, least and most of what was measured under one name.
#[derive(Clone, Copy)]
struct Spread {
    median: f64,
    least: f64,
    most: f64,
}

#[derive(Default)]
struct Figures(BTreeMap<String, Vec<f64>>);

impl Figures {
    fn take(&mut self, line: &Value) {
        let word = |key: &str| line[key].as_str().map(str::to_owned).unwrap_or_default();
        let number = |key: &str| line[key].as_u64().map(|n| n.to_string()).unwrap_or_default();
        let parts = [
            word("impl"),
            word("figure"),
            word("how"),
            number("n"),
            number("workers"),
            word("crash"),
        ];
        let parts: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        for (key, value) in line.as_object().into_iter().flatten() {
            let value = value
                .as_f64()
                .or(value.as_bool().map(|so| if so { 1.0 } else { 0.0 }));
            if let Some(value) = value {
                self.0
                    .entry(format!("{} {key}", parts.join(" ")))
                    .or_default()
                    .push(value);
            }
        }
    }

    fn get(&self, name: &str) -> Option<Spread> {
        let mut all = self.0.get(name)?.clone();
        all.sort_by(f64::total_cmp);
        Some(Spread {
            median: all[all.len() / 2],
            least: all[0],
            most: all[all.len() - 1],
        })
    }
}

struct Row {
    what: String,
    ours: Spread,
    against: Option<(&'static str, f64)>,
    bar: Option<(f64, bool)>,
}

fn shown(value: f64) -> String {
    match value {
        v if v >= 1_000.0 => format!("{v:.0}"),
        v if v >= 10.0 => format!("{v:.1}"),
        v => format!("{v:.2}"),
    }
}

fn main() {
    let mut rounds = 5;
    let (mut quick, mut json) = (false, None);
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        match word.as_str() {
            "--rounds" => {
                rounds = words
                    .next()
                    .and_then(|n| n.parse().ok())
                    .unwrap_or_else(|| usage())
            }
            "--quick" => (quick, rounds) = (true, 1),
            "--json" => json = Some(words.next().unwrap_or_else(|| usage())),
            _ => usage(),
        }
    }
    let beside = std::env::current_exe()
        .expect("a program has a place")
        .parent()
        .expect("in a folder")
        .to_owned();
    let otp = otp(&beside);
    if otp.is_none() {
        eprintln!("not run, because there is no erl here: otp");
    }
    let mut lines =
        json.map(|path| std::fs::File::create(&path).unwrap_or_else(|error| panic!("{path}: {error}")));
    let mut figures = Figures::default();
    let watched = std::io::stderr().is_terminal();
    for round in 1..=rounds {
        for (of, words) in plan(quick, otp.is_some()) {
            if watched {
                eprint!("\r\x1b[Kround {round} of {rounds}: {of} {}", words.join(" "));
            }
            let mut command = match (of, &otp) {
                ("otp", Some(folder)) => {
                    let mut erl = Command::new("erl");
                    erl.args(["-noshell", "-noinput", "-kernel", "logger_level", "none", "-pa"])
                        .arg(folder);
                    erl.args(["-s", "compare", "main", "-extra"]);
                    erl
                }
                _ => Command::new(beside.join(of)),
            };
            let output = command
                .args(&words)
                .output()
                .expect("the programs lie beside this one");
            if !output.status.success() {
                eprintln!(
                    "\nfailed: {of} {}: {}",
                    words.join(" "),
                    String::from_utf8_lossy(&output.stderr).trim()
                );
                continue;
            }
            for line in String::from_utf8_lossy(&output.stdout).lines() {
                let Ok(value) = serde_json::from_str::<Value>(line) else {
                    continue;
                };
                figures.take(&value);
                if let Some(file) = &mut lines {
                    writeln!(file, "{line}").expect("the figures can be written");
                }
            }
        }
    }
    if watched {
        eprintln!("\r\x1b[K");
    }
    print(&figures, quick, rounds);
}

fn usage() -> ! {
    eprintln!("compare [--rounds N] [--quick] [--json FILE]");
    std::process::exit(2);
}

fn print(figures: &Figures, quick: bool, rounds: usize) {
    let (many, n) = if quick { (10_000, 1_000) } else { (100_000, 10_000) };
    let us = "ao-supervisor";
    let mut rows = Vec::new();
    // Ours, against whom, and the most or least that the ratio or the figure may be.
    let mut row = |what: &str,
                   ours: String,
                   floor: Option<(&'static str, String)>,
                   most: Option<f64>,
                   least: Option<f64>| {
        let Some(spread) = figures.get(&ours) else { return };
        let against =
            floor.and_then(|(name, floor)| Some((name, spread.median / figures.get(&floor)?.median)));
        let value = against.map_or(spread.median, |(_, ratio)| ratio);
        let bar = most
            .map(|most| (most, value <= most))
            .or(least.map(|least| (least, value >= least)));
        rows.push(Row {
            what: what.to_owned(),
            ours: spread,
            against,
            bar,
        });
    };
    let start = |of: &str, how: &str, n: usize| format!("{of} start {how} {n} us_per_child");
    for size in [1_000, 10_000, many] {
        let floor = Some(("tokio", start("tokio", "joinset", size)));
        let bar = (size == many).then_some(2.4);
        row(
            &format!("start of {size}, us a child"),
            start(us, "static", size),
            floor,
            bar,
            None,
        );
    }
    row(
        &format!("start of {many}, against {n}, us a child"),
        start(us, "static", many),
        Some(("10000", start(us, "static", n))),
        Some(1.5),
        None,
    );
    row(
        &format!("start of {n}, supervisors apart, us a child"),
        start(us, "static-apart", n),
        None,
        None,
        None,
    );
    row(
        &format!("start of {n} one by one, us a child"),
        start(us, "dynamic", n),
        None,
        None,
        None,
    );
    row(
        &format!("memory of {many}, bytes a child"),
        format!("{us} start static {many} rss_bytes_per_child"),
        None,
        Some(1_150.0),
        None,
    );
    let late = |of: &str, how: &str, n: usize, at: &str| format!("{of} latency {how} {n} error {at}");
    let own = |at: &str| Some(("tokio", late("tokio", "own-runtime", n, at)));
    row(
        "crash to ready, p50 us",
        late(us, "static", n, "p50_us"),
        own("p50_us"),
        Some(1.2),
        None,
    );
    row(
        "crash to ready, p99 us",
        late(us, "static", n, "p99_us"),
        own("p99_us"),
        None,
        None,
    );
    if let Some(otp) = figures
        .0
        .keys()
        .find(|key| key.starts_with("otp-") && key.contains("latency") && key.ends_with("p99_us"))
    {
        row(
            "crash to ready, p99 us, against OTP",
            late(us, "static", n, "p99_us"),
            Some(("OTP", otp.clone())),
            Some(1.0),
            None,
        );
    }
    row(
        "crash to ready, p50 us, panic",
        format!("{us} latency static {n} panic p50_us"),
        None,
        None,
        None,
    );
    row(
        &format!("crash to ready of {many}, against 100, p50 us"),
        late(us, "static", many, "p50_us"),
        Some(("100", late(us, "static", 100, "p50_us"))),
        Some(1.5),
        None,
    );
    let rate = |of: &str, how: &str| format!("{of} restarts_per_second {how} error per_s");
    row(
        "restarts a second, 64 crashing",
        rate(us, "static"),
        Some(("tokio", rate("tokio", "own-runtime"))),
        None,
        Some(0.45),
    );
    row(
        "their last second against their first",
        format!("{us} restarts_per_second static error last_to_first"),
        None,
        None,
        Some(0.9),
    );
    let stop = |of: &str, how: &str, what: &str| format!("{of} shutdown {how} {n} {what}");
    row(
        &format!("ordered stop of {n}, us a child"),
        stop(us, "static", "us_per_child"),
        None,
        Some(2.0),
        None,
    );
    row(
        &format!("ordered stop of {n}, against tokio's"),
        stop(us, "static", "us_per_child"),
        Some(("tokio", stop("tokio", "ordered", "us_per_child"))),
        None,
        None,
    );
    row(
        &format!("ordered stop of {n}, supervisors apart, us a child"),
        stop(us, "static-apart", "us_per_child"),
        None,
        None,
        None,
    );
    row(
        "pairs stopped in reverse",
        stop(us, "static", "pairs_in_reverse"),
        None,
        None,
        Some(1.0),
    );
    row(
        "alive when the stop returns",
        stop(us, "static", "alive_at_return"),
        None,
        Some(0.0),
        None,
    );
    row(
        "three levels, p50 us",
        format!("{us} tree together p50_us"),
        None,
        Some(70.0),
        None,
    );
    row(
        "three levels, supervisors apart, p50 us",
        format!("{us} tree -apart p50_us"),
        None,
        None,
        None,
    );
    row(
        "memory gained by nine tenths of a million restarts, bytes",
        format!("{us} leak growth_bytes"),
        None,
        Some(1_000_000.0),
        None,
    );
    for workers in [1, 2] {
        for how in ["busy loop", "wakes its supervisor, then blocks"] {
            let name = format!("{us} hang {how} {workers} late_ms_max");
            row(
                &format!("hang reported, ms after its deadline: {how}, {workers} worker(s)"),
                name,
                None,
                Some(100.0),
                None,
            );
        }
    }
    println!("ao-supervisor, medians of {rounds} round(s); in brackets the least and the most\n");
    println!("| figure | ours | ratio | bar | |\n|---|---|---|---|---|");
    for row in rows {
        let ratio = row
            .against
            .map_or(String::new(), |(name, ratio)| format!("{ratio:.2} x {name}"));
        let (bar, met) = row.bar.map_or((String::new(), ""), |(bar, met)| {
            (shown(bar), if met { "met" } else { "MISSED" })
        });
        let Spread { median, least, most } = row.ours;
        println!(
            "| {} | {} [{} .. {}] | {ratio} | {bar} | {met} |",
            row.what,
            shown(median),
            shown(least),
            shown(most)
        );
    }
    println!(
        "\n| others | start, us a child | crash to ready, p50 / p99 us | restarts a second | stop, us a child | in reverse | alive at return |\n|---|---|---|---|---|---|---|"
    );
    let value = |name: String| {
        figures
            .get(&name)
            .map_or("-".to_owned(), |spread| shown(spread.median))
    };
    for (of, how) in [
        ("tokio", "joinset"),
        (us, "static"),
        ("task-supervisor", "static"),
        ("ractor-supervisor", "static"),
    ] {
        let (own, order) = if of == "tokio" {
            ("own-runtime", "ordered")
        } else {
            (how, how)
        };
        println!(
            "| {of} | {} | {} / {} | {} | {} | {} | {} |",
            value(start(of, how, n)),
            value(late(of, own, n, "p50_us")),
            value(late(of, own, n, "p99_us")),
            value(rate(of, own)),
            value(stop(of, order, "us_per_child")),
            value(stop(of, order, "pairs_in_reverse")),
            value(stop(of, order, "alive_at_return")),
        );
    }
    for key in figures.0.keys().filter(|key| {
        key.starts_with("otp-") && key.ends_with("_us")
            || key.starts_with("otp-") && key.ends_with("us_per_child")
    }) {
        println!("{key}: {}", value(key.clone()));
    }
}
