// The official middleware for Express.

import { HTTPFacilitatorClient } from "@x402/core/server";
import { BatchSettlementChannelManager, BatchSettlementEvmScheme } from "@x402/evm/batch-settlement/server";
import { ExactEvmScheme } from "@x402/evm/exact/server";
import { paymentMiddleware, x402ResourceServer } from "@x402/express";
import express from "express";
import { generatePrivateKey, privateKeyToAccount } from "viem/accounts";
import { sale, serve, settings } from "./line.mjs";

const { network, pay_to: payTo } = settings;
const [exact, channels] = [settings.facilitator, settings.channel_facilitator].map(
  (url) => new HTTPFacilitatorClient({ url }),
);
// The first that serves a scheme is asked.
const server = new x402ResourceServer([channels, exact]);
server.register(network, new ExactEvmScheme());

const table = {};
for (const { scheme, path, amount, asset, extra } of settings.routes) {
  const option = { scheme, price: { amount, asset, extra }, network, payTo };
  table[`GET ${path}`] = { accepts: [option], mimeType: "application/json" };
}

const app = express();
const receiverAuthorizerSigner = privateKeyToAccount(generatePrivateKey());
const scheme = new BatchSettlementEvmScheme(payTo, { receiverAuthorizerSigner });
server.register(network, scheme);
const manager = new BatchSettlementChannelManager({
  scheme,
  facilitator: channels,
  receiver: payTo,
  token: settings.token.address,
  network,
});
app.get("/claim", async (_, response) => response.json(await manager.claimAndSettle()));
app.use(paymentMiddleware(table, server));
for (const { path } of settings.routes) app.get(path, (_, response) => response.json(sale()));
serve(app);
