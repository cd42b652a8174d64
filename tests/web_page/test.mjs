// The page at the admin address, in headless Chromium, beside a real forwarder and an endpoint whose link is cut.

import assert from "node:assert/strict";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { join } from "node:path";
import { writeFileSync } from "node:fs";

import { Watch, card, fits, portraits } from "./checks.mjs";
import { World, until } from "./world.mjs";

const { chromium } = createRequire(join(process.env.WEB_PAGE_DIRECTORY, "package.json"))("playwright-core");
// Playwright gives each start a directory of its own that is empty.
const FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync", "--host-resolver-rules=MAP evil.example 127.0.0.1"];

const expect = (found, wanted, what) => assert.deepEqual(found, wanted, what);
const count = (number) => number.toLocaleString("en-US");
const REFUSED = "net::ERR_CONNECTION_REFUSED";

async function open(browser, url) {
  const page = await browser.newPage({ colorScheme: "light", viewport: { width: 1280, height: 900 } });
  const watch = new Watch(page, url);
  const answer = await page.goto(`${url}/`);
  expect(answer.status(), 200, "the page is served");
  return { page, watch };
}

const shows = (page, what, wanted) => until(what, async () => {
  const seen = await card(page);
  return seen && wanted(seen) ? seen : null;
});

// What it shows is what the status says.
async function agrees(page, world, what) {
  return until(`the page agrees with the status: ${what}`, async () => {
    const [seen, main] = [await card(page), (await world.status()).outputs.find(({ id }) => id === "main")];
    const { queue } = main.running;
    const same = seen.state === main.state
      && seen.numbers.Queued === count(queue.events)
      && seen.numbers["Dead letters"] === count(main.running.dead_letter_events)
      && seen.numbers["Shards open"] === String(main.running.shards_open)
      && seen.numbers["In flight"] === `${main.running.puts_in_flight} of ${main.running.puts_in_flight_max}`;
    return same ? { seen, main } : null;
  });
}

async function anOutageAndItsEnd(browser) {
  const world = await World.make({ outputs: "  lab: { type: kinesis, environment: lab, stream_name: lab, region: eu-central-1 }\n" });
  try {
    await world.start();
    const { page, watch } = await open(browser, world.url);
    await world.fault("refuse:poison");
    world.write(300);
    world.write(3, "a poison that nobody takes");
    await world.main("300 events are delivered and some refused", (main) => main.running.delivered_events >= 200 && main.running.dead_letter_events > 0);
    const well = await agrees(page, world, "all is well");
    expect(well.seen.state, "healthy", "state");
    await shows(page, "dead letters by code", ({ tables }) => tables.some(([head, first]) => head[0] === "Code" && first[1] === count(well.main.running.dead_letter_events)));
    expect((await card(page, "lab")).state, "inactive", "an output of another environment");

    await world.clear();
    await world.fault("down");
    world.write(6000);
    await world.main("6,000 events are queued", (main) => main.state === "unhealthy" && main.running.queue.events === 6000);
    const down = await until("the outage is shown", async () => {
      const { seen, main } = await agrees(page, world, "an outage");
      return seen.state === "unhealthy" && seen.numbers.Queued === "6,000" && main.state === "unhealthy" ? seen : null;
    });
    assert.match(down.why.join(), /refused/, "it says why");
    expect(down.numbers["Empty in"], "–", "no drain in an outage");
    assert.match(down.charts.join("; "), /then unhealthy .*Now events queued 6,000/, "the charts say it in words");
    await portraits(page, "outage", expect);

    await world.clear();
    const drain = await shows(page, "the drain", (seen) => seen.state === "healthy" && /^\d+ (s|min)/.test(seen.numbers["Empty in"]));
    assert.match(drain.numbers.Delivered, /^[\d,]+\/s$/, "a rate");
    await portraits(page, "drain", expect);
    await pauseByKeyboard(page, world);
    await shows(page, "the queue is empty", (seen) => seen.state === "healthy" && seen.numbers.Queued === "0" && seen.numbers["Empty in"] === "empty");
    await agrees(page, world, "after the drain");
    const announced = await page.textContent("#announce");
    assert.match(announced, /main is \w+/, "changes are announced");
    await goneAndBack(page, watch, world);
    watch.check(expect);
  } finally {
    await world.end();
  }
}

// Everything can be reached and done without a mouse.
async function pauseByKeyboard(page, world) {
  const press = async (name) => {
    await page.evaluate(() => document.activeElement.blur());
    await until(`${name} has the focus`, async () => {
      await page.keyboard.press("Tab");
      return page.evaluate((name) => document.activeElement.ariaLabel === name && document.activeElement.matches(":focus-visible"), name);
    });
    await page.keyboard.press("Enter");
    await page.waitForSelector("#ask[open]");
  };
  await press("Pause main");
  await page.screenshot({ path: join(process.env.WEB_PAGE_DIRECTORY, "pause.png") });
  await page.keyboard.press("Escape");
  await page.waitForSelector("#ask:not([open])", { state: "attached" });
  expect((await world.status()).outputs.find(({ id }) => id === "main").state !== "paused", true, "Escape leaves it");
  await press("Pause main");
  await page.keyboard.press("Tab");
  expect(await page.evaluate(() => document.activeElement.id), "ask-yes", "the second button");
  await page.keyboard.press("Enter");
  await shows(page, "paused", ({ state }) => state === "paused");
  await world.main("it is paused", (main) => main.state === "paused");
  await press("Resume main");
  await page.keyboard.press("Tab");
  await page.keyboard.press("Enter");
  await world.main("it is resumed", (main) => main.state !== "paused");
}

async function goneAndBack(page, watch, world) {
  watch.expected = [REFUSED, "net::ERR_EMPTY_RESPONSE", "net::ERR_CONNECTION_RESET"];
  await world.stop();
  await until("it says that nobody answers", async () => /Nobody answers/.test(await page.textContent("#trouble")) && page.isVisible("#trouble"));
  await page.screenshot({ path: join(process.env.WEB_PAGE_DIRECTORY, "gone.png"), fullPage: true });
  await world.start();
  await until("it goes on", async () => !(await page.isVisible("#trouble")));
  await agrees(page, world, "after a restart");
}

async function aToken(browser) {
  const world = await World.make({ admin: ', token: "${secret:admin}" ' });
  writeFileSync(join(world.directory, "token"), "s3cret\n");
  const { appendFileSync } = await import("node:fs");
  appendFileSync(join(world.directory, "millpond.yaml"), "secrets: { admin: { file: token } }\n");
  try {
    await world.start();
    const frame = await (await fetch(`${world.url}/`)).text();
    assert.ok(!frame.includes("everything, to the cloud") && !frame.includes("logs"), "the frame knows nothing");
    const { page, watch } = await open(browser, world.url);
    watch.expected = ["status of 401"];
    await page.waitForSelector("#token-form:not([hidden])");
    expect(await page.isVisible("#main"), false, "nothing is shown before the token");
    await fits(page, expect);
    await page.screenshot({ path: join(process.env.WEB_PAGE_DIRECTORY, "token.png") });
    await page.keyboard.type("wrong");
    await page.keyboard.press("Enter");
    await until("a wrong token is said", async () => /was not taken/.test(await page.textContent("#token-why")));
    await page.fill("#token", "s3cret");
    await page.keyboard.press("Enter");
    await shows(page, "the output", ({ state }) => state !== "");
    expect(await page.evaluate(() => [sessionStorage.length, localStorage.length, document.cookie]), [1, 0, ""], "where the token is kept");
    await page.reload();
    await shows(page, "the output after a reload", ({ state }) => state !== "");
    await page.click("#forget");
    await page.waitForSelector("#token-form:not([hidden])");
    expect(await page.evaluate(() => sessionStorage.length), 0, "it is forgotten");
    watch.check(expect);
  } finally {
    await world.end();
  }
}

// A page of somebody else on this machine, and one under a name that was made to mean this machine, get nothing.
async function otherPagesGetNothing(browser) {
  const world = await World.make();
  const other = createServer((_, answer) => answer.setHeader("content-type", "text/html").end("<p>other</p>"));
  await new Promise((resolve) => other.listen(0, "127.0.0.1", resolve));
  try {
    await world.start();
    const page = await browser.newPage();
    await page.goto(`http://127.0.0.1:${other.address().port}/`);
    const tried = await page.evaluate(async (url) => {
      const pause = `${url}/api/v1/outputs/main/pause`;
      const attempt = (path, options) => fetch(path, options).then(() => "sent", () => "blocked");
      return {
        read: await attempt(`${url}/api/v1/status`),
        json: await attempt(pause, { method: "POST", headers: { "Content-Type": "application/json" } }),
        form: await attempt(pause, { method: "POST", mode: "no-cors", headers: { "Content-Type": "text/plain" } }),
      };
    }, world.url);
    // One that may be sent unasked is sent, and refused there.
    expect(tried, { read: "blocked", json: "blocked", form: "sent" }, "what another page can do");
    expect((await world.status()).outputs[0].state !== "paused", true, "it has not paused anything");
    const rebound = await page.goto(`http://evil.example:${new URL(world.url).port}/`);
    expect(rebound.status(), 403, "a name that was made to mean this machine");
    const framed = `<iframe src="${world.url}/"></iframe>`;
    await page.goto(`http://127.0.0.1:${other.address().port}/`);
    await page.setContent(framed);
    const inner = await until("the frame is there", async () => page.frames()[1] ?? null);
    await until("the frame is refused", async () => inner.url().startsWith("chrome-error:"));
  } finally {
    other.close();
    other.closeAllConnections();
    await world.end();
  }
}

const browser = await chromium.launch({ executablePath: process.env.CHROMIUM, headless: true, args: FLAGS });
const only = process.argv[2];
const tests = Object.entries({ "an outage and its end": anOutageAndItsEnd, "a token": aToken, "other pages get nothing": otherPagesGetNothing });
let failed = 0;
let passed = 0;
for (const [name, test] of tests.filter(([name]) => !only || name.includes(only))) {
  const begun = Date.now();
  try {
    await test(browser);
    passed += 1;
    console.log(`ok   ${name} (${((Date.now() - begun) / 1000).toFixed(1)} s)`);
  } catch (error) {
    failed += 1;
    console.log(`FAIL ${name}: ${error.stack}`);
  }
}
await browser.close();
console.log(`${passed} passed, ${failed} failed, 0 skipped`);
process.exit(failed || !passed ? 1 : 0);
