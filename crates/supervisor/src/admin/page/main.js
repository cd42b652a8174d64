// Asks, and hands on what was answered.

import { NeedsToken, ask, token } from "./ask.js";
import { History } from "./history.js";
import { OutputCard, showInputs } from "./show.js";
import { span } from "./words.js";

const EVERY_MS = 2000;

const by = (id) => document.getElementById(id);
const history = new History();
const cards = new Map();
const states = new Map();
// Dead letters are asked for when their number has changed: what was known of them, and when they may be asked for again.
const lettersSeen = new Map();
// All of them are read for an answer: where that takes long, it is not done all the time.
const LETTERS_PAUSE_TIMES = 20;
let answeredAt = null;
// Why the last order was not followed; it stays until there is another one.
let orderFailed = "";
let timer = null;
let isAsking = false;

async function look() {
  if (isAsking) return;
  isAsking = true;
  clearTimeout(timer);
  try {
    const status = await ask(`/api/v1/status${location.search}`);
    answered(status);
    await lookAtLetters(status);
  } catch (error) {
    failed(error);
  } finally {
    isAsking = false;
    // Nobody sees it while it is hidden, and a form asks by itself.
    if (!document.hidden && by("token-form").hidden) timer = setTimeout(look, EVERY_MS);
  }
}

function answered(status) {
  const at = performance.now();
  answeredAt = new Date();
  by("token-form").hidden = true;
  by("main").hidden = false;
  by("main").classList.remove("stale");
  by("forget").hidden = !token.get();
  history.add(status, at);
  showHead(status);
  showOutputs(status, at);
  showInputs(by("inputs").tBodies[0], status.inputs);
  announce(status);
}

// What stands there already is not said again to whoever listens.
function trouble(words) {
  if (by("trouble").textContent !== words) by("trouble").textContent = words;
  by("trouble").hidden = !words;
}

function showHead(status) {
  const environment = status.environment ? `, environment ${status.environment}` : "";
  const readiness = status.stage !== "running" ? status.stage : status.ready ? "ready" : `not ready: ${status.not_ready.join("; ")}`;
  by("about").textContent = `${status.version}${environment}, up ${span(status.uptime_secs)}, ${readiness}`;
  const refused = "The configuration file has changed and was refused; what ran before goes on. millpond check says what is wrong with it.";
  trouble([orderFailed, status.config.last_refused ? refused : ""].filter(Boolean).join(" "));
  const worst = status.outputs.find(({ state }) => state === "unhealthy") ?? status.outputs.find(({ state }) => state !== "healthy" && state !== "inactive");
  document.title = worst ? `${worst.id} ${worst.state} – millpond` : "millpond";
}

function showOutputs(status, at) {
  const here = new Set(status.outputs.map(({ id }) => id));
  for (const [id, card] of cards) {
    if (here.has(id)) continue;
    card.element.remove();
    cards.delete(id);
    lettersSeen.delete(id);
  }
  for (const output of status.outputs) {
    if (!cards.has(output.id)) {
      const card = new OutputCard(output.id, confirmOrder);
      cards.set(output.id, card);
      by("outputs").append(card.element);
    }
    cards.get(output.id).update(output, status.now_ms, history.of(output.id), at);
  }
}

async function lookAtLetters(status) {
  for (const { id, running } of status.outputs) {
    const events = running?.dead_letter_events ?? 0;
    const seen = lettersSeen.get(id) ?? { events: 0, again: 0 };
    const begun = performance.now();
    if (events === seen.events || begun < seen.again) continue;
    try {
      cards.get(id)?.updateLetters(await ask(`/api/v1/outputs/${id}/dead-letters?limit=0`));
      const ended = performance.now();
      lettersSeen.set(id, { events, again: ended + LETTERS_PAUSE_TIMES * (ended - begun) });
    } catch (error) {
      if (error instanceof NeedsToken) throw error;
      cards.get(id)?.lettersFailed(error.message);
    }
  }
}

// Says what has changed to whoever listens instead of looking.
function announce(status) {
  const changed = status.outputs.filter(({ id, state }) => states.has(id) && states.get(id) !== state);
  if (changed.length) by("announce").textContent = changed.map(({ id, state, why }) => `${id} is ${state}${why ? `: ${why}` : ""}`).join(". ");
  for (const { id, state } of status.outputs) states.set(id, state);
}

function failed(error) {
  if (error instanceof NeedsToken) {
    if (token.get()) by("token-why").textContent = "The token was not taken. It is the one of admin.token in the configuration.";
    token.forget();
    by("main").hidden = true;
    trouble("");
    by("forget").hidden = true;
    by("about").textContent = "";
    by("token-form").hidden = false;
    by("token").focus();
    return;
  }
  by("main").classList.add("stale");
  trouble(`${error.message} The page goes on asking.${answeredAt ? ` The last answer came at ${answeredAt.toLocaleTimeString()}.` : ""}`);
}

const FATES = { queue: "events go to its queue", drop: "events are dropped", block: "inputs wait" };

function confirmOrder(deed, output) {
  by("ask-title").textContent = `${deed === "pause" ? "Pause" : "Resume"} ${output.id}?`;
  by("ask-words").textContent = deed === "pause"
    ? `What is being sent is not called back. Until it is resumed, or the forwarder is started again, ${FATES[output.backpressure]}.`
    : "The shards are verified, then it goes on.";
  by("ask-yes").textContent = deed === "pause" ? "Pause" : "Resume";
  by("ask-yes").onclick = () => order(deed, output.id);
  by("ask").showModal();
}

async function order(deed, id) {
  by("ask").close();
  orderFailed = "";
  try {
    await ask(`/api/v1/outputs/${id}/${deed}`, "POST");
  } catch (error) {
    if (error instanceof NeedsToken) return failed(error);
    orderFailed = `${id} was told to ${deed}: ${error.message}.`;
  }
  return look();
}

by("ask-no").addEventListener("click", () => by("ask").close());
by("token-form").addEventListener("submit", (event) => {
  event.preventDefault();
  token.set(by("token").value.trim());
  by("token").value = "";
  by("token-form").hidden = true;
  look();
});
by("forget").addEventListener("click", () => {
  token.forget();
  look();
});
document.addEventListener("visibilitychange", () => {
  if (!document.hidden) look();
});
look();
