// The official middleware for Express.

import { HTTPFacilitatorClient } from "@x402/core/server";
import { ExactEvmScheme } from "@x402/evm/exact/server";
import { paymentMiddleware, x402ResourceServer } from "@x402/express";
import express from "express";
import { sale, serve, settings } from "./line.mjs";

const { facilitator, network, pay_to: payTo } = settings;
const server = new x402ResourceServer(new HTTPFacilitatorClient({ url: facilitator }));
server.register(network, new ExactEvmScheme());

const table = {};
for (const { path, amount, asset, extra } of settings.routes) {
  const option = { scheme: "exact", price: { amount, asset, extra }, network, payTo };
  table[`GET ${path}`] = { accepts: [option], mimeType: "application/json" };
}

const app = express();
app.use(paymentMiddleware(table, server));
for (const { path } of settings.routes) app.get(path, (_, response) => response.json(sale()));
serve(app);
