// The whole loop through the client that @hey-api/openapi-ts generates; run by tests/clients/__main__.py.
import assert from "node:assert/strict";
import { client } from "./hey/client.gen.js";
import {
  addEntries, getDecision, getLiveness, getMetrics, getReadiness, getReceipt, listEntries, removeEntries, reportLabel,
  reportOutcome, scoreBatch, scorePayment,
} from "./hey/sdk.gen.js";
import type { Payment } from "./hey/types.gen.js";

client.setConfig({ baseUrl: process.env["RISKGATE_URL"] ?? "", auth: () => process.env["RISKGATE_TOKEN"] ?? "" });
const now = new Date().toISOString();

function payment(transaction_id: string): Payment {
  return {
    transaction_id, event_time: now, amount_minor: 125000, currency: "INR", rail: "upi", channel: "qr_static",
    payer_id: "u-hey", instrument_id: "vpa-hey", payee_id: "m-559", metadata: { order: "o-1" },
  };
}

async function decisions(): Promise<void> {
  const { data, error } = await scorePayment({ body: payment("hey-1"), query: { explain: true } });
  assert.ok(data, JSON.stringify(error));
  assert.deepEqual([data.transaction_id, data.tier], ["hey-1", "full"]);
  const again = await scorePayment({ body: payment("hey-1") });
  assert.equal(again.response?.headers.get("idempotent-replay"), "true");
  const batch = await scoreBatch({ body: { payments: [payment("hey-2"), payment("hey-3")] } });
  assert.deepEqual(batch.data?.decisions.map((one) => ("error" in one ? "" : one.transaction_id)), ["hey-2", "hey-3"]);
  const refused = await scorePayment({ body: payment("") });
  assert.equal(refused.error?.error.field, "transaction_id");
}

async function reports(): Promise<void> {
  const transaction_id = "hey-1";
  const outcome = await reportOutcome({ body: { transaction_id, outcome: "authorised", event_time: now } });
  assert.equal(outcome.data?.status, "applied");
  const label = await reportLabel({ body: { transaction_id, label: "fraud", source: "chargeback", reported_at: now } });
  assert.equal(label.data?.effective, "fraud");
  const receipt = await getReceipt({ path: { transaction_id } });
  assert.ok(BigInt(receipt.data?.seq ?? "0") > 0n);
  const status = await getDecision({ path: { transaction_id } });
  assert.deepEqual(status.data?.outcomes.map((one) => one.outcome), ["authorised"]);
  const none = await getReceipt({ path: { transaction_id: "nothing" } });
  assert.equal(none.error?.error.code, "unknown_transaction");
}

async function lists(): Promise<void> {
  const path = { list: "watch" } as const;
  const entry = { kind: "ip", value: "198.51.100.128/25" } as const;
  const added = await addEntries({ path, body: { entries: [{ ...entry, reason: "card testing" }] } });
  assert.equal(added.data?.list, "watch");
  const page = await listEntries({ path, query: { limit: 1000 } });
  assert.ok(page.data?.entries.some((one) => one.value === entry.value));
  const removed = await removeEntries({ path, body: { entries: [entry] } });
  assert.equal(removed.data?.entries[0]?.status, "removed");
}

async function service(): Promise<void> {
  assert.equal((await getLiveness()).data?.live, true);
  assert.equal((await getReadiness()).data?.ready, true);
  assert.match(String((await getMetrics()).data), /riskgate_/);
}

await decisions();
await reports();
await lists();
await service();
