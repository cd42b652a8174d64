// Charts in SVG: a strip of states, and lines over time.

import { GAP_MS } from "./history.js";
import { count, span, tone } from "./words.js";

const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 600;
const HEIGHT = 100;

function element(name, attributes) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

export function canvas(kind) {
  const height = kind === "strip" ? 10 : HEIGHT;
  return element("svg", { class: kind, viewBox: `0 0 ${WIDTH} ${height}`, preserveAspectRatio: "none", role: "img" });
}

const xOf = (at, now, window) => WIDTH * (1 - (now - at) / window);

// The states as rectangles: what is seen at a look has been so since the last one.
export function drawStrip(svg, points, now, window) {
  const shown = points.filter((point) => point.at >= now - window);
  const runs = [];
  let before = null;
  for (const point of shown) {
    const begin = before !== null && point.at - before < GAP_MS ? before : point.at;
    const last = runs.at(-1);
    if (last && last.state === point.state && last.end === begin) last.end = point.at;
    else runs.push({ state: point.state, begin, end: point.at });
    before = point.at;
  }
  svg.replaceChildren(...runs.map((run) => {
    const x = xOf(run.begin, now, window);
    const width = Math.max(1, xOf(run.end, now, window) - x);
    const rect = element("rect", { class: tone(run.state), x, y: 0, width, height: 10 });
    const title = element("title", {});
    title.textContent = `${run.state} for ${span((run.end - run.begin) / 1000)}`;
    rect.append(title);
    return rect;
  }));
  const told = runs.slice(-8).map((run) => `${run.state} ${span((run.end - run.begin) / 1000)}`).join(", then ");
  svg.setAttribute("aria-label", `States in the last ${span(window / 1000)}: ${told || "none seen yet"}`);
}

// Lines over time, from zero to the largest of their numbers. Gives that.
export function drawLines(svg, points, now, window, series) {
  const shown = points.filter((point) => point.at >= now - window);
  const most = Math.max(1, ...shown.flatMap((point) => series.map(({ field }) => point[field] ?? 0)));
  const drawn = [];
  for (const { field, name, fill } of series) {
    const runs = broken(shown, field);
    const at = (point) => `${xOf(point.at, now, window).toFixed(1)},${(HEIGHT - 3 - (HEIGHT - 8) * (point[field] / most)).toFixed(1)}`;
    const line = runs.map((run) => `M${run.map(at).join("L")}`).join("");
    if (fill) {
      const area = runs.map((run) => `M${xOf(run[0].at, now, window).toFixed(1)},${HEIGHT}L${run.map(at).join("L")}L${xOf(run.at(-1).at, now, window).toFixed(1)},${HEIGHT}Z`);
      drawn.push(element("path", { class: `${name}-fill`, d: area.join("") }));
    }
    drawn.push(element("path", { class: name, d: line }));
  }
  svg.replaceChildren(...drawn);
  const last = shown.at(-1);
  const told = series.map(({ field, words }) => `${words} ${last?.[field] == null ? "not known" : count(last[field])}`).join(", ");
  svg.setAttribute("aria-label", `Now ${told}; at most ${count(most)} in the last ${span(window / 1000)}`);
  return most;
}

// Runs of points without a gap between them.
function broken(points, field) {
  const runs = [];
  let last = null;
  for (const point of points) {
    if (point[field] == null) {
      last = null;
      continue;
    }
    if (last && point.at - last.at < GAP_MS) runs.at(-1).push(point);
    else runs.push([point]);
    last = point;
  }
  return runs;
}
