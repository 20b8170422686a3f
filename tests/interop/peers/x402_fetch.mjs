// The official npm client: `pay` lets it do all by itself, `sign` has it answer one offer.

import { BatchSettlementEvmScheme } from "@x402/evm/batch-settlement/client";
import { ExactEvmScheme } from "@x402/evm/exact/client";
import { wrapFetchWithPayment, x402Client, x402HTTPClient } from "@x402/fetch";
import { privateKeyToAccount } from "viem/accounts";
import { answerAll, settings, told } from "./line.mjs";

const { assets, key, network } = settings;
const payer = new x402Client();
const account = privateKeyToAccount(key);
payer.register(network, new ExactEvmScheme(account));
payer.register(network, new BatchSettlementEvmScheme(account));
// Of tokens that it does not know it pays only those that it was told to.
payer.setSpendControls({ allowedAssets: assets.map((asset) => ({ network, asset })) });
const headers = new x402HTTPClient(payer);
const paying = wrapFetchWithPayment(fetch, payer);

await answerAll(async (command) => {
  if (command.do === "pay") return told(await paying(command.url), "PAYMENT-RESPONSE");
  const offer = { "PAYMENT-REQUIRED": command.offer };
  const required = headers.getPaymentRequiredResponse((name) => offer[name.toUpperCase()]);
  const payload = await payer.createPaymentPayload(required);
  return { headers: headers.encodePaymentSignatureHeader(payload) };
});
