// A worker on the types that `examples/clients/generate typescript` makes.
import createClient from "openapi-fetch";
import type { paths } from "./schema.js";

const { FLOWLORD_SERVER = "http://127.0.0.1:8080", FLOWLORD_TOKEN, TOPIC = "load" } = process.env;
const headers: HeadersInit = FLOWLORD_TOKEN ? { Authorization: `Bearer ${FLOWLORD_TOKEN}` } : {};
const client = createClient<paths>({ baseUrl: FLOWLORD_SERVER, headers });
const wanted = { topics: [TOPIC], worker: `typescript-${process.pid}`, max: 1, wait: "20s", lease: "60s" };

for (;;) {
  const { data, error } = await client.POST("/api/v1/lease", { body: wanted });
  if (error) throw new Error(`refused: ${JSON.stringify(error)}`);
  for (const { lease, task } of data.tasks) {
    // Here is the work. Longer work sends heartbeats: /api/v1/lease/{lease}/heartbeat.
    console.log("working on", task.type, task.info);
    const { error } = await client.POST("/api/v1/lease/{lease}/result", {
      params: { path: { lease } },
      body: { result: "complete", msg: "by the TypeScript client", meta: { client: "typescript" } },
    });
    if (error) throw new Error(`refused: ${JSON.stringify(error)}`);
  }
}
