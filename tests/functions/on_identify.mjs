// A handler of identify calls, and the loop that AWS documents for a runtime of one's own: its client for Node needs a
// C++ compiler and CMake.

import { appendFileSync } from "node:fs";

function handler(call, context) {
  appendFileSync(process.env.SEEN, JSON.stringify({ call, ...context }) + "\n");
}

const invocations = `http://${process.env.AWS_LAMBDA_RUNTIME_API}/2018-06-01/runtime/invocation`;

for (;;) {
  const next = await fetch(`${invocations}/next`);
  const request = next.headers.get("lambda-runtime-aws-request-id");
  const { custom } = JSON.parse(next.headers.get("lambda-runtime-client-context"));
  let how = "response";
  let said = null;
  try {
    handler(await next.json(), { custom, request });
  } catch (error) {
    how = "error";
    said = { errorType: error.name, errorMessage: error.message };
  }
  await fetch(`${invocations}/${request}/${how}`, { method: "POST", body: JSON.stringify(said) });
}
