// From the status to what is seen. What is there already is changed and not made again, so that focus and reading stay.

import { canvas, drawLines, drawStrip } from "./charts.js";
import { windowMs } from "./history.js";
import { ago, bytes, count, drain, many, span, tone } from "./words.js";

const RATES = [
  { field: "received", name: "received", words: "events a second in" },
  { field: "delivered", name: "delivered", words: "events a second delivered" },
];
const DEPTH = [{ field: "depth", name: "depth", words: "events queued", fill: true }];

function make(name, className, ...children) {
  const made = document.createElement(name);
  if (className) made.className = className;
  made.append(...children);
  return made;
}

function text(element, words) {
  if (element.textContent !== words) element.textContent = words;
}

function show(element, words) {
  text(element, words ?? "");
  element.hidden = !words;
}

function table(caption, columns) {
  const head = make("tr", "", ...columns.map(([name, className]) => {
    const cell = make("th", className, name);
    cell.scope = "col";
    return cell;
  }));
  const body = make("tbody");
  const title = make("h3", "", caption);
  const made = make("div", "", title, make("table", "", make("thead", "", head), body));
  made.body = body;
  return made;
}

// Rows of cells; the first one names the row. A cell is text, or [text, what is below it, class].
function fill(body, rows) {
  const key = JSON.stringify(rows);
  if (body.dataset.rows === key) return;
  body.dataset.rows = key;
  body.replaceChildren(...rows.map((cells) => make("tr", "", ...cells.map((cell, index) => {
    const [words, below, className] = Array.isArray(cell) ? cell : [cell];
    const made = make(index === 0 ? "th" : "td", className ?? "", words);
    if (index === 0) made.scope = "row";
    if (below) made.append(make("small", "", below));
    return made;
  }))));
}

const NUMBERS = {
  queued: "Queued", oldest: "The oldest", empty: "Empty in", disk: "On disk",
  received: "Events in", delivered: "Delivered", flight: "In flight", shards: "Shards open",
  dead: "Dead letters", lost: "Lost since the start",
};

// In an outage an output is probed again and again: what it is this second tells nothing about how long that lasts.
function since(output, running, nowMs) {
  const passed = (timeMs) => span((nowMs - timeMs) / 1000);
  if (running.unwell_since_ms === null || output.state === "paused") return `for ${passed(running.since_ms)}`;
  return `${output.state === "unhealthy" ? "" : "not healthy "}for ${passed(running.unwell_since_ms)}`;
}

// What is seen of one output.
export class OutputCard {
  constructor(id, order) {
    this.title = make("h2", "", id);
    this.badge = make("span", "badge");
    this.since = make("span", "since");
    this.pause = make("button", "", "Pause");
    this.resume = make("button", "main", "Resume");
    for (const [button, deed] of [[this.pause, "pause"], [this.resume, "resume"]]) {
      button.type = "button";
      button.setAttribute("aria-label", `${button.textContent} ${id}`);
      button.addEventListener("click", () => order(deed, this.output));
    }
    this.about = make("p", "faint");
    this.why = make("p", "why");
    this.remedy = make("p", "why");
    this.numbers = {};
    this.list = make("dl", "numbers", ...Object.entries(NUMBERS).map(([key, name]) => {
      this.numbers[key] = { value: document.createTextNode(""), below: make("small") };
      const { value, below } = this.numbers[key];
      const pair = make("div", "", make("dt", "", name), make("dd", "", value, below));
      this.numbers[key].pair = pair;
      return pair;
    }));
    this.makeCharts();
    this.losses = table("What was lost, by reason", [["Reason"], ["Since the start", "number"], ["By the queue ever", "number"]]);
    this.letters = table("Dead letters, by code", [["Code"], ["Events", "number"]]);
    this.letters.hidden = true;
    this.failure = make("p", "why faint");
    this.element = make("section", "card",
      make("div", "title", this.title, this.badge, this.since, make("span", "buttons", this.pause, this.resume)),
      this.about, this.why, this.remedy, this.list, this.charts, this.losses, this.letters, this.failure);
    this.title.id = `output-${id}`;
    this.element.setAttribute("aria-labelledby", this.title.id);
    this.element.dataset.output = id;
  }

  makeCharts() {
    const axis = () => {
      const begin = make("span");
      return { begin, element: make("div", "axis", begin, make("span", "", "now")) };
    };
    this.strip = canvas("strip");
    this.rates = canvas("chart");
    this.depth = canvas("chart");
    this.rateMost = make("span");
    this.depthMost = make("span");
    this.axes = [axis(), axis(), axis()];
    this.depthFigure = make("figure", "", make("figcaption", "", make("b", "", "Events queued"), this.depthMost), this.depth, this.axes[1].element);
    const key = (name, words) => make("span", `key ${name}`, words);
    this.charts = make("div", "charts",
      make("figure", "wide", make("figcaption", "", make("b", "", "State")), this.strip, this.axes[0].element),
      this.depthFigure,
      make("figure", "", make("figcaption", "", make("b", "", "Events a second"), key("received", "in"), key("delivered", "delivered"), this.rateMost),
        this.rates, this.axes[2].element));
  }

  update(output, nowMs, points, at) {
    this.output = output;
    const running = output.running;
    const kind = tone(output.state);
    text(this.badge, output.state);
    this.badge.className = `badge ${kind}`;
    text(this.since, running ? since(output, running, nowMs) : "");
    this.pause.hidden = !running || output.state === "paused";
    this.resume.hidden = output.state !== "paused";
    const place = output.endpoint ? `${output.region} at ${output.endpoint}` : output.region;
    const tags = output.tags.length ? `; ${output.tags.join(", ")}` : "";
    text(this.about, `${output.description ? `${output.description}: ` : ""}stream ${output.stream_name} in ${place}${tags}`);
    show(this.why, output.why);
    this.why.className = `why ${kind}`;
    // Whom it tells to send a request has a button for that here.
    show(this.remedy, output.state === "paused" ? null : output.remedy);
    this.list.hidden = this.charts.hidden = !running;
    if (!running) this.losses.hidden = this.letters.hidden = true;
    show(this.failure, null);
    if (running) this.updateRunning(output, running, nowMs, points, at);
  }

  number(key, value, below) {
    const { value: node, below: small, pair } = this.numbers[key];
    if (node.data !== value) node.data = value;
    show(small, below);
    pair.hidden = value === null;
  }

  updateRunning(output, running, nowMs, points, at) {
    const last = points.at(-1);
    const rate = (value) => (value === null ? "–" : `${count(value)}/s`);
    this.number("received", rate(last?.received ?? null), `${count(running.received_events)} since the start`);
    const again = running.duplicate_events ? `, ${count(running.duplicate_events)} of them again` : "";
    this.number("delivered", rate(last?.delivered ?? null), `${count(running.delivered_events)} since the start${again}`);
    const waiting = running.waiting_batches ? `${many(running.waiting_batches, "batch", "batches")} waiting` : "";
    this.number("flight", `${running.puts_in_flight} of ${running.puts_in_flight_max}`, waiting);
    const counted = running.shards_counted_at_ms === null ? "not counted yet" : `counted ${ago(running.shards_counted_at_ms, nowMs)}`;
    this.number("shards", running.shards_open === null ? "–" : count(running.shards_open), counted);
    this.number("dead", running.dead_letter_events === null ? "not known" : count(running.dead_letter_events), "");
    this.updateQueue(output, running.queue);
    this.updateLosses(running);
    const failure = running.last_failure;
    show(this.failure, failure && failure.reason !== output.why ? `The last failure was ${ago(failure.at_ms, nowMs)}: ${failure.reason}` : null);
    const window = windowMs(points, at);
    drawStrip(this.strip, points, at, window);
    text(this.rateMost, `at most ${count(drawLines(this.rates, points, at, window, RATES))}`);
    text(this.depthMost, `at most ${count(drawLines(this.depth, points, at, window, DEPTH))}`);
    for (const { begin } of this.axes) text(begin, `${span(window / 1000)} ago`);
  }

  updateQueue(output, queue) {
    this.depthFigure.hidden = queue === null;
    const known = queue?.answer === "known";
    for (const key of ["queued", "oldest", "empty", "disk"]) this.numbers[key].pair.hidden = !known;
    if (queue && !known) this.number("queued", "no answer", "its disk is very slow, or it is being closed");
    if (!known) return;
    this.number("queued", count(queue.events), queue.events ? `in ${many(queue.batches, "batch", "batches")}` : "");
    this.number("oldest", queue.oldest_secs === null ? "–" : span(queue.oldest_secs), queue.events ? "since it was queued" : "");
    this.number("empty", ...drain(output, queue));
    this.number("disk", bytes(queue.disk_bytes), queue.why_full ?? `of ${bytes(queue.max_bytes)}`);
    this.numbers.disk.below.className = queue.accepting ? "" : "bad";
  }

  updateLosses(running) {
    const ever = running.queue?.lost_events_ever ?? {};
    const reasons = [...new Set([...Object.keys(running.dropped_events), ...Object.keys(ever)])];
    const rows = reasons.map((reason) => [reason, running.dropped_events[reason] ?? 0, ever[reason] ?? null]);
    const lost = rows.filter(([, since, all]) => since > 0 || all > 0);
    const total = rows.reduce((sum, [, since]) => sum + since, 0);
    this.number("lost", total === 0 ? "nothing" : count(total), "");
    this.losses.hidden = lost.length === 0;
    fill(this.losses.body, lost.map(([reason, since, all]) => [reason, [count(since), "", "number"], [all === null ? "–" : count(all), "", "number"]]));
  }

  updateLetters(letters) {
    this.letters.hidden = letters.by_code.length === 0;
    fill(this.letters.body, letters.by_code.map((code) => [
      [code.code, `${new Date(code.last_refused_ms).toLocaleString()}: ${code.last_message}`],
      [count(code.events), "", "number"],
    ]));
  }

  lettersFailed(words) {
    this.letters.hidden = false;
    fill(this.letters.body, [[["They cannot be looked at", words], ""]]);
  }
}

export function showInputs(body, inputs) {
  fill(body, inputs.map((input) => {
    const troubles = [
      [input.cut_events, "events cut"], [input.read_errors, "failures to read"], [input.lost_bytes, "bytes gone before they were read"],
    ].filter(([number]) => number > 0).map(([number, words]) => `${count(number)} ${words}`);
    const files = input.files === null ? "" : `, ${many(input.files, "file", "files")}`;
    return [
      [input.id, `${input.type}${files}`],
      [input.state, [input.why, ...troubles].filter(Boolean).join("; "), tone(input.state)],
      [count(input.events), "", "number"],
      [bytes(input.bytes), "", "number"],
    ];
  }));
}
