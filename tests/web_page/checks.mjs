// What must be true of the page at any time, and how it is found out.

import { join } from "node:path";

// Watches a page: what it asks for, and what its console complains about.
export class Watch {
  constructor(page, url) {
    this.complaints = [];
    this.elsewhere = [];
    // Chromium itself says in the console that a request failed, whatever the page makes of it.
    this.expected = [];
    page.on("console", (message) => {
      const text = message.text();
      const isExpected = this.expected.some((words) => text.includes(words));
      if (["error", "warning"].includes(message.type()) && !isExpected) this.complaints.push(text);
    });
    page.on("pageerror", (error) => this.complaints.push(String(error)));
    page.on("request", (request) => {
      const asked = request.url();
      if (!asked.startsWith(`${url}/`) && !asked.startsWith("data:")) this.elsewhere.push(asked);
    });
  }

  check(expect) {
    expect(this.complaints, [], "the console is clean");
    expect(this.elsewhere, [], "nothing is asked elsewhere");
  }
}

// Nothing is wider than the window.
export async function fits(page, expect) {
  const [wide, room] = await page.evaluate(() => [document.documentElement.scrollWidth, document.documentElement.clientWidth]);
  const widest = await page.evaluate((room) => [...document.querySelectorAll("body *")].filter((element) => element.checkVisibility() && element.getBoundingClientRect().right > room + 1 && !element.matches(".unseen")).map((element) => element.outerHTML.slice(0, 80)), room);
  expect(wide <= room, true, `${wide} px fit in ${room} px`);
  expect(widest, [], "nothing is cut off on the right");
}

// The contrast of every text that can be seen with what lies behind it, as WCAG 2.2 counts it: at least 4.5.
export async function contrast(page, expect) {
  const low = await page.evaluate(() => {
    const channels = (colour) => colour.match(/[\d.]+/g).map(Number);
    const luminance = (colour) => {
      const [r, g, b] = channels(colour).slice(0, 3).map((value) => {
        const part = value / 255;
        return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
      });
      return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const behind = (element) => {
      for (let at = element; at; at = at.parentElement) {
        const colour = getComputedStyle(at).backgroundColor;
        if ((channels(colour)[3] ?? 1) === 1) return colour;
      }
      return "rgb(255, 255, 255)";
    };
    const hasText = (element) => [...element.childNodes].some((node) => node.nodeType === Node.TEXT_NODE && node.data.trim());
    const seen = [...document.querySelectorAll("body *")].filter((element) => element.checkVisibility() && hasText(element));
    if (seen.length < 20) return [`only ${seen.length} texts`];
    return seen.map((element) => {
      const [one, other] = [luminance(getComputedStyle(element).color), luminance(behind(element))];
      const ratio = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
      return ratio < 4.5 ? `${ratio.toFixed(2)}: ${element.outerHTML.slice(0, 80)}` : null;
    }).filter(Boolean);
  });
  expect(low, [], "contrast of at least 4.5");
}

// Screenshots of everything, wide and narrow, light and dark; each of them must fit and be readable.
export async function portraits(page, name, expect) {
  for (const scheme of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme: scheme });
    for (const [size, width, height] of [["wide", 1280, 900], ["narrow", 360, 740]]) {
      await page.setViewportSize({ width, height });
      await fits(page, expect);
      await page.screenshot({ path: join(process.env.WEB_PAGE_DIRECTORY, `${name}-${size}-${scheme}.png`), fullPage: true });
    }
    await contrast(page, expect);
  }
  await page.emulateMedia({ colorScheme: "light" });
  await page.setViewportSize({ width: 1280, height: 900 });
}

// What the page says of an output.
export async function card(page, id = "main") {
  return page.evaluate((id) => {
    const section = document.querySelector(`[data-output="${id}"]`);
    if (!section) return null;
    const numbers = [...section.querySelectorAll("dl div")].filter((pair) => pair.checkVisibility());
    return {
      state: section.querySelector(".badge").textContent,
      why: [...section.querySelectorAll(".why")].filter((why) => why.checkVisibility()).map((why) => why.textContent),
      numbers: Object.fromEntries(numbers.map((pair) => [pair.querySelector("dt").textContent, pair.querySelector("dd").firstChild.data])),
      tables: [...section.querySelectorAll("table")].filter((table) => table.checkVisibility()).map((table) => [...table.rows].map((row) => [...row.cells].map((cell) => cell.firstChild?.textContent ?? ""))),
      charts: [...section.querySelectorAll("svg")].filter((chart) => chart.checkVisibility()).map((chart) => chart.getAttribute("aria-label")),
    };
  }, id);
}
