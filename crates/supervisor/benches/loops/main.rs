//! How fast the inner loops are: `cargo bench -p millpond --bench loops`.

use std::path::PathBuf;

use criterion::{Criterion, Throughput};

#[path = "mod.rs"]
mod loops;

fn main() {
    // Nothing is compared with an earlier run on another day: only ratios within one run say anything here.
    let results = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("criterion");
    let mut criterion = Criterion::default().output_directory(&results).configure_from_args();
    let mut group = criterion.benchmark_group("loops");
    for mut each in loops::all() {
        group.throughput(Throughput::Bytes(each.bytes as u64));
        group.bench_function(each.name, |bencher| bencher.iter(&mut each.run));
    }
    group.finish();
    criterion.final_summary();
}
