// Numbers and times as people read them, as `millpond status` writes them.

export function count(number) {
  return Math.round(number).toLocaleString("en-US");
}

export function many(number, one, more) {
  return `${count(number)} ${number === 1 ? one : more}`;
}

export function bytes(number) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  while (number >= 1024 && unit < units.length - 1) {
    number /= 1024;
    unit += 1;
  }
  return unit === 0 ? `${number} B` : `${(Math.floor(number * 10) / 10).toFixed(1)} ${units[unit]}`;
}

// A stretch of time in its two largest units.
export function span(seconds) {
  const units = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]];
  const whole = Math.max(0, Math.floor(seconds));
  const at = units.findIndex(([, size]) => whole >= size);
  if (at < 0) return "0 s";
  const [name, size] = units[at];
  const next = units[at + 1];
  const rest = next ? Math.floor((whole % size) / next[1]) : 0;
  return `${Math.floor(whole / size)} ${name}${rest > 0 ? ` ${rest} ${next[0]}` : ""}`;
}

export function ago(timeMs, nowMs) {
  return timeMs > nowMs ? `${span((timeMs - nowMs) / 1000)} ahead` : `${span((nowMs - timeMs) / 1000)} ago`;
}

// What a state means: one of the classes good, warning, bad, idle.
export function tone(state) {
  switch (state) {
    case "healthy":
    case "accepting":
      return "good";
    case "unhealthy":
    case "failing":
      return "bad";
    case "inactive":
    case "ended":
      return "idle";
    default:
      return "warning";
  }
}

// When a queue will be empty: what to show large, and what below it.
export function drain(output, queue) {
  if (queue.drain) return [span(queue.drain.secs_left), `${count(queue.drain.events_per_sec)} events/s fewer`];
  if (queue.events === 0) return ["empty", ""];
  if (output.state === "paused") return ["–", "when it is resumed"];
  if (output.state === "unhealthy") return ["–", "when it is healthy again"];
  return ["–", "it does not become shorter"];
}
