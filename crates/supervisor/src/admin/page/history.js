// What the page has seen of each output: an hour of it.

const KEPT_MS = 3600 * 1000;
// No answer for so long is a gap, and not a line between two points.
export const GAP_MS = 10 * 1000;

export class History {
  constructor() {
    this.outputs = new Map();
  }

  // `at` is a time of this page's own clock, which only goes forward.
  add(status, at) {
    const here = new Set();
    for (const output of status.outputs) {
      here.add(output.id);
      const points = this.outputs.get(output.id) ?? [];
      points.push(point(output, at, points.at(-1)));
      while (points[0].at < at - KEPT_MS) points.shift();
      this.outputs.set(output.id, points);
    }
    for (const id of this.outputs.keys()) if (!here.has(id)) this.outputs.delete(id);
  }

  of(id) {
    return this.outputs.get(id) ?? [];
  }
}

function point(output, at, last) {
  const running = output.running;
  const queue = running?.queue;
  const seen = {
    at,
    state: output.state,
    depth: queue?.answer === "known" ? queue.events : null,
    receivedEvents: running?.received_events ?? 0,
    deliveredEvents: running?.delivered_events ?? 0,
    received: null,
    delivered: null,
  };
  const secs = last ? (at - last.at) / 1000 : 0;
  // Rates are between two looks; a forwarder that was started again counts from zero.
  if (secs > 0 && at - last.at < GAP_MS && seen.receivedEvents >= last.receivedEvents && seen.deliveredEvents >= last.deliveredEvents) {
    seen.received = (seen.receivedEvents - last.receivedEvents) / secs;
    seen.delivered = (seen.deliveredEvents - last.deliveredEvents) / secs;
  }
  return seen;
}

// How much of the past is shown: what there is, from a minute to an hour.
export function windowMs(points, now) {
  const seen = points.length ? now - points[0].at : 0;
  return Math.min(KEPT_MS, Math.max(60 * 1000, seen));
}
