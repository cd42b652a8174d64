// Questions to the forwarder that has served this page.

const TOKEN = "millpond-token";
const ANSWER_MS_MAX = 30000;

export class NeedsToken extends Error {}

export const token = {
  get: () => sessionStorage.getItem(TOKEN),
  set: (value) => sessionStorage.setItem(TOKEN, value),
  forget: () => sessionStorage.removeItem(TOKEN),
};

// The answer; throws NeedsToken, or an Error whose message a person can act on.
export async function ask(path, method = "GET") {
  const headers = {};
  if (token.get()) headers.Authorization = `Bearer ${token.get()}`;
  if (method === "POST") headers["Content-Type"] = "application/json";
  const signal = AbortSignal.timeout(ANSWER_MS_MAX);
  let answer;
  try {
    answer = await fetch(path, { method, headers, signal, cache: "no-store" });
  } catch {
    throw new Error("Nobody answers: the forwarder has stopped, or the way to it is cut.");
  }
  if (answer.status === 401) throw new NeedsToken();
  let said;
  try {
    said = await answer.json();
  } catch {
    throw new Error(`The answer cannot be read (HTTP ${answer.status}).`);
  }
  if (!answer.ok) throw new Error(`${said.error}; ${said.remedy}`);
  return said;
}
