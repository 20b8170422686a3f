// An API in JavaScript that knows nothing of money, and `aisa proxy` before it.

import { spawn } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { join } from "node:path";
import { sale, say, settings } from "./line.mjs";

const { network, node, node_network: nodeNetwork, token } = settings;
const home = join(settings.scratch, "proxy");
mkdirSync(join(home, "seller"), { recursive: true, mode: 0o700 });
const lines = (table) => Object.entries(table).map(([name, value]) => `${name} = ${JSON.stringify(value)}`);
const accepted = lines({ url: node, network: nodeNetwork });
const taken = lines({
  network,
  asset: token.address,
  decimals: token.decimals,
  domain_name: token.name,
  domain_version: token.version,
  pay_to: settings.pay_to,
  facilitators: [settings.facilitator],
  keeps_keys: true,
});
const file = ["[[node]]", ...accepted, "", "[[x402]]", ...taken, ""].join("\n");
writeFileSync(join(home, "seller", "seller.toml"), file);

const api = createServer((_, response) => {
  response.setHeader("content-type", "application/json").end(JSON.stringify(sale()));
});
api.listen(0, "127.0.0.1", () => {
  const upstream = `http://127.0.0.1:${api.address().port}`;
  const prices = settings.routes.flatMap(({ path, price }) => ["--route", `${path}=${price} aiUSD`]);
  const words = ["-m", "aisa", "proxy", "--upstream", upstream, "--port", "0", "--home", home, "--json"];
  const proxy = spawn(settings.python, [...words, ...prices], { stdio: ["ignore", "pipe", "inherit"] });
  let told = "";
  proxy.stdout.on("data", (piece) => {
    told += piece;
    try {
      say({ url: JSON.parse(told).url });
    } catch {
      return; // the rest of it is on its way
    }
  });
  proxy.on("exit", (code) => process.exit(code ?? 1));
  process.stdin.on("end", () => proxy.kill()).resume();
});
