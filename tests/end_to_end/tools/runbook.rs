//! `docs/runbook.md`: every command in it is run, and prints what the page says, but for numbers and times.
//!
//! `MILLPOND_WRITE_DOCS=1` writes what they print into the page instead.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;
use std::time::Duration;

use regex::Regex;

use crate::admin_client::get;
use crate::world::{PATIENCE, World};

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/runbook.md");
const QUEUE: &str = "flush_period: 50ms\nbackpressure: queue\nqueue: { mode: error, max_size: \"64 MiB\", \
                     max_segment_size: \"1 MiB\", min_free: \"0 B\" }";
/// Where things are in the page.
const SHOWN_ADMIN: &str = "127.0.0.1:9650";
const SHOWN_ENDPOINT: &str = "http://127.0.0.1:4567";
const SHOWN_DISK: &str = "/mnt/disk";
const SHOWN_HOME: &str = "/srv/gateway";

/// A piece of the page.
enum Piece {
    /// Lines as they are.
    Text(String),
    /// A scene begins.
    Scene(String),
    /// Commands, each with what it prints.
    Console(Vec<(String, String)>),
}

fn pieces(page: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        if let Some(scene) = line.strip_prefix("<!-- scene: ").and_then(|rest| rest.strip_suffix(" -->")) {
            pieces.push(Piece::Scene(scene.to_owned()));
        } else if line == "```console" {
            let mut commands: Vec<(String, String)> = Vec::new();
            for line in lines.by_ref().take_while(|line| *line != "```") {
                match (line.strip_prefix("$ "), commands.last_mut()) {
                    (Some(command), _) => commands.push((command.to_owned(), String::new())),
                    (None, Some((_, output))) => output.push_str(&format!("{line}\n")),
                    (None, None) => panic!("output without a command: {line}"),
                }
            }
            pieces.push(Piece::Console(commands));
        } else {
            pieces.push(Piece::Text(line.to_owned()));
        }
    }
    pieces
}

/// What is left of a text when numbers, times and sizes do not count.
fn masked(text: &str) -> String {
    static MASKS: LazyLock<Vec<(Regex, &str)>> = LazyLock::new(|| {
        let mask = |pattern: &str, with| (Regex::new(pattern).unwrap(), with);
        vec![
            mask(r"\b[0-9a-f]{8}-[0-9a-f-]{27}\b|\b[0-9a-f]{16,}\b|\b[0-9a-f]{8}\b", "#"),
            mask(r"[▁▂▃▄▅▆▇█▏▎▍▌▋▊▉░▒▓]+", "▇"),
            mask(r"\d+(,\d{3})*(\.\d+)?", "#"),
            mask(r"# ?(ms|s|min|h|d)( # ?(ms|s|min|h))?\b", "<time>"),
            mask(r"# (B|KiB|MiB|GiB)\b", "<size>"),
            mask(r"[ \t]+", " "),
            mask(r"# (batch|event|file|chunk|segment|letter|record|put)(es|s)?\b", "# $1"),
            mask(r"(▇ ?)+", "▇"),
        ]
    });
    let mut masked = without_chance(text);
    for (pattern, with) in MASKS.iter() {
        masked = pattern.replace_all(&masked, *with).into_owned();
    }
    // How many rows alike a table has is chance, and so is where a line is broken.
    let mut lines: Vec<&str> = masked.lines().map(str::trim).collect();
    lines.dedup();
    lines.join("\n").split_whitespace().collect::<Vec<_>>().join(" ")
}

/// What depends on more than the scene: whom credentials belong to is asked of STS in the world outside, which a test may
/// reach or not; how far a replay is when it says so is chance.
fn without_chance(text: &str) -> String {
    let mut rest = false;
    let kept = text.lines().filter(|line| {
        let words: Vec<&str> = line.split_whitespace().take(2).collect();
        let begins = words.get(1) == Some(&"identity");
        // What to do about it stands in the next line, below the words.
        rest = begins || rest && line.starts_with(&" ".repeat(20));
        !rest && !line.starts_with("replay: ")
    });
    kept.map(|line| format!("{line}\n")).collect()
}

/// A scene that is set.
struct Stage {
    world: World,
    admin: String,
    disk: PathBuf,
}

impl Stage {
    async fn set(scene: &str) -> Self {
        let settings = match scene {
            "the queue is full" => format!("{}\ncompression: none", QUEUE.replace("64 MiB", "4 MiB")),
            "records are refused" => format!("{QUEUE}\ncompression: none\nsend_batched: false"),
            "the drain is limited" => QUEUE.replace("{ mode: error,", "{ mode: error, drain_rate: 1000,"),
            _ => QUEUE.to_owned(),
        };
        let world = World::new(2, &settings).await;
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let admin = free.to_string();
        world.configure(|config| format!("{config}admin: {{ listen: \"{admin}\" }}\n"));
        let disk = world.path("disk");
        let mut stage = Self { world, admin, disk };
        stage.play(scene).await;
        stage
    }

    async fn play(&mut self, scene: &str) {
        match scene {
            "the link is down" => {
                self.start(2_000).await;
                self.until("through", |output| output["running"]["delivered_events"] == 2_000).await;
                self.world.fault("down");
                self.flow().await;
                self.until("queued", |output| queued(output) > 6_000).await;
            }
            "the drain is limited" => {
                let down = self.world.fault("down");
                self.start(2_000).await;
                self.flow().await;
                self.until("queued", |output| queued(output) > 6_000).await;
                self.world.clear(down);
                let drains =
                    |output: &serde_json::Value| output["state"] == "healthy" && queued(output) > 2_000;
                self.until("draining", drains).await;
            }
            "the stream is missing" => self.outage(&["not-found"], 2_000).await,
            "access is denied" => self.outage(&["denied"], 2_000).await,
            "the queue is full" => {
                self.world.fault("down");
                self.start(100_000).await;
                self.until("full", |output| output["running"]["queue"]["accepting"] == false).await;
                // All that fits into memory waits there.
                self.world.live(Duration::from_secs(2), 0).await;
            }
            "the clock is wrong" => {
                self.world.fault("skew:+3h");
                self.start(100).await;
                self.until("through", |output| output["running"]["delivered_events"] == 100).await;
            }
            "a segment is damaged" => {
                self.outage(&["down"], 20_000).await;
                self.world.stop().await;
                damage(&self.world.path("data/queues/main"));
            }
            "the box is dead" => {
                let down = self.world.fault("down");
                self.start(2_000).await;
                self.flow().await;
                let written = self.world.written;
                self.until("queued", |output| queued(output) == written).await;
                self.world.stop().await;
                self.world.clear(down);
                std::fs::create_dir(&self.disk).unwrap();
                std::fs::rename(self.world.path("data/queues"), self.disk.join("queues")).unwrap();
            }
            "records are refused" => {
                let refuse = self.world.fault("refuse:#42");
                self.start(100).await;
                self.until("refused", |output| output["running"]["dead_letter_events"] == 1).await;
                self.until("through", |output| output["running"]["delivered_events"] == 99).await;
                self.world.clear(refuse);
            }
            other => panic!("the page has a scene that nobody can set: {other}"),
        }
    }

    /// Some seconds with lines.
    async fn flow(&mut self) {
        self.world.live(Duration::from_secs(4), 2_000).await;
    }

    async fn start(&mut self, lines: u64) {
        self.world.write_lines(lines);
        let address = self.world.start_with_admin().await;
        assert_eq!(address.to_string(), self.admin);
    }

    async fn outage(&mut self, faults: &[&str], lines: u64) {
        for fault in faults {
            self.world.fault(fault);
        }
        self.start(lines).await;
        self.until("unhealthy", |output| output["state"] == "unhealthy").await;
        self.until("queued", |output| queued(output) == lines).await;
    }

    async fn until(&mut self, what: &str, is_so: impl Fn(&serde_json::Value) -> bool) {
        let until = tokio::time::Instant::now() + PATIENCE;
        loop {
            let status = get(self.admin.parse().unwrap(), "/api/v1/status").await.json();
            if is_so(&status["outputs"][0]) {
                return;
            }
            assert!(tokio::time::Instant::now() < until, "never {what}: {status:#}");
            self.world.live(Duration::from_millis(50), 0).await;
        }
    }

    /// What a command of the page prints here, in the words of the page.
    async fn print(&self, command: &str) -> String {
        let endpoint = self.world.server.endpoint();
        let names = [
            (endpoint.clone(), SHOWN_ENDPOINT),
            (endpoint.trim_start_matches("http://").to_owned(), SHOWN_ENDPOINT.trim_start_matches("http://")),
            (self.admin.clone(), SHOWN_ADMIN),
            (self.disk.display().to_string(), SHOWN_DISK),
            (self.world.path("").display().to_string().trim_end_matches('/').to_owned(), SHOWN_HOME),
        ];
        let mut real = command.to_owned();
        for (here, shown) in &names {
            real = real.replace(shown, here);
        }
        let millpond = Path::new(env!("CARGO_BIN_EXE_millpond")).parent().unwrap().to_owned();
        let path = format!("{}:{}", millpond.display(), std::env::var("PATH").unwrap());
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("{real} 2>&1")]).current_dir(self.world.path("")).env("PATH", path);
        for (name, value) in [
            ("NO_COLOR", "1"),
            ("COLUMNS", "80"),
            ("LC_ALL", "C.UTF-8"),
            ("AWS_ACCESS_KEY_ID", "test"),
            ("AWS_SECRET_ACCESS_KEY", "test"),
            ("AWS_EC2_METADATA_DISABLED", "true"),
        ] {
            shell.env(name, value);
        }
        shell.env("XDG_STATE_HOME", self.world.path("state"));
        let output = tokio::task::spawn_blocking(move || shell.output().unwrap()).await.unwrap();
        let mut printed = String::from_utf8(output.stdout).unwrap();
        for (here, shown) in &names {
            printed = printed.replace(here, shown);
        }
        printed
    }
}

fn queued(output: &serde_json::Value) -> u64 {
    output["running"]["queue"]["events"].as_u64().unwrap_or(0)
}

/// Turns a byte round in the middle of the oldest segment.
fn damage(queue: &Path) {
    let mut segments: Vec<PathBuf> =
        std::fs::read_dir(queue).unwrap().map(|entry| entry.unwrap().path()).collect();
    segments.retain(|path| path.extension().is_some_and(|extension| extension == "seg"));
    segments.sort();
    let mut bytes = std::fs::read(&segments[0]).unwrap();
    bytes[10_000] ^= 0xff;
    std::fs::write(&segments[0], bytes).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_runbook_prints_what_it_says() {
    let page = std::fs::read_to_string(PAGE).unwrap();
    let writing = std::env::var_os("MILLPOND_WRITE_DOCS").is_some();
    let (mut written, mut wrong, mut stage, mut commands_run) = (String::new(), Vec::new(), None, 0);
    for piece in pieces(&page) {
        match piece {
            Piece::Text(line) => written.push_str(&format!("{line}\n")),
            Piece::Scene(scene) => {
                written.push_str(&format!("<!-- scene: {scene} -->\n"));
                stage = Some(Stage::set(&scene).await);
            }
            Piece::Console(commands) => {
                let stage = stage.as_ref().expect("commands come after a scene");
                written.push_str("```console\n");
                for (command, expected) in commands {
                    let printed = stage.print(&command).await;
                    commands_run += 1;
                    if masked(&printed) != masked(&expected) {
                        wrong.push(format!("$ {command}\n--- the page\n{expected}--- now\n{printed}"));
                    }
                    written.push_str(&format!("$ {command}\n{printed}"));
                }
                written.push_str("```\n");
            }
        }
    }
    if writing {
        std::fs::write(PAGE, written).unwrap();
        return;
    }
    assert!(commands_run >= 15, "the page has lost its commands");
    assert!(
        wrong.is_empty(),
        "run it with MILLPOND_WRITE_DOCS=1 and look at the difference:\n{}",
        wrong.join("\n")
    );
}

#[test]
fn numbers_times_and_sizes_do_not_count_and_words_do() {
    let alike = |a: &str, b: &str| assert_eq!(masked(a), masked(b));
    alike("queued  1,234 events, 45 s", "queued 7 events, 3 min 2 s");
    alike("1.5 MiB\n2.0 MiB\n", "900 KiB\n");
    alike("▁▂ 10", "██████ 9");
    assert_ne!(masked("unhealthy for 3 s"), masked("healthy for 3 s"));
    assert_ne!(masked("5 s"), masked("5 MiB"));
    let identity = format!("  ok  identity  arn\n{}more\n  ok  put  allowed\n", " ".repeat(24));
    alike(&identity, "  ok  put  allowed\n");
}
