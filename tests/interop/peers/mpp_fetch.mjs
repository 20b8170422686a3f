// mppx as a client: `pay` lets it do all by itself, `sign` has it answer one challenge.

import { Mppx, evm } from "mppx/client";
import { privateKeyToAccount } from "viem/accounts";
import { answerAll, settings, told } from "./line.mjs";

const { token } = settings;
const mppx = Mppx.create({
  methods: [
    evm.charge({
      account: privateKeyToAccount(settings.key),
      authorization: { name: token.name, version: token.version },
      currencies: [token.address],
      decimals: token.decimals,
      networks: [settings.chain_id],
    }),
  ],
  polyfill: false,
});

await answerAll(async (command) => {
  if (command.do === "pay") return told(await mppx.fetch(command.url), "Payment-Receipt");
  const headers = { "WWW-Authenticate": command.offer };
  const credential = await mppx.createCredential(new Response(null, { status: 402, headers }));
  return { headers: { Authorization: credential } };
});
