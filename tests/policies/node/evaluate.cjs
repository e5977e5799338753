// Evaluates requests against policies as IAM does, with @cloud-copilot/iam-simulate, in a separate process.
//
// node evaluate.cjs FILE: FILE is a JSON list of { identity: [policy], resource: policy or null, principal, action, on,
// account, context }: `on` is the ARN that the request is about, `account` the account that owns it, `context` the condition
// keys. Prints a JSON list of { result, identity: [Sid], resource: [Sid] } with the statements that decided, or { error }.
'use strict'
const fs = require('node:fs')
const { runSimulation } = require('@cloud-copilot/iam-simulate')

// The engine accepts these condition keys only under their generic name. Renamed in both policy and request, operator and
// values are still evaluated.
const FAMILY = ['kms:EncryptionContext:aws:s3:arn', 'kms:EncryptionContext:${EncryptionContextKey}']

function renamed(value) {
  return JSON.parse(JSON.stringify(value).replaceAll(`"${FAMILY[0]}":`, `"${FAMILY[1]}":`))
}

// The Sids of the statements that decided: the denials if there is one, else those that allowed.
function decisive(analysis, result) {
  const statements = result === 'ExplicitlyDenied' ? analysis?.denyStatements : analysis?.allowStatements
  return (statements ?? []).map(({ statement }) => statement.sid() ?? '')
}

async function evaluate({ identity, resource, principal, action, on, account, context }) {
  const simulation = {
    identityPolicies: renamed(identity).map((policy, index) => ({ name: `identity${index}`, policy })),
    serviceControlPolicies: [],
    resourceControlPolicies: [],
    resourcePolicy: resource ? renamed(resource) : undefined,
    request: { principal, action, resource: { resource: on, accountId: account }, contextVariables: renamed(context) }
  }
  const answer = await runSimulation(simulation, {})
  if (answer.resultType !== 'single') return { error: JSON.stringify(answer) }
  const { analysis, ignoredContextKeys } = answer.result
  // A condition with a key that AWS does not have for the action would never be met.
  if (ignoredContextKeys?.length) return { error: `${action} has no condition key ${ignoredContextKeys}` }
  const result = answer.overallResult
  return {
    result,
    identity: decisive(analysis.identityAnalysis, result),
    resource: decisive(analysis.resourceAnalysis, result)
  }
}

async function main() {
  const requests = JSON.parse(fs.readFileSync(process.argv[2], 'utf8'))
  const answers = []
  for (const request of requests) answers.push(await evaluate(request))
  process.stdout.write(JSON.stringify(answers))
}

main().catch((error) => {
  console.error(error)
  process.exitCode = 1
})
