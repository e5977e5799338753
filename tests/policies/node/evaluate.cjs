// Evaluates requests against policies as IAM does, by @cloud-copilot/iam-simulate, in a process of its own.
//
// node evaluate.cjs FILE: FILE is a JSON list of { identity: [policy], resource: policy or null, principal, action, on,
// account, context }: `on` is the ARN that the request is about, `account` the account that owns it, `context` the condition
// keys. Prints a JSON list: { result, identity: [Sid], resource: [Sid] }, the statements that decided, or { error }.
'use strict'
const fs = require('node:fs')
const { runSimulation } = require('@cloud-copilot/iam-simulate')

// The engine knows the family of these condition keys by one name, and takes no other for a request. Renamed in policy and
// request alike, operator and values are evaluated as they stand.
const FAMILY = ['kms:EncryptionContext:aws:s3:arn', 'kms:EncryptionContext:${EncryptionContextKey}']

function renamed(value) {
  return JSON.parse(JSON.stringify(value).replaceAll(`"${FAMILY[0]}":`, `"${FAMILY[1]}":`))
}

// Sids of what decided: of denials where there is one, else of what allowed.
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
  // A key that AWS does not have for the action would be a condition that is never met.
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
