// The whole loop through openapi-fetch with the types of openapi-typescript; run by tests/clients/__main__.py.
import assert from "node:assert/strict";
import createClient from "openapi-fetch";
import type { components, paths } from "./document.js";

type Payment = components["schemas"]["Payment"];
const client = createClient<paths>({
  baseUrl: process.env["RISKGATE_URL"] ?? "",
  headers: { authorization: `Bearer ${process.env["RISKGATE_TOKEN"]}` },
});
const now = new Date().toISOString();

function payment(transaction_id: string): Payment {
  return {
    transaction_id, event_time: now, amount_minor: 125000, currency: "INR", rail: "card", channel: "online",
    payer_id: "u-fetch", instrument_id: "tok-fetch", payee_id: "m-559",
    card: { bin: "411111", funding: "credit" }, metadata: { order: "o-1", gift: true }, late: false, deadline_ms: 80,
  };
}

async function decisions(): Promise<void> {
  const query = { explain: true };
  const { data, error } = await client.POST("/v1/score", { body: payment("fetch-1"), params: { query } });
  assert.ok(data, JSON.stringify(error));
  assert.deepEqual([data.transaction_id, data.tier], ["fetch-1", "full"]);
  const again = await client.POST("/v1/score", { body: payment("fetch-1") });
  assert.equal(again.response.headers.get("idempotent-replay"), "true");
  const body = { payments: [payment("fetch-2"), payment("fetch-3")], deadline_ms: 5000 };
  const batch = await client.POST("/v1/score/batch", { body });
  assert.deepEqual(batch.data?.decisions.map((one) => ("error" in one ? "" : one.transaction_id)), ["fetch-2", "fetch-3"]);
  const refused = await client.POST("/v1/score", { body: payment("") });
  assert.equal(refused.response.status, 422);
  assert.equal(refused.error?.error.field, "transaction_id");
}

async function reports(): Promise<void> {
  const transaction_id = "fetch-1";
  const outcome = await client.POST("/v1/outcomes", { body: { transaction_id, outcome: "authorised", event_time: now } });
  assert.equal(outcome.data?.status, "applied");
  const label = { transaction_id, label: "fraud", source: "chargeback", reported_at: now } as const;
  assert.equal((await client.POST("/v1/labels", { body: label })).data?.effective, "fraud");
  const path = { transaction_id };
  const receipt = await client.GET("/v1/receipts/{transaction_id}", { params: { path } });
  assert.equal(receipt.data?.payment.currency, "INR");
  assert.ok(BigInt(receipt.data?.seq ?? "0") > 0n);
  const status = await client.GET("/v1/decisions/{transaction_id}", { params: { path } });
  assert.deepEqual(status.data?.outcomes.map((one) => one.outcome), ["authorised"]);
  const none = await client.GET("/v1/receipts/{transaction_id}", { params: { path: { transaction_id: "nothing" } } });
  assert.equal(none.error?.error.code, "unknown_transaction");
}

async function lists(): Promise<void> {
  const params = { path: { list: "watch" } } as const;
  const entry = { kind: "ip", value: "198.51.100.0/25" } as const;
  const body = { entries: [{ ...entry, reason: "card testing" }] };
  assert.equal((await client.POST("/v1/lists/{list}", { params, body })).data?.list, "watch");
  const page = await client.GET("/v1/lists/{list}", { params });
  assert.ok(page.data?.entries.some((one) => one.value === entry.value));
  const removed = await client.DELETE("/v1/lists/{list}", { params, body: { entries: [entry] } });
  assert.equal(removed.data?.entries[0]?.status, "removed");
}

async function service(): Promise<void> {
  assert.equal((await client.GET("/livez")).data?.live, true);
  assert.equal((await client.GET("/readyz")).data?.ready, true);
  assert.match((await client.GET("/metrics", { parseAs: "text" })).data ?? "", /riskgate_/);
}

await decisions();
await reports();
await lists();
await service();
