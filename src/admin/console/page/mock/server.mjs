// A node that does not exist, to work on the page without one: `node mock/server.mjs [PORT]` serves ../../built with the
// headers of the real one, and moving data. The scenario is chosen in the address and kept in a cookie:
// http://127.0.0.1:9280/?scenario=outage#/live. Scenarios: calm, busy, outage, refused, empty, token, read, masked, off, denied,
// many (10,000 sources), unbalanced, restless (batches come and go, each second a delivery), young (a minute old, with dead letters and refused
// requests), writer, writer-trouble, collector, collector-trouble (processes with a log over Kafka), dead
// (answers nothing but the page).
import { readFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { fileURLToPath } from 'node:url'
import { api, live, text } from './data.mjs'

const BUILT = new URL('../../built/', import.meta.url)
const TYPES = { 'index.html': 'text/html; charset=utf-8', 'console.js': 'text/javascript; charset=utf-8', 'console.css': 'text/css; charset=utf-8', 'favicon.svg': 'image/svg+xml' }
const HEADERS = {
  'content-security-policy': "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  'x-frame-options': 'DENY',
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  'cache-control': 'no-cache'
}

const cookie = (request, name) => new RegExp(`(?:^|; )${name}=([^;]*)`).exec(request.headers.cookie ?? '')?.[1]

function answer (response, status, body, headers = {}) {
  response.writeHead(status, { 'content-type': 'application/json', ...headers })
  response.end(text(body))
}

async function bodyOf (request) {
  let body = ''
  for await (const chunk of request) body += chunk
  return body
}

async function session (request, response, scenario) {
  const needs = scenario === 'token' || scenario === 'read'
  let role = needs ? cookie(request, 'forebay_session') ?? (scenario === 'read' ? 'read' : 'none') : 'admin'
  const headers = {}
  if (request.method === 'POST') {
    role = { admin: 'admin', read: 'read' }[JSON.parse(await bodyOf(request)).token]
    if (!role) return answer(response, 401, { success: false, code: 'unauthorized', message: 'no such token' })
    headers['set-cookie'] = `forebay_session=${role}; HttpOnly; SameSite=Strict; Path=/; Max-Age=43200`
  }
  if (request.method === 'DELETE') {
    role = 'none'
    headers['set-cookie'] = 'forebay_session=none; HttpOnly; SameSite=Strict; Path=/; Max-Age=43200'
  }
  const view = scenario === 'masked' ? 'masked' : scenario === 'off' ? 'off' : 'full'
  answer(response, 200, { role, needs_token: needs, live_view: view, dev: !['token', 'read', 'masked', 'denied'].includes(scenario) }, headers)
}

async function handle (request, response) {
  const url = new URL(request.url, 'http://mock')
  const scenario = cookie(request, 'scenario') ?? process.env.SCENARIO ?? 'calm'
  const name = url.pathname === '/' ? 'index.html' : url.pathname.slice(1)
  if (TYPES[name]) {
    const wanted = url.searchParams.get('scenario')
    response.writeHead(200, { ...HEADERS, 'content-type': TYPES[name], ...(wanted && { 'set-cookie': `scenario=${wanted}; Path=/` }) })
    return response.end(await readFile(new URL(name, BUILT)))
  }
  if (scenario === 'dead' && url.pathname !== '/api/session' && cookie(request, 'seen')) return response.destroy()
  if (url.pathname === '/api/session') return session(request, response, scenario)
  if (url.pathname === '/api/live') return live(response, scenario, url.searchParams)
  const found = api(scenario, request.method, url.pathname, url.searchParams)
  if (!found) return answer(response, 404, { success: false, code: 'not_found', message: 'no such route' })
  // A flush waits for the objects.
  setTimeout(() => answer(response, found.status ?? 200, found.body, scenario === 'dead' ? { 'set-cookie': 'seen=1; Path=/' } : {}), found.afterMs ?? 5)
}

export function serve (port = 0) {
  const server = createServer((request, response) => handle(request, response).catch((error) => {
    console.error(error)
    response.destroy()
  }))
  return new Promise((resolve) => server.listen(port, '127.0.0.1', () => resolve(server)))
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const server = await serve(Number(process.argv[2] ?? 9280))
  console.log(`console http://127.0.0.1:${server.address().port}`)
}
