//! Measures ratio and speed of each gzip level on real lines, as one record holds them:
//! `cargo run --release -p millpond-kinesis --example compression_levels -- FILE…`

use std::time::Duration;

use millpond_kinesis::{Batcher, BatcherOptions, Format};

/// Records of 1 MiB, all sources mixed line by line, as an aggregator sees them.
fn bodies(lines: &[String]) -> Vec<Vec<u8>> {
    let options = BatcherOptions { format: Format::Ndjson, ..BatcherOptions::default() };
    let mut batcher = Batcher::new(options);
    let mut bodies = Vec::new();
    for (number, line) in lines.iter().cycle().take(200_000).enumerate() {
        let time = 1_790_000_000.0 + number as f64 * 0.0037;
        let raw = serde_json::to_string(line).expect("a string is JSON");
        let push = batcher.push(Duration::ZERO, 0, |buffer| {
            buffer.extend_from_slice(line_event(&raw, time, number % 7).as_bytes());
        });
        if let Some(sealed) = push.and_then(|push| push.sealed_before.or(push.full)) {
            bodies.push(sealed.encode(1).record(0).data.to_vec());
        }
        if bodies.len() == 16 {
            break;
        }
    }
    bodies
}

fn line_event(raw: &str, time: f64, source: usize) -> String {
    format!(
        "{{\"_raw\":{raw},\"_time\":{time:.3},\"host\":\"edge-0042\",\"source\":\"/var/log/app/{source}.log\"}}"
    )
}

/// Time that this thread has had a processor: others on the machine do not count.
fn processor_time() -> Duration {
    let statistics = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux");
    let nanoseconds = statistics.split(' ').next().and_then(|first| first.parse().ok());
    Duration::from_nanos(nanoseconds.expect("a number"))
}

fn measure(name: &str, lines: &[String]) {
    let bodies = bodies(lines);
    let input: usize = bodies.iter().map(Vec::len).sum();
    println!("{name}: {} records, {} bytes", bodies.len(), input);
    for level in 1..=9 {
        let mut best = Duration::MAX;
        let mut output = 0;
        for _ in 0..5 {
            let begin = processor_time();
            output = bodies.iter().map(|body| millpond_kinesis::encode::gzip(body, level).len()).sum();
            best = best.min(processor_time() - begin);
        }
        println!(
            "  level {level}: {:.2} : 1, {:.0} MB/s",
            input as f64 / output as f64,
            input as f64 / best.as_secs_f64() / 1e6
        );
    }
}

fn main() {
    let sources: Vec<Vec<String>> = std::env::args()
        .skip(1)
        .map(|path| {
            let text = std::fs::read(&path).expect("the file can be read");
            String::from_utf8_lossy(&text).lines().map(str::to_owned).collect()
        })
        .collect();
    let longest = sources.iter().map(Vec::len).max().expect("at least one file");
    let mixed: Vec<String> = (0..longest)
        .flat_map(|index| sources.iter().filter_map(move |lines| lines.get(index).cloned()))
        .collect();
    measure("mixed", &mixed);
    for (source, path) in sources.iter().zip(std::env::args().skip(1)) {
        measure(&path, source);
    }
}
