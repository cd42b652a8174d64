// A forwarder, an embedded endpoint with a link that can be cut, and a log file between them.

import { spawn } from "node:child_process";
import { appendFileSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

const PATIENCE_MS = 60000;

// Waits until `look` gives something, and gives that.
export async function until(what, look) {
  const end = Date.now() + PATIENCE_MS;
  for (;;) {
    const found = await look();
    if (found) return found;
    if (Date.now() > end) throw new Error(`never was: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

function freePort() {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.on("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

// The first line of a stream in which `wanted` finds something.
async function heard(stream, wanted) {
  for await (const line of createInterface({ input: stream })) {
    const found = wanted(line);
    if (found) {
      stream.resume();
      return found;
    }
  }
  throw new Error("it has ended without a word of what was waited for");
}

export class World {
  static async make({ admin = "", outputs = "" } = {}) {
    const world = new World();
    world.directory = mkdtempSync(join(tmpdir(), "millpond-web-page-"));
    const [control, port] = [await freePort(), await freePort()];
    world.control = `http://127.0.0.1:${control}/_local`;
    world.url = `http://127.0.0.1:${port}`;
    world.endpoint = spawn(process.env.MILLPOND_BIN, ["local-kinesis", "--listen", "127.0.0.1:0", "--control-listen", `127.0.0.1:${control}`, "--stream", "logs:4"], { stdio: ["ignore", "pipe", "ignore"] });
    const endpoint = await heard(world.endpoint.stdout, (line) => line.match(/^listening on (.*)$/)?.[1]);
    writeFileSync(join(world.directory, "millpond.yaml"), `data_dir: data
admin: { listen: "127.0.0.1:${port}"${admin} }
inputs:
  app: { type: file, include: ["*.log"] }
outputs:
  main:
    type: kinesis
    description: everything, to the cloud
    tags: [edge]
    stream_name: logs
    region: eu-central-1
    endpoint: "${endpoint}"
    auth: { method: manual, access_key: test, secret_key: test }
    flush_period: 50ms
    max_record_size: "4 KiB"
    backpressure: queue
    queue: { max_size: "64 MiB", min_free: "1 MiB", max_segment_size: "1 MiB", drain_rate: 400 }
${outputs}`);
    return world;
  }

  async start() {
    this.forwarder = spawn(process.env.MILLPOND_BIN, ["run", "--config", "millpond.yaml"], { cwd: this.directory, stdio: ["ignore", "ignore", "ignore"] });
    await until("the forwarder is up", async () => (await fetch(`${this.url}/healthz`).catch(() => null))?.ok);
  }

  async stop() {
    const ended = new Promise((resolve) => this.forwarder.once("exit", resolve));
    this.forwarder.kill("SIGTERM");
    await ended;
  }

  async end() {
    for (const child of [this.forwarder, this.endpoint]) {
      if (child && child.exitCode === null && child.signalCode === null) child.kill("SIGKILL");
    }
    rmSync(this.directory, { recursive: true, force: true });
  }

  write(count, words = "the pump in hall 3 reports 21.5 degrees") {
    const lines = Array.from({ length: count }, (_, number) => `#${number} ${words}\n`);
    appendFileSync(join(this.directory, "app.log"), lines.join(""));
  }

  async fault(text) {
    const set = await fetch(`${this.control}/faults`, { method: "POST", body: text });
    if (!set.ok) throw new Error(`the endpoint refuses the fault ${text}: ${await set.text()}`);
  }

  async clear() {
    await fetch(`${this.control}/faults`, { method: "DELETE" });
  }

  async status() {
    return (await fetch(`${this.url}/api/v1/status`)).json();
  }

  // The output `main`, once it is as wanted.
  main(what, wanted) {
    return until(what, async () => {
      const main = (await this.status()).outputs.find(({ id }) => id === "main");
      return wanted(main) ? main : null;
    });
  }
}
