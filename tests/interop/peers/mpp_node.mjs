// mppx behind node:http: `evm/charge` for MPP clients and `exact` for x402 clients at one address.

import { Mppx, NodeListener, Request, evm } from "mppx/server";
import { sale, serve, settings } from "./line.mjs";

const { token } = settings;
const mppx = Mppx.create({
  methods: [
    evm.charge({
      currency: token.address,
      recipient: settings.pay_to,
      chainId: settings.chain_id,
      decimals: token.decimals,
      authorization: { name: token.name, version: token.version },
      x402: { facilitator: settings.facilitator },
    }),
  ],
  realm: "interop.example",
  secretKey: settings.secret,
});
const prices = Object.fromEntries(settings.routes.map((one) => [one.path, one.price]));

async function answer(request) {
  const { pathname } = new URL(request.url);
  if (!(pathname in prices)) return new Response("not found", { status: 404 });
  const paid = await mppx.charge({ amount: prices[pathname], scope: pathname })(request);
  if (paid.status !== 200) return paid.challenge;
  return paid.withReceipt(Response.json(sale()));
}

serve(Request.toNodeListener(answer));
