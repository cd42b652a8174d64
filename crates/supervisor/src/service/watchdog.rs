//! Tells the service manager that the process is alive, but only while its runtime works: each time, a new task has to
//! be taken up and finished first. One that is stuck is silent, and is started again.

use std::ffi::OsStr;
use std::time::Duration;

use tokio::time::MissedTickBehavior;

/// How long the manager waits for a sign of life, by `WATCHDOG_USEC` and `WATCHDOG_PID`; `None`: it does not wait, or
/// not for this process. Pure.
pub(super) fn period(usec: Option<&OsStr>, pid: Option<&OsStr>, own_pid: u32) -> Option<Duration> {
    let is_ours = pid.is_none_or(|pid| pid.to_str().and_then(|pid| pid.parse().ok()) == Some(own_pid));
    let usec: u64 = usec?.to_str()?.parse().ok()?;
    (is_ours && usec > 0).then(|| Duration::from_micros(usec))
}

/// Calls `alive` twice in each period, for as long as tasks are taken up.
pub(super) async fn watch(period: Duration, mut alive: impl FnMut()) {
    let mut ticks = tokio::time::interval(period / 2);
    // After the machine has slept, one sign is enough.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        match tokio::spawn(async {}).await {
            Ok(()) => alive(),
            // The runtime ends, and with it this task.
            Err(_) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn the_period_counts_for_this_process_only() {
        let [usec, pid, other] = ["30000000", "7", "8"].map(OsStr::new);
        let half_a_minute = Some(Duration::from_secs(30));
        assert_eq!(period(Some(usec), Some(pid), 7), half_a_minute);
        assert_eq!(period(Some(usec), None, 7), half_a_minute);
        assert_eq!(period(Some(usec), Some(other), 7), None);
        assert_eq!(period(None, Some(pid), 7), None);
        for nonsense in ["0", "-1", "soon", ""] {
            assert_eq!(period(Some(OsStr::new(nonsense)), None, 7), None, "{nonsense:?}");
        }
    }

    /// One thread runs all tasks of the runtime. While one of them holds it up, there is no sign of life.
    #[test]
    fn a_runtime_that_is_stuck_gives_no_sign() {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (alive, signs) = mpsc::channel();
        runtime.spawn(watch(Duration::from_millis(20), move || alive.send(()).unwrap()));
        for _ in 0..3 {
            signs.recv().unwrap();
        }
        let (free, stuck) = mpsc::channel::<()>();
        let (began, begins) = mpsc::channel();
        runtime.spawn(async move {
            began.send(()).unwrap();
            stuck.recv().unwrap();
        });
        begins.recv().unwrap();
        while signs.try_recv().is_ok() {}
        assert_eq!(signs.recv_timeout(Duration::from_millis(200)), Err(mpsc::RecvTimeoutError::Timeout));
        free.send(()).unwrap();
        signs.recv().unwrap();
    }
}
