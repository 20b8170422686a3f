// How a peer in JavaScript talks to the harness: settings in, one line of JSON for each answer out.

import { createServer } from "node:http";
import { createInterface } from "node:readline";

export const settings = JSON.parse(process.argv[2]);

export function say(answer) {
  process.stdout.write(JSON.stringify(answer) + "\n");
}

let sales = 0;

// What a seller sells: its number tells one sale from the next.
export function sale() {
  sales += 1;
  return { sold: sales };
}

// Serve on a free loopback port; the server ends when the harness does.
export function serve(handler) {
  const server = createServer(handler);
  server.listen(0, "127.0.0.1", () => say({ url: `http://127.0.0.1:${server.address().port}` }));
  process.stdin.on("end", () => process.exit(0)).resume();
}

// Answer commands one after the other, with the error's words if one fails.
export async function answerAll(act) {
  say({ ready: true });
  for await (const line of createInterface({ input: process.stdin })) {
    try {
      say(await act(JSON.parse(line)));
    } catch (error) {
      say({ error: String(error?.stack ?? error) });
    }
  }
}

export async function told(response, receipt) {
  return {
    status: response.status,
    body: await response.text(),
    receipt: response.headers.get(receipt) ?? "",
  };
}
